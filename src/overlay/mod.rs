//! From a scene to pixels: draw list, rasteriser, and the two compositors that put picture and overlay together.
//! Target picture: BGRX8, not sRGB-encoded, full-range R'G'B', blended as encoded.

/// A half-open rectangle in pixels of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    pub x0: usize,
    pub y0: usize,
    pub x1: usize,
    pub y1: usize,
}

/// What is laid over the picture: premultiplied BGRA8 of the picture's size. Outside `rects` it is transparent
/// (alpha 0), and nobody reads it there.
#[derive(Debug, Clone)]
pub struct Layer {
    pub width: usize,
    pub height: usize,
    pub data: Vec<u8>,
    pub rects: Vec<Rect>,
}
