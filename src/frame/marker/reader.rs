//! Reading the marker: known geometry first, the search when that fails; and the judgement that rather says nothing than
//! a wrong number.

use super::code::{self, BITS, CODE_COLUMNS};
use super::find::Search;
use super::geometry::{Fit, Geometry};
use super::layout::{Block, COLUMNS, COPIES, FINDER, FINDERS, PATCH, ROWS};
use crate::frame::PixelFormat;

/// A block is black or white where it is at most this far from it, with 0 black and 1 white; between is unclear.
const CLEAR: f32 = 0.28;
/// So many of the fixed blocks may be wrong or unclear (a pointer, a spark of noise); more is not the marker.
const MAX_WRONG_FIXED: usize = 4;
/// Least difference of white and black, in levels.
const MIN_CONTRAST: f32 = 32.0;
/// Blocks that must be of another frame, or unclear, before it is called a tear or a blend, not damage.
const MIN_STRANGE_BLOCKS: u32 = 3;
/// Half the way along which an edge is looked for: rough in blocks, fine in pixels.
const ROUGH_BLOCKS: f32 = 0.45;
const FINE_PX: f32 = 2.0;
/// The rough way is gone again while places move by more than this, at most so often.
const SETTLED_PX: f32 = 0.5;
const MAX_ROUGH_FITS: usize = 4;
/// Edges that must be seen inside that way.
const MIN_EDGES: f32 = 0.8;

/// A captured picture's luma, or the green of one that has none: of black and white they are the same.
#[derive(Debug, Clone, Copy)]
pub struct Capture<'a> {
    data: &'a [u8],
    stride: usize,
    pub(super) step: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl<'a> Capture<'a> {
    /// A plane of one byte a pixel; `stride` in bytes. None: it holds less than it should.
    pub fn luma(plane: &'a [u8], stride: usize, width: usize, height: usize) -> Option<Self> {
        Capture::new(plane, stride, 1, 0, width, height)
    }

    /// Four bytes a pixel, the second is looked at.
    pub fn bgrx(plane: &'a [u8], stride: usize, width: usize, height: usize) -> Option<Self> {
        Capture::new(plane, stride, 4, 1, width, height)
    }

    /// Every `step`-th byte of a row from byte `offset` on: 2, 0 for YUY2; 2, 1 for UYVY and P010; 3, 1 for RGB.
    pub fn new(plane: &'a [u8], stride: usize, step: usize, offset: usize, width: usize, height: usize) -> Option<Self> {
        let row = width.checked_sub(1)?.checked_mul(step)?.checked_add(1 + offset)?;
        let bytes = height.checked_sub(1)?.checked_mul(stride)?.checked_add(row)?;
        let fits = width >= 3 && height >= 3 && step >= 1 && row <= stride && bytes <= plane.len();
        fits.then(|| Capture { data: &plane[offset..], stride, step, width, height })
    }

    /// The luma of a picture's first plane, or its green. None: of a format whose bytes are no samples of eight bits, or of a plane that
    /// holds less than it should.
    pub fn of_plane(format: PixelFormat, plane: &'a [u8], stride: usize, width: usize, height: usize) -> Option<Self> {
        let (step, offset) = match format {
            PixelFormat::Nv12 | PixelFormat::I420 => (1, 0),
            PixelFormat::Yuy2 => (2, 0),
            // Of ten bits in sixteen, the upper eight.
            PixelFormat::Uyvy | PixelFormat::P010 => (2, 1),
            PixelFormat::Rgb => (3, 1),
            PixelFormat::Bgrx | PixelFormat::Bgra => (4, 1),
            // Three samples in a word: no byte of it is one.
            PixelFormat::V210 => return None,
        };
        Capture::new(plane, stride, step, offset, width, height)
    }

    /// Width and height.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    pub(super) fn row(&self, y: usize) -> &'a [u8] {
        &self.data[y * self.stride..][..(self.width - 1) * self.step + 1]
    }

    pub(super) fn contains(&self, x: f32, y: f32) -> bool {
        x >= 0.0 && y >= 0.0 && x < self.width as f32 && y < self.height as f32
    }

    /// The pixel there, or the nearest.
    pub(super) fn pixel(&self, x: f32, y: f32) -> u8 {
        // Negative becomes 0.
        let (x, y) = ((x as usize).min(self.width - 1), (y as usize).min(self.height - 1));
        self.data[y * self.stride + x * self.step]
    }

    /// Between the four pixels around.
    fn between(&self, x: f32, y: f32) -> f32 {
        let x = (x - 0.5).clamp(0.0, (self.width - 2) as f32);
        let y = (y - 0.5).clamp(0.0, (self.height - 2) as f32);
        let (left, top) = (x as usize, y as usize);
        let (part_x, part_y) = (x - left as f32, y - top as f32);
        let at = top * self.stride + left * self.step;
        let row = |at: usize| {
            let (a, b) = (f32::from(self.data[at]), f32::from(self.data[at + self.step]));
            a + (b - a) * part_x
        };
        let above = row(at);
        above + (row(at + self.stride) - above) * part_y
    }

    /// Levels between the darkest and the brightest hundredth of every 4th pixel.
    pub(super) fn contrast(&self) -> u8 {
        let mut counts = [0_u32; 256];
        for y in (0..self.height).step_by(4) {
            for &level in self.row(y).iter().step_by(4 * self.step) {
                counts[usize::from(level)] += 1;
            }
        }
        let hundredth = counts.iter().sum::<u32>() / 100;
        let level = |levels: [usize; 256]| {
            let mut sum = 0;
            let reached = levels.into_iter().find(|&level| {
                sum += counts[level];
                sum > hundredth
            });
            reached.unwrap_or(0)
        };
        let (low, high) = (level(std::array::from_fn(|i| i)), level(std::array::from_fn(|i| 255 - i)));
        high.saturating_sub(low) as u8
    }
}

/// A number that was read without doubt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Modulo `NUMBERS`.
    pub number: u32,
    pub geometry: Geometry,
    /// Root mean square of what the edges are off from the geometry, in capture pixels: how sure it is. Large: the path bends the picture.
    pub bend_px: f32,
    /// Levels of the fixed blocks.
    pub black_level: f32,
    pub white_level: f32,
    /// How clear the least clear block of the number is: 1 fully black or white, 0.44 the limit. Falls when another frame shines through.
    pub clarity: f32,
}

impl Reading {
    /// The timing patch is white. It agrees with the number, else there is no reading.
    pub fn patch_is_white(&self) -> bool {
        self.number & 1 == 1
    }
}

/// Why there is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// No marker, or too little of it.
    NotFound,
    /// Both copies have levels between black and white: two frames mixed.
    Blended,
    /// The marker is there, but what it says is no number, or contradicts itself.
    Damaged,
    /// The copies are of different frames. None: the tear goes through that copy.
    Torn { upper: Option<u32>, lower: Option<u32> },
}

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Unread::NotFound => "no marker in the picture",
            Unread::Blended => "two frames mixed",
            Unread::Damaged => "the marker is damaged",
            Unread::Torn { .. } => "parts of two frames",
        })
    }
}

/// Where an edge lies, and which way it goes.
#[derive(Debug, Clone, Copy)]
struct FixedEdge {
    column: f32,
    row: f32,
    /// The edge runs down, and is crossed to the right; else it runs across, and is crossed downward.
    upright: bool,
    /// Black to white in that direction.
    rises: bool,
}

#[derive(Debug, Clone, Copy)]
struct Levels {
    black: f32,
    white: f32,
    wrong: usize,
}

/// Keeps the geometry of the last reading. Some kilobytes; allocates when it is made and in a search, not in a read of known geometry.
#[derive(Debug)]
pub struct Reader {
    /// Middles of the fixed blocks.
    fixed: Vec<(f32, f32, bool)>,
    /// Those at the middles of the finders' sides come first; the rough way needs no more.
    edges: Vec<FixedEdge>,
    rough_edges: usize,
    /// Of the last capture with a marker.
    known: Option<(Geometry, Levels)>,
    search: Search,
    searches: u64,
}

impl Default for Reader {
    fn default() -> Self {
        Reader::new()
    }
}

impl Reader {
    pub fn new() -> Self {
        let blocks = (0..ROWS).flat_map(|row| (0..COLUMNS).map(move |column| (column, row)));
        let fixed = blocks.filter_map(|(column, row)| match Block::at(column, row) {
            Block::Fixed { white } => Some((column as f32 + 0.5, row as f32 + 0.5, white)),
            _ => None,
        });
        let mut edges = finder_edges(&[0.0]);
        let rough_edges = edges.len();
        edges.extend(finder_edges(&[-1.0, -0.5, 0.5, 1.0]));
        Reader { fixed: fixed.collect(), edges, rough_edges, known: None, search: Search::default(), searches: 0 }
    }

    /// Reads the marker wherever it is. The number is right or there is none.
    pub fn read(&mut self, capture: &Capture<'_>) -> Result<Reading, Unread> {
        let known = self.known.take().and_then(|(geometry, levels)| self.settle(capture, geometry, levels));
        let settled = known.or_else(|| {
            self.searches += 1;
            let mut search = std::mem::take(&mut self.search);
            let found = search.run(capture, |geometry| self.settle(capture, geometry, self.levels(capture, &geometry)?));
            self.search = search;
            found
        });
        let (geometry, bend_px, levels) = settled.ok_or(Unread::NotFound)?;
        self.known = Some((geometry, levels));
        let (number, clarity) = judge(capture, &geometry, levels)?;
        Ok(Reading { number, geometry, bend_px, black_level: levels.black, white_level: levels.white, clarity })
    }

    /// A number that lies elsewhere under the geometry of a marker: its two copies at `places`, the second inverted. `NotFound` where
    /// more than a few blocks of `border` are not clearly white, or lie beyond the capture.
    pub(super) fn read_copies(
        capture: &Capture<'_>,
        marker: &Reading,
        border: impl Iterator<Item = (usize, usize)>,
        places: [(usize, usize); 2],
    ) -> Result<u32, Unread> {
        let levels = Levels { black: marker.black_level, white: marker.white_level, wrong: 0 };
        let mut wrong = 0;
        for (column, row) in border.map(|(column, row)| (column as f32 + 0.5, row as f32 + 0.5)) {
            let (x, y) = marker.geometry.at(column, row);
            if !capture.contains(x, y) {
                return Err(Unread::NotFound);
            }
            let (white, clarity) = levels.judge(block_mean::<3>(capture, &marker.geometry, column, row, 0.5));
            wrong += usize::from(!white || clarity < 1.0 - 2.0 * CLEAR);
        }
        if wrong > MAX_WRONG_FIXED {
            return Err(Unread::NotFound);
        }
        let [upper, lower] = [0, 1].map(|i| Copy::read(capture, &marker.geometry, levels, places[i], i == 1));
        agreed(&upper, &lower)
    }

    /// How often the whole capture was searched.
    pub fn searches(&self) -> u64 {
        self.searches
    }

    /// Refines a geometry, first from further away, then finely. None: the marker is not there.
    fn settle(&self, capture: &Capture<'_>, start: Geometry, about: Levels) -> Option<(Geometry, f32, Levels)> {
        let mut geometry = start;
        for _ in 0..MAX_ROUGH_FITS {
            let fit = self.fit(capture, &geometry, about, None)?;
            let is_settled = fit.off_px() < SETTLED_PX;
            (geometry, _) = fit.better(&geometry)?;
            if is_settled {
                break;
            }
        }
        let levels = self.levels(capture, &geometry)?;
        let (geometry, bend_px) = self.fit(capture, &geometry, levels, Some(FINE_PX))?.better(&geometry)?;
        let corners = [(0.5, 0.5), (COLUMNS as f32 - 0.5, 0.5), (0.5, ROWS as f32 - 0.5), (COLUMNS as f32 - 0.5, ROWS as f32 - 0.5)];
        let is_inside = corners.iter().all(|&(column, row)| {
            let (x, y) = geometry.at(column, row);
            capture.contains(x, y)
        });
        (is_inside && levels.wrong <= MAX_WRONG_FIXED).then_some((geometry, bend_px, levels))
    }

    /// None: the fixed blocks are not black and white enough to be anything.
    fn levels(&self, capture: &Capture<'_>, geometry: &Geometry) -> Option<Levels> {
        let mut sums = [(0.0, 0.0); 2];
        let mut means = [0.0; COLUMNS * ROWS];
        for (mean, &(column, row, white)) in means.iter_mut().zip(&self.fixed) {
            *mean = block_mean::<3>(capture, geometry, column, row, 0.5);
            let (sum, count) = &mut sums[usize::from(white)];
            *sum += *mean;
            *count += 1.0;
        }
        let [black, white] = sums.map(|(sum, count)| sum / count);
        if white - black < MIN_CONTRAST {
            return None;
        }
        let is_wrong = |(mean, fixed): &(&f32, &(f32, f32, bool))| {
            let part = (**mean - black) / (white - black);
            (if fixed.2 { 1.0 - part } else { part }) > CLEAR
        };
        let wrong = means.iter().zip(&self.fixed).filter(is_wrong).count();
        Some(Levels { black, white, wrong })
    }

    /// Looks for each edge across `reach_px` to both sides; None there: as far as blocks allow.
    fn fit(&self, capture: &Capture<'_>, geometry: &Geometry, levels: Levels, reach_px: Option<f32>) -> Option<Fit> {
        let mut fit = Fit::new();
        let edges = if reach_px.is_some() { &self.edges[..] } else { &self.edges[..self.rough_edges] };
        for edge in edges {
            let place = geometry.frame(edge.column, edge.row);
            let (along, edge_runs) = if edge.upright { (place.across, place.down) } else { (place.down, place.across) };
            let block_px = along[0].hypot(along[1]);
            let reach = reach_px.map_or(ROUGH_BLOCKS, |px| (px / block_px).min(ROUGH_BLOCKS));
            // An even number, so that they lie evenly to both sides; about two pixels apart on the rough way, else one.
            let apart = if reach_px.is_none() { 2.0 } else { 1.0 };
            let samples = ((reach * block_px / apart).ceil() as usize).clamp(3, 12) * 2;
            let mut sum = 0.0;
            for i in 0..samples {
                let at = reach * ((2 * i + 1) as f32 / samples as f32 - 1.0);
                sum += capture.between(place.at[0] + at * along[0], place.at[1] + at * along[1]);
            }
            let white = (sum / samples as f32 - levels.black) / (levels.white - levels.black);
            // The more white there is on the way, the earlier it begins.
            let off = reach * if edge.rises { 1.0 - 2.0 * white } else { 2.0 * white - 1.0 };
            if off.abs() > 0.9 * reach && reach_px.is_some() {
                continue;
            }
            let length = edge_runs[0].hypot(edge_runs[1]);
            let across_edge = [-edge_runs[1] / length, edge_runs[0] / length];
            let off_px = off * (along[0] * across_edge[0] + along[1] * across_edge[1]);
            fit.observe(&place, across_edge, off_px);
        }
        (fit.observations as f32 >= MIN_EDGES * edges.len() as f32).then_some(fit)
    }
}

/// Each finder's six edges each way, at `places`: -1 and 1 are near the ends of an edge.
fn finder_edges(places: &[f32]) -> Vec<FixedEdge> {
    let mut edges = Vec::new();
    for (left, top) in FINDERS {
        for (ring, offset) in [(0, 0), (1, 1), (2, 2), (2, 5), (1, 6), (0, 7)] {
            let half = FINDER as f32 / 2.0;
            let spread = half - ring as f32 - 0.75;
            for place in places {
                let along = half + place * spread;
                // Into black at the outer ring, out of it, into the middle; then the other way.
                let rises = matches!(offset, 1 | 5 | 7);
                let (left, top) = (left as f32, top as f32);
                edges.push(FixedEdge { column: left + offset as f32, row: top + along, upright: true, rises });
                edges.push(FixedEdge { column: left + along, row: top + offset as f32, upright: false, rises });
            }
        }
    }
    edges
}

/// Mean of N × N pixels over the inner `part` of a block whose middle is at (column, row).
fn block_mean<const N: usize>(capture: &Capture<'_>, geometry: &Geometry, column: f32, row: f32, part: f32) -> f32 {
    let place = geometry.frame(column, row);
    let mut sum = 0_u32;
    for i in 0..N * N {
        let offset = |i: usize| part * ((i as f32 + 0.5) / N as f32 - 0.5);
        let (across, down) = (offset(i % N), offset(i / N));
        let x = place.at[0] + across * place.across[0] + down * place.down[0];
        let y = place.at[1] + across * place.across[1] + down * place.down[1];
        sum += u32::from(capture.pixel(x, y));
    }
    sum as f32 / (N * N) as f32
}

/// One copy as it is seen.
struct Copy {
    word: u64,
    unclear: u64,
    /// Of the least clear block, as in `Reading`.
    clarity: f32,
}

impl Copy {
    fn read(capture: &Capture<'_>, geometry: &Geometry, levels: Levels, (left, top): (usize, usize), lower: bool) -> Self {
        let mut copy = Copy { word: 0, unclear: 0, clarity: 1.0 };
        for bit in 0..BITS {
            let (column, row) = (left + bit % CODE_COLUMNS, top + bit / CODE_COLUMNS);
            let mean = block_mean::<4>(capture, geometry, column as f32 + 0.5, row as f32 + 0.5, 0.6);
            let (white, clarity) = levels.judge(mean);
            copy.word = copy.word << 1 | u64::from(white != lower);
            copy.unclear = copy.unclear << 1 | u64::from(clarity < 1.0 - 2.0 * CLEAR);
            copy.clarity = copy.clarity.min(clarity);
        }
        copy
    }

    fn number(&self) -> Option<u32> {
        if self.unclear == 0 { code::decode(self.word) } else { None }
    }

    /// Blocks that clearly say another thing than `number`.
    fn against(&self, number: u32) -> u32 {
        ((self.word ^ code::encode(number)) & !self.unclear).count_ones()
    }
}

impl Levels {
    /// White, and how clearly: 1 fully, 0 halfway.
    fn judge(self, level: f32) -> (bool, f32) {
        let part = (level - self.black) / (self.white - self.black);
        (part > 0.5, ((part - 0.5).abs() * 2.0).min(1.0))
    }
}

fn judge(capture: &Capture<'_>, geometry: &Geometry, levels: Levels) -> Result<(u32, f32), Unread> {
    let [upper, lower] = [false, true].map(|lower| Copy::read(capture, geometry, levels, COPIES[usize::from(lower)], lower));
    let number = agreed(&upper, &lower)?;
    let [left, top, width, height] = PATCH.map(|v| v as f32);
    let place = (left + width / 2.0, top + height / 2.0);
    let (white, clarity) = levels.judge(block_mean::<16>(capture, geometry, place.0, place.1, width - 2.0));
    if clarity < 1.0 - 2.0 * CLEAR {
        return Err(Unread::Blended);
    }
    if white != (number & 1 == 1) {
        return Err(Unread::Damaged);
    }
    Ok((number, clarity.min(upper.clarity).min(lower.clarity)))
}

/// The number that both copies say.
fn agreed(upper: &Copy, lower: &Copy) -> Result<u32, Unread> {
    match (upper.number(), lower.number()) {
        (Some(a), Some(b)) if a == b => Ok(a),
        (Some(a), Some(b)) => Err(Unread::Torn { upper: Some(a), lower: Some(b) }),
        (Some(a), None) if lower.against(a) >= MIN_STRANGE_BLOCKS => Err(Unread::Torn { upper: Some(a), lower: None }),
        (None, Some(b)) if upper.against(b) >= MIN_STRANGE_BLOCKS => Err(Unread::Torn { upper: None, lower: Some(b) }),
        _ if (upper.unclear | lower.unclear).count_ones() >= MIN_STRANGE_BLOCKS => Err(Unread::Blended),
        _ => Err(Unread::Damaged),
    }
}
