//! The pairs of rows and columns whose scores sum to the most.

use crate::base::assign::{Assigner, FORBIDDEN};

/// Pairs (row, column) for `rows·columns` scores in 0..`most`; pairs that score 0 are left out.
pub fn best_pairs(rows: usize, columns: usize, most: f64, score: impl Fn(usize, usize) -> f64) -> Vec<(usize, usize)> {
    let mut assigner = Assigner::default();
    let scale = f64::from(FORBIDDEN) / 4.0 / most.max(1e-9);
    let cost = |row: usize, column: usize| ((most - score(row, column)) * scale) as f32;
    let columns_of = assigner.assign(rows, columns, cost);
    let pairs = columns_of.iter().enumerate().filter_map(|(row, column)| Some((row, (*column)?)));
    pairs.filter(|&(row, column)| score(row, column) > 0.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_counts_and_not_the_single_best() {
        let scores = [[0.9, 0.8], [0.8, 0.0]];
        assert_eq!(best_pairs(2, 2, 1.0, |r, c| scores[r][c]), [(0, 1), (1, 0)]);
        assert_eq!(best_pairs(1, 2, 1.0, |_, _| 0.0), []);
        assert_eq!(best_pairs(0, 3, 1.0, |_, _| 1.0), []);
    }
}
