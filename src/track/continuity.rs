//! Does this frame follow on the last one? What remembers frames (recurrent engines, clips, findings) must not carry its memory
//! over a gap, a cut or a change of format.

use crate::frame::FrameLayout;
use crate::infer::{InputSpec, Stamps, TensorLayout};
use crate::scene::Reset;

/// Cells of the thumb, and samples of each cell in either direction.
const COLUMNS: usize = 16;
const ROWS: usize = 10;
pub(super) const CELLS: usize = COLUMNS * ROWS;
const TAPS: usize = 3;
/// A cut: the mean difference of the cells is above this part of full white ...
const CUT_LEVEL: f32 = 10.0 / 255.0;
/// ... and above this part of the pictures' contrast. Unrelated pictures: about 1.4; a tool that passes: below 0.5.
const CUT_CONTRAST: f32 = 0.6;

pub type Thumb = [f32; CELLS];

/// Judges frame after frame.
#[derive(Debug)]
pub struct Continuity {
    max_gap_ns: u64,
    last: Option<Last>,
}

#[derive(Debug)]
struct Last {
    stamps: Stamps,
    layout: FrameLayout,
    thumb: Thumb,
}

impl Continuity {
    pub fn new(max_gap_ms: u64) -> Self {
        Continuity { max_gap_ns: max_gap_ms * 1_000_000, last: None }
    }

    /// The next frame is the first one.
    pub fn forget(&mut self) {
        self.last = None;
    }

    /// `thumb`: of what preprocessing made of the frame. Allocates nothing.
    pub fn judge(&mut self, stamps: Stamps, layout: &FrameLayout, thumb: Thumb) -> Option<Reset> {
        let reset = match &self.last {
            None => Some(Reset::Start),
            Some(last) if last.layout != *layout => Some(Reset::Format),
            Some(last) if self.is_gap(last.stamps, stamps) => Some(Reset::Gap),
            Some(last) if is_cut(&last.thumb, &thumb) => Some(Reset::Cut),
            Some(_) => None,
        };
        self.last = Some(Last { stamps, layout: *layout, thumb });
        reset
    }

    /// Too much time between two frames, by either clock, or time that runs backwards.
    fn is_gap(&self, last: Stamps, now: Stamps) -> bool {
        let too_far = |last: u64, now: u64| now.checked_sub(last).is_none_or(|step| step > self.max_gap_ns);
        now.id <= last.id || too_far(last.capture_ns, now.capture_ns) || too_far(last.pts_ns, now.pts_ns)
    }
}

/// Green in 0..1, which stands for luma, of a few samples a cell.
pub fn thumb(spec: &InputSpec, input: &[f32]) -> Thumb {
    let (width, height) = (spec.width as usize, spec.height as usize);
    // Green is in the middle in RGB and in BGR.
    let (start, step) = match spec.layout {
        TensorLayout::Nchw => (width * height, 1),
        TensorLayout::Nhwc => (1, 3),
    };
    let place = |cell: usize, tap: usize, cells: usize, side: usize| (2 * (cell * TAPS + tap) + 1) * side / (2 * cells * TAPS);
    std::array::from_fn(|cell| {
        let mut sum = 0.0;
        for tap in 0..TAPS * TAPS {
            let x = place(cell % COLUMNS, tap % TAPS, COLUMNS, width);
            let y = place(cell / COLUMNS, tap / TAPS, ROWS, height);
            sum += input[start + (y * width + x) * step];
        }
        sum / (TAPS * TAPS) as f32 * spec.std[1] + spec.mean[1]
    })
}

fn is_cut(before: &Thumb, now: &Thumb) -> bool {
    let count = before.len() as f32;
    let contrast = |thumb: &Thumb| {
        let mean = thumb.iter().sum::<f32>() / count;
        thumb.iter().map(|v| (v - mean).abs()).sum::<f32>() / count
    };
    let difference = before.iter().zip(now).map(|(a, b)| (a - b).abs()).sum::<f32>() / count;
    difference > CUT_LEVEL && difference > CUT_CONTRAST * contrast(before).max(contrast(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::FrameId;
    use crate::infer::testing::{Colorimetry, Matrix, PixelFormat, Range};
    use crate::infer::{ColourOrder, Resize};

    const SIDES: [usize; 2] = [320, 192];

    fn spec(layout: TensorLayout) -> InputSpec {
        let [width, height] = SIDES.map(|side| side as u32);
        let (colour, resize) = (ColourOrder::Rgb, Resize::Stretch);
        InputSpec { name: "image".to_owned(), layout, width, height, colour, resize, mean: [0.5; 3], std: [0.25; 3] }
    }

    fn layout(width: usize) -> FrameLayout {
        FrameLayout::new(
            PixelFormat::Nv12,
            Colorimetry { matrix: Matrix::Bt709, range: Range::Limited, transfer: Default::default() },
            width,
            1080,
        )
        .unwrap()
    }

    fn stamps(id: u64, ms: u64) -> Stamps {
        Stamps { id: FrameId(id), pts_ns: ms * 1_000_000, capture_ns: 5_000_000_000 + ms * 1_000_000 }
    }

    /// A smooth scene: two waves of a seed's own, in levels of 0..1; a dark bar reaches in from the left to `tool`.
    fn picture(layout: TensorLayout, seed: f32, shift: f32, tool: f32) -> Vec<f32> {
        let [w, h] = SIDES;
        let mut input = vec![0.0; 3 * w * h];
        for i in 0..w * h {
            let (x, y) = ((i % w) as f32 / w as f32 + shift, (i / w) as f32 / h as f32);
            let tissue = 0.5 + 0.25 * (x * (4.0 + 3.0 * seed) + 9.0 * seed).sin() + 0.2 * (y * (5.0 + 2.0 * seed) + 4.0 * seed).cos();
            let level = if x - shift < tool && (y - 0.5).abs() < 0.08 { 0.1 } else { tissue };
            let at = if layout == TensorLayout::Nchw { w * h + i } else { 3 * i + 1 };
            input[at] = (level - 0.5) / 0.25;
        }
        input
    }

    #[test]
    fn a_cut_is_told_from_motion_and_from_a_tool_that_comes_in() {
        for order in [TensorLayout::Nchw, TensorLayout::Nhwc] {
            let mut continuity = Continuity::new(250);
            let mut id = 0;
            let mut judge = |seed, shift, tool| {
                id += 1;
                continuity.judge(stamps(id, id * 17), &layout(1920), thumb(&spec(order), &picture(order, seed, shift, tool)))
            };
            assert_eq!(judge(0.0, 0.0, 0.0), Some(Reset::Start));
            assert_eq!(judge(0.0, 0.02, 0.0), None);
            assert_eq!(judge(0.0, 0.0, 0.6), None, "a tool comes in at once");
            assert_eq!(judge(1.0, 0.0, 0.0), Some(Reset::Cut));
            assert_eq!(judge(1.0, 0.01, 0.0), None);
        }
    }

    #[test]
    fn gaps_formats_and_restarts_are_told() {
        let mut continuity = Continuity::new(250);
        let thumb = thumb(&spec(TensorLayout::Nchw), &picture(TensorLayout::Nchw, 0.0, 0.0, 0.0));
        let judge = |continuity: &mut Continuity, stamps, width| continuity.judge(stamps, &layout(width), thumb);
        assert_eq!(judge(&mut continuity, stamps(1, 0), 1920), Some(Reset::Start));
        assert_eq!(judge(&mut continuity, stamps(2, 250), 1920), None);
        assert_eq!(judge(&mut continuity, stamps(9, 300), 1920), None, "frames that were skipped in between are no gap by themselves");
        assert_eq!(judge(&mut continuity, stamps(10, 551), 1920), Some(Reset::Gap));
        assert_eq!(judge(&mut continuity, stamps(11, 540), 1920), Some(Reset::Gap), "time runs backwards");
        assert_eq!(judge(&mut continuity, stamps(11, 560), 1920), Some(Reset::Gap), "the same frame again");
        assert_eq!(judge(&mut continuity, Stamps { pts_ns: 0, ..stamps(12, 580) }, 1920), Some(Reset::Gap), "a file starts over");
        continuity.forget();
        assert_eq!(judge(&mut continuity, stamps(14, 620), 1280), Some(Reset::Start));
        assert_eq!(judge(&mut continuity, stamps(15, 640), 1920), Some(Reset::Format));
    }
}
