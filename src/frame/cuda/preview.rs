//! What `shaders/preview.cu` is given for one picture format.

use super::{Launch, PREVIEW};
use crate::frame::preview::SAMPLED_ROWS;
use crate::frame::{FrameLayout, PixelFormat, PlaneLayout, thumbnail};
use bytemuck::{Pod, Zeroable};

const THREADS: u32 = 128;

/// As in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct PreviewParams {
    pub planes: u32,
    pub offset: [u32; 3],
    pub stride: [u32; 3],
    pub rows: [u32; 3],
    pub bytes: [u32; 3],
    pub is_v210: u32,
    pub light: u32,
    pub step: u32,
    pub place: u32,
    pub width: u32,
    pub height: u32,
    pub sampled: u32,
}

/// The three launches, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct PreviewPlan {
    pub params: PreviewParams,
    pub rows: Launch,
    pub thumbnail: Launch,
    pub finish: Launch,
    /// Of all planes: so many u64 lie between the launches, and as many u32 as the picture is high.
    pub row_count: usize,
}

impl PreviewPlan {
    pub fn new(layout: &FrameLayout) -> Self {
        let planes = layout.planes();
        let of = |value: &dyn Fn(usize, &PlaneLayout) -> usize| {
            std::array::from_fn(|index| planes.get(index).map_or(0, |plane| value(index, plane) as u32))
        };
        let place = thumbnail::step_and_place(layout.format);
        let (step, first) = place.unwrap_or_default();
        let light = match layout.format {
            PixelFormat::Nv12 | PixelFormat::I420 | PixelFormat::Rgb => 0b1111,
            PixelFormat::Yuy2 => 0b0101,
            // Of ten bits in sixteen the upper eight.
            PixelFormat::Uyvy | PixelFormat::P010 => 0b1010,
            PixelFormat::Bgrx | PixelFormat::Bgra => 0b0111,
            PixelFormat::V210 => 0,
        };
        let row_count = planes.iter().map(|plane| plane.rows).sum();
        let one = Launch { kernel: PREVIEW, entry: "preview_finish", grid: [1; 3], block: [THREADS, 1, 1], shared_bytes: 0 };
        PreviewPlan {
            params: PreviewParams {
                planes: planes.len() as u32,
                offset: of(&|_, plane| plane.offset),
                stride: of(&|_, plane| plane.stride),
                rows: of(&|_, plane| plane.rows),
                bytes: of(&|index, _| layout.written_bytes(index)),
                is_v210: u32::from(place.is_none()),
                light,
                step: step as u32,
                place: first as u32,
                width: layout.width as u32,
                height: layout.height as u32,
                sampled: layout.height.min(SAMPLED_ROWS) as u32,
            },
            rows: Launch { entry: "preview_rows", grid: [row_count as u32, 1, 1], ..one },
            thumbnail: Launch::over(PREVIEW, "preview_thumbnail", thumbnail::WIDTH * thumbnail::HEIGHT, THREADS),
            finish: one,
            row_count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use crate::frame::cuda::testing::{input, on_every_device, output, value};
    use crate::frame::preview::{PREVIEW_BYTES, Preview, sampled_row};
    use crate::frame::{Colorimetry, FrameView, Matrix, Range};
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    fn mixed(value: u64) -> u64 {
        let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ value >> 31
    }

    /// Of one row, the `index`-th of all planes'.
    fn digest(row: &[u8], index: usize) -> u64 {
        row.chunks(4).enumerate().fold(0u64, |sum, (at, bytes)| {
            let word = bytes.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
            sum.wrapping_add(mixed(word ^ ((index as u64) << 32 | at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        })
    }

    /// What is light of a row, its upper eight bits.
    fn light(format: PixelFormat, row: &[u8]) -> Vec<u8> {
        let at = |step: usize, places: &[usize]| -> Vec<u8> {
            row.chunks(step).flat_map(|bytes| places.iter().filter_map(|place| bytes.get(*place).copied())).collect()
        };
        match format {
            PixelFormat::Nv12 | PixelFormat::I420 | PixelFormat::Rgb => row.to_vec(),
            PixelFormat::Yuy2 => at(2, &[0]),
            PixelFormat::Uyvy | PixelFormat::P010 => at(2, &[1]),
            PixelFormat::Bgrx | PixelFormat::Bgra => at(4, &[0, 1, 2]),
            PixelFormat::V210 => {
                let words = row.chunks_exact(4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()));
                let samples = words.flat_map(|word| [word, word >> 10, word >> 20].map(|sample| sample & 1023));
                samples.enumerate().filter(|(index, _)| index % 2 == 1).map(|(_, sample)| (sample >> 2) as u8).collect()
            }
        }
    }

    #[test]
    fn a_preview_is_the_reference_s() {
        let pictures = (prop::sample::select(PixelFormat::ALL.to_vec()), 16usize..700, 16usize..200, any::<u64>(), any::<bool>());
        on_every_device("a_preview_is_the_reference_s", |runner| {
            let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
            let test = |(format, width, height, seed, is_dim): (PixelFormat, usize, usize, u64, bool)| {
                let layout = FrameLayout::new(format, Colorimetry::sdr(Matrix::Bt709, Range::Limited), width, height).unwrap();
                let mut data = Random::new(seed).bytes(layout.size);
                if is_dim {
                    data.iter_mut().for_each(|byte| *byte %= 40);
                }
                let view = FrameView::new(&layout, &data).unwrap();
                let plan = PreviewPlan::new(&layout);
                let (mut digests, mut brightest) = (vec![0u64; plan.row_count], vec![0u32; height]);
                let (mut numbers, mut thumbnail) = ([0u64; 2 + SAMPLED_ROWS], vec![0u8; thumbnail::WIDTH * thumbnail::HEIGHT]);
                let params = || value(&plan.params);
                runner.run(&plan.rows, &mut [params(), input(&data), output(&mut digests), output(&mut brightest)]);
                runner.run(&plan.thumbnail, &mut [params(), input(&data), output(&mut thumbnail)]);
                runner.run(&plan.finish, &mut [params(), input(&digests), input(&brightest), output(&mut numbers)]);
                let bytes = [bytemuck::cast_slice(&numbers), &thumbnail[..]].concat();
                prop_assert_eq!(bytes.len(), PREVIEW_BYTES);
                let preview = Preview::of(&bytes).unwrap();

                let written = |plane: usize, y: usize| &view.row(plane, y)[..layout.written_bytes(plane)];
                let all = (0..layout.planes().len()).flat_map(|plane| (0..layout.planes()[plane].rows).map(move |y| (plane, y)));
                let whole = all.enumerate().fold(0u64, |sum, (index, (plane, y))| sum.wrapping_add(digest(written(plane, y), index)));
                prop_assert_eq!(preview.digest(), whole);
                let count = height.min(SAMPLED_ROWS);
                let rows: [u64; SAMPLED_ROWS] = std::array::from_fn(|index| {
                    let y = sampled_row(index.min(count - 1), count, height);
                    if index < count { digest(written(0, y), y) } else { 0 }
                });
                prop_assert_eq!(preview.rows(), rows);
                let lights = (0..count).flat_map(|index| light(format, written(0, sampled_row(index, count, height))));
                prop_assert_eq!(Some(preview.brightest()), lights.max());
                let mut expected = vec![0; thumbnail::WIDTH * thumbnail::HEIGHT];
                thumbnail::sample(&view, &mut expected);
                prop_assert_eq!(preview.thumbnail(), &expected[..]);
                Ok(())
            };
            TestRunner::new(config).run(&pictures, test).unwrap();
        });
    }

    #[test]
    fn two_rows_that_change_places_make_another_picture() {
        let row: Vec<u8> = (0..=255).collect();
        assert_ne!(digest(&row, 3), digest(&row, 4));
        let mut swapped = row.clone();
        swapped.swap(3, 200);
        assert_ne!(digest(&row, 3), digest(&swapped, 3));
    }
}
