//! The host compositor: picture and layers composed in host memory, whole or only where something changed.
//! Used wherever the display is not driven by a real GPU, and by the tests as the measure of the other compositor.

use crate::frame::FrameView;
use crate::overlay::blend::row_over;
use crate::overlay::convert::convert;
use crate::overlay::{Layer, OverlayError, Rect};

/// A BGRX picture in host memory that is composed into; rows of `stride` bytes.
#[derive(Debug)]
pub struct Target<'a> {
    pub data: &'a mut [u8],
    pub stride: usize,
    pub width: usize,
    pub height: usize,
}

impl Target<'_> {
    fn check(&self, width: usize, height: usize, layers: &[&Layer]) -> Result<(), OverlayError> {
        let wrong = |got_width, got_height| Err(OverlayError::Size { got_width, got_height, width, height });
        if (self.width, self.height) != (width, height) || self.stride < 4 * width || self.data.len() < self.stride * height {
            return wrong(self.width, self.height);
        }
        match layers.iter().find(|layer| (layer.width, layer.height) != (width, height)) {
            Some(layer) => wrong(layer.width, layer.height),
            None => Ok(()),
        }
    }

    fn blend(&mut self, layers: &[&Layer]) {
        for layer in layers {
            for rect in &layer.rects {
                for y in rect.y0..rect.y1 {
                    let at = y * self.stride;
                    row_over(layer.row(y, rect.x0, rect.x1), &mut self.data[at + 4 * rect.x0..at + 4 * rect.x1]);
                }
            }
        }
    }
}

/// The whole picture, with the layers over it in their order.
pub fn compose_full(view: &FrameView<'_>, layers: &[&Layer], target: &mut Target<'_>) -> Result<(), OverlayError> {
    let (width, height) = (view.layout.width, view.layout.height);
    target.check(width, height, layers)?;
    convert(view, Rect::whole(width, height), target.data, target.stride);
    target.blend(layers);
    Ok(())
}

/// `target` already shows this very picture, with layers over it that covered `old_rects`: gives back the clean
/// picture there and lays the new layers over it. Nothing else is touched.
pub fn compose_again(view: &FrameView<'_>, layers: &[&Layer], old_rects: &[Rect], target: &mut Target<'_>) -> Result<(), OverlayError> {
    target.check(view.layout.width, view.layout.height, layers)?;
    for &rect in old_rects {
        convert(view, rect, target.data, target.stride);
    }
    target.blend(layers);
    Ok(())
}

/// Black, with the layers over it.
pub fn compose_blank(layers: &[&Layer], target: &mut Target<'_>) -> Result<(), OverlayError> {
    target.check(target.width, target.height, layers)?;
    for row in target.data.chunks_mut(target.stride).take(target.height) {
        row[..4 * target.width].as_chunks_mut::<4>().0.fill([0, 0, 0, 255]);
    }
    target.blend(layers);
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::base::random::Random;
    use crate::overlay::blend::{over, premultiplied};
    use crate::overlay::convert::{Path, convert_by};
    use crate::overlay::testing::{self, ALL_COLORIMETRIES, COLORIMETRIES, FORMATS, Owned};
    use crate::overlay::{Tiles, merge_near};
    use proptest::prelude::*;

    /// A layer with random translucent pixels in random disjoint rectangles.
    pub(crate) fn noise_layer(width: usize, height: usize, seed: u64) -> Layer {
        let mut random = Random::new(seed);
        let mut layer = Layer::new(width, height);
        let mut pick = |most: usize| random.next_u64() as usize % (most + 1);
        for _ in 0..pick(3) {
            let (x0, y0) = (pick(width - 1), pick(height - 1));
            layer.rects.push(Rect { x0, y0, x1: x0 + 1 + pick(40), y1: y0 + 1 + pick(8) }.clipped(width, height));
        }
        merge_near(&mut layer.rects, 0);
        for rect in layer.rects.clone() {
            for y in rect.y0..rect.y1 {
                for pixel in layer.row_mut(y, rect.x0, rect.x1).as_chunks_mut::<4>().0 {
                    let v = pick(usize::MAX - 1) as u64;
                    let alpha = if v & 0x300 == 0 { (v >> 10) as u8 } else { 0 };
                    *pixel = premultiplied([v as u8, (v >> 20) as u8, (v >> 28) as u8], alpha).to_le_bytes();
                }
            }
        }
        layer
    }

    fn target(data: &mut [u8], width: usize, height: usize) -> Target<'_> {
        Target { stride: data.len() / height, data, width, height }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(120))]
        /// Where no layer has coverage the bytes are the clean picture's own; elsewhere they are the blend's.
        #[test]
        fn the_picture_outside_the_overlay_is_untouched(width in 16usize..90, height in 16usize..40, format in 0..FORMATS.len(), seed: u64) {
            let picture = Owned::noise(FORMATS[format], ALL_COLORIMETRIES[(seed % 9) as usize], width, height, seed);
            let layers = [noise_layer(width, height, seed ^ 1), noise_layer(width, height, seed ^ 2)];
            let layers = [&layers[0], &layers[1]];
            let mut clean = vec![0; width * height * 4];
            convert_by(Path::Reference, &picture.view(), Rect::whole(width, height), &mut clean, width * 4);
            let mut composed = vec![0; width * height * 4];
            compose_full(&picture.view(), &layers, &mut target(&mut composed, width, height)).unwrap();
            for (i, (clean, got)) in clean.chunks_exact(4).zip(composed.chunks_exact(4)).enumerate() {
                let wish = layers.iter().fold(u32::from_le_bytes(clean.try_into().unwrap()), |dst, layer| {
                    over(u32::from_le_bytes(layer.data[4 * i..4 * i + 4].try_into().unwrap()), dst)
                });
                prop_assert_eq!(u32::from_le_bytes(got.try_into().unwrap()), wish);
                if layers.iter().all(|layer| layer.data[4 * i + 3] == 0) {
                    prop_assert_eq!(clean, got);
                }
            }
        }

        /// Presenting a frame again with other layers gives what composing it anew would give.
        #[test]
        fn again_equals_full(width in 16usize..90, height in 16usize..40, format in 0..FORMATS.len(), seeds in proptest::collection::vec(any::<u64>(), 1..5)) {
            let picture = Owned::noise(FORMATS[format], COLORIMETRIES[1], width, height, seeds[0]);
            let mut shown = vec![0; width * height * 4];
            compose_full(&picture.view(), &[], &mut target(&mut shown, width, height)).unwrap();
            let mut old = Vec::new();
            for seed in seeds {
                let layers = [noise_layer(width, height, seed), noise_layer(width, height, !seed)];
                let layers = [&layers[0], &layers[1]];
                compose_again(&picture.view(), &layers, &old, &mut target(&mut shown, width, height)).unwrap();
                old = layers.iter().flat_map(|layer| layer.rects.clone()).collect();
                let mut fresh = vec![0; width * height * 4];
                compose_full(&picture.view(), &layers, &mut target(&mut fresh, width, height)).unwrap();
                prop_assert!(shown == fresh);
            }
        }
    }

    #[test]
    fn blank_is_opaque_black_and_a_layer_of_another_size_is_refused() {
        let mut data = vec![7; 20 * 16 * 4];
        compose_blank(&[], &mut target(&mut data, 20, 16)).unwrap();
        assert!(data.chunks_exact(4).all(|p| p == [0, 0, 0, 255]));
        let wrong = Layer::new(21, 16);
        assert!(matches!(compose_blank(&[&wrong], &mut target(&mut data, 20, 16)), Err(OverlayError::Size { got_width: 21, .. })));
    }

    #[test]
    #[ignore = "a measurement"]
    fn time_of_1080p() {
        let picture = Owned::noise(FORMATS[0], COLORIMETRIES[1], 1920, 1080, 3);
        let mut layer = Layer::new(1920, 1080);
        let mut tiles = Tiles::new(1920, 1080);
        for i in 0..400usize {
            let (x, y) = (i * 97 % 1800, i * 61 % 1000);
            tiles.mark(Rect { x0: x, y0: y, x1: x + 10, y1: y + 6 });
        }
        tiles.write_rects(&mut layer.rects);
        let mut data = vec![0; 1920 * 1080 * 4];
        testing::report_ms("host full 1080p", || compose_full(&picture.view(), &[&layer], &mut target(&mut data, 1920, 1080)).unwrap());
        let old = layer.rects.clone();
        testing::report_ms("host again 1080p", || {
            compose_again(&picture.view(), &[&layer], &old, &mut target(&mut data, 1920, 1080)).unwrap()
        });
    }
}
