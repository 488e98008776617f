//! What a figure means where the thing is as rare, or as common, as somebody says: predictive value by Bayes' theorem (Altman and Bland,
//! BMJ 309 (1994) 102), and how often it is called where it is not. Counted in pictures, since a viewer is disturbed by a picture.

use super::regions::Counts;
use serde::Serialize;

/// Found in a picture: on at least this part of its labelled pixels. Less is not drawn as a tissue either.
pub const FOUND_FROM: f64 = 0.002;

/// How common a class is, and how many pictures are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Prevalence {
    /// Part of the pictures that have it, 0..1.
    pub prevalence: f64,
    pub pictures_a_second: f64,
}

/// Of the pixels of one class in one picture: is it there, is it found?
pub fn seen(pixels: Counts) -> Counts {
    let all = pixels.both + pixels.only_found + pixels.only_truth + pixels.neither;
    let is_there = pixels.both + pixels.only_truth > 0;
    let is_found = pixels.both + pixels.only_found > 0 && (pixels.both + pixels.only_found) as f64 >= FOUND_FROM * all as f64;
    Counts {
        both: u64::from(is_there && is_found),
        only_found: u64::from(!is_there && is_found),
        only_truth: u64::from(is_there && !is_found),
        neither: u64::from(!is_there && !is_found),
    }
}

impl Prevalence {
    /// p·se / (p·se + (1 − p)·(1 − sp)). None where sensitivity or specificity is not known, or nothing is found at all.
    pub fn ppv(&self, pictures: Counts) -> Option<f64> {
        let (sensitivity, specificity) = (pictures.sensitivity()?, pictures.specificity()?);
        let (right, wrong) = (self.prevalence * sensitivity, (1.0 - self.prevalence) * (1.0 - specificity));
        (right + wrong > 0.0).then(|| right / (right + wrong))
    }

    /// Pictures a minute in which it is called and is not there: (1 − p)·(1 − sp)·60·pictures a second.
    pub fn false_positives_a_minute(&self, pictures: Counts) -> Option<f64> {
        Some((1.0 - self.prevalence) * (1.0 - pictures.specificity()?) * 60.0 * self.pictures_a_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rare_thing_is_mostly_called_wrongly() {
        // Sensitivity 0.9, specificity 0.8.
        let pictures = Counts { both: 9, only_truth: 1, only_found: 20, neither: 80 };
        let at = |prevalence| Prevalence { prevalence, pictures_a_second: 25.0 };
        assert!((at(0.01).ppv(pictures).unwrap() - 0.009 / (0.009 + 0.198)).abs() < 1e-12);
        assert!((at(0.5).ppv(pictures).unwrap() - 0.9 / 1.1).abs() < 1e-12);
        assert!((at(0.01).false_positives_a_minute(pictures).unwrap() - 0.99 * 0.2 * 1500.0).abs() < 1e-9);
        // At the sample's own prevalence it is the sample's own predictive value.
        let own = at(10.0 / 110.0).ppv(pictures).unwrap();
        assert!((own - pictures.ppv().unwrap()).abs() < 1e-12);
        assert_eq!(at(0.5).ppv(Counts { both: 3, ..Counts::default() }), None, "nobody was without it");
        assert_eq!(at(0.0).ppv(Counts { both: 3, neither: 4, ..Counts::default() }), None, "nothing would be called");
    }

    #[test]
    fn a_speck_is_not_found_and_one_labelled_pixel_is_there() {
        let counts = |both, only_found, only_truth| Counts { both, only_found, only_truth, neither: 1000 - both - only_found - only_truth };
        assert_eq!(seen(counts(2, 0, 500)).both, 1);
        assert_eq!(seen(counts(1, 0, 0)).only_truth, 1);
        assert_eq!(seen(counts(0, 1, 0)).neither, 1);
        assert_eq!(seen(counts(0, 2, 0)).only_found, 1);
        assert_eq!(seen(Counts::default()).neither, 1);
    }
}
