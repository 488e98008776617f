//! What is looked at of every picture without fetching it from the device that it lies on: made there by `shaders/preview.cu`.

use super::thumbnail;

/// Rows of the first plane that are looked at, evenly spread; all of a picture that has fewer.
pub const SAMPLED_ROWS: usize = 64;
/// Where the thumbnail begins.
pub const LIGHT_AT: usize = 8 * (2 + SAMPLED_ROWS);
/// The numbers, then the thumbnail.
pub const PREVIEW_BYTES: usize = LIGHT_AT + thumbnail::WIDTH * thumbnail::HEIGHT;

/// Row of the first plane that is the `index`-th of `count` sampled ones.
pub fn sampled_row(index: usize, count: usize, height: usize) -> usize {
    (2 * index + 1) * height / (2 * count)
}

/// A picture at a glance, `PREVIEW_BYTES` as the kernel leaves them.
#[derive(Debug, Clone, Copy)]
pub struct Preview<'a>(&'a [u8]);

impl<'a> Preview<'a> {
    /// None: so many bytes are none.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() == PREVIEW_BYTES).then_some(Preview(bytes))
    }

    fn number(&self, index: usize) -> u64 {
        self.0.as_chunks::<8>().0.get(index).map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// Of all bytes that a source writes: equal pictures have equal ones. Never compared with another process's, or kept.
    pub fn digest(&self) -> u64 {
        self.number(0)
    }

    /// Of each sampled row; others 0.
    pub fn rows(&self) -> [u64; SAMPLED_ROWS] {
        std::array::from_fn(|row| self.number(1 + row))
    }

    /// The brightest level of the sampled rows, 0..255.
    pub fn brightest(&self) -> u8 {
        self.number(1 + SAMPLED_ROWS) as u8
    }

    /// `thumbnail::sample` of it.
    pub fn thumbnail(&self) -> &'a [u8] {
        &self.0[LIGHT_AT..]
    }
}
