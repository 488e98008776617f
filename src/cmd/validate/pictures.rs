//! Labelled pictures as frames.

use crate::capture::{self, Pull};
use crate::eval::Rgb;
use crate::frame::{Colorimetry, FrameLayout, FrameView, Matrix, PixelFormat, Range};
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
    let mut decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path)?));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let mut bytes = vec![0; reader.output_buffer_size().context("it is too large")?];
    let info = reader.next_frame(&mut bytes)?;
    bytes.truncate(info.buffer_size());
    // Alpha is left out: a label's picture is what was captured.
    let rgb: Vec<u8> = match info.color_type.samples() {
        samples @ (1 | 2) => bytes.chunks_exact(samples).flat_map(|p| [p[0]; 3]).collect(),
        samples => bytes.chunks_exact(samples).flat_map(|p| [p[0], p[1], p[2]]).collect(),
    };
    let colorimetry = Colorimetry::sdr(Matrix::Bt709, Range::Full);
    Ok((FrameLayout::new(PixelFormat::Rgb, colorimetry, info.width as usize, info.height as usize)?, rgb))
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
