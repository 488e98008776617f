//! Instance masks: coefficients × prototypes → a map of one instrument, decoded as any map is (outline, tip, axis).

use super::boxes::Candidate;
use crate::base::ids::ClassId;
use crate::infer::{Activation, Calibration, Field, Fit, HeadKind, InputSpec, OutputSpec, Prototypes, TensorLayout, TensorView};
use crate::scene::ClassMask;
use crate::track::decode::{Decoder, Detection};

/// Probability from which a pixel belongs to an instance; its box had to reach the head's own threshold already.
const MASK_THRESHOLD: f32 = 0.5;
/// A number that is no mask at any threshold: outside the box.
const OUTSIDE: f32 = -20.0;

/// Makes masks; its working memory is kept.
#[derive(Debug)]
pub struct Instances {
    coefficients: Field,
    prototypes: Prototypes,
    /// Prototype pixels an input pixel.
    ratio: [f32; 2],
    decoder: Decoder,
    spec: OutputSpec,
    numbers: Vec<f32>,
}

impl Instances {
    pub fn new((coefficients, prototypes): (Field, Prototypes), input: &InputSpec) -> Self {
        let spec = OutputSpec {
            name: String::new(),
            kind: HeadKind::Instrument,
            activation: Activation::Sigmoid,
            threshold: MASK_THRESHOLD,
            calibration: Calibration::default(),
            classes: vec![ClassId::BACKGROUND],
            layout: TensorLayout::Nchw,
            width: prototypes.width,
            height: prototypes.height,
        };
        let ratio = [prototypes.width as f32 / input.width as f32, prototypes.height as f32 / input.height as f32];
        Instances { coefficients, prototypes, ratio, decoder: Decoder::new(input.clone()), spec, numbers: Vec::new() }
    }

    /// What `candidate` looks like (its largest piece), with the mask. None: nothing of it is in its box, or the numbers are none.
    pub fn shape<'t>(
        &mut self,
        candidate: &Candidate,
        tensor: &dyn Fn(usize) -> &'t [f32],
        fit: Fit,
        picture: [usize; 2],
    ) -> Option<(Detection, ClassMask)> {
        self.weigh(candidate, tensor);
        self.spec.classes[0] = candidate.class;
        // One thing on its own: nothing of the last one may be remembered.
        self.decoder.forget();
        let view = TensorView { spec: &self.spec, data: &self.numbers };
        let decoded = self.decoder.decode(&[view], fit, picture);
        decoded.instruments.into_iter().next().map(|largest| (largest, decoded.mask))
    }

    /// The instance's numbers in its box, `OUTSIDE` beyond it.
    fn weigh<'t>(&mut self, candidate: &Candidate, tensor: &dyn Fn(usize) -> &'t [f32]) {
        let Prototypes { width, height, count, prototype_step, pixel_step, tensor: planes } = self.prototypes;
        let (weights, planes) = (tensor(self.coefficients.tensor), tensor(planes));
        self.numbers.clear();
        self.numbers.resize(width * height, OUTSIDE);
        let [x0, y0, x1, y1] = candidate.bbox;
        let range = |from: f32, to: f32, ratio: f32, side: usize| {
            let from = ((from * ratio).floor().max(0.0) as usize).min(side);
            from..((to * ratio).ceil().max(0.0) as usize).clamp(from, side)
        };
        let (columns, rows) = (range(x0, x1, self.ratio[0], width), range(y0, y1, self.ratio[1], height));
        for y in rows {
            let row = &mut self.numbers[y * width..][columns.clone()];
            row.fill(0.0);
            for k in 0..count {
                let weight = weights[self.coefficients.at(k, candidate.proposal)];
                let start = k * prototype_step + (y * width + columns.start) * pixel_step;
                if pixel_step == 1 {
                    row.iter_mut().zip(&planes[start..]).for_each(|(sum, value)| *sum += weight * value);
                } else {
                    row.iter_mut().zip(planes[start..].iter().step_by(pixel_step)).for_each(|(sum, value)| *sum += weight * value);
                }
            }
        }
    }
}
