//! The picture in picture: clean live video, an enlarged part of it, or one picture of the past. The live picture itself
//! is never frozen or zoomed. Opened by the operator, gone with any other key. This fills its pixels; its words are the
//! status display's (`hud`), which shows it only under them. Overlays are never drawn in it.

use crate::base::hud::{PipCaption, PipMode};
use crate::frame::FrameView;
use crate::overlay::Rect;
use crate::overlay::convert::convert;

/// Captured pixels for a pixel of the window in each direction, where the whole picture is shown.
const SHRINK: usize = 4;
/// Enlargements, in the order in which they are asked for.
const ZOOMS: [u8; 2] = [2, 4];
/// Width of the frame around it, in parts of its width: live, frozen.
const BORDER_PARTS: [usize; 2] = [100, 48];
/// A bright line in a dark one: seen on any picture.
const LIVE_BGRX: [[u8; 4]; 2] = [[0, 0, 0, 255], [255, 255, 255, 255]];
/// Stripes as on a barrier: told from the live frame by its pattern, not by its colour.
const FROZEN_BGRX: [[u8; 4]; 2] = [[40, 200, 255, 255], [0, 0, 0, 255]];

#[derive(Debug, Default)]
pub struct Pip {
    mode: Option<PipMode>,
    size: (usize, usize),
    /// BGRX, tight rows.
    pixels: Vec<u8>,
    /// A row of the captured picture.
    row: Vec<u8>,
    /// When the picture that it shows was captured; None: it has none yet.
    capture_ns: Option<u64>,
}

impl Pip {
    /// What was opened, once it has a picture.
    pub fn mode(&self) -> Option<PipMode> {
        self.mode.filter(|_| self.capture_ns.is_some())
    }

    pub fn is_open(&self) -> bool {
        self.mode.is_some()
    }

    /// Opens it, or closes it if it shows that already.
    pub fn toggle(&mut self, mode: PipMode) {
        let wanted = (self.mode != Some(mode)).then_some(mode);
        self.close();
        self.mode = wanted;
    }

    /// The next enlargement; after the last it closes.
    pub fn next_zoom(&mut self) {
        let next = match self.mode {
            Some(PipMode::Zoom(times)) => ZOOMS.iter().find(|&&zoom| zoom > times),
            _ => ZOOMS.first(),
        };
        self.close();
        self.mode = next.copied().map(PipMode::Zoom);
    }

    pub fn close(&mut self) {
        (self.mode, self.capture_ns) = (None, None);
    }

    /// Width and height, px.
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Its rows, BGRX.
    pub fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.pixels.chunks_exact(4 * self.size.0.max(1))
    }

    pub fn caption(&self, now_ns: u64) -> Option<PipCaption> {
        let age_ns = now_ns.saturating_sub(self.capture_ns?);
        let mode = self.mode?;
        Some(PipCaption { mode, age_s: if mode == PipMode::Frozen { age_ns / 1_000_000_000 } else { 0 } })
    }

    /// Takes a new picture, to be shown in a window of `size` px (even sides). A frozen one keeps the first that it took;
    /// it closes when the window changes.
    pub fn update(&mut self, view: &FrameView<'_>, capture_ns: u64, size: (usize, usize)) {
        let Some(mode) = self.mode else { return };
        if mode == PipMode::Frozen && self.capture_ns.is_some() {
            if size != self.size {
                self.close();
            }
            return;
        }
        let (width, height) = (view.layout.width, view.layout.height);
        let times = match mode {
            PipMode::Zoom(times) => usize::from(times.max(1)),
            PipMode::Clean | PipMode::Frozen => 0,
        };
        let is_possible = size.0 >= 16 && size.1 >= 16 && size.0 * SHRINK <= width && size.1 * SHRINK <= height;
        if !is_possible {
            self.close();
            return;
        }
        self.size = size;
        self.pixels.resize(4 * size.0 * size.1, 0);
        self.row.resize(4 * width, 0);
        if times > 0 {
            self.enlarge(view, times)
        } else {
            self.shrink(view)
        }
        self.frame(mode);
        self.capture_ns = Some(capture_ns);
    }

    /// The whole picture: every fourth row, four pixels of it averaged to one.
    fn shrink(&mut self, view: &FrameView<'_>) {
        let (width, height) = (view.layout.width, view.layout.height);
        let left = (width - self.size.0 * SHRINK) / 2;
        for (y, out) in self.pixels.chunks_exact_mut(4 * self.size.0).enumerate() {
            let source_y = (2 * y + 1) * height / (2 * self.size.1);
            read_row(view, source_y, 0, width, &mut self.row);
            let fours = self.row[4 * left..].as_chunks::<{ 4 * SHRINK }>().0;
            for (out, four) in out.as_chunks_mut::<4>().0.iter_mut().zip(fours) {
                // Two pixels at a time: the first and third, the second and fourth; then these two.
                let [ab, cd] = four.as_chunks::<8>().0 else { continue };
                let both = mean(u64::from_le_bytes(*ab), u64::from_le_bytes(*cd));
                *out = (mean(both, both >> 32) as u32).to_le_bytes();
            }
        }
    }

    /// The middle of the picture, each pixel repeated: nothing is invented.
    fn enlarge(&mut self, view: &FrameView<'_>, times: usize) {
        let (width, height) = (view.layout.width, view.layout.height);
        let (across, down) = (self.size.0.div_ceil(times), self.size.1.div_ceil(times));
        let (left, top) = ((width - across) / 2 / 2 * 2, (height - down) / 2);
        for (y, rows) in self.pixels.chunks_mut(4 * self.size.0 * times).enumerate() {
            read_row(view, top + y, left, left + across, &mut self.row);
            let source = self.row[4 * left..4 * (left + across)].as_chunks::<4>().0;
            let (first, rest) = rows.split_at_mut(4 * self.size.0);
            for (out, pixel) in first.as_chunks_mut::<4>().0.chunks_mut(times).zip(source) {
                out.fill(*pixel);
            }
            rest.chunks_exact_mut(4 * self.size.0).for_each(|row| row.copy_from_slice(first));
        }
    }

    fn frame(&mut self, mode: PipMode) {
        let (width, height) = self.size;
        let is_frozen = mode == PipMode::Frozen;
        let border = (width / BORDER_PARTS[usize::from(is_frozen)]).max(2);
        for (y, row) in self.pixels.chunks_exact_mut(4 * width).enumerate() {
            let from_side = y.min(height - 1 - y);
            let is_whole = from_side < border;
            let row = row.as_chunks_mut::<4>().0;
            let mut paint = |xs: std::ops::Range<usize>| {
                for x in xs {
                    let depth = from_side.min(x.min(width - 1 - x));
                    row[x] = if is_frozen { FROZEN_BGRX[(x + y) / (2 * border) % 2] } else { LIVE_BGRX[usize::from(2 * depth >= border)] };
                }
            };
            if is_whole {
                paint(0..width);
            } else {
                paint(0..border);
                paint(width - border..width);
            }
        }
    }
}

/// Converts the pixels `x0..x1` of one row; they stand at their own place in `row`.
fn read_row(view: &FrameView<'_>, y: usize, x0: usize, x1: usize, row: &mut [u8]) {
    // A stride of nothing: the one row that is converted stands at the start, whichever it is.
    convert(view, Rect { x0, y0: y, x1, y1: y + 1 }, row, 0);
}

/// Of two times two pixels, each channel rounded down.
fn mean(a: u64, b: u64) -> u64 {
    (a & b) + (((a ^ b) & 0xfefe_fefe_fefe_fefe) >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::testing::{self, COLORIMETRIES, FORMATS, Owned};

    const WINDOW: (usize, usize) = (80, 44);

    fn clean(picture: &Owned) -> Vec<u8> {
        let (width, height) = (picture.layout.width, picture.layout.height);
        let mut bgrx = vec![0; 4 * width * height];
        convert(&picture.view(), Rect::whole(width, height), &mut bgrx, 4 * width);
        bgrx
    }

    fn inner(pip: &Pip) -> impl Iterator<Item = (usize, usize, [u8; 4])> + '_ {
        let border = WINDOW.0 / 16;
        let pixels = pip.rows().enumerate().flat_map(|(y, row)| row.as_chunks::<4>().0.iter().enumerate().map(move |(x, p)| (x, y, *p)));
        pixels.filter(move |&(x, y, _)| x >= border && x < WINDOW.0 - border && y >= border && y < WINDOW.1 - border)
    }

    #[test]
    fn the_clean_window_is_the_picture_four_times_smaller() {
        for format in FORMATS {
            let picture = Owned::noise(format, COLORIMETRIES[1], 322, 180, 4);
            let whole = clean(&picture);
            let mut pip = Pip::default();
            pip.toggle(PipMode::Clean);
            pip.update(&picture.view(), 7, WINDOW);
            for (x, y, got) in inner(&pip) {
                let source_y = (2 * y + 1) * 180 / 88;
                for channel in 0..3 {
                    let four: u32 = (0..4).map(|i| u32::from(whole[4 * (source_y * 322 + 1 + 4 * x + i) + channel])).sum();
                    let off = i64::from(got[channel]) - i64::from(four / 4);
                    assert!((-1..=0).contains(&off), "{format:?} at {x}, {y}: {off}");
                }
            }
        }
    }

    #[test]
    fn a_zoom_repeats_the_pixels_of_the_middle() {
        for times in ZOOMS {
            let picture = Owned::noise(FORMATS[0], COLORIMETRIES[0], 320, 180, 9);
            let whole = clean(&picture);
            let mut pip = Pip::default();
            pip.toggle(PipMode::Zoom(times));
            pip.update(&picture.view(), 7, WINDOW);
            let times = usize::from(times);
            let (left, top) = ((320 - 80 / times) / 2, (180 - 44 / times) / 2);
            for (x, y, got) in inner(&pip) {
                let at = 4 * ((top + y / times) * 320 + left + x / times);
                assert_eq!(got, whole[at..at + 4], "×{times} at {x}, {y}");
            }
        }
    }

    #[test]
    fn a_frozen_picture_keeps_what_it_took_says_its_age_and_has_another_frame() {
        let pictures = [1, 2].map(|seed| Owned::noise(FORMATS[0], COLORIMETRIES[1], 320, 180, seed));
        let mut pip = Pip::default();
        pip.toggle(PipMode::Clean);
        pip.update(&pictures[0].view(), 1_000_000_000, WINDOW);
        let live = pip.pixels.clone();
        pip.toggle(PipMode::Frozen);
        assert_eq!((pip.mode(), pip.caption(0)), (None, None), "nothing was taken yet");
        pip.update(&pictures[0].view(), 2_000_000_000, WINDOW);
        let taken = pip.pixels.clone();
        pip.update(&pictures[1].view(), 2_500_000_000, WINDOW);
        assert!(pip.pixels == taken);
        assert_eq!(pip.caption(14_900_000_000), Some(PipCaption { mode: PipMode::Frozen, age_s: 12 }));
        let rim = |pixels: &[u8]| pixels[..4 * WINDOW.0].to_vec();
        assert!(rim(&live).chunks_exact(4).all(|p| p == LIVE_BGRX[0]));
        let stripes = FROZEN_BGRX.map(|stripe| rim(&taken).chunks_exact(4).filter(|p| *p == stripe).count());
        assert!(stripes.iter().all(|&count| count > WINDOW.0 / 3), "{stripes:?}");
        pip.update(&pictures[1].view(), 3_000_000_000, (64, 32));
        assert!(!pip.is_open(), "of a window of another size");
    }

    #[test]
    fn the_same_key_closes_it_and_zooms_come_one_after_the_other() {
        let mut pip = Pip::default();
        pip.toggle(PipMode::Clean);
        assert!(pip.is_open());
        pip.toggle(PipMode::Clean);
        assert!(!pip.is_open());
        let modes = [(); 3].map(|()| {
            pip.next_zoom();
            pip.mode
        });
        assert_eq!(modes, [Some(PipMode::Zoom(2)), Some(PipMode::Zoom(4)), None]);
    }

    #[test]
    #[ignore = "a measurement"]
    fn time_of_1080p() {
        for format in FORMATS {
            let picture = Owned::noise(format, COLORIMETRIES[1], 1920, 1080, 3);
            for mode in [PipMode::Clean, PipMode::Zoom(2)] {
                let mut pip = Pip::default();
                pip.toggle(mode);
                testing::report_ms(&format!("picture in picture 480×270 {mode:?} {}", format.name()), || {
                    pip.update(&picture.view(), 0, (480, 270));
                });
            }
        }
    }
}
