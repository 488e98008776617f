//! Targets that keep ten bits a channel (Rgb10a2Unorm), for sources that have ten: the same pass of `shaders/compose.wgsl`, in
//! other integers. Only the wgpu compositor has such targets; recordings, stills and hashes stay at eight bits.
//!
//! ```text
//!   v210, P010   R', G', B' = clamp((… + 8192) >> 14, 0, 1023): the matrix as in `convert`, on the 10-bit samples themselves,
//!                with `Coefficients::of_ten_bits`; the middle of chroma is 512
//!   all others   level(v) of what `convert` gives in eight bits: NV12, RGB, ...; wide gamut and high dynamic range too, whose
//!                table (`frame::Tone`) ends in bytes, and which therefore keep an 8-bit target
//!   a layer      level(src) + nearest(dst · (255 − a) / 255)         each channel, src premultiplied
//!   level(v)     nearest(v · 1023 / 255): back in eight bits it is v again
//! ```
//! nearest(n / 255) = (n + 127) / 255 in whole numbers: 255 is odd, so nothing lies half way. Nothing exceeds 1023: where a layer's
//! channel is at most its alpha, both parts are rounded towards a sum of 1023 and never beyond.

use crate::frame::{Colorimetry, FrameLayout, Range};
use crate::overlay::convert::Coefficients;

/// Bits that a target keeps of each channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Depth {
    #[default]
    Eight,
    Ten,
}

impl Depth {
    /// What pictures of this layout are worth.
    pub fn of(layout: &FrameLayout) -> Self {
        if layout.format.is_ten_bit() && layout.colorimetry.is_display_ready() { Depth::Ten } else { Depth::Eight }
    }

    /// The highest level.
    pub const fn most(self) -> u16 {
        match self {
            Depth::Eight => 255,
            Depth::Ten => 1023,
        }
    }
}

impl Coefficients {
    /// From 10-bit samples to ten bits full range, rounded to 1/16384.
    pub fn of_ten_bits(colorimetry: Colorimetry) -> Self {
        let (kr, kb) = colorimetry.matrix.kr_kb();
        let kg = 1.0 - kr - kb;
        let (y_offset, luma, chroma) = match colorimetry.range {
            Range::Limited => (64, 1023.0 / 876.0, 1023.0 / 896.0),
            Range::Full => (0, 1.0, 1.0),
        };
        let fixed = |v: f64| (v * 16384.0).round() as i32;
        Coefficients {
            y_offset,
            cy: fixed(luma),
            rv: fixed(2.0 * (1.0 - kr) * chroma),
            gu: fixed(2.0 * (1.0 - kb) * kb / kg * chroma),
            gv: fixed(2.0 * (1.0 - kr) * kr / kg * chroma),
            bu: fixed(2.0 * (1.0 - kb) * chroma),
        }
    }
}

#[cfg(test)]
#[path = "ten_bits_tests.rs"]
mod tests;
