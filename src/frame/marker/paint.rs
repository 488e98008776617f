//! Painting the marker into a picture. Flat rectangles, whole pixels, no filter.

use super::bars::{Signal, bar};
use super::code;
use super::layout::{Block, COLUMNS, Placement, ROWS};

/// What is painted into, top row first; strides in bytes. Eight bits alone.
#[derive(Debug)]
pub enum Target<'a> {
    /// The luma of any planar format.
    Luma { plane: &'a mut [u8], stride: usize },
    /// B, G, R, and one that is set to 255.
    Bgrx { plane: &'a mut [u8], stride: usize },
    /// R, G, B.
    Rgb { plane: &'a mut [u8], stride: usize },
    /// Interleaved Cb Cr at half size: the second plane of NV12.
    CbCr { plane: &'a mut [u8], stride: usize },
    /// Cb at half size: the second plane of I420.
    Cb { plane: &'a mut [u8], stride: usize },
    /// Cr at half size: the third plane of I420.
    Cr { plane: &'a mut [u8], stride: usize },
    /// Y Cb Y Cr.
    Yuy2 { plane: &'a mut [u8], stride: usize },
    /// Cb Y Cr Y.
    Uyvy { plane: &'a mut [u8], stride: usize },
}

/// The marker reaches beyond the plane; nothing of it, or only its upper part, was painted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoesNotFit;

impl std::fmt::Display for DoesNotFit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the marker reaches beyond the picture; place it inside, or use a picture of 408 × 312 or more")
    }
}

impl std::error::Error for DoesNotFit {}

/// Paints frame `number` (modulo `NUMBERS`). `signal` says what the bytes of Y'CbCr mean, and the range of R'G'B'.
/// A format of several planes takes a call for each. Writes the marker's rectangle only.
pub fn paint(target: Target<'_>, signal: Signal, placement: Placement, number: u32) -> Result<(), DoesNotFit> {
    let ycbcr = |rgb| signal.ycbcr(rgb);
    let rgb = |rgb| signal.rgb(rgb);
    let frame = Frame { placement, number, word: code::encode(number) };
    match target {
        Target::Luma { plane, stride } => frame.fill(plane, stride, 1, 1, |c| [ycbcr(c)[0]]),
        Target::Bgrx { plane, stride } => frame.fill(plane, stride, 1, 1, |c| {
            let [r, g, b] = rgb(c);
            [b, g, r, 255]
        }),
        Target::Rgb { plane, stride } => frame.fill(plane, stride, 1, 1, rgb),
        Target::CbCr { plane, stride } => frame.fill(plane, stride, 2, 2, |c| {
            let [_, cb, cr] = ycbcr(c);
            [cb, cr]
        }),
        Target::Cb { plane, stride } => frame.fill(plane, stride, 2, 2, |c| [ycbcr(c)[1]]),
        Target::Cr { plane, stride } => frame.fill(plane, stride, 2, 2, |c| [ycbcr(c)[2]]),
        Target::Yuy2 { plane, stride } => frame.fill(plane, stride, 2, 1, |c| {
            let [y, cb, cr] = ycbcr(c);
            [y, cb, y, cr]
        }),
        Target::Uyvy { plane, stride } => frame.fill(plane, stride, 2, 1, |c| {
            let [y, cb, cr] = ycbcr(c);
            [cb, y, cr, y]
        }),
    }
}

struct Frame {
    placement: Placement,
    number: u32,
    word: u64,
}

impl Frame {
    /// A group of N bytes stands for `across` × `down` pixels.
    fn fill<const N: usize>(
        &self,
        plane: &mut [u8],
        stride: usize,
        across: usize,
        down: usize,
        bytes: impl Fn([f32; 3]) -> [u8; N],
    ) -> Result<(), DoesNotFit> {
        let (x, block_px) = (self.placement.x() / across, self.placement.block_px());
        let width = COLUMNS * block_px / across;
        if (x + width) * N > stride {
            return Err(DoesNotFit);
        }
        for row in 0..ROWS {
            let colours: [[u8; N]; COLUMNS] = std::array::from_fn(|column| bytes(self.colour(column, row)));
            let top = (self.placement.y() + row * block_px) / down;
            for y in top..top + block_px / down {
                let from = y * stride + x * N;
                let line = plane.get_mut(from..from + width * N).ok_or(DoesNotFit)?;
                for (block, colour) in line.chunks_exact_mut(block_px / across * N).zip(colours) {
                    block.as_chunks_mut::<N>().0.fill(colour);
                }
            }
        }
        Ok(())
    }

    /// R'G'B' of 0..1.
    fn colour(&self, column: usize, row: usize) -> [f32; 3] {
        let block = Block::at(column, row);
        match (block, block.is_white(self.number, self.word)) {
            (Block::Bar(index), _) => bar(index),
            (_, Some(true)) => [1.0; 3],
            _ => [0.0; 3],
        }
    }
}
