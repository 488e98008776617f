//! Finding the marker anywhere in a capture: its four finders by the runs 1 1 3 1 1 of black and white in rows and columns,
//! whatever the scale of each axis. Rough: `reader` refines and judges what is found here.

use super::geometry::Geometry;
use super::layout::{COLUMNS, FINDER, FINDERS};
use super::reader::Capture;

/// A row in this many is looked at: a finder's middle is 9 pixels high where a block has 3.
const ROW_STEP: usize = 4;
/// More in one capture is a texture, not a marker.
const MAX_FINDERS: usize = 40;
/// Least module, in pixels.
const MIN_MODULE_PX: f32 = 2.5;
/// Height of a block over its width, or the other way: 0.5 against 2, and ±5 %.
const MAX_ASPECT: f32 = 4.5;
/// Sums of 3 × 3 pixels.
const SUM: u16 = 9;

#[derive(Debug, Clone, Copy)]
struct Finder {
    at: [f32; 2],
    /// Width and height of a block here.
    module: [f32; 2],
}

/// A crossing between a local maximum and a local minimum.
#[derive(Debug, Clone, Copy)]
struct Edge {
    at: f32,
    /// White to black.
    falls: bool,
}

/// Buffers that are kept between searches.
#[derive(Debug, Default)]
pub(super) struct Search {
    line: Vec<u16>,
    sums: Vec<u16>,
    turns: Vec<(usize, u16)>,
    edges: Vec<Edge>,
    column_edges: Vec<Edge>,
    finders: Vec<Finder>,
}

impl Search {
    /// Offers each set of four finders that could be the marker's to `accept`, until it takes one.
    pub fn run<T>(&mut self, capture: &Capture<'_>, mut accept: impl FnMut(Geometry) -> Option<T>) -> Option<T> {
        let contrast = capture.contrast();
        // A swing that noise does not make comes first, then one for a marker that is dimmer than its surroundings.
        for part in [50, 30] {
            let swing = (u32::from(contrast) * u32::from(SUM) * part / 100) as u16;
            if swing < SUM * 8 {
                return None;
            }
            self.find_finders(capture, swing);
            if let Some(found) = self.sets(&mut accept) {
                return Some(found);
            }
        }
        None
    }

    fn find_finders(&mut self, capture: &Capture<'_>, swing: u16) {
        self.finders.clear();
        for y in (1..capture.height.saturating_sub(1)).step_by(ROW_STEP) {
            self.row(capture, y, 0, capture.width);
            find_edges(&self.line, swing, &mut self.turns, &mut self.edges);
            for first in 0..self.edges.len().saturating_sub(5) {
                let Some((x, width)) = pattern(&self.edges[first..first + 6]) else { continue };
                let known = |f: &Finder| {
                    (f.at[0] - x).abs() < 2.0 * f.module[0] && (f.at[1] - y as f32).abs() < 2.0 * f.module[1].max(ROW_STEP as f32)
                };
                if self.finders.iter().any(known) {
                    continue;
                }
                if let Some(finder) = self.confirm(capture, swing, x, y as f32 + 0.5, width)
                    && !self
                        .finders
                        .iter()
                        .any(|f| (f.at[0] - finder.at[0]).abs() < f.module[0] && (f.at[1] - finder.at[1]).abs() < f.module[1])
                {
                    self.finders.push(finder);
                    if self.finders.len() == MAX_FINDERS {
                        return;
                    }
                }
            }
        }
    }

    /// Across and down through the middle that was found, twice.
    fn confirm(&mut self, capture: &Capture<'_>, swing: u16, mut x: f32, mut y: f32, mut width: f32) -> Option<Finder> {
        let mut height = 0.0;
        for _ in 0..2 {
            let reach = if height > 0.0 { 6.0 * height } else { 4.5 * MAX_ASPECT * width };
            let from = self.column(capture, x as usize, y, reach)?;
            find_edges(&self.line, swing, &mut self.turns, &mut self.column_edges);
            let (middle, module) = around(&self.column_edges, y - from as f32)?;
            (y, height) = (middle + from as f32, module);
            let from = (x - 6.0 * width).max(0.0) as usize;
            self.row(capture, y as usize, from, ((x + 6.0 * width) as usize).min(capture.width));
            find_edges(&self.line, swing, &mut self.turns, &mut self.column_edges);
            let (middle, module) = around(&self.column_edges, x - from as f32)?;
            (x, width) = (middle + from as f32, module);
        }
        let aspect = height / width;
        (1.0 / MAX_ASPECT..MAX_ASPECT).contains(&aspect).then_some(Finder { at: [x, y], module: [width, height] })
    }

    /// Sums of 3 × 3 pixels of row `y` from column `from` to `to`.
    fn row(&mut self, capture: &Capture<'_>, y: usize, from: usize, to: usize) {
        self.sums.clear();
        self.line.clear();
        let y = y.clamp(1, capture.height - 2);
        let [above, here, below] = [y - 1, y, y + 1].map(|y| capture.row(y));
        let step = capture.step;
        for x in from..to {
            let at = x * step;
            self.sums.push(u16::from(above[at]) + u16::from(here[at]) + u16::from(below[at]));
        }
        smooth(&self.sums, &mut self.line);
    }

    /// The same of column `x`, `reach` pixels up and down from `y`; returns the first row.
    fn column(&mut self, capture: &Capture<'_>, x: usize, y: f32, reach: f32) -> Option<usize> {
        let x = x.clamp(1, capture.width.checked_sub(2)?);
        let (from, to) = ((y - reach).max(0.0) as usize, ((y + reach) as usize).min(capture.height));
        self.sums.clear();
        self.line.clear();
        let step = capture.step;
        for row in (from..to).map(|y| capture.row(y)) {
            let at = x * step;
            self.sums.push(u16::from(row[at - step]) + u16::from(row[at]) + u16::from(row[at + step]));
        }
        smooth(&self.sums, &mut self.line);
        Some(from)
    }

    /// Every four that stand as the marker's finders do, upright, within the distortion that is allowed.
    fn sets<T>(&self, accept: &mut impl FnMut(Geometry) -> Option<T>) -> Option<T> {
        let blocks = FINDERS.map(|(column, row)| [column, row].map(|v| v as f64 + FINDER as f64 / 2.0));
        let (columns, rows) = ((blocks[1][0] - blocks[0][0]) as f32, (blocks[2][1] - blocks[0][1]) as f32);
        let near = |is: f32, should: f32| (is - should).abs() < 0.2 * should;
        for a in &self.finders {
            for b in &self.finders {
                let right = [b.at[0] - a.at[0], b.at[1] - a.at[1]];
                let module = [0, 1].map(|i| (a.module[i] + b.module[i]) / 2.0);
                if !near(right[0], columns * module[0]) || right[1].abs() > 0.25 * right[0] {
                    continue;
                }
                for c in &self.finders {
                    let down = [c.at[0] - a.at[0], c.at[1] - a.at[1]];
                    if !near(down[1], rows * module[1]) || down[0].abs() > 0.5 * down[1] {
                        continue;
                    }
                    let fourth = [0, 1].map(|i| a.at[i] + right[i] + down[i]);
                    let misses = |f: &Finder| [0, 1].map(|i| (f.at[i] - fourth[i]).abs() / module[i]);
                    for d in self.finders.iter().filter(|d| misses(d).iter().all(|&blocks| blocks < 0.12 * COLUMNS as f32)) {
                        let pixels = [a, b, c, d].map(|f| f.at.map(f64::from));
                        if let Some(found) = Geometry::from_four(blocks, pixels).and_then(&mut *accept) {
                            return Some(found);
                        }
                    }
                }
            }
        }
        None
    }
}

/// Three neighbours at a time; the ends are counted twice.
fn smooth(sums: &[u16], line: &mut Vec<u16>) {
    let Some(last) = sums.len().checked_sub(1) else { return };
    line.extend((0..=last).map(|i| sums[i.saturating_sub(1)] + sums[i] + sums[(i + 1).min(last)]));
}

/// Crossings halfway between maxima and minima that are `swing` or more apart.
fn find_edges(line: &[u16], swing: u16, turns: &mut Vec<(usize, u16)>, edges: &mut Vec<Edge>) {
    turns.clear();
    edges.clear();
    let Some(&first) = line.first() else { return };
    let (mut high, mut low) = ((0, first), (0, first));
    let mut rising = None;
    for (i, &value) in line.iter().enumerate() {
        if value > high.1 {
            high = (i, value);
        }
        if value < low.1 {
            low = (i, value);
        }
        if rising != Some(false) && high.1 - value >= swing {
            turns.push(high);
            rising = Some(false);
            low = (i, value);
        } else if rising != Some(true) && value - low.1 >= swing {
            turns.push(low);
            rising = Some(true);
            high = (i, value);
        }
    }
    turns.push(if rising == Some(true) { high } else { low });
    for pair in turns.windows(2) {
        let ((from, start), (to, end)) = (pair[0], pair[1]);
        let (falls, middle) = (start > end, f32::from(start.min(end)) + f32::from(start.abs_diff(end)) / 2.0);
        let crossing = (from..to).find(|&i| (f32::from(line[i + 1]) < middle) == falls && (f32::from(line[i + 1]) - middle) != 0.0);
        if let Some(i) = crossing {
            let (before, after) = (f32::from(line[i]), f32::from(line[i + 1]));
            let part = if before == after { 0.5 } else { ((middle - before) / (after - before)).clamp(0.0, 1.0) };
            edges.push(Edge { at: i as f32 + 0.5 + part, falls });
        }
    }
}

/// Middle and module of six edges that bound black 1, white 1, black 3, white 1, black 1.
fn pattern(edges: &[Edge]) -> Option<(f32, f32)> {
    let [a, b, c, d, e, f] = edges else { return None };
    if !a.falls {
        return None;
    }
    let module = (f.at - a.at) / FINDER as f32;
    let is = |from: &Edge, to: &Edge, modules: f32| ((to.at - from.at) - modules * module).abs() < 0.4 * module * modules.sqrt();
    let fits = module >= MIN_MODULE_PX && is(a, b, 1.0) && is(b, c, 1.0) && is(c, d, 3.0) && is(d, e, 1.0) && is(e, f, 1.0);
    fits.then_some(((c.at + d.at) / 2.0, module))
}

/// The pattern whose middle run holds `at`.
fn around(edges: &[Edge], at: f32) -> Option<(f32, f32)> {
    let after = edges.iter().position(|edge| edge.at > at)?;
    pattern(edges.get(after.checked_sub(3)?..after + 3)?)
}
