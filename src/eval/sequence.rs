//! Tracking metrics over one sequence, as TrackEval computes them: HOTA (Luiten et al. 2021, arXiv:2009.07736), IDF1
//! (Ristani et al. 2016, arXiv:1609.01775), CLEAR MOT (Bernardin and Stiefelhagen 2008).

use super::assignment::best_pairs;
use serde::Serialize;
use std::collections::BTreeMap;

/// Localisation thresholds of HOTA: 0.05, 0.10 … 0.95.
const ALPHAS: usize = 19;
/// Similarity from which IDF1 and CLEAR call two the same.
const MATCHED_FROM: f32 = 0.5;

fn alpha(index: usize) -> f32 {
    0.05 * (index + 1) as f32
}

/// Who was there and who was found, frame after frame.
#[derive(Debug, Clone, Default)]
pub struct Sequence {
    truth: Ids,
    found: Ids,
    frames: Vec<Frame>,
}

#[derive(Debug, Clone, Default)]
struct Ids {
    index_of: BTreeMap<u32, usize>,
    /// Frames in which each is.
    frames: Vec<u32>,
}

impl Ids {
    fn note(&mut self, id: u32) -> usize {
        let next = self.frames.len();
        let index = *self.index_of.entry(id).or_insert(next);
        if index == next {
            self.frames.push(0);
        }
        self.frames[index] += 1;
        index
    }

    /// Others that are none of these. Who they were is not kept: no more frames can be pushed that go on with them.
    fn append(&mut self, other: &Ids) {
        self.frames.extend_from_slice(&other.frames);
    }

    fn len(&self) -> usize {
        self.frames.len()
    }

    fn total(&self) -> u32 {
        self.frames.iter().sum()
    }
}

#[derive(Debug, Clone)]
struct Frame {
    truth: Vec<usize>,
    found: Vec<usize>,
    /// `truth · found`, row by row, each 0..1.
    similarity: Vec<f32>,
}

impl Frame {
    fn at(&self, row: usize, column: usize) -> f32 {
        self.similarity[row * self.found.len() + column]
    }
}

/// Means over the thresholds, each 0..1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Hota {
    pub hota: f32,
    /// How well things are found.
    pub det_a: f32,
    /// How well they keep who they are.
    pub ass_a: f32,
    /// Mean similarity of what was matched.
    pub loc_a: f32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Identity {
    pub idf1: f32,
    pub precision: f32,
    pub recall: f32,
}

/// CLEAR MOT at similarity 0.5.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Clear {
    pub mota: f32,
    pub missed: u32,
    pub invented: u32,
    pub switches: u32,
    /// Objects of the truth, summed over frames.
    pub truth: u32,
}

impl Sequence {
    /// One frame: ids of the truth and of what was found, each once, and how alike two are (0..1, as IoU).
    pub fn push(&mut self, truth: &[u32], found: &[u32], similarity: impl Fn(usize, usize) -> f32) {
        let alike = (0..truth.len()).flat_map(|row| (0..found.len()).map(move |column| (row, column)));
        let similarity = alike.map(|(row, column)| similarity(row, column).clamp(0.0, 1.0)).collect();
        let truth = truth.iter().map(|&id| self.truth.note(id)).collect();
        let found = found.iter().map(|&id| self.found.note(id)).collect();
        self.frames.push(Frame { truth, found, similarity });
    }

    /// Another sequence with ids of its own, as if it came after this one: figures are then those of both together, as TrackEval
    /// combines sequences.
    pub fn append(&mut self, other: &Sequence) {
        let (truth, found) = (self.truth.len(), self.found.len());
        self.truth.append(&other.truth);
        self.found.append(&other.found);
        let moved = |frame: &Frame| Frame {
            truth: frame.truth.iter().map(|index| index + truth).collect(),
            found: frame.found.iter().map(|index| index + found).collect(),
            similarity: frame.similarity.clone(),
        };
        self.frames.extend(other.frames.iter().map(moved));
    }

    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Nothing there and nothing found is perfect.
    pub fn hota(&self) -> Hota {
        if self.truth.total() + self.found.total() == 0 {
            return Hota { hota: 1.0, det_a: 1.0, ass_a: 1.0, loc_a: 1.0 };
        }
        let (rows, columns) = (self.truth.len(), self.found.len());
        let together = |row: usize, column: usize, common: f64| {
            let all = f64::from(self.truth.frames[row] + self.found.frames[column]) - common;
            if all > 0.0 { common / all } else { 0.0 }
        };
        // How well two belong together over the whole sequence decides who is matched in a frame.
        let mut potential = vec![0f64; rows * columns];
        for frame in &self.frames {
            let row_sum: Vec<f32> = (0..frame.truth.len()).map(|r| (0..frame.found.len()).map(|c| frame.at(r, c)).sum()).collect();
            let column_sum: Vec<f32> = (0..frame.found.len()).map(|c| (0..frame.truth.len()).map(|r| frame.at(r, c)).sum()).collect();
            for (r, &row) in frame.truth.iter().enumerate() {
                for (c, &column) in frame.found.iter().enumerate() {
                    let all = row_sum[r] + column_sum[c] - frame.at(r, c);
                    if all > 0.0 {
                        potential[row * columns + column] += f64::from(frame.at(r, c) / all);
                    }
                }
            }
        }
        let mut matched = vec![0u32; ALPHAS * rows * columns];
        let (mut hits, mut likeness) = ([0u32; ALPHAS], [0f64; ALPHAS]);
        for frame in &self.frames {
            let score = |r: usize, c: usize| {
                let (row, column) = (frame.truth[r], frame.found[c]);
                together(row, column, potential[row * columns + column]) * f64::from(frame.at(r, c))
            };
            for (r, c) in best_pairs(frame.truth.len(), frame.found.len(), 1.0, score) {
                for a in (0..ALPHAS).take_while(|&a| frame.at(r, c) >= alpha(a) - 1e-6) {
                    hits[a] += 1;
                    likeness[a] += f64::from(frame.at(r, c));
                    matched[(a * rows + frame.truth[r]) * columns + frame.found[c]] += 1;
                }
            }
        }
        let (mut sum, all) = ([0f64; 4], self.truth.total() + self.found.total());
        for a in 0..ALPHAS {
            let det_a = f64::from(hits[a]) / f64::from(all - hits[a]);
            let mut ass_a = 0.0;
            for row in 0..rows {
                for column in 0..columns {
                    let count = f64::from(matched[(a * rows + row) * columns + column]);
                    ass_a += count * together(row, column, count);
                }
            }
            ass_a /= f64::from(hits[a].max(1));
            // Nothing matched at this threshold: located as badly as the threshold allows, as TrackEval has it.
            let loc_a = if hits[a] > 0 { likeness[a] / f64::from(hits[a]) } else { 1.0 };
            for (sum, value) in sum.iter_mut().zip([(det_a * ass_a).sqrt(), det_a, ass_a, loc_a]) {
                *sum += value / ALPHAS as f64;
            }
        }
        let [hota, det_a, ass_a, loc_a] = sum.map(|v| v as f32);
        Hota { hota, det_a, ass_a, loc_a }
    }

    pub fn identity(&self) -> Identity {
        let (rows, columns) = (self.truth.len(), self.found.len());
        let (truth, found) = (self.truth.total(), self.found.total());
        if truth + found == 0 {
            return Identity { idf1: 1.0, precision: 1.0, recall: 1.0 };
        }
        let mut common = vec![0u32; rows * columns];
        for frame in &self.frames {
            for (r, &row) in frame.truth.iter().enumerate() {
                for (_, &column) in frame.found.iter().enumerate().filter(|&(c, _)| frame.at(r, c) >= MATCHED_FROM) {
                    common[row * columns + column] += 1;
                }
            }
        }
        let score = |row: usize, column: usize| f64::from(common[row * columns + column]);
        let most = f64::from(common.iter().copied().max().unwrap_or(0));
        let right: f64 = best_pairs(rows, columns, most, score).into_iter().map(|(row, column)| score(row, column)).sum();
        let part = |of: f64| if of > 0.0 { (right / of) as f32 } else { 0.0 };
        Identity { idf1: part(f64::from(truth + found) / 2.0), precision: part(f64::from(found)), recall: part(f64::from(truth)) }
    }

    pub fn clear(&self) -> Clear {
        let mut clear = Clear { truth: self.truth.total(), ..Clear::default() };
        // Whom each was matched with last, and whether that was in the frame before.
        let mut last: Vec<Option<usize>> = vec![None; self.truth.len()];
        let mut before: Vec<Option<usize>> = vec![None; self.truth.len()];
        for frame in &self.frames {
            let score = |r: usize, c: usize| {
                let alike = frame.at(r, c);
                let goes_on = before[frame.truth[r]] == Some(frame.found[c]);
                if alike < MATCHED_FROM { 0.0 } else { f64::from(alike) + if goes_on { 10.0 } else { 0.0 } }
            };
            let pairs = best_pairs(frame.truth.len(), frame.found.len(), 11.0, score);
            before.fill(None);
            clear.missed += (frame.truth.len() - pairs.len()) as u32;
            clear.invented += (frame.found.len() - pairs.len()) as u32;
            for (r, c) in pairs {
                let (row, column) = (frame.truth[r], frame.found[c]);
                clear.switches += u32::from(last[row].is_some_and(|other| other != column));
                (last[row], before[row]) = (Some(column), Some(column));
            }
        }
        let wrong = f64::from(clear.missed + clear.invented + clear.switches);
        clear.mota = if clear.truth > 0 { (1.0 - wrong / f64::from(clear.truth)) as f32 } else { 0.0 };
        clear
    }
}

#[cfg(test)]
#[path = "sequence_tests.rs"]
mod tests;
