//! Labelled pictures as frames.

use crate::capture::{self, Pull};
use crate::eval::Rgb;
use crate::frame::{FrameLayout, FrameView, picture_from_png};
use crate::overlay::Rect;
use crate::overlay::convert::convert;
use anyhow::Context;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// PNG as it is; everything else by GStreamer.
pub fn read(path: &Path) -> anyhow::Result<(FrameLayout, Vec<u8>)> {
    if path.extension().is_some_and(|is| is.eq_ignore_ascii_case("png")) { read_png(path) } else { decode(path) }
}

fn read_png(path: &Path) -> anyhow::Result<(FrameLayout, Vec<u8>)> {
    picture_from_png(&std::fs::read(path)?).map_err(anyhow::Error::msg)
}

fn decode(path: &Path) -> anyhow::Result<(FrameLayout, Vec<u8>)> {
    // A file that is no JPEG is no pipeline's fault.
    let begins = std::fs::read(path)?.starts_with(&[0xff, 0xd8]);
    anyhow::ensure!(begins, "it is not a JPEG file");
    let path = path.to_str().context("its name is not UTF-8")?.replace('\\', "\\\\").replace('"', "\\\"");
    let uri = format!("gst:filesrc location=\"{path}\" ! jpegdec");
    let mut source = capture::open(&uri, &capture::Settings::default(), Arc::new(crate::base::clock::MonotonicClock))?;
    for _ in 0..100 {
        match source.pull(Duration::from_millis(50))? {
            Pull::Picture(picture) => {
                let mut bytes = vec![0; picture.layout.size];
                picture.copy_into(&mut bytes);
                return Ok((picture.layout, bytes));
            }
            Pull::End => break,
            Pull::Idle | Pull::Event(_) => {}
        }
    }
    anyhow::bail!("no picture could be decoded")
}

/// As it is shown.
pub fn rgb_of(layout: &FrameLayout, bytes: &[u8]) -> Option<Rgb> {
    let view = FrameView::new(layout, bytes)?;
    let (width, height) = (layout.width, layout.height);
    let mut shown = vec![0; 4 * width * height];
    convert(&view, Rect::whole(width, height), &mut shown, 4 * width);
    let bytes = shown.as_chunks::<4>().0.iter().flat_map(|[b, g, r, _]| [*r, *g, *b]).collect();
    Some(Rgb { width, height, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Widths whose rows are padded in memory, and pictures that are grey or have alpha.
    #[test]
    fn a_png_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        for (colour, samples) in
            [(png::ColorType::Rgb, 3), (png::ColorType::Rgba, 4), (png::ColorType::Grayscale, 1), (png::ColorType::GrayscaleAlpha, 2)]
        {
            for width in [16, 17, 613] {
                let path = folder.path().join("a.png");
                let bytes: Vec<u8> = (0..width * 16 * samples).map(|i| (i * 7 % 251) as u8).collect();
                let mut encoder = png::Encoder::new(std::fs::File::create(&path).unwrap(), width as u32, 16);
                encoder.set_color(colour);
                encoder.write_header().unwrap().write_image_data(&bytes).unwrap();
                let (layout, frame) = read(&path).unwrap();
                let shown = rgb_of(&layout, &frame).unwrap();
                let wanted: Vec<u8> =
                    bytes.chunks(samples).flat_map(|p| if samples > 2 { [p[0], p[1], p[2]] } else { [p[0]; 3] }).collect();
                assert!((shown.width, shown.height) == (width, 16) && shown.bytes == wanted, "{colour:?} {width}");
            }
        }
        let broken = folder.path().join("a.jpg");
        std::fs::write(&broken, "no picture").unwrap();
        assert!(read(&broken).unwrap_err().to_string().contains("not a JPEG"));
    }
}
