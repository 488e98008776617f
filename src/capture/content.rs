//! Does the picture live? A camera's noise makes two equal pictures impossible, so equal bytes mean that somebody before
//! us repeats one: FROZEN. A picture without light: BLACK. One made of two moments, or one that was shown before: TORN, OUT OF
//! ORDER (`torn`). Of a stereo picture each eye is watched for itself. Looks at sampled rows (about 0.02 ms at 1080p); what is
//! said to the surgeon is decided elsewhere.
//!
//! ```text
//!   sampled rows equal ─► remember all bytes ─ frozen_ns ─► all bytes still equal? ─► Frozen ─ a difference ─► Moving
//!   every sampled luma ≤ black ─ black_ns ─► Black ─ anything brighter ─► Lit
//!   rows of two moments; an earlier picture or an earlier position ─ `flaws` ─► Torn, OutOfOrder ─► Whole, InOrder
//!   its decoder says that it is not whole ─ `flaws` ─► Damaged ─► Sound
//!   both eyes at once: said of the picture; one eye: EyeFrozen, EyeMoving, EyeBlack, EyeLit
//! ```

use super::dark::BlackLevel;
use super::flaws::{Change as FlawChange, Flaws};
use super::stereo::{Eye, Packing, eye_layout};
use super::torn::{Found, RowWatch};
use super::{Picture, Planes, SignalEvent};
use crate::frame::preview::{SAMPLED_ROWS, sampled_row};
use crate::frame::{FrameLayout, Preview};
use std::hash::Hasher;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

/// A picture that is repeated fewer times is none that stands: 25 and 30 a second in 50 and 60, and slower ones.
const REPEATS: u32 = 3;
/// Two pictures lie further apart than this in every source: what does not move on by it has run backwards.
const LEAST_STEP_NS: u64 = 1_000;
/// Of a frozen picture's whole bytes, each n-th is compared: what moves may lie between the sampled rows.
const WHOLE_EVERY: u32 = 8;

/// Watches the pictures of one source.
#[derive(Debug)]
pub struct ContentWatch {
    frozen_ns: u64,
    black_ns: u64,
    packing: Option<Packing>,
    /// Without stereo, the first is the picture's.
    areas: [AreaWatch; 2],
    /// Of the last picture.
    pts_ns: Option<u64>,
    torn: Flaws,
    out_of_order: Flaws,
    damaged: Flaws,
}

impl ContentWatch {
    /// `frozen_ns`, `black_ns`: equal, or without light, for so long is frozen, or black. `packing`: how the pictures hold two
    /// eyes, if they do.
    pub fn new(frozen_ns: u64, black_ns: u64, packing: Option<Packing>) -> Self {
        ContentWatch {
            frozen_ns,
            black_ns,
            packing,
            areas: Default::default(),
            pts_ns: None,
            torn: Flaws::default(),
            out_of_order: Flaws::default(),
            damaged: Flaws::default(),
        }
    }

    /// Looks at a picture, captured at `now_ns`. What is said of frost comes before what is said of light. `preview`: of one that lies on a
    /// device; nothing is looked at of one that lies there without it.
    pub fn look(&mut self, picture: &Picture<'_>, preview: Option<Preview<'_>>, now_ns: u64) -> [Option<SignalEvent>; 7] {
        let limits = Limits { frozen_ns: self.frozen_ns, black_ns: self.black_ns };
        let ran_back = self.pts_ns.replace(picture.pts_ns).is_some_and(|last_ns| picture.pts_ns < last_ns.saturating_add(LEAST_STEP_NS));
        let (said, found) = match self.packing {
            None => {
                let change = self.areas[0].look(picture, preview, Area::Whole, limits, now_ns);
                ([change.frozen.map(of_frost), None, change.black.map(of_light), None], change.found)
            }
            Some(packing) => {
                // What cannot be parted is watched as one picture, by both.
                let is_parted = eye_layout(&picture.layout, packing).is_some();
                let [left, right] = EYES.map(|eye| {
                    let area = if is_parted { Area::Half(packing, eye) } else { Area::Whole };
                    self.areas[eye as usize].look(picture, preview, area, limits, now_ns)
                });
                let [a, b] = of_both([left.frozen, right.frozen], of_frost, of_eyes_frost);
                let [c, d] = of_both([left.black, right.black], of_light, of_eyes_light);
                let [left, right] = [left.found, right.found];
                ([a, b, c, d], Found { torn: left.torn || right.torn, back: left.back || right.back })
            }
        };
        let torn = self.torn.picture(found.torn, now_ns).map(|change| match change {
            FlawChange::Seen => SignalEvent::Torn { is_stream: false },
            FlawChange::Stream => SignalEvent::Torn { is_stream: true },
            FlawChange::Calm { pictures } => SignalEvent::Whole { pictures },
        });
        let order = self.out_of_order.picture(found.back || ran_back, now_ns).map(|change| match change {
            FlawChange::Seen => SignalEvent::OutOfOrder { is_stream: false },
            FlawChange::Stream => SignalEvent::OutOfOrder { is_stream: true },
            FlawChange::Calm { pictures } => SignalEvent::InOrder { pictures },
        });
        let damaged = self.damaged.picture(picture.is_damaged, now_ns).map(|change| match change {
            FlawChange::Seen => SignalEvent::Damaged { is_stream: false },
            FlawChange::Stream => SignalEvent::Damaged { is_stream: true },
            FlawChange::Calm { pictures } => SignalEvent::Sound { pictures },
        });
        let [a, b, c, d] = said;
        [a, b, c, d, torn, order, damaged]
    }

    /// What was before an interruption says nothing about what comes; an eye that is lost is black because we say so.
    pub fn hear(&mut self, event: &SignalEvent) {
        match event {
            SignalEvent::Lost { .. } => *self = ContentWatch::new(self.frozen_ns, self.black_ns, self.packing),
            SignalEvent::EyeLost { eye, .. } => self.areas[*eye as usize] = AreaWatch { is_absent: true, ..AreaWatch::default() },
            SignalEvent::EyeBack { .. } | SignalEvent::Back { .. } => self.areas.iter_mut().for_each(|area| area.is_absent = false),
            _ => {}
        }
    }
}

const EYES: [Eye; 2] = [Eye::Left, Eye::Right];

fn of_frost(is_frozen: bool) -> SignalEvent {
    if is_frozen { SignalEvent::Frozen } else { SignalEvent::Moving }
}

fn of_eyes_frost(eye: Eye, is_frozen: bool) -> SignalEvent {
    if is_frozen { SignalEvent::EyeFrozen { eye } } else { SignalEvent::EyeMoving { eye } }
}

fn of_light(is_black: bool) -> SignalEvent {
    if is_black { SignalEvent::Black } else { SignalEvent::Lit }
}

fn of_eyes_light(eye: Eye, is_black: bool) -> SignalEvent {
    if is_black { SignalEvent::EyeBlack { eye } } else { SignalEvent::EyeLit { eye } }
}

/// What both eyes do at once is the picture's.
fn of_both(
    changes: [Option<bool>; 2],
    of_picture: fn(bool) -> SignalEvent,
    of_eye: fn(Eye, bool) -> SignalEvent,
) -> [Option<SignalEvent>; 2] {
    match changes {
        [Some(left), Some(right)] if left == right => [Some(of_picture(left)), None],
        [left, right] => [left.map(|is| of_eye(Eye::Left, is)), right.map(|is| of_eye(Eye::Right, is))],
    }
}

/// The part of a picture that is watched.
#[derive(Debug, Clone, Copy)]
enum Area {
    Whole,
    Half(Packing, Eye),
}

impl Area {
    fn rows(self, layout: &FrameLayout, plane: usize) -> usize {
        match self {
            Area::Half(Packing::TopBottom, _) => layout.planes()[plane].rows / 2,
            Area::Whole | Area::Half(Packing::SideBySide, _) => layout.planes()[plane].rows,
        }
    }

    /// Row `y` of this part, without what the source leaves unwritten.
    fn row<'a>(self, picture: &Picture<'a>, plane: usize, y: usize) -> &'a [u8] {
        let Planes::Here(planes) = &picture.planes else { return &[] };
        let from = &planes[plane];
        let written = picture.layout.written_bytes(plane);
        let (y, begin, end) = match self {
            Area::Whole => (y, 0, written),
            Area::Half(Packing::SideBySide, Eye::Left) => (y, 0, written / 2),
            Area::Half(Packing::SideBySide, Eye::Right) => (y, written / 2, written),
            Area::Half(Packing::TopBottom, Eye::Left) => (y, 0, written),
            Area::Half(Packing::TopBottom, Eye::Right) => (y + self.rows(&picture.layout, plane), 0, written),
        };
        from.data.get(y * from.stride..).and_then(|rest| rest.get(begin..end)).unwrap_or(&[])
    }
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    frozen_ns: u64,
    black_ns: u64,
}

#[derive(Debug, Default)]
struct AreaWatch {
    sample: Option<u64>,
    rows: RowWatch,
    /// Since when the samples are equal, and the whole area's digest then.
    equal: Option<Equal>,
    frozen: bool,
    dark_since_ns: Option<u64>,
    black: bool,
    /// It is not the source that fills this area.
    is_absent: bool,
}

#[derive(Debug)]
struct Equal {
    since_ns: u64,
    whole: u64,
    looks: u32,
}

/// What has become of an area: None where that is what it was.
#[derive(Debug, Default)]
struct Change {
    frozen: Option<bool>,
    black: Option<bool>,
    found: Found,
}

impl AreaWatch {
    fn look(&mut self, picture: &Picture<'_>, preview: Option<Preview<'_>>, area: Area, limits: Limits, now_ns: u64) -> Change {
        let seen = match (picture.planes.here(), preview, area) {
            (Some(_), ..) => Some(look_at(picture, area)),
            (None, Some(preview), Area::Whole) => Some(Sample::of(preview, &picture.layout)),
            (None, ..) => None,
        };
        let Some(Sample { rows, count, whole, is_dark }) = seen.filter(|_| !self.is_absent) else { return Change::default() };
        let is_new = self.sample != Some(whole);
        let found = if is_new { self.rows.look(&rows, count, whole) } else { Found::default() };
        // A preview is of all of it.
        let all = || if picture.planes.here().is_some() { whole_digest(picture, area) } else { whole };
        let frozen = self.look_for_frost(whole, &all, limits.frozen_ns, now_ns);
        Change { frozen, black: self.look_for_light(is_dark, limits.black_ns, now_ns), found }
    }

    /// `all`: digest of the area's whole bytes.
    fn look_for_frost(&mut self, sample: u64, all: &dyn Fn() -> u64, frozen_ns: u64, now_ns: u64) -> Option<bool> {
        let is_equal = self.sample.replace(sample) == Some(sample);
        if !is_equal {
            self.equal = None;
        } else if let Some(equal) = &mut self.equal {
            equal.looks += 1;
            let is_time = if self.frozen {
                equal.looks >= WHOLE_EVERY
            } else {
                // The first repeat is not counted in `looks`.
                equal.looks + 1 >= REPEATS && now_ns.saturating_sub(equal.since_ns) >= frozen_ns
            };
            if is_time {
                let whole = all();
                if whole == equal.whole {
                    equal.looks = 0;
                    return (!std::mem::replace(&mut self.frozen, true)).then_some(true);
                }
                *equal = Equal { since_ns: now_ns, whole, looks: 0 };
                return std::mem::take(&mut self.frozen).then_some(false);
            }
        } else {
            self.equal = Some(Equal { since_ns: now_ns, whole: all(), looks: 0 });
        }
        (!is_equal && std::mem::take(&mut self.frozen)).then_some(false)
    }

    fn look_for_light(&mut self, is_dark: bool, black_ns: u64, now_ns: u64) -> Option<bool> {
        if !is_dark {
            self.dark_since_ns = None;
            return std::mem::take(&mut self.black).then_some(false);
        }
        let since_ns = *self.dark_since_ns.get_or_insert(now_ns);
        let is_time = !self.black && now_ns.saturating_sub(since_ns) >= black_ns;
        self.black |= is_time;
        is_time.then_some(true)
    }
}

/// The sampled rows of the first plane.
struct Sample {
    /// Digest of each, downwards.
    rows: [u64; SAMPLED_ROWS],
    count: usize,
    /// Of all of them.
    whole: u64,
    /// All of them are black.
    is_dark: bool,
}

impl Sample {
    fn of(preview: Preview<'_>, layout: &FrameLayout) -> Self {
        Sample {
            rows: preview.rows(),
            count: layout.height.min(SAMPLED_ROWS),
            whole: preview.digest(),
            is_dark: BlackLevel::of(layout).is_above(preview.brightest()),
        }
    }
}

fn look_at(picture: &Picture<'_>, area: Area) -> Sample {
    let mut hasher = Xxh3Default::new();
    let (black, height) = (BlackLevel::of(&picture.layout), area.rows(&picture.layout, 0));
    let (mut is_dark, mut rows, count) = (true, [0; SAMPLED_ROWS], height.min(SAMPLED_ROWS));
    for (i, digest) in rows.iter_mut().enumerate().take(count) {
        let bytes = area.row(picture, 0, sampled_row(i, count, height));
        *digest = xxh3_64(bytes);
        hasher.write_u64(*digest);
        is_dark = is_dark && black.is_dark(bytes);
    }
    Sample { rows, count, whole: hasher.finish(), is_dark }
}

fn whole_digest(picture: &Picture<'_>, area: Area) -> u64 {
    let mut hasher = Xxh3Default::new();
    for plane in 0..picture.layout.planes().len() {
        (0..area.rows(&picture.layout, plane)).for_each(|y| hasher.write(area.row(picture, plane, y)));
    }
    hasher.finish()
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
