//! What of a Vulkan surface is used, where it offers a choice.

use crate::display::Picture;
use crate::overlay::Depth;
use crate::overlay::gpu::TEN_BIT_FORMAT;
use wgpu::{PresentMode, TextureFormat};

/// Values are shown as they are: an sRGB format would encode them a second time.
const EIGHT_BITS: [TextureFormat; 2] = [TextureFormat::Bgra8Unorm, TextureFormat::Rgba8Unorm];

/// The formats that pictures are drawn in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Formats {
    pub eight: TextureFormat,
    has_ten: bool,
}

impl Formats {
    /// None: the surface has no 8-bit format without sRGB encoding.
    pub fn of(offered: &[TextureFormat]) -> Option<Self> {
        let eight = EIGHT_BITS.into_iter().find(|format| offered.contains(format))?;
        Some(Formats { eight, has_ten: offered.contains(&TEN_BIT_FORMAT) })
    }

    /// Ten bits where the picture has ten and the surface takes them. `now`: black changes nothing.
    pub fn depth_for(&self, picture: &Picture<'_>, now: Depth) -> Depth {
        match picture.frame().map_or(now, |frame| Depth::of(frame.layout())) {
            Depth::Ten if self.has_ten => Depth::Ten,
            _ => Depth::Eight,
        }
    }

    pub fn at(&self, depth: Depth) -> TextureFormat {
        match depth {
            Depth::Eight => self.eight,
            Depth::Ten => TEN_BIT_FORMAT,
        }
    }
}

/// The newest picture wins without waiting; Fifo, which always exists, may hold one back. `is_paced`: each picture waits here for the
/// refresh at which it is taken, so that Fifo holds nothing back, and a torn picture (Immediate) would gain nothing.
pub fn present_mode(offered: &[PresentMode], is_paced: bool) -> PresentMode {
    let wanted: &[PresentMode] = if is_paced { &[PresentMode::Mailbox] } else { &[PresentMode::Mailbox, PresentMode::Immediate] };
    wanted.iter().copied().find(|mode| offered.contains(mode)).unwrap_or(PresentMode::Fifo)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::PixelFormat;
    use crate::overlay::testing::{ALL_COLORIMETRIES, Owned};

    #[test]
    fn the_mode_that_waits_least_is_taken_and_nothing_is_torn_where_pictures_are_paced() {
        use PresentMode::{Fifo, FifoRelaxed, Immediate, Mailbox};
        let all = [Fifo, FifoRelaxed, Immediate, Mailbox];
        assert_eq!((present_mode(&all, false), present_mode(&all, true)), (Mailbox, Mailbox));
        assert_eq!((present_mode(&all[..3], false), present_mode(&all[..3], true)), (Immediate, Fifo));
        assert_eq!((present_mode(&[Fifo], false), present_mode(&[], true)), (Fifo, Fifo));
    }

    #[test]
    fn ten_bits_are_used_for_pictures_of_ten_where_the_surface_has_them() {
        use TextureFormat::{Bgra8Unorm, Bgra8UnormSrgb, Rgb10a2Unorm, Rgba8Unorm};
        assert_eq!(Formats::of(&[Bgra8UnormSrgb, Rgb10a2Unorm]), None);
        let both = Formats::of(&[Bgra8UnormSrgb, Rgb10a2Unorm, Rgba8Unorm, Bgra8Unorm]).unwrap();
        assert_eq!((both.at(Depth::Eight), both.at(Depth::Ten)), (Bgra8Unorm, Rgb10a2Unorm));
        let eight = Formats::of(&[Rgba8Unorm]).unwrap();
        let frame = |format, colorimetry: usize| Owned::noise(format, ALL_COLORIMETRIES[colorimetry], 64, 48, 1).frame();
        let (deep, shallow, mapped) = (frame(PixelFormat::P010, 1), frame(PixelFormat::Nv12, 1), frame(PixelFormat::P010, 6));
        for (picture, wish) in [
            (Picture::New(&deep), Depth::Ten),
            (Picture::Again(&deep), Depth::Ten),
            (Picture::New(&shallow), Depth::Eight),
            (Picture::New(&mapped), Depth::Eight),
        ] {
            assert_eq!(both.depth_for(&picture, Depth::Ten), wish);
            assert_eq!(both.depth_for(&picture, Depth::Eight), wish);
            assert_eq!(eight.depth_for(&picture, Depth::Eight), Depth::Eight);
        }
        let blank = Picture::Blank(64, 48);
        assert_eq!([Depth::Eight, Depth::Ten].map(|now| both.depth_for(&blank, now)), [Depth::Eight, Depth::Ten]);
    }
}
