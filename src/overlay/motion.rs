//! How far the picture has moved between two frames, and whether it was cut: cheap enough for every frame.
//! It decides whether an overlay computed from an earlier frame may still lie over the present one.

use crate::base::simd::wide;
use crate::frame::{Frame, FrameLayout, FrameView, thumbnail};

/// Luma of a picture, box-sampled to a fixed small size.
#[derive(Debug, Clone)]
pub struct Thumb {
    luma: Box<[u8]>,
    /// Of the picture: how much wider a sample is than high, to give shifts in one unit.
    sample_width_px: f32,
    sample_height_px: f32,
    picture_width: f32,
}

/// What lies between two pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Motion {
    /// Length of the shift that fits best, as a fraction of the picture's width. At most `Thumb::REACH` samples in
    /// each direction are searched (2.5 % of the width); what moved farther looks like that, or like a cut.
    pub shift_fraction_of_width: f32,
    /// The pictures do not resemble each other at any small shift.
    pub cut: bool,
}

impl Default for Thumb {
    fn default() -> Self {
        let luma = vec![0; Self::WIDTH * Self::HEIGHT].into_boxed_slice();
        Thumb { luma, sample_width_px: 1.0, sample_height_px: 1.0, picture_width: 1.0 }
    }
}

impl Thumb {
    pub const WIDTH: usize = thumbnail::WIDTH;
    pub const HEIGHT: usize = thumbnail::HEIGHT;
    /// Samples searched in each direction.
    pub const REACH: usize = 4;

    pub fn of(view: &FrameView<'_>) -> Self {
        let mut thumb = Thumb::default();
        thumb.update(view);
        thumb
    }

    /// As `of`, of a frame, wherever its pixels lie.
    pub fn of_frame(frame: &Frame) -> Self {
        let mut thumb = Thumb::default();
        thumb.update_from(frame);
        thumb
    }

    /// Takes the luma of `view` (RGB formats: green; 10 bits: the upper eight); allocates nothing.
    pub fn update(&mut self, view: &FrameView<'_>) {
        thumbnail::sample(view, &mut self.luma);
        self.scale_to(view.layout);
    }

    /// As `update`, of a frame.
    pub fn update_from(&mut self, frame: &Frame) {
        match frame.preview() {
            Some(preview) => {
                self.luma.copy_from_slice(preview.thumbnail());
                self.scale_to(frame.layout());
            }
            None => self.update(&frame.view()),
        }
    }

    fn scale_to(&mut self, layout: &FrameLayout) {
        self.sample_width_px = layout.width as f32 / Self::WIDTH as f32;
        self.sample_height_px = layout.height as f32 / Self::HEIGHT as f32;
        self.picture_width = layout.width as f32;
    }

    /// Part of the picture that shows something: from the first to the last sample of each row that is not black. What
    /// lies around a round picture does not count; a hole in its middle does.
    pub fn content_part(&self) -> f32 {
        let is_lit = |luma: &u8| *luma > BLACK_LUMA;
        let spans =
            self.luma.chunks_exact(Self::WIDTH).filter_map(|row| Some((row.iter().position(is_lit)?, row.iter().rposition(is_lit)?)));
        spans.map(|(first, last)| last + 1 - first).sum::<usize>() as f32 / self.luma.len() as f32
    }

    /// Mean absolute difference to the mean: how much there is to see.
    fn contrast(&self) -> f32 {
        let count = self.luma.len() as u32;
        let mean = (self.luma.iter().map(|&v| u32::from(v)).sum::<u32>() / count) as u8;
        self.luma.iter().map(|&v| u32::from(v.abs_diff(mean))).sum::<u32>() as f32 / count as f32
    }
}

/// Limited range's black is 16; noise lies on it.
const BLACK_LUMA: u8 = 26;
const REACH: usize = Thumb::REACH;
const SIDE: usize = 2 * REACH + 1;
/// A cut: at the best shift the mean difference is still above this many levels ...
const CUT_LEVELS: f32 = 8.0;
/// ... and above this part of the picture's contrast (unrelated pictures: about 1.4).
const CUT_CONTRAST: f32 = 0.6;

/// How `now` lies relative to `before`.
pub fn displacement(before: &Thumb, now: &Thumb) -> Motion {
    let mut sad = [[0u32; SIDE]; SIDE];
    for (row, sad) in sad.iter_mut().enumerate() {
        for (column, sad) in sad.iter_mut().enumerate() {
            *sad = difference(before, now, column, row);
        }
    }
    let mut best = (REACH, REACH);
    for row in 0..SIDE {
        for column in 0..SIDE {
            if sad[row][column] < sad[best.0][best.1] {
                best = (row, column);
            }
        }
    }
    let (row, column) = best;
    let dx = column as f32 - REACH as f32 + parabola(column, |i| sad[row][i]);
    let dy = row as f32 - REACH as f32 + parabola(row, |i| sad[i][column]);
    let shift_px = (dx * now.sample_width_px).hypot(dy * now.sample_height_px);
    let mean = sad[row][column] as f32 / ((Thumb::WIDTH - 2 * REACH) * (Thumb::HEIGHT - 2 * REACH)) as f32;
    Motion {
        shift_fraction_of_width: shift_px / now.picture_width,
        cut: mean > CUT_LEVELS && mean > CUT_CONTRAST * before.contrast().max(now.contrast()),
    }
}

wide! {
    /// Sum of absolute differences with `now` shifted by (column − REACH, row − REACH).
    fn difference(before: &Thumb, now: &Thumb, column: usize, row: usize) -> u32 {
        const INNER: usize = Thumb::WIDTH - 2 * REACH;
        let mut sum = 0;
        for y in REACH..Thumb::HEIGHT - REACH {
            let a: &[u8; INNER] = before.luma[y * Thumb::WIDTH + REACH..].first_chunk().expect("the inner row lies inside");
            let b: &[u8; INNER] = now.luma[(y + row - REACH) * Thumb::WIDTH + column..].first_chunk().expect("so does the shifted one");
            sum += a.iter().zip(b).map(|(&a, &b)| u32::from(a.abs_diff(b))).sum::<u32>();
        }
        sum
    }
}

/// Where between its neighbours the minimum at `i` lies, −0.5..0.5.
fn parabola(i: usize, sad: impl Fn(usize) -> u32) -> f32 {
    if i == 0 || i + 1 >= SIDE {
        return 0.0;
    }
    let (left, middle, right) = (sad(i - 1) as f32, sad(i) as f32, sad(i + 1) as f32);
    let curvature = left - 2.0 * middle + right;
    if curvature <= 0.0 { 0.0 } else { (0.5 * (left - right) / curvature).clamp(-0.5, 0.5) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameLayout;
    use crate::frame::testing::pack;
    use crate::overlay::testing::{self, COLORIMETRIES, FORMATS, Owned};

    /// A smooth texture, seen with its origin at (dx, dy) pixels.
    fn textured(width: usize, height: usize, dx: f32, dy: f32, phase: f32) -> Thumb {
        let unit = 1280.0 / width as f32;
        let picture = Owned::from_luma(width, height, |x, y| {
            let (x, y) = ((x as f32 - dx) * unit, (y as f32 - dy) * unit);
            let wave = (x / 37.0 + phase).sin()
                + (y / 29.0 - phase).cos()
                + ((x + y) / 61.0 + phase * 3.0).sin()
                + (x / 11.0 - y / 17.0).sin() * 0.5;
            (126.0 + wave * 28.0) as u8
        });
        Thumb::of(&picture.view())
    }

    #[test]
    fn every_format_gives_the_same_thumb() {
        let value = |x: usize, y: usize| ((x * 29 + y * 13 + x * y / 7) % 1024) as u16;
        for (width, height) in [(1280, 720), (333, 217), (101, 33)] {
            let mut first: Option<Thumb> = None;
            for format in FORMATS {
                let layout = FrameLayout::new(format, COLORIMETRIES[1], width, height).unwrap();
                let data = pack(&layout, |x, y| [value(x, y); 3]);
                let thumb = Thumb::of(&FrameView::new(&layout, &data).unwrap());
                let first = first.get_or_insert_with(|| thumb.clone());
                assert!(thumb.luma == first.luma, "{format:?} {width}×{height}");
            }
        }
    }

    #[test]
    fn the_black_around_a_round_picture_is_no_content_and_a_dark_place_in_it_is() {
        let round = |hole: bool| {
            Thumb::of(
                &Owned::from_luma(1280, 720, |x, y| {
                    let (dx, dy) = (x as f32 - 640.0, y as f32 - 360.0);
                    if dx.hypot(dy) > 360.0 || (hole && dx.hypot(dy) < 100.0) { 16 } else { 90 }
                })
                .view(),
            )
        };
        let wish = std::f32::consts::PI * 360.0 * 360.0 / (1280.0 * 720.0);
        for hole in [false, true] {
            let part = round(hole).content_part();
            assert!((part - wish).abs() < 0.02, "{part} {wish}");
        }
        assert_eq!(Thumb::of(&Owned::from_luma(640, 480, |_, _| 16).view()).content_part(), 0.0);
    }

    #[test]
    fn a_still_picture_has_no_motion() {
        let thumb = textured(1280, 720, 0.0, 0.0, 0.0);
        let motion = displacement(&thumb, &thumb);
        assert!(!motion.cut && motion.shift_fraction_of_width < 1e-4, "{motion:?}");
    }

    #[test]
    fn shifts_are_measured_within_a_fifth_of_a_percent_of_the_width() {
        for (width, height) in [(1280, 720), (1920, 1080), (854, 480), (641, 481)] {
            let before = textured(width, height, 0.0, 0.0, 0.0);
            for percent in [0.5f32, 1.0, 1.4, 1.6, 2.0] {
                for (ux, uy) in [(1.0, 0.0), (0.0, 1.0), (-0.8, 0.6), (0.6, -0.8)] {
                    let way = percent / 100.0 * width as f32;
                    let motion = displacement(&before, &textured(width, height, ux * way, uy * way, 0.0));
                    let got = motion.shift_fraction_of_width * 100.0;
                    assert!((got - percent).abs() < 0.2 && !motion.cut, "{width}×{height} {percent} % along ({ux}, {uy}): {motion:?}");
                }
            }
        }
    }

    #[test]
    fn another_scene_is_a_cut_and_a_tool_passing_is_not() {
        let before = textured(1280, 720, 0.0, 0.0, 0.0);
        assert!(displacement(&before, &textured(1280, 720, 333.0, 77.0, 1.0)).cut);
        let mut with_tool = before.clone();
        for y in 20..60 {
            with_tool.luma[y * Thumb::WIDTH + 60..y * Thumb::WIDTH + 90].fill(240);
        }
        let motion = displacement(&before, &with_tool);
        assert!(!motion.cut && motion.shift_fraction_of_width < 0.002, "{motion:?}");
    }

    #[test]
    fn a_picture_of_one_colour_neither_moves_nor_is_cut() {
        let flat = Thumb::of(&Owned::from_luma(640, 480, |_, _| 90).view());
        let motion = displacement(&flat, &flat);
        assert_eq!(motion, Motion { shift_fraction_of_width: 0.0, cut: false });
    }

    #[test]
    #[ignore = "a measurement"]
    fn time_of_1080p() {
        let picture = Owned::from_luma(1920, 1080, |x, y| (x * y / 300) as u8);
        let mut thumb = Thumb::of(&picture.view());
        let before = textured(1280, 720, 0.0, 0.0, 0.0);
        testing::report_ms("thumb 1080p", || thumb.update(&picture.view()));
        let mut sum = 0.0;
        testing::report_ms("displacement", || sum += displacement(&before, &thumb).shift_fraction_of_width);
        assert!(sum.is_finite());
    }
}
