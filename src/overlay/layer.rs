//! What is laid over a picture.

use crate::overlay::Rect;

/// What is laid over the picture: premultiplied BGRA8 (no colour byte exceeds its alpha) of the picture's size.
/// Outside `rects` it is transparent (all four bytes 0), and nobody needs to read it there. The rectangles lie inside
/// the picture and do not overlap.
#[derive(Debug, Clone)]
pub struct Layer {
    pub width: usize,
    pub height: usize,
    pub data: Vec<u8>,
    pub rects: Vec<Rect>,
}

impl Layer {
    /// An empty layer.
    pub fn new(width: usize, height: usize) -> Self {
        Layer { width, height, data: vec![0; width * height * 4], rects: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.rects.is_empty()
    }

    /// Makes it transparent again by clearing what was painted, and only that.
    pub fn clear(&mut self) {
        for rect in &self.rects {
            for y in rect.y0..rect.y1 {
                self.data[(y * self.width + rect.x0) * 4..(y * self.width + rect.x1) * 4].fill(0);
            }
        }
        self.rects.clear();
    }

    /// The bytes of one row between `x0` and `x1`.
    pub fn row(&self, y: usize, x0: usize, x1: usize) -> &[u8] {
        &self.data[(y * self.width + x0) * 4..(y * self.width + x1) * 4]
    }

    pub fn row_mut(&mut self, y: usize, x0: usize, x1: usize) -> &mut [u8] {
        &mut self.data[(y * self.width + x0) * 4..(y * self.width + x1) * 4]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clearing_touches_only_the_old_rectangles() {
        let mut layer = Layer::new(40, 20);
        layer.data.fill(9);
        layer.rects.push(Rect { x0: 3, y0: 4, x1: 10, y1: 6 });
        layer.clear();
        assert!(layer.is_empty());
        let zeroed = layer.data.chunks_exact(4).filter(|p| **p == [0; 4]).count();
        assert_eq!(zeroed, 7 * 2);
        assert!(layer.row(4, 3, 10).iter().all(|&b| b == 0));
    }
}
