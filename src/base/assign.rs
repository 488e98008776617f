//! The cheapest way to give each row at most one column (Hungarian method with potentials, Kuhn 1955, Munkres 1957;
//! O(rows² · columns)).

/// Costs at and above this are never chosen.
pub const FORBIDDEN: f32 = 1e6;

/// Kept from frame to frame, so that nothing is allocated.
#[derive(Debug, Default)]
pub struct Assigner {
    row_potential: Vec<f64>,
    column_potential: Vec<f64>,
    /// Row of each column, from 1; 0 is none. Column 0 stands for the row that is being placed.
    row_of: Vec<usize>,
    came_from: Vec<usize>,
    least: Vec<f64>,
    done: Vec<bool>,
    columns_of: Vec<Option<usize>>,
}

impl Assigner {
    /// `cost(row, column)`, each 0 or more, for `rows · columns`. Returns the column of each row. Leaving a row without a
    /// column costs `FORBIDDEN`.
    pub fn assign(&mut self, rows: usize, columns: usize, cost: impl Fn(usize, usize) -> f32) -> &[Option<usize>] {
        // `rows` columns more, in which a row may stay without one.
        let all = columns + rows;
        let priced = |row: usize, column: usize| f64::from(if column < columns { cost(row, column).min(FORBIDDEN) } else { FORBIDDEN });
        reset(&mut self.row_potential, rows + 1, 0.0);
        reset(&mut self.column_potential, all + 1, 0.0);
        reset(&mut self.row_of, all + 1, 0);
        reset(&mut self.came_from, all + 1, 0);
        for row in 1..=rows {
            self.row_of[0] = row;
            let mut column = 0;
            reset(&mut self.least, all + 1, f64::INFINITY);
            reset(&mut self.done, all + 1, false);
            while self.row_of[column] != 0 {
                self.done[column] = true;
                let from = self.row_of[column];
                let (mut step, mut next) = (f64::INFINITY, 0);
                for other in (1..=all).filter(|&other| !self.done[other]) {
                    let slack = priced(from - 1, other - 1) - self.row_potential[from] - self.column_potential[other];
                    if slack < self.least[other] {
                        self.least[other] = slack;
                        self.came_from[other] = column;
                    }
                    if self.least[other] < step {
                        (step, next) = (self.least[other], other);
                    }
                }
                for other in 0..=all {
                    if self.done[other] {
                        self.row_potential[self.row_of[other]] += step;
                        self.column_potential[other] -= step;
                    } else {
                        self.least[other] -= step;
                    }
                }
                column = next;
            }
            while column != 0 {
                let before = self.came_from[column];
                self.row_of[column] = self.row_of[before];
                column = before;
            }
        }
        reset(&mut self.columns_of, rows, None);
        for column in 0..columns {
            let row = self.row_of[column + 1];
            if row > 0 && cost(row - 1, column) < FORBIDDEN {
                self.columns_of[row - 1] = Some(column);
            }
        }
        &self.columns_of
    }
}

fn reset<T: Clone>(list: &mut Vec<T>, length: usize, value: T) {
    list.clear();
    list.resize(length, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Tries everything.
    fn cheapest(costs: &[Vec<f32>], row: usize, taken: &mut Vec<bool>) -> f64 {
        if row == costs.len() {
            return 0.0;
        }
        let mut best = f64::from(FORBIDDEN) + cheapest(costs, row + 1, taken);
        for column in 0..taken.len() {
            if !taken[column] && costs[row][column] < FORBIDDEN {
                taken[column] = true;
                best = best.min(f64::from(costs[row][column]) + cheapest(costs, row + 1, taken));
                taken[column] = false;
            }
        }
        best
    }

    proptest! {
        #[test]
        fn no_other_assignment_is_cheaper(rows in 0usize..6, columns in 0usize..6,
            flat in proptest::collection::vec(prop_oneof![4 => 0.0f32..10.0, 1 => Just(FORBIDDEN)], 36)) {
            let costs: Vec<Vec<f32>> = (0..rows).map(|r| (0..columns).map(|c| flat[r * 6 + c]).collect()).collect();
            let mut assigner = Assigner::default();
            let found = assigner.assign(rows, columns, |r, c| costs[r][c]).to_vec();
            let mut taken = vec![false; columns];
            let mut total = 0.0;
            for (row, column) in found.iter().enumerate() {
                match column {
                    Some(column) => {
                        prop_assert!(!std::mem::replace(&mut taken[*column], true), "a column was given twice");
                        prop_assert!(costs[row][*column] < FORBIDDEN);
                        total += f64::from(costs[row][*column]);
                    }
                    None => total += f64::from(FORBIDDEN),
                }
            }
            let best = cheapest(&costs, 0, &mut vec![false; columns]);
            prop_assert!((total - best).abs() < 1e-3, "{total}, but {best} is possible");
        }
    }
}
