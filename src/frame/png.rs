//! A PNG as a picture (R'G'B', full range) or as a map of one byte a pixel. For files that somebody hands us, not for the frame path.

use super::{Colorimetry, FrameLayout, Matrix, PixelFormat, Range};

const MAX_SIDE: u32 = 8192;

/// 8-bit RGB in the layout's strides, whatever the file has; alpha is left out.
pub fn picture_from_png(png: &[u8]) -> Result<(FrameLayout, Vec<u8>), String> {
    let (info, bytes) = decode(png, png::Transformations::normalize_to_color8())?;
    let samples = info.color_type.samples();
    let colorimetry = Colorimetry::sdr(Matrix::Bt709, Range::Full);
    let layout = FrameLayout::new(PixelFormat::Rgb, colorimetry, info.width as usize, info.height as usize).map_err(|e| e.to_string())?;
    let mut rgb = vec![0; layout.size];
    let rows = rgb.chunks_exact_mut(layout.planes()[0].stride).zip(bytes.chunks_exact(samples * layout.width));
    for (row, from) in rows {
        for (pixel, from) in row.as_chunks_mut::<3>().0.iter_mut().zip(from.chunks_exact(samples)) {
            *pixel = if samples < 3 { [from[0]; 3] } else { [from[0], from[1], from[2]] };
        }
    }
    Ok((layout, rgb))
}

/// Width, height and a byte a pixel of an 8-bit grey (or indexed) PNG, row by row.
pub fn map_from_png(png: &[u8]) -> Result<(usize, usize, Vec<u8>), String> {
    let (info, bytes) = decode(png, png::Transformations::IDENTITY)?;
    match (info.color_type, info.bit_depth) {
        (png::ColorType::Grayscale | png::ColorType::Indexed, png::BitDepth::Eight) => {
            Ok((info.width as usize, info.height as usize, bytes))
        }
        (colour, depth) => Err(format!("expected 8 bits of grey a pixel, found {colour:?} of {depth:?} bits")),
    }
}

/// The PNG of a map of one byte a pixel.
pub fn map_to_png(width: usize, height: usize, map: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().and_then(|mut writer| writer.write_image_data(map)).map_err(|e| e.to_string())?;
    Ok(out)
}

fn decode(png: &[u8], transformations: png::Transformations) -> Result<(png::OutputInfo, Vec<u8>), String> {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
    decoder.set_transformations(transformations);
    let mut reader = decoder.read_info().map_err(|e| e.to_string())?;
    let (width, height) = (reader.info().width, reader.info().height);
    let size = reader.output_buffer_size().filter(|_| width.max(height) <= MAX_SIDE);
    let mut bytes = vec![0; size.ok_or_else(|| format!("{width}×{height} is larger than any picture here ({MAX_SIDE} pixels a side)"))?];
    let info = reader.next_frame(&mut bytes).map_err(|e| e.to_string())?;
    bytes.truncate(info.buffer_size());
    Ok((info, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameView;
    use proptest::prelude::*;

    fn encoded(colour: png::ColorType, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, 17, 16);
        encoder.set_color(colour);
        encoder.write_header().unwrap().write_image_data(&data.repeat(17 * 16)).unwrap();
        out
    }

    #[test]
    fn every_kind_of_colour_is_rgb_afterwards() {
        for (colour, data, rgb) in [
            (png::ColorType::Grayscale, &[7][..], [7, 7, 7]),
            (png::ColorType::GrayscaleAlpha, &[7, 1][..], [7, 7, 7]),
            (png::ColorType::Rgb, &[1, 2, 3][..], [1, 2, 3]),
            (png::ColorType::Rgba, &[1, 2, 3, 0][..], [1, 2, 3]),
        ] {
            let (layout, bytes) = picture_from_png(&encoded(colour, data)).unwrap();
            assert_eq!((layout.width, layout.height, bytes.len()), (17, 16, layout.size));
            let view = FrameView::new(&layout, &bytes).unwrap();
            assert!((0..16).all(|y| view.row(0, y) == rgb.repeat(17)), "{colour:?}");
        }
        assert!(map_from_png(&encoded(png::ColorType::Rgb, &[0; 3])).unwrap_err().contains("Rgb"));
    }

    proptest! {
        #[test]
        fn a_map_comes_back_and_no_bytes_panic(map in proptest::collection::vec(any::<u8>(), 12), cut in 0usize..90, noise in any::<u8>()) {
            let mut png = map_to_png(4, 3, &map).unwrap();
            let good = (4, 3, map);
            prop_assert_eq!(&map_from_png(&png).unwrap(), &good);
            let at = cut.min(png.len() - 1);
            png.truncate(at);
            prop_assert!(map_from_png(&png).map_or(true, |found| found == good));
            png.push(noise);
            let _ = (map_from_png(&png), picture_from_png(&png));
        }
    }
}
