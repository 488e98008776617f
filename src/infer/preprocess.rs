//! From the captured planes straight to the model's input: area average, each plane at its own resolution, then the
//! colour matrix at the low resolution, then normalisation. No full-size picture is ever made.

use super::boxes::{Axis, sum_columns, sum_rows};
use super::engine::InputSpec;
use crate::frame::{FrameLayout, FrameView, Matrix, PixelFormat, Range};
use crate::store::{ColourOrder, Resize, TensorLayout};

/// Where in the input the picture lies, in input pixels; the rest is black.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

impl Fit {
    pub fn new(spec: &InputSpec, picture: [usize; 2]) -> Self {
        let (w, h) = (spec.width as usize, spec.height as usize);
        match spec.resize {
            Resize::Stretch => Fit { x: 0, y: 0, width: w, height: h },
            Resize::Letterbox => {
                let scale = (w as f64 / picture[0] as f64).min(h as f64 / picture[1] as f64);
                let side = |length: usize, most: usize| ((length as f64 * scale).round() as usize).clamp(1, most);
                let (width, height) = (side(picture[0], w), side(picture[1], h));
                Fit { x: (w - width) / 2, y: (h - height) / 2, width, height }
            }
        }
    }
}

/// The preprocessing of one engine; plans once a picture format, then allocates nothing.
#[derive(Debug)]
pub struct Preprocess {
    spec: InputSpec,
    plan: Option<Plan>,
}

impl Preprocess {
    pub fn new(spec: InputSpec) -> Self {
        Preprocess { spec, plan: None }
    }

    /// Fills `input` (`3·height·width` numbers as the manifest's input says). Returns where in it the picture lies.
    pub fn run(&mut self, view: FrameView<'_>, input: &mut [f32]) -> Fit {
        if self.plan.as_ref().is_none_or(|plan| plan.layout != *view.layout) {
            self.plan = None;
        }
        let plan = self.plan.get_or_insert_with(|| Plan::new(&self.spec, *view.layout));
        plan.run(view, input);
        plan.fit
    }
}

#[derive(Debug)]
struct Plan {
    layout: FrameLayout,
    fit: Fit,
    /// Width and height of the whole input.
    sides: [usize; 2],
    nchw: bool,
    /// For R, G, B: channel of the input, and `value·gain + offset` of a value in 0..1.
    channel: [usize; 3],
    gain: [f32; 3],
    offset: [f32; 3],
    /// R, G, B in 0..1 of one row = m·(plane 0, 1, 2) + constant; for RGB pictures the identity over 255.
    matrix: [[f32; 4]; 3],
    columns: [Axis; 2],
    rows: [Axis; 2],
    /// One row of bytes, summed over its span.
    wide: Vec<f32>,
    /// Three planes of one output row.
    narrow: Vec<f32>,
}

impl Plan {
    fn new(spec: &InputSpec, layout: FrameLayout) -> Self {
        let (w, h) = (layout.width, layout.height);
        let fit = Fit::new(spec, [w, h]);
        // A chroma sample lies over two luma samples on each axis; with odd sizes the last one only in half.
        let columns = [Axis::new(w as f64, w, fit.width), Axis::new(w as f64 / 2.0, w.div_ceil(2), fit.width)];
        let rows = [Axis::new(h as f64, h, fit.height), Axis::new(h as f64 / 2.0, h.div_ceil(2), fit.height)];
        let channel = match spec.colour {
            ColourOrder::Rgb => [0, 1, 2],
            ColourOrder::Bgr => [2, 1, 0],
        };
        Plan {
            layout,
            fit,
            sides: [spec.width as usize, spec.height as usize],
            nchw: spec.layout == TensorLayout::Nchw,
            channel,
            gain: channel.map(|c| 1.0 / spec.std[c]),
            offset: channel.map(|c| -spec.mean[c] / spec.std[c]),
            matrix: matrix(&layout),
            columns,
            rows,
            wide: vec![0.0; layout.planes().iter().map(|plane| plane.row_bytes).max().unwrap_or(0)],
            narrow: vec![0.0; 3 * fit.width],
        }
    }

    fn run(&mut self, view: FrameView<'_>, input: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            // SAFETY: this processor has AVX2.
            return unsafe { self.run_avx2(view, input) };
        }
        self.run_here(view, input);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn run_avx2(&mut self, view: FrameView<'_>, input: &mut [f32]) {
        self.run_here(view, input);
    }

    /// The same code for every processor; inlined into a function that may use wider registers.
    #[inline(always)]
    fn run_here(&mut self, view: FrameView<'_>, input: &mut [f32]) {
        if [self.fit.width, self.fit.height] != self.sides {
            self.blacken(input);
        }
        for y in 0..self.fit.height {
            self.average(view, y);
            self.write(y, input);
        }
    }

    fn blacken(&self, input: &mut [f32]) {
        let area = self.sides[0] * self.sides[1];
        for colour in 0..3 {
            let (channel, black) = (self.channel[colour], self.offset[colour]);
            if self.nchw {
                input[channel * area..][..area].fill(black);
            } else {
                input[..3 * area].iter_mut().skip(channel).step_by(3).for_each(|value| *value = black);
            }
        }
    }

    /// Output row `y` of the three planes into `narrow`, in code values 0..255.
    #[inline(always)]
    fn average(&mut self, view: FrameView<'_>, y: usize) {
        let planes = self.layout.planes();
        let width = self.fit.width;
        let (first, rest) = self.narrow.split_at_mut(width);
        let (second, third) = rest.split_at_mut(width);
        let [luma_columns, chroma_columns] = &self.columns;
        let [luma_rows, chroma_rows] = &self.rows;
        let luma_scale = luma_columns.scale * luma_rows.scale;
        let chroma_scale = chroma_columns.scale * chroma_rows.scale;

        let wide = &mut self.wide[..planes[0].row_bytes];
        sum_rows(view.plane(0), planes[0].stride, luma_rows.spans[y], wide);
        match self.layout.format {
            PixelFormat::Rgb => {
                sum_columns::<3>(wide, 0, luma_columns, luma_scale, first);
                sum_columns::<3>(wide, 1, luma_columns, luma_scale, second);
                sum_columns::<3>(wide, 2, luma_columns, luma_scale, third);
            }
            PixelFormat::Nv12 => {
                sum_columns::<1>(wide, 0, luma_columns, luma_scale, first);
                let wide = &mut self.wide[..planes[1].row_bytes];
                sum_rows(view.plane(1), planes[1].stride, chroma_rows.spans[y], wide);
                sum_columns::<2>(wide, 0, chroma_columns, chroma_scale, second);
                sum_columns::<2>(wide, 1, chroma_columns, chroma_scale, third);
            }
            PixelFormat::I420 => {
                sum_columns::<1>(wide, 0, luma_columns, luma_scale, first);
                for (plane, out) in [(1, second), (2, third)] {
                    let wide = &mut self.wide[..planes[plane].row_bytes];
                    sum_rows(view.plane(plane), planes[plane].stride, chroma_rows.spans[y], wide);
                    sum_columns::<1>(wide, 0, chroma_columns, chroma_scale, out);
                }
            }
        }
    }

    /// `narrow` through matrix and normalisation into row `y` of the picture's part of the input.
    #[inline(always)]
    fn write(&self, y: usize, input: &mut [f32]) {
        let width = self.fit.width;
        let (first, rest) = self.narrow.split_at(width);
        let (second, third) = rest.split_at(width);
        let row_start = (self.fit.y + y) * self.sides[0] + self.fit.x;
        let area = self.sides[0] * self.sides[1];
        for colour in 0..3 {
            let [a, b, c, constant] = self.matrix[colour];
            let (gain, offset, channel) = (self.gain[colour], self.offset[colour], self.channel[colour]);
            let value = |x: usize| (first[x] * a + second[x] * b + third[x] * c + constant).clamp(0.0, 1.0) * gain + offset;
            if self.nchw {
                let row = &mut input[channel * area + row_start..][..width];
                row.iter_mut().enumerate().for_each(|(x, out)| *out = value(x));
            } else {
                let row = &mut input[3 * row_start..][..3 * width];
                row.iter_mut().skip(channel).step_by(3).enumerate().for_each(|(x, out)| *out = value(x));
            }
        }
    }
}

/// From code values of the planes to R, G, B in 0..1 (ITU-R BT.601-7 and BT.709-6; full range as in JFIF).
fn matrix(layout: &FrameLayout) -> [[f32; 4]; 3] {
    if layout.format == PixelFormat::Rgb {
        let unit = (1.0 / 255.0) as f32;
        return [[unit, 0.0, 0.0, 0.0], [0.0, unit, 0.0, 0.0], [0.0, 0.0, unit, 0.0]];
    }
    let (kr, kb): (f64, f64) = match layout.colorimetry.matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
    };
    let (black, luma, chroma) = match layout.colorimetry.range {
        Range::Limited => (16.0, 219.0, 224.0),
        Range::Full => (0.0, 255.0, 255.0),
    };
    let kg = 1.0 - kr - kb;
    let from_chroma = [[0.0, 2.0 * (1.0 - kr)], [-2.0 * kb * (1.0 - kb) / kg, -2.0 * kr * (1.0 - kr) / kg], [2.0 * (1.0 - kb), 0.0]];
    from_chroma.map(|[cb, cr]| {
        let constant = -black / luma - 128.0 * (cb + cr) / chroma;
        [(1.0 / luma) as f32, (cb / chroma) as f32, (cr / chroma) as f32, constant as f32]
    })
}

#[cfg(test)]
#[path = "preprocess_tests.rs"]
mod tests;
