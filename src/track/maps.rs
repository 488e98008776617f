//! An engine's outputs → a probability and a label for each pixel of the map (the part of the outputs in which the picture lies).

use super::stillness::Stillness;
use crate::base::ids::ClassId;
use crate::infer::{Activation, HeadKind, OutputSpec, TensorLayout, TensorView};

/// What a pixel belongs to: background, an instrument of whatever class, or the tissue with that class id.
pub const NOTHING: u8 = 0;
pub const INSTRUMENT: u8 = 255;

/// Pixels that are worked on together.
const BLOCK: usize = 64;

/// The part of an output that is decoded, in its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

/// Somewhere in the outputs stands a number that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFinite;

/// Probabilities and labels, `width·height` each, row by row. Kept from frame to frame, so that nothing is allocated.
#[derive(Debug, Default)]
pub struct Maps {
    pub width: usize,
    pub height: usize,
    /// That a pixel is instrument; of no use where `has_instrument` is false.
    pub instrument: Vec<f32>,
    pub instrument_threshold: f32,
    pub has_instrument: bool,
    /// One plane a channel of the tissue head.
    pub tissue: Vec<f32>,
    pub tissue_classes: Vec<ClassId>,
    pub tissue_threshold: f32,
    /// `NOTHING`, `INSTRUMENT` or a tissue's class id.
    pub labels: Vec<u8>,
    /// The contract's mask: a class id a pixel, instruments with their class; `ABSTAINED` where a calibrated head says nothing, not
    /// even background, with its threshold's probability.
    pub mask: Vec<u8>,
    /// Mean over the pixels of the most probable class's probability.
    pub certainty: f32,
    block: Block,
    /// Of what the probabilities are: with another shape nothing is averaged.
    averaged: Option<(Window, usize)>,
    /// Of each column of the map, its column in `Stillness`; and the shares of one row.
    share_column: Vec<u16>,
    share_row: Vec<f32>,
}

impl Maps {
    /// Of a picture that stands alone.
    pub fn fill_alone(&mut self, heads: &[TensorView<'_>], window: Window) -> Result<(), NotFinite> {
        self.fill_averaged(heads, window, &Stillness::default())
    }

    /// Decodes the heads; at most one of either kind. Where the picture stands still the probabilities are averaged with those of the frames before.
    pub fn fill_averaged(&mut self, heads: &[TensorView<'_>], window: Window, stillness: &Stillness) -> Result<(), NotFinite> {
        let shape = (window, heads.iter().map(|head| head.spec.channels()).sum());
        let nothing = Stillness::default();
        let stillness = if self.averaged.replace(shape) == Some(shape) { stillness } else { &nothing };
        let pixels = window.width * window.height;
        self.shape(heads.iter().map(|head| head.spec), window);
        self.labels.resize(pixels, NOTHING);
        self.mask.resize(pixels, NOTHING);
        self.certainty = 1.0;
        let head = |kind| heads.iter().find(move |head| head.spec.kind == kind);
        // Tissue first: an instrument lies on top of it.
        if let Some(head) = head(HeadKind::Tissue) {
            self.run(*head, window, stillness)?;
        }
        if let Some(head) = head(HeadKind::Instrument) {
            self.run(*head, window, stillness)?;
        }
        Ok(())
    }

    /// All but the numbers: labels and mask are empty then.
    pub fn shape<'a>(&mut self, heads: impl Iterator<Item = &'a OutputSpec>, window: Window) {
        (self.width, self.height) = (window.width, window.height);
        self.labels.clear();
        self.mask.clear();
        self.tissue_classes.clear();
        self.has_instrument = false;
        for spec in heads {
            if spec.kind == HeadKind::Tissue {
                self.tissue_classes.extend_from_slice(&spec.classes);
                self.tissue_threshold = spec.threshold;
            } else {
                self.instrument_threshold = spec.threshold;
                self.has_instrument = true;
            }
        }
    }

    fn run(&mut self, head: TensorView<'_>, window: Window, stillness: &Stillness) -> Result<(), NotFinite> {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            // SAFETY: this processor has AVX2.
            return unsafe { self.run_avx2(head, window, stillness) };
        }
        self.run_here(head, window, stillness)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn run_avx2(&mut self, head: TensorView<'_>, window: Window, stillness: &Stillness) -> Result<(), NotFinite> {
        self.run_here(head, window, stillness)
    }

    #[inline(always)]
    fn run_here(&mut self, head: TensorView<'_>, window: Window, stillness: &Stillness) -> Result<(), NotFinite> {
        let pixels = self.width * self.height;
        let is_tissue = head.spec.kind == HeadKind::Tissue;
        if is_tissue {
            self.tissue.resize(pixels * head.spec.channels(), 0.0);
        } else {
            self.instrument.resize(pixels, 0.0);
        }
        self.share_column.clear();
        self.share_column.extend((0..window.width).map(|x| ((window.x + x) * stillness.width / head.spec.width) as u16));
        let mut share = [1f32; BLOCK];
        let mut certainty = [0f32; BLOCK];
        let mut block = std::mem::take(&mut self.block);
        let mut row_of_shares = None;
        for y in 0..window.height {
            let row = (window.y + y) * stillness.height / head.spec.height * stillness.width;
            if !stillness.share.is_empty() && row_of_shares.replace(row) != Some(row) {
                let shares = &stillness.share[row..row + stillness.width];
                self.share_row.clear();
                self.share_row.extend(self.share_column.iter().map(|&column| shares[usize::from(column)]));
            }
            for x in (0..window.width).step_by(BLOCK) {
                let at = y * window.width + x;
                let count = BLOCK.min(window.width - x);
                block.read(head, window.x + x, window.y + y, count)?;
                block.activate(head.spec.activation, head.spec.calibration.temperature);
                if !stillness.share.is_empty() {
                    share[..count].copy_from_slice(&self.share_row[x..x + count]);
                }
                if is_tissue {
                    self.label_tissue(&mut block, head, at, count, &share, &mut certainty);
                } else {
                    self.label_instrument(&block, head, at, count, &share);
                }
            }
        }
        self.block = block;
        if is_tissue {
            self.certainty = certainty.iter().sum::<f32>() / pixels as f32;
        }
        Ok(())
    }

    #[inline(always)]
    fn label_tissue(
        &mut self,
        block: &mut Block,
        head: TensorView<'_>,
        at: usize,
        count: usize,
        share: &[f32; BLOCK],
        certainty: &mut [f32; BLOCK],
    ) {
        let pixels = self.width * self.height;
        let mut best = Best::default();
        for (channel, id) in head.spec.classes.iter().enumerate() {
            let values = &mut block.values[channel];
            average(&mut self.tissue[channel * pixels + at..][..count], values, share);
            best.consider(values, *id);
        }
        for (sum, probability) in certainty.iter_mut().zip(&best.probability[..count]) {
            *sum += probability;
        }
        let labels = best.labels(&best.probability, head.spec.threshold);
        self.labels[at..][..count].copy_from_slice(&labels[..count]);
        let otherwise = if head.spec.calibration.sure.is_some() { ClassId::ABSTAINED.0 } else { NOTHING };
        for ((pixel, &probability), &label) in self.mask[at..][..count].iter_mut().zip(&best.probability).zip(&labels) {
            *pixel = if probability >= head.spec.threshold { label } else { otherwise };
        }
    }

    #[inline(always)]
    fn label_instrument(&mut self, block: &Block, head: TensorView<'_>, at: usize, count: usize, share: &[f32; BLOCK]) {
        let mut whole = [0f32; BLOCK];
        let mut best = Best::default();
        let exclusive = head.spec.activation == Activation::Softmax;
        for (values, id) in block.values.iter().zip(&head.spec.classes) {
            if *id == ClassId::BACKGROUND {
                continue;
            }
            for i in 0..BLOCK {
                // Probabilities that exclude each other add up; others do not.
                whole[i] = if exclusive { whole[i] + values[i] } else { whole[i].max(values[i]) };
            }
            best.consider(values, *id);
        }
        average(&mut self.instrument[at..][..count], &mut whole, share);
        let classes = best.labels(&whole, head.spec.threshold);
        let abstains = head.spec.calibration.sure.is_some();
        let targets = self.labels[at..][..count].iter_mut().zip(&mut self.mask[at..][..count]);
        for (((label, mask), &class), whole) in targets.zip(&classes).zip(&whole) {
            let is_own = class != NOTHING;
            let is_open = abstains && *mask == NOTHING && 1.0 - whole < head.spec.threshold;
            *label = if is_own { INSTRUMENT } else { *label };
            *mask = if is_own {
                class
            } else if is_open {
                ClassId::ABSTAINED.0
            } else {
                *mask
            };
        }
    }

    /// How far inside the region of tissue channel `channel` pixel `at` lies: 0 on its edge.
    pub fn tissue_margin(&self, channel: usize, at: usize) -> f32 {
        let pixels = self.width * self.height;
        let mut rival = self.tissue_threshold;
        for other in (0..self.tissue_classes.len()).filter(|&other| other != channel) {
            rival = rival.max(self.tissue[other * pixels + at]);
        }
        self.tissue[channel * pixels + at] - rival
    }

    /// As `tissue_margin`, for the instrument head.
    pub fn instrument_margin(&self, at: usize) -> f32 {
        self.instrument[at] - self.instrument_threshold
    }
}

/// Both become `kept` + `share`·(`values` − `kept`).
#[inline(always)]
fn average(kept: &mut [f32], values: &mut [f32; BLOCK], share: &[f32; BLOCK]) {
    for ((kept, value), share) in kept.iter_mut().zip(values).zip(share) {
        // All of the new, to the bit, where nothing is averaged.
        *kept = if *share < 1.0 { *kept + share * (*value - *kept) } else { *value };
        *value = *kept;
    }
}

/// The most probable class of a few pixels.
#[derive(Debug)]
struct Best {
    probability: [f32; BLOCK],
    /// As wide as the probabilities, so that both are chosen in one go.
    class: [u32; BLOCK],
}

impl Default for Best {
    fn default() -> Self {
        Best { probability: [0.0; BLOCK], class: [u32::from(NOTHING); BLOCK] }
    }
}

impl Best {
    #[inline(always)]
    fn consider(&mut self, values: &[f32; BLOCK], id: ClassId) {
        for ((probability, class), &value) in self.probability.iter_mut().zip(&mut self.class).zip(values) {
            let better = value > *probability;
            *probability = if better { value } else { *probability };
            *class = if better { u32::from(id.0) } else { *class };
        }
    }

    /// The class where `probability` reaches the threshold, else `NOTHING`.
    #[inline(always)]
    fn labels(&self, probability: &[f32; BLOCK], threshold: f32) -> [u8; BLOCK] {
        let mut labels = [NOTHING; BLOCK];
        for i in 0..BLOCK {
            labels[i] = if probability[i] >= threshold { self.class[i] as u8 } else { NOTHING };
        }
        labels
    }
}

/// A few pixels of all channels.
#[derive(Debug, Default)]
struct Block {
    values: Vec<[f32; BLOCK]>,
}

impl Block {
    #[inline(always)]
    fn read(&mut self, head: TensorView<'_>, x: usize, y: usize, count: usize) -> Result<(), NotFinite> {
        let (width, height, channels) = (head.spec.width, head.spec.height, head.spec.channels());
        self.values.resize(channels, [0.0; BLOCK]);
        let mut odd = false;
        for (channel, values) in self.values.iter_mut().enumerate() {
            match head.spec.layout {
                TensorLayout::Nchw => values[..count].copy_from_slice(&head.data[(channel * height + y) * width + x..][..count]),
                TensorLayout::Nhwc => {
                    let row = &head.data[(y * width + x) * channels..][..count * channels];
                    values.iter_mut().zip(row.iter().skip(channel).step_by(channels)).for_each(|(to, from)| *to = *from);
                }
            }
            values[count..].fill(0.0);
            for value in values.iter() {
                odd |= value.to_bits() & EXPONENT == EXPONENT;
            }
        }
        if odd { Err(NotFinite) } else { Ok(()) }
    }

    #[inline(always)]
    fn activate(&mut self, activation: Activation, temperature: f32) {
        let cold = 1.0 / temperature;
        match activation {
            Activation::None => self.each(|v| v.clamp(0.0, 1.0)),
            Activation::Sigmoid => self.each(|v| 1.0 / (1.0 + exp(-v * cold))),
            Activation::Softmax => {
                let mut most = [f32::MIN; BLOCK];
                let mut sum = [0f32; BLOCK];
                for values in &self.values {
                    for i in 0..BLOCK {
                        most[i] = if values[i] > most[i] { values[i] } else { most[i] };
                    }
                }
                for values in &mut self.values {
                    for i in 0..BLOCK {
                        values[i] = exp((values[i] - most[i]) * cold);
                        sum[i] += values[i];
                    }
                }
                let part = sum.map(|sum| 1.0 / sum);
                for values in &mut self.values {
                    for i in 0..BLOCK {
                        values[i] *= part[i];
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn each(&mut self, of: impl Fn(f32) -> f32) {
        for values in &mut self.values {
            for value in values.iter_mut() {
                *value = of(*value);
            }
        }
    }
}

/// All bits of this set: infinite or not a number.
const EXPONENT: u32 = 0x7f80_0000;

/// e^x to 2 parts in 100,000, in arithmetic that vectorises; below −87 about 0, above 87 held.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // 1.5·2²³: adding it rounds to a whole number, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x > -87.0 { x } else { -87.0 };
    let powers = (if x < 87.0 { x } else { 87.0 }) * std::f32::consts::LOG2_E;
    let rounded = powers + ROUND;
    let part = powers - (rounded - ROUND);
    // 2^part for −½ ≤ part ≤ ½: Taylor's series of e^(part·ln 2).
    let z = part * std::f32::consts::LN_2;
    let series = 1.0 + z * (1.0 + z * (0.5 + z * (1.0 / 6.0 + z * (1.0 / 24.0 + z * (1.0 / 120.0)))));
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    series * f32::from_bits(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::{Calibration, OutputSpec};

    fn spec(kind: HeadKind, activation: Activation, classes: &[u8], layout: TensorLayout, width: usize, height: usize) -> OutputSpec {
        let classes = classes.iter().map(|&id| ClassId(id)).collect();
        OutputSpec {
            name: "out".to_owned(),
            kind,
            activation,
            threshold: 0.5,
            calibration: Calibration::default(),
            classes,
            layout,
            width,
            height,
        }
    }

    fn whole(spec: &OutputSpec) -> Window {
        Window { x: 0, y: 0, width: spec.width, height: spec.height }
    }

    #[test]
    fn exp_is_close_over_its_whole_range() {
        for i in -8600..8600 {
            let x = i as f32 / 100.0;
            let expected = f64::from(x).exp();
            assert!((f64::from(exp(x)) - expected).abs() <= 2e-5 * expected, "{x}");
        }
        assert!(exp(-1e30) < 1e-37 && exp(1e30).is_finite());
    }

    #[test]
    fn softmax_labels_and_probabilities_match_a_plain_computation_in_both_layouts() {
        let (width, height, classes) = (70, 3, [0, 2, 4]);
        let logit = |c: usize, i: usize| ((i * 37 + c * 101) % 23) as f32 / 3.0 - 3.5;
        for layout in [TensorLayout::Nchw, TensorLayout::Nhwc] {
            let spec = spec(HeadKind::Tissue, Activation::Softmax, &classes, layout, width, height);
            let mut data = vec![0.0; spec.len()];
            for i in 0..width * height {
                for c in 0..3 {
                    let at = if layout == TensorLayout::Nchw { c * width * height + i } else { i * 3 + c };
                    data[at] = logit(c, i);
                }
            }
            let mut maps = Maps::default();
            maps.fill_alone(&[TensorView { spec: &spec, data: &data }], whole(&spec)).unwrap();
            for i in 0..width * height {
                let e = [0, 1, 2].map(|c| f64::from(logit(c, i)).exp());
                let p = e.map(|v| v / e.iter().sum::<f64>());
                for (c, probability) in p.iter().enumerate() {
                    assert!((f64::from(maps.tissue[c * width * height + i]) - probability).abs() < 1e-4);
                }
                let best = (0..3).max_by(|&a, &b| p[a].total_cmp(&p[b])).unwrap();
                if (p[best] - 0.5).abs() > 1e-4 {
                    assert_eq!(maps.mask[i], if p[best] > 0.5 { classes[best] } else { 0 });
                }
            }
        }
    }

    #[test]
    fn an_instrument_lies_on_top_and_keeps_its_class_in_the_mask() {
        let tissue = spec(HeadKind::Tissue, Activation::None, &[2], TensorLayout::Nchw, 4, 1);
        let instrument = spec(HeadKind::Instrument, Activation::Softmax, &[0, 5, 9], TensorLayout::Nchw, 4, 1);
        let tissue_values = [0.9, 0.9, 0.2, 0.9];
        // Background, grasper, hook. At pixel 1 neither tool reaches the threshold, both together do.
        let logits = [5.0, 0.0, 5.0, -5.0, 0.0, 0.3, 0.0, 5.0, 0.0, 0.1, 0.0, 0.0];
        let heads = [TensorView { spec: &tissue, data: &tissue_values }, TensorView { spec: &instrument, data: &logits }];
        let mut maps = Maps::default();
        maps.fill_alone(&heads, whole(&tissue)).unwrap();
        assert_eq!(maps.mask, [2, 5, 0, 5]);
        assert_eq!(maps.labels, [2, INSTRUMENT, NOTHING, INSTRUMENT]);
    }

    #[test]
    fn a_temperature_divides_the_logits_and_one_is_as_none() {
        for (activation, expected) in [(Activation::Sigmoid, [0.73106, 0.26894]), (Activation::Softmax, [0.88080, 0.11920])] {
            let mut hot = spec(HeadKind::Tissue, activation, &[2, 4], TensorLayout::Nchw, 1, 1);
            hot.calibration.temperature = 2.0;
            let mut maps = Maps::default();
            maps.fill_alone(&[TensorView { spec: &hot, data: &[2.0, -2.0] }], whole(&hot)).unwrap();
            assert!(maps.tissue.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-4), "{:?}", maps.tissue);
        }
    }

    /// The contract's order: instrument, else tissue, else 255 where a calibrated head abstains, else 0.
    #[test]
    fn a_calibrated_head_abstains_where_nothing_reaches_its_threshold_and_another_one_does_not() {
        let mut tissue = spec(HeadKind::Tissue, Activation::None, &[0, 2, 4], TensorLayout::Nchw, 4, 1);
        let mut instrument = spec(HeadKind::Instrument, Activation::None, &[13], TensorLayout::Nchw, 4, 1);
        // Liver, background, nothing, nothing under an instrument.
        let numbers = [0.1, 0.8, 0.4, 0.4, 0.8, 0.1, 0.3, 0.3, 0.1, 0.1, 0.3, 0.3];
        let mut masks = Vec::new();
        for is_calibrated in [false, true] {
            tissue.calibration.sure = is_calibrated.then(|| vec![1.0, 0.9, 0.9]);
            let tool = [0.0, 0.0, 0.0, 0.9];
            let heads = [TensorView { spec: &tissue, data: &numbers }, TensorView { spec: &instrument, data: &tool }];
            let mut maps = Maps::default();
            maps.fill_alone(&heads, whole(&tissue)).unwrap();
            assert_eq!(maps.labels, [2, NOTHING, NOTHING, INSTRUMENT], "what is abstained from has no outline");
            masks.push(maps.mask.clone());
        }
        assert_eq!(masks, [[2, 0, 0, 13], [2, 0, 255, 13]]);
        // Its threshold high, an instrument head is open between instrument and background.
        (instrument.threshold, instrument.calibration.sure) = (0.8, Some(vec![0.9]));
        let mut maps = Maps::default();
        maps.fill_alone(&[TensorView { spec: &instrument, data: &[0.9, 0.7, 0.3, 0.1] }], whole(&instrument)).unwrap();
        assert_eq!(maps.mask, [13, 255, 255, 0]);
    }

    /// A step in the picture is followed in its own frame, and where nothing moves a flickering answer is steadied.
    #[test]
    fn averaging_steadies_what_stands_still_and_delays_nothing_that_moves() {
        let spec = spec(HeadKind::Instrument, Activation::None, &[13], TensorLayout::Nchw, 16, 8);
        let still = |share: f32| {
            let mut stillness = Stillness::default();
            (stillness.width, stillness.height, stillness.share) = (2, 1, vec![share, 1.0]);
            stillness
        };
        let mut maps = Maps::default();
        let mut show = |value: f32, share: f32| {
            let data = vec![value; spec.len()];
            maps.fill_averaged(&[TensorView { spec: &spec, data: &data }], whole(&spec), &still(share)).unwrap();
            (maps.labels[0] == INSTRUMENT, maps.labels[15] == INSTRUMENT)
        };
        assert_eq!(show(0.9, 0.1), (true, true), "the first frame has nothing to be averaged with");
        for _ in 0..6 {
            assert_eq!(show(0.3, 0.1), (true, false));
            assert_eq!(show(0.9, 0.1), (true, true));
        }
        assert_eq!(show(0.1, 1.0), (false, false), "gone in the frame in which it has gone");
        assert_eq!(show(0.9, 1.0), (true, true));
    }

    #[test]
    fn one_number_that_is_none_is_noticed() {
        let spec = spec(HeadKind::Tissue, Activation::Softmax, &[0, 2], TensorLayout::Nchw, 70, 2);
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut data = vec![0.0; spec.len()];
            data[139] = value;
            assert_eq!(Maps::default().fill_alone(&[TensorView { spec: &spec, data: &data }], whole(&spec)), Err(NotFinite));
        }
    }
}
