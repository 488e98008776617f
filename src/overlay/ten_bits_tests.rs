//! The reference of ten-bit targets, and the wgpu compositor held to it.

use super::*;
use crate::frame::{FrameView, Matrix, PixelFormat, Tone, Transfer, rows};
use crate::overlay::convert::{Path, convert_by};
use crate::overlay::gpu::{Gpu, GpuCompositor, Source, TEN_BIT_FORMAT, test_gpu};
use crate::overlay::host::tests::noise_layer;
use crate::overlay::placement::Placement;
use crate::overlay::testing::{ALL_COLORIMETRIES, COLORIMETRIES, Owned};
use crate::overlay::{Layer, Rect};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;

/// Ten bits, eight bits in YCbCr, and eight in RGB.
const FORMATS: [PixelFormat; 4] = [PixelFormat::P010, PixelFormat::V210, PixelFormat::Nv12, PixelFormat::Rgb];

fn level(byte: u8) -> u16 {
    ((u32::from(byte) * 1023 + 127) / 255) as u16
}

/// R, G, B of the picture before any layer.
fn clean(view: &FrameView<'_>) -> Vec<[u16; 3]> {
    let (width, height) = (view.layout.width, view.layout.height);
    if Depth::of(view.layout) == Depth::Eight {
        let mut bytes = vec![0; 4 * width * height];
        convert_by(Path::Reference, view, Rect::whole(width, height), &mut bytes, 4 * width);
        return bytes.as_chunks::<4>().0.iter().map(|&[b, g, r, _]| [r, g, b].map(level)).collect();
    }
    let k = Coefficients::of_ten_bits(view.layout.colorimetry);
    let mut piece = rows::Row::<u16>::default();
    let mut pixels = Vec::new();
    for y in 0..height {
        let mut start = 0;
        while start < width {
            let count = piece.unpack_reference(view, y, start).min(width - start);
            for x in 0..count {
                let [luma, u, v] = [piece.y()[x], piece.uv()[x / 2 * 2], piece.uv()[x / 2 * 2 + 1]].map(i32::from);
                let luma = k.cy * (luma - k.y_offset) + 8192;
                let (u, v) = (u - 512, v - 512);
                let rgb = [luma + k.rv * v, luma - k.gu * u - k.gv * v, luma + k.bu * u];
                pixels.push(rgb.map(|sum| (sum >> 14).clamp(0, 1023) as u16));
            }
            start += count;
        }
    }
    pixels
}

/// A premultiplied pixel over a level.
fn over(source: u8, alpha: u8, below: u16) -> u16 {
    level(source) + ((u32::from(below) * u32::from(255 - alpha) + 127) / 255) as u16
}

fn reference(view: Option<&FrameView<'_>>, size: (usize, usize), layers: &[&Layer]) -> Vec<[u16; 3]> {
    let mut pixels = view.map_or_else(|| vec![[0; 3]; size.0 * size.1], clean);
    for layer in layers {
        for (pixel, &[b, g, r, a]) in pixels.iter_mut().zip(layer.data.as_chunks::<4>().0) {
            for (channel, source) in pixel.iter_mut().zip([r, g, b]) {
                *channel = over(source, a, *channel);
            }
        }
    }
    pixels
}

/// A target that is read back, of ten bits.
struct Target {
    gpu: Gpu,
    size: (usize, usize),
    texture: wgpu::Texture,
    buffer: wgpu::Buffer,
    row: usize,
}

impl Target {
    fn new(gpu: &Gpu, size: (usize, usize)) -> Self {
        let texture = gpu.device.create_texture(&wgpu::TextureDescriptor {
            label: None,
            size: wgpu::Extent3d { width: size.0 as u32, height: size.1 as u32, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: TEN_BIT_FORMAT,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let row = (4 * size.0).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT as usize);
        let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: (row * size.1) as u64,
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        Target { gpu: gpu.clone(), size, texture, buffer, row }
    }

    fn draw(&self, compositor: &mut GpuCompositor) -> Vec<[u16; 3]> {
        compositor.draw(Depth::Ten, &self.texture.create_view(&Default::default()), self.size).unwrap();
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(self.row as u32), rows_per_image: None };
        let to = wgpu::TexelCopyBufferInfo { buffer: &self.buffer, layout };
        encoder.copy_texture_to_buffer(self.texture.as_image_copy(), to, self.texture.size());
        self.gpu.queue.submit([encoder.finish()]);
        self.buffer.slice(..).map_async(wgpu::MapMode::Read, |mapped| mapped.unwrap());
        self.gpu.finish().unwrap();
        let mut pixels = Vec::new();
        {
            let bytes = self.buffer.slice(..).get_mapped_range().unwrap();
            for row in bytes.chunks(self.row) {
                for &word in row[..4 * self.size.0].as_chunks::<4>().0 {
                    let word = u32::from_le_bytes(word);
                    assert_eq!(word >> 30, 3, "opaque");
                    pixels.push([word, word >> 10, word >> 20].map(|level| (level & 1023) as u16));
                }
            }
        }
        self.buffer.unmap();
        pixels
    }
}

#[test]
fn the_wgpu_compositor_keeps_ten_bits_as_the_reference_does() {
    let Some(gpu) = test_gpu("the_wgpu_compositor_keeps_ten_bits_as_the_reference_does") else { return };
    let compositor = RefCell::new(GpuCompositor::new(gpu.clone(), crate::overlay::gpu::OFFSCREEN_FORMAT));
    let cases = (0..FORMATS.len(), 0..ALL_COLORIMETRIES.len(), 16usize..80, 16usize..40, any::<u64>());
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&cases, |(format, colorimetry, width, height, seed)| {
        let picture = Owned::noise(FORMATS[format], ALL_COLORIMETRIES[colorimetry], width, height, seed);
        let view = picture.view();
        let layers = [1, 2, 3].map(|by| noise_layer(width, height, seed ^ by));
        let layers = [&layers[0], &layers[1], &layers[2]];
        let target = Target::new(&gpu, (width, height));
        let mut compositor = compositor.borrow_mut();
        compositor.upload(Source::New(&view), &layers).unwrap();
        prop_assert!(target.draw(&mut compositor) == reference(Some(&view), (width, height), &layers), "a picture");
        compositor.upload(Source::Blank(width, height), &layers[..1]).unwrap();
        prop_assert!(target.draw(&mut compositor) == reference(None, (width, height), &layers[..1]), "black");
        Ok(())
    });
    outcome.unwrap();
    if !gpu.is_software {
        println!("RAN the_wgpu_compositor_keeps_ten_bits_as_the_reference_does on a GPU");
    }
}

#[test]
fn a_ten_bit_target_of_another_size_shows_the_same_pixels() {
    let Some(gpu) = test_gpu("a_ten_bit_target_of_another_size_shows_the_same_pixels") else { return };
    let mut compositor = GpuCompositor::new(gpu.clone(), crate::overlay::gpu::OFFSCREEN_FORMAT);
    let (size, larger) = ((64, 48), (150, 90));
    let picture = Owned::noise(PixelFormat::P010, COLORIMETRIES[1], size.0, size.1, 5);
    compositor.upload(Source::New(&picture.view()), &[]).unwrap();
    let pixels = reference(Some(&picture.view()), size, &[]);
    let placement = Placement::fit(size, larger);
    for (i, got) in Target::new(&gpu, larger).draw(&mut compositor).into_iter().enumerate() {
        let (x, y) = (i % larger.0, i / larger.0);
        let wish = if placement.rect.contains(x, y) { pixels[placement.source_y(y) * size.0 + placement.source_x(x)] } else { [0; 3] };
        assert_eq!(got, wish, "{x} {y}");
    }
}

/// Where nothing more than eight bits is known, ten bits show the very same levels; and a blend never overflows.
#[test]
fn levels_come_back_and_no_blend_exceeds_the_highest() {
    for byte in 0..=255u8 {
        assert_eq!((f64::from(level(byte)) * 255.0 / 1023.0).round() as u8, byte);
        assert_eq!(f64::from(level(byte)), (f64::from(byte) * 1023.0 / 255.0).round());
    }
    assert_eq!((level(0), level(255), Depth::Eight.most(), Depth::Ten.most()), (0, 1023, 255, 1023));
    for alpha in 0..=255u8 {
        assert!(over(alpha, alpha, 1023) <= 1023, "white of {alpha} over white");
        for below in 0..=1023 {
            let exact = f64::from(below) * f64::from(255 - alpha) / 255.0;
            assert_eq!(f64::from(over(0, alpha, below)), exact.round());
            assert_eq!(over(255, 255, below), 1023, "opaque replaces");
        }
        assert_eq!(over(0, 0, u16::from(alpha)), u16::from(alpha), "transparent changes nothing");
    }
}

/// The same matrices as those of pictures that go through `frame::Tone`, which the standards hold.
#[test]
fn the_coefficients_are_those_of_the_ten_bit_matrices() {
    for colorimetry in COLORIMETRIES.into_iter().chain([Range::Limited, Range::Full].map(|range| Colorimetry::sdr(Matrix::Bt2020, range))) {
        let mapped = Colorimetry { transfer: Transfer::Hlg, ..colorimetry };
        let tone = Tone::of(&FrameLayout::new(PixelFormat::P010, mapped, 64, 48).unwrap()).unwrap().matrix;
        let k = Coefficients::of_ten_bits(colorimetry);
        assert_eq!(
            [k.y_offset, k.cy, k.rv, k.gu, k.gv, k.bu],
            [tone.y_offset, tone.cy, tone.rv, tone.gu, tone.gv, tone.bu],
            "{colorimetry:?}"
        );
    }
}

#[test]
fn ten_bits_are_worth_it_only_where_ten_reach_the_target() {
    let of = |format, colorimetry| Depth::of(&FrameLayout::new(format, colorimetry, 64, 48).unwrap());
    for (i, colorimetry) in ALL_COLORIMETRIES.into_iter().enumerate() {
        let wish = if i < COLORIMETRIES.len() { Depth::Ten } else { Depth::Eight };
        assert_eq!((of(PixelFormat::P010, colorimetry), of(PixelFormat::V210, colorimetry)), (wish, wish), "{colorimetry:?}");
        assert_eq!((of(PixelFormat::Nv12, colorimetry), of(PixelFormat::Rgb, colorimetry)), (Depth::Eight, Depth::Eight));
    }
}
