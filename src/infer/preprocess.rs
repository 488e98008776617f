//! From the captured planes straight to the model's input: area average, each plane at its own resolution, then the
//! colour matrix at the low resolution (and `frame::Tone` where the picture needs it, so that a model sees what is shown),
//! then normalisation. No full-size picture is ever made.

use super::boxes::{Axis, Span, sum_columns, sum_rows};
use super::engine::InputSpec;
use crate::frame::{FrameLayout, FrameView, PixelFormat, Range, Tone, rows};
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
pub(super) struct Plan {
    pub(super) layout: FrameLayout,
    pub(super) fit: Fit,
    /// Width and height of the whole input.
    pub(super) sides: [usize; 2],
    pub(super) nchw: bool,
    /// For R, G, B: channel of the input, and `value·gain + offset` of a value in 0..1.
    pub(super) channel: [usize; 3],
    pub(super) gain: [f32; 3],
    pub(super) offset: [f32; 3],
    /// R, G, B in 0..1 of one row = m·(Y, U, V) + constant; for RGB pictures, and behind `mapped`, the identity over 255.
    pub(super) matrix: [[f32; 4]; 3],
    /// First to codes 0..1023 by this matrix, then to R, G, B as shown.
    pub(super) mapped: Option<([[f32; 4]; 3], Tone)>,
    pub(super) columns: [Axis; 2],
    pub(super) rows: [Axis; 2],
    /// One row of samples, summed over its span; of 10-bit formats Y, then U V.
    wide: Vec<f32>,
    /// A piece of a 10-bit row.
    piece: Box<rows::Row<u16>>,
    /// Three planes of one output row.
    narrow: Vec<f32>,
}

impl Plan {
    pub(super) fn new(spec: &InputSpec, layout: FrameLayout) -> Self {
        let (w, h) = (layout.width, layout.height);
        let fit = Fit::new(spec, [w, h]);
        // A chroma sample lies over two luma samples on each axis; with odd sizes the last one only in half.
        let columns = [Axis::new(w as f64, w, fit.width), Axis::new(w as f64 / 2.0, w.div_ceil(2), fit.width)];
        let luma_rows = Axis::new(h as f64, h, fit.height);
        let has_half = layout.format.has_half_height_chroma() && !layout.format.is_ten_bit();
        let chroma_rows = if has_half { Axis::new(h as f64 / 2.0, h.div_ceil(2), fit.height) } else { luma_rows.clone() };
        let tone = Tone::of(&layout);
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
            matrix: if tone.is_some() { UNITS } else { matrix(&layout) },
            mapped: tone.map(|tone| (codes_matrix(&layout, &tone), tone)),
            columns,
            rows: [luma_rows, chroma_rows],
            wide: vec![0.0; layout.planes().iter().map(|plane| plane.row_bytes).max().unwrap_or(0).max(2 * w + 2)],
            piece: Box::default(),
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
            self.map();
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

        if self.layout.format.is_ten_bit() {
            let (luma, chroma) = self.wide.split_at_mut(self.layout.width);
            sum_ten_bit_rows(view, luma_rows.spans[y], &mut self.piece, luma, chroma);
            sum_columns::<1>(luma, 0, luma_columns, luma_scale / 4.0, first);
            sum_columns::<2>(chroma, 0, chroma_columns, chroma_scale / 4.0, second);
            sum_columns::<2>(chroma, 1, chroma_columns, chroma_scale / 4.0, third);
            return;
        }
        let wide = &mut self.wide[..planes[0].row_bytes];
        sum_rows(view.plane(0), planes[0].stride, luma_rows.spans[y], wide);
        match self.layout.format {
            PixelFormat::Rgb => {
                sum_columns::<3>(wide, 0, luma_columns, luma_scale, first);
                sum_columns::<3>(wide, 1, luma_columns, luma_scale, second);
                sum_columns::<3>(wide, 2, luma_columns, luma_scale, third);
            }
            PixelFormat::Bgrx | PixelFormat::Bgra => {
                sum_columns::<4>(wide, 2, luma_columns, luma_scale, first);
                sum_columns::<4>(wide, 1, luma_columns, luma_scale, second);
                sum_columns::<4>(wide, 0, luma_columns, luma_scale, third);
            }
            PixelFormat::Yuy2 | PixelFormat::Uyvy => {
                let [y, u, v] = if self.layout.format == PixelFormat::Yuy2 { [0, 1, 3] } else { [1, 0, 2] };
                sum_columns::<2>(wide, y, luma_columns, luma_scale, first);
                sum_columns::<4>(wide, u, chroma_columns, chroma_scale, second);
                sum_columns::<4>(wide, v, chroma_columns, chroma_scale, third);
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
            // Done above.
            PixelFormat::V210 | PixelFormat::P010 => {}
        }
    }

    /// `narrow` from averaged samples to R, G, B as they are shown, where the picture needs that.
    #[inline(always)]
    fn map(&mut self) {
        let Some((matrix, tone)) = &self.mapped else { return };
        let (first, rest) = self.narrow.split_at_mut(self.fit.width);
        let (second, third) = rest.split_at_mut(self.fit.width);
        for ((first, second), third) in first.iter_mut().zip(second).zip(third) {
            let codes =
                matrix.map(|[a, b, c, constant]| (*first * a + *second * b + *third * c + constant + 0.5).clamp(0.0, 1023.0) as usize);
            [*first, *second, *third] = tone.shown(codes).map(f32::from);
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

/// Rows of a 10-bit format over the box of luma rows `span`: `luma` one column a pixel, `chroma` U V pairs. A row of 4:2:0
/// chroma counts with each of its luma rows, and so with the same area.
#[inline(always)]
fn sum_ten_bit_rows(view: FrameView<'_>, span: Span, piece: &mut rows::Row<u16>, luma: &mut [f32], chroma: &mut [f32]) {
    luma.fill(0.0);
    chroma.fill(0.0);
    for row in span.first..=span.last {
        let weight = match row {
            _ if row == span.first => span.first_weight,
            _ if row == span.last => span.last_weight,
            _ => 1.0,
        };
        for x0 in (0..view.layout.width).step_by(rows::PIECE_PIXELS) {
            piece.unpack(&view, row, x0);
            luma[x0..].iter_mut().zip(piece.y()).for_each(|(sum, &sample)| *sum += weight * f32::from(sample));
            chroma[x0..].iter_mut().zip(piece.uv()).for_each(|(sum, &sample)| *sum += weight * f32::from(sample));
        }
    }
}

const UNIT: f32 = (1.0 / 255.0) as f32;
const UNITS: [[f32; 4]; 3] = [[UNIT, 0.0, 0.0, 0.0], [0.0, UNIT, 0.0, 0.0], [0.0, 0.0, UNIT, 0.0]];

/// From code values of the planes (of ten bits: a quarter) to R, G, B in 0..1 (ITU-R BT.601-7, BT.709-6 and BT.2020-2; full
/// range as in JFIF).
fn matrix(layout: &FrameLayout) -> [[f32; 4]; 3] {
    if layout.format.is_rgb() {
        return UNITS;
    }
    let (kr, kb) = layout.colorimetry.matrix.kr_kb();
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

/// From code values of the planes, as `matrix`, to the codes 0..1023 that `tone` maps.
fn codes_matrix(layout: &FrameLayout, tone: &Tone) -> [[f32; 4]; 3] {
    if layout.format.is_rgb() {
        return UNITS.map(|row| row.map(|v| v * 1023.0));
    }
    let m = &tone.matrix;
    [[0, m.rv], [-m.gu, -m.gv], [m.bu, 0]].map(|[u, v]| {
        let constant = -m.cy * m.y_offset - 512 * (u + v);
        [4.0 * m.cy as f32, 4.0 * u as f32, 4.0 * v as f32, constant as f32].map(|v| v / 16384.0)
    })
}

#[cfg(test)]
#[path = "preprocess_tests.rs"]
mod tests;
