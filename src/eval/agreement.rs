//! How far the people agree who labelled the same pictures, over a whole data set.

use super::mask::Mask;
use super::raters::{Rater, Votes};
use crate::base::classes;
use crate::base::ids::ClassId;
use serde::Serialize;
use std::collections::BTreeMap;

/// Collects pictures that several people labelled.
pub struct Agreement {
    classes: Vec<ClassId>,
    raters: Vec<String>,
    pictures: usize,
    /// By who labelled them (indices of raters), a class each.
    votes: BTreeMap<Vec<usize>, Vec<Votes>>,
}

/// Of the pictures that the same people labelled; pixels of all of them are pooled.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassAgreement {
    pub class: String,
    pub raters: Vec<String>,
    /// Mean over pairs of raters.
    pub dice: Option<f64>,
    pub cohen_kappa: Option<f64>,
    pub fleiss_kappa: Option<f64>,
    /// Each rater against what STAPLE makes of all of them; none of two.
    pub staple: Vec<Rater>,
}

impl Agreement {
    pub fn new(classes: Vec<ClassId>, raters: Vec<String>) -> Self {
        Agreement { classes, raters, pictures: 0, votes: BTreeMap::new() }
    }

    /// Masks of one size, each with its rater's index. Fewer than two say nothing.
    pub fn push(&mut self, opinions: &[(usize, Mask)]) {
        if opinions.len() < 2 {
            return;
        }
        self.pictures += 1;
        let who: Vec<usize> = opinions.iter().map(|(rater, _)| *rater).collect();
        let masks: Vec<&[u8]> = opinions.iter().map(|(_, mask)| &mask.ids[..]).collect();
        let votes = self.votes.entry(who).or_insert_with(|| vec![Votes::new(masks.len()); self.classes.len()]);
        votes.iter_mut().zip(&self.classes).for_each(|(votes, class)| votes.push(&masks, class.0));
    }

    pub fn pictures(&self) -> usize {
        self.pictures
    }

    /// Classes that somebody marked.
    pub fn summary(&self) -> Vec<ClassAgreement> {
        let of = |who: &Vec<usize>, class: &ClassId, votes: &Votes| ClassAgreement {
            class: classes::table().name(*class).to_owned(),
            raters: who.iter().map(|rater| self.raters.get(*rater).cloned().unwrap_or_default()).collect(),
            dice: votes.mean_dice(),
            cohen_kappa: votes.cohen(),
            fleiss_kappa: votes.fleiss(),
            staple: votes.staple().map_or_else(Vec::new, |staple| staple.raters),
        };
        let each = self.votes.iter().flat_map(|(who, votes)| self.classes.iter().zip(votes).map(move |(class, votes)| (who, class, votes)));
        each.map(|(who, class, votes)| of(who, class, votes)).filter(|of| of.dice.is_some()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_labelled_the_same_pictures_are_compared() {
        let mask = |ids: &[u8]| Mask { width: ids.len(), height: 1, ids: ids.to_vec() };
        let mut agreement = Agreement::new(vec![ClassId(2), ClassId(4)], vec!["anna".into(), "ben".into(), "cleo".into()]);
        agreement.push(&[(0, mask(&[2, 2, 0, 0])), (2, mask(&[2, 0, 0, 0]))]);
        agreement.push(&[(0, mask(&[2, 0, 0, 0])), (2, mask(&[2, 0, 0, 0]))]);
        agreement.push(&[(1, mask(&[2, 0, 0, 0]))]);
        let told = agreement.summary();
        assert_eq!((told.len(), agreement.pictures()), (1, 2));
        assert_eq!((told[0].class.as_str(), &told[0].raters[..]), ("liver", &["anna".to_owned(), "cleo".to_owned()][..]));
        assert_eq!(told[0].dice, Some(4.0 / 5.0));
        assert!(told[0].staple.is_empty(), "two cannot be told apart");
    }
}
