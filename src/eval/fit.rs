//! Logits with what was true: what a temperature is fitted to.

/// Has no class, or one that the head does not know.
pub const NO_CHANNEL: u8 = u8::MAX;

/// Pixels of one head.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    /// Over the channels together; else each channel on its own.
    pub is_softmax: bool,
    pub channels: usize,
    /// `channels` a pixel.
    pub logits: Vec<f32>,
    /// The true channel of each pixel.
    pub truth: Vec<u8>,
    /// How much each pixel counts.
    pub weight: Vec<f32>,
}

impl Logits {
    pub fn new(is_softmax: bool, channels: usize) -> Self {
        Logits { is_softmax, channels, logits: Vec::new(), truth: Vec::new(), weight: Vec::new() }
    }

    /// Mean negative log likelihood at a temperature: what `fit_temperature` makes least. 0 without pixels.
    pub fn loss(&self, temperature: f32) -> f64 {
        let cold = 1.0 / f64::from(temperature);
        let (mut sum, mut all) = (0.0, 0.0);
        for ((logits, &truth), &weight) in self.logits.chunks_exact(self.channels.max(1)).zip(&self.truth).zip(&self.weight) {
            let weight = f64::from(weight);
            all += weight;
            sum += weight * if self.is_softmax { softmax(logits, truth, cold) } else { sigmoids(logits, truth, cold) };
        }
        if all > 0.0 { sum / all } else { 0.0 }
    }
}

fn softmax(logits: &[f32], truth: u8, cold: f64) -> f64 {
    let Some(&of_truth) = logits.get(usize::from(truth)) else { return 0.0 };
    let most = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = logits.iter().map(|&v| (f64::from(v - most) * cold).exp()).sum();
    sum.ln() - f64::from(of_truth - most) * cold
}

fn sigmoids(logits: &[f32], truth: u8, cold: f64) -> f64 {
    let of = |(channel, &logit): (usize, &f32)| {
        let towards = if channel == usize::from(truth) { -f64::from(logit) } else { f64::from(logit) } * cold;
        // ln(1 + e^x), for large x too.
        towards.max(0.0) + (-towards.abs()).exp().ln_1p()
    };
    logits.iter().enumerate().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::fit_temperature;

    /// Of each pair of logits as many pixels of either class as it stands for at the true temperature.
    #[test]
    fn a_head_of_either_kind_is_brought_to_its_temperature() {
        for (is_softmax, heat) in [(true, 2.5f64), (false, 0.6)] {
            let mut pixels = Logits::new(is_softmax, if is_softmax { 2 } else { 1 });
            for i in -30i16..=30 {
                let logit = f32::from(i) / 5.0;
                let p = 1.0 / (1.0 + (-f64::from(logit) / heat).exp());
                for (truth, weight) in [(0, p), (if is_softmax { 1 } else { NO_CHANNEL }, 1.0 - p)] {
                    pixels.logits.extend_from_slice(&[logit, 0.0][..pixels.channels]);
                    pixels.truth.push(truth);
                    pixels.weight.push(weight as f32);
                }
            }
            let fitted = fit_temperature(|temperature| pixels.loss(temperature));
            assert!((f64::from(fitted) / heat - 1.0).abs() < 2e-3, "{fitted} for {heat}");
            assert!(pixels.loss(fitted) < pixels.loss(1.0));
        }
    }

    #[test]
    fn what_is_far_off_costs_much_and_never_without_end() {
        let mut pixels = Logits::new(false, 1);
        assert_eq!(pixels.loss(1.0), 0.0);
        (pixels.logits, pixels.truth, pixels.weight) = (vec![3e4], vec![NO_CHANNEL], vec![1.0]);
        assert!((pixels.loss(1.0) - 3e4).abs() < 1.0);
        let mut softmax = Logits::new(true, 2);
        (softmax.logits, softmax.truth, softmax.weight) = (vec![3e4, -3e4], vec![1], vec![1.0]);
        assert!((softmax.loss(1.0) - 6e4).abs() < 1.0);
    }
}
