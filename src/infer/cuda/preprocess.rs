//! What `shaders/preprocess.cu` is given for one picture format and one engine.

use crate::frame::cuda::{Launch, PREPROCESS};
use crate::frame::{FrameLayout, PixelFormat, Tone};
use crate::infer::boxes::Span;
use crate::infer::engine::InputSpec;
use crate::infer::normalise::{Normaliser, ROWS_JUDGED};
use crate::infer::preprocess::{Fit, Plan};
use bytemuck::{Pod, Zeroable};

/// Numbers of `histograms`: brightness, red against green, yellow against blue.
pub const LIGHT_COUNTS: usize = 3 * 193;
/// Of a row: a pixel each, or a few.
const MOST_THREADS: u32 = 256;
const WARP: u32 = 32;
/// A row of three floats a pixel, and the counts, in the 48 KiB that every device gives a block.
const MOST_JUDGED_WIDTH: u32 = 3840;

/// What the input's numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    F32,
    F16,
}

/// As `Span` of the kernel: the box of one output sample on one axis.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct SpanOnGpu {
    pub first: i32,
    pub last: i32,
    pub first_weight: f32,
    pub last_weight: f32,
}

/// Where the samples of one of the three channels stand; as in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct Tap {
    pub offset: u32,
    pub stride: u32,
    pub step: u32,
    pub per_group: u32,
    pub index_start: u32,
    pub index_step: u32,
    pub column_axis: u32,
    pub row_axis: u32,
    pub row_share: u32,
    pub scale: f32,
}

/// As in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct PreprocessParams {
    pub samples: u32,
    pub sides: [u32; 2],
    pub fit_corner: [u32; 2],
    pub fit_sides: [u32; 2],
    pub is_nchw: u32,
    pub is_half: u32,
    pub is_mapped: u32,
    pub is_judged: u32,
    pub judged_step: u32,
    pub has_outside: u32,
    pub is_corrected: u32,
    pub taps: [Tap; 3],
    pub matrix: [[f32; 4]; 3],
    pub codes_matrix: [[f32; 4]; 3],
    pub gamut: [[i32; 3]; 3],
    pub channel: [u32; 3],
    pub gain: [f32; 3],
    pub offset: [f32; 3],
    pub mean: [f32; 3],
    pub deviation: [f32; 3],
    pub gamma: f32,
    pub vivid: f32,
    pub shift: [f32; 3],
}

/// All that a launch needs but the buffers. Their sizes: `spans` as here; `inside` and `lit` two i32 a row of the input;
/// `histograms` `LIGHT_COUNTS` u32; the input 3·height·width numbers.
#[derive(Debug, Clone)]
pub struct PreprocessPlan {
    pub params: PreprocessParams,
    /// Where in the input the picture lies.
    pub fit: Fit,
    pub spans: Vec<SpanOnGpu>,
    /// Its tables are the kernel's `light` and `shown`; None: null pointers.
    pub tone: Option<Tone>,
    pub launch: Launch,
}

impl PreprocessPlan {
    pub fn new(spec: &InputSpec, layout: FrameLayout, number: Number) -> Self {
        let plan = Plan::new(spec, layout);
        let tone = plan.mapped.as_ref().map(|(_, tone)| *tone);
        let height = plan.sides[1];
        let params = PreprocessParams {
            samples: match layout.format {
                PixelFormat::V210 => 1,
                PixelFormat::P010 => 2,
                _ => 0,
            },
            sides: plan.sides.map(|side| side as u32),
            fit_corner: [plan.fit.x as u32, plan.fit.y as u32],
            fit_sides: [plan.fit.width as u32, plan.fit.height as u32],
            is_nchw: u32::from(plan.nchw),
            is_half: u32::from(number == Number::F16),
            is_mapped: u32::from(tone.is_some()),
            is_judged: 0,
            judged_step: (height / ROWS_JUDGED).max(1) as u32,
            has_outside: 0,
            is_corrected: 0,
            taps: taps(&plan),
            matrix: plan.matrix,
            codes_matrix: plan.mapped.as_ref().map_or([[0.0; 4]; 3], |(matrix, _)| *matrix),
            gamut: tone.map_or([[0; 3]; 3], |tone| tone.gamut),
            channel: plan.channel.map(|channel| channel as u32),
            gain: plan.gain,
            offset: plan.offset,
            mean: plan.channel.map(|channel| spec.mean[channel]),
            deviation: plan.channel.map(|channel| spec.std[channel]),
            gamma: 1.0,
            vivid: 1.0,
            shift: [0.0; 3],
        };
        let axes = [&plan.columns[0], &plan.columns[1], &plan.rows[0], &plan.rows[1]];
        let spans = axes.into_iter().flat_map(|axis| axis.spans.iter().map(span)).collect();
        let block = [spec.width.next_multiple_of(WARP).min(MOST_THREADS), 1, 1];
        let launch = Launch { kernel: PREPROCESS, entry: "preprocess", grid: [height as u32, 1, 1], block, shared_bytes: 0 };
        PreprocessPlan { params, fit: plan.fit, spans, tone, launch }
    }

    /// The kernel takes the figures from which the correction is made, or does not. False: the input is too wide for that.
    pub fn judge(&mut self, is_judged: bool) -> bool {
        let is_possible = can_be_judged(self.params.sides[0]);
        self.params.is_judged = u32::from(is_judged && is_possible);
        self.launch.shared_bytes = 3 * self.params.is_judged * self.params.sides[0] * size_of::<f32>() as u32;
        is_possible
    }

    /// From now on frames stay as they were captured.
    pub fn leave_as_captured(&mut self) {
        (self.params.is_corrected, self.params.has_outside) = (0, 0);
    }

    /// From now on frames are changed as `normaliser` changes them now. Fills the kernel's `inside`, which has a place for each row.
    pub fn correct_as(&mut self, normaliser: &Normaliser, inside: &mut [[i32; 2]]) {
        let correction = &normaliser.correction;
        self.params.is_corrected = u32::from(!correction.is_none());
        self.params.has_outside = u32::from(normaliser.area.has_outside());
        self.params.gamma = correction.gamma.exp2();
        self.params.vivid = (correction.gamma + correction.saturation).exp2();
        self.params.shift = correction.shift;
        for (y, columns) in inside.iter_mut().enumerate() {
            let span = normaliser.area.span(y);
            *columns = [span.start as i32, span.end as i32];
        }
    }
}

/// Can the kernel take the figures of an input of that width?
pub fn can_be_judged(width: u32) -> bool {
    width <= MOST_JUDGED_WIDTH
}

fn span(span: &Span) -> SpanOnGpu {
    let Span { first, last, first_weight, last_weight } = *span;
    SpanOnGpu { first: first as i32, last: last as i32, first_weight, last_weight }
}

fn taps(plan: &Plan) -> [Tap; 3] {
    let layout = &plan.layout;
    // Plane, first byte of a sample, bytes from one sample to the next.
    let [planes, starts, steps] = match layout.format {
        PixelFormat::Nv12 => [[0, 1, 1], [0, 0, 1], [1, 2, 2]],
        PixelFormat::P010 => [[0, 1, 1], [0, 0, 2], [2, 4, 4]],
        PixelFormat::I420 => [[0, 1, 2], [0, 0, 0], [1, 1, 1]],
        PixelFormat::Rgb => [[0, 0, 0], [0, 1, 2], [3, 3, 3]],
        PixelFormat::Bgrx | PixelFormat::Bgra => [[0, 0, 0], [2, 1, 0], [4, 4, 4]],
        PixelFormat::Yuy2 => [[0, 0, 0], [0, 1, 3], [2, 4, 4]],
        PixelFormat::Uyvy => [[0, 0, 0], [1, 0, 2], [2, 4, 4]],
        PixelFormat::V210 => [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
    };
    // Of v210: pixels a group, the channel's first sample in it, samples from one to the next.
    let groups = if layout.format == PixelFormat::V210 { [[6, 1, 2], [3, 0, 4], [3, 2, 4]] } else { [[1, 0, 0]; 3] };
    [0, 1, 2].map(|channel| {
        let is_chroma = usize::from(channel > 0 && !layout.format.is_rgb());
        let plane = &layout.planes()[planes[channel]];
        let has_half_rows = is_chroma == 1 && layout.format == PixelFormat::P010;
        let whole = plan.columns[is_chroma].scale * plan.rows[is_chroma].scale;
        let [per_group, index_start, index_step] = groups[channel];
        Tap {
            offset: (plane.offset + starts[channel]) as u32,
            stride: plane.stride as u32,
            step: steps[channel] as u32,
            per_group,
            index_start,
            index_step,
            column_axis: is_chroma as u32,
            row_axis: is_chroma as u32,
            row_share: if has_half_rows { 2 } else { 1 },
            scale: if layout.format.is_ten_bit() { whole / 4.0 } else { whole },
        }
    })
}

#[cfg(test)]
#[path = "preprocess_tests.rs"]
mod tests;
