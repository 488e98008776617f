//! One instrument that is followed: where it is believed to be, what it looks like, how long it has been there.
//! Who is who is decided by `tracker`.

use super::decode::Detection;
use super::flow::Moved;
use super::kalman::{Coordinate, Noise, Point};
use super::look::Look;
use super::sure::{SURE_FROM, Steady, SureFrom};
use crate::base::ids::{ClassId, TrackId};
use crate::scene::{Outline, Spare, Track, Trust, limits};

/// Detections from this confidence on are looked at first, may start tracks, and are believed in their size.
const HIGH_SCORE: f32 = 0.6;

/// May this start a track? What is known by its box alone has passed its head's own threshold, which is the engine's measure.
pub fn is_high(detection: &Detection) -> bool {
    detection.confidence >= HIGH_SCORE || detection.outlines.is_empty()
}
/// A measured tip farther than this (part of the larger side) from where it should be is doubted ...
const TIP_DOUBTED: f32 = 0.03;
/// ... and not believed until it has kept to its new course for so long, ns.
const TIP_DOUBT_NS: u64 = 100_000_000;
/// Two doubted tips are one course when they lie this near, part of the larger side, or no farther than hands go meanwhile, a second.
const TIP_COURSE: f32 = 0.03;
const TIP_COURSE_A_SECOND: f32 = 1.8;
/// One that was seen no more often than this has no course that a tip could leave.
const YOUNG_HITS: u32 = 3;
/// An axis that turns farther than this at once is another axis, rad.
const AXIS_JUMP: f32 = 0.5;
/// Part of its velocity that something unseen loses in a second, and so on.
const COASTING_BRAKE: f32 = 8.0;
/// A box smaller than this part of the one expected may be that of a piece ...
const PIECE_TO: f32 = 0.75;
/// ... if its foot is farther from where it was than this part of the larger side.
const FOOT_MOVES: f32 = 0.05;
/// For longer than this nothing is only a piece, ns.
const PIECES_NS: u64 = 300_000_000;
/// Weight of the past against one frame, for the class, the confidence and the look.
const CLASS_MEMORY: f32 = 0.9;
const CONFIDENCE_MEMORY: f32 = 0.5;

/// In parts of the picture's larger side. Of a box: its edges wander by about two of 320 map pixels.
const BOX: Noise = Noise { measured: 0.006, velocity: 0.7, agility: 1.0 };
/// Of a tip along its shaft, where a mask's end wanders, and across it, where many pixels say where the shaft lies.
const TIP_ALONG: Noise = Noise { measured: 0.007, velocity: 0.6, agility: 0.12 };
const TIP_ACROSS: Noise = Noise { measured: 0.006, velocity: 0.6, agility: 0.12 };
/// Of the axis' angle, rad.
const ANGLE: Noise = Noise { measured: 0.025, velocity: 0.8, agility: 1.5 };

fn scaled(noise: Noise, side: f32) -> Noise {
    Noise { measured: noise.measured * side, velocity: noise.velocity * side, agility: noise.agility * side * side }
}

fn tip_noise(side: f32) -> [Noise; 2] {
    [scaled(TIP_ALONG, side), scaled(TIP_ACROSS, side)]
}

#[derive(Debug, Clone, Copy)]
struct Tip {
    point: Point,
    /// The measured tips are elsewhere.
    doubt: Option<Doubt>,
    seen_ns: u64,
}

/// Tips that were measured elsewhere, the first and the last of them.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    first: [f32; 2],
    first_ns: u64,
    last: [f32; 2],
    last_ns: u64,
}

impl Doubt {
    /// Does a tip here go on with these?
    fn goes_on(&self, seen: [f32; 2], seen_ns: u64, side: f32) -> bool {
        let dt_s = seen_ns.saturating_sub(self.last_ns) as f32 / 1e9;
        distance(self.last, seen) <= (TIP_COURSE_A_SECOND * dt_s).max(TIP_COURSE) * side
    }
}

/// Velocity of what was here and is there, px/s.
fn between([from, to]: [[f32; 2]; 2], from_ns: u64, to_ns: u64) -> [f32; 2] {
    let dt_s = to_ns.saturating_sub(from_ns) as f32 / 1e9;
    if dt_s > 0.0 { [0, 1].map(|i| (to[i] - from[i]) / dt_s) } else { [0.0; 2] }
}

#[derive(Debug)]
pub struct Followed {
    pub id: Option<TrackId>,
    pub hits: u32,
    pub first_ns: u64,
    pub seen_ns: u64,
    /// When more than a piece of it was seen.
    whole_ns: u64,
    /// That was in the last frame.
    is_fresh: bool,
    /// Centre x, y, width, height.
    bbox: [Coordinate; 4],
    tip: Option<Tip>,
    /// Angle of the axis, rad, unwrapped.
    angle: Option<Coordinate>,
    pub confidence: f32,
    /// Weight of each class id.
    votes: [f32; 32],
    pub look: Look,
    steady: Steady,
    /// As it was last seen.
    pub last: LastSeen,
}

/// For the frame in which it is missed, and for when it comes back.
#[derive(Debug, Default)]
pub struct LastSeen {
    pub bbox: [f32; 4],
    pub axis: Option<[f32; 2]>,
    pub tip: Option<[f32; 2]>,
    /// The end at which the shaft comes into the picture.
    pub foot: [f32; 2],
    /// When it was seen whole for the last time, px/s.
    pub velocity: [f32; 2],
    /// The box of what has been seen of it since, if that was only a piece.
    pub piece: Option<[f32; 4]>,
    outlines: Vec<Outline>,
}

pub fn sides(bbox: [f32; 4]) -> [f32; 4] {
    [(bbox[0] + bbox[2]) / 2.0, (bbox[1] + bbox[3]) / 2.0, bbox[2] - bbox[0], bbox[3] - bbox[1]]
}

/// Where an instrument's shaft leaves the picture: the end of its outline behind its tip; without an axis its middle.
pub fn foot_of(detection: &Detection) -> [f32; 2] {
    let [x, y, ..] = sides(detection.bbox);
    let Some(axis) = detection.axis else { return [x, y] };
    let along = |p: &[f32; 2]| p[0] * axis[0] + p[1] * axis[1];
    let points = || detection.outlines.iter().flatten();
    let Some(least) = points().map(along).min_by(f32::total_cmp) else { return [x, y] };
    let (mut sum, mut count) = ([0.0; 2], 0.0);
    let depth = 0.02 * (detection.bbox[2] - detection.bbox[0]).hypot(detection.bbox[3] - detection.bbox[1]) + 1.0;
    for point in points().filter(|point| along(point) <= least + depth) {
        sum = [sum[0] + point[0], sum[1] + point[1]];
        count += 1.0;
    }
    sum.map(|v| v / count)
}

impl Followed {
    pub fn new(detection: &Detection, look: Look, seen_ns: u64, side: f32) -> Self {
        let mut track = Followed {
            id: None,
            hits: 1,
            first_ns: seen_ns,
            seen_ns,
            whole_ns: seen_ns,
            is_fresh: true,
            bbox: sides(detection.bbox).map(|value| Coordinate::new(value, scaled(BOX, side))),
            tip: detection.tip.map(|tip| Tip { point: Point::new(tip, tip_noise(side)), doubt: None, seen_ns }),
            angle: detection.axis.map(|axis| Coordinate::new(axis[1].atan2(axis[0]), ANGLE)),
            confidence: detection.confidence,
            votes: [0.0; 32],
            look,
            steady: Steady::default(),
            last: LastSeen::default(),
        };
        track.vote(detection);
        track.note(detection);
        track
    }

    pub fn predict(&mut self, dt_s: f32, side: f32) {
        if self.is_fresh {
            self.last.velocity = self.velocity();
        }
        // What nobody confirms slows down.
        let slower = (1.0 - COASTING_BRAKE * dt_s).max(0.0);
        if let Some(tip) = self.tip.as_mut().filter(|tip| !self.is_fresh || tip.doubt.is_some()) {
            tip.point.velocity = tip.point.velocity.map(|v| v * slower);
        }
        if !self.is_fresh {
            self.bbox.iter_mut().for_each(|c| c.velocity *= slower);
            self.bbox[2..].iter_mut().for_each(|c| c.velocity = 0.0);
            self.angle.iter_mut().for_each(|c| c.velocity *= slower);
        }
        self.is_fresh = false;
        self.bbox.iter_mut().for_each(|c| c.predict(dt_s, scaled(BOX, side)));
        if let Some(tip) = &mut self.tip {
            tip.point.predict(dt_s, tip_noise(side));
        }
        if let Some(angle) = &mut self.angle {
            angle.predict(dt_s, ANGLE);
        }
    }

    /// It goes faster by so much, px/s: the camera moves.
    pub fn accelerate(&mut self, gained: [f32; 2]) {
        for (i, gained) in gained.into_iter().enumerate() {
            self.bbox[i].velocity += gained;
            if let Some(tip) = &mut self.tip {
                tip.point.velocity[i] += gained;
            }
        }
    }

    /// The picture around its tip has moved by `flow`, px, since the frame `dt_s` before.
    pub fn take_flow(&mut self, flow: &Moved, dt_s: f32) {
        let axis = self.axis().unwrap_or([1.0, 0.0]);
        let deviation = flow.deviation(axis).map(|deviation| deviation / dt_s);
        if let Some(tip) = self.tip.as_mut().filter(|tip| tip.doubt.is_none()) {
            tip.point.update_velocity(flow.shift.map(|v| v / dt_s), axis, deviation);
        }
    }

    /// Was it seen whole in the frame that was taken in last?
    pub fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// The box that is believed now.
    pub fn predicted(&self) -> [f32; 4] {
        let [x, y, w, h] = self.bbox.map(|c| c.position);
        let (w, h) = (w.max(1.0) / 2.0, h.max(1.0) / 2.0);
        [x - w, y - h, x + w, y + h]
    }

    pub fn tip_position(&self) -> Option<[f32; 2]> {
        self.tip.map(|tip| tip.point.position)
    }

    pub fn tip_after(&self, dt_s: f32) -> Option<[f32; 2]> {
        self.tip.map(|tip| tip.point.after(dt_s))
    }

    /// Unit vector towards the tip.
    pub fn axis(&self) -> Option<[f32; 2]> {
        self.angle.map(|angle| [angle.position.cos(), angle.position.sin()])
    }

    pub fn velocity(&self) -> [f32; 2] {
        self.tip.map_or([self.bbox[0].velocity, self.bbox[1].velocity], |tip| tip.point.velocity)
    }

    /// Was the whole of it seen lately?
    pub fn may_be_pieces(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.whole_ns) <= PIECES_NS
    }

    /// Does the detection show as much of the instrument as it should? A piece that has come off the place where the shaft
    /// comes in says nothing of where the whole is: shafts do not end in the air. Nor does one that is hardly seen.
    pub fn is_whole(&self, detection: &Detection, seen_ns: u64, side: f32) -> bool {
        let size = |b: [f32; 4]| (b[2] - b[0]).hypot(b[3] - b[1]);
        let is_short = size(detection.bbox) < PIECE_TO * size(self.predicted());
        let is_faint = !is_high(detection);
        let is_off = self.last.axis.is_some() && distance(foot_of(detection), self.last.foot) > FOOT_MOVES * side;
        !(is_short && self.id.is_some() && self.may_be_pieces(seen_ns) && (is_faint || is_off))
    }

    /// A piece of it is seen: it is there, and nothing more is learned.
    pub fn glimpse(&mut self, detection: &Detection, seen_ns: u64) {
        self.seen_ns = seen_ns;
        self.last.piece = Some(detection.bbox);
    }

    pub fn update(&mut self, detection: &Detection, look: &Look, seen_ns: u64, side: f32) {
        self.hits += 1;
        self.seen_ns = seen_ns;
        self.whole_ns = seen_ns;
        self.is_fresh = true;
        for (coordinate, measured) in self.bbox.iter_mut().zip(sides(detection.bbox)) {
            coordinate.update(measured, scaled(BOX, side));
        }
        self.update_axis(detection);
        self.update_tip(detection, seen_ns, side);
        self.confidence = CONFIDENCE_MEMORY * self.confidence + (1.0 - CONFIDENCE_MEMORY) * detection.confidence;
        self.look.blend(look);
        self.vote(detection);
        self.note(detection);
    }

    fn update_axis(&mut self, detection: &Detection) {
        let Some(axis) = detection.axis else { return };
        let measured = axis[1].atan2(axis[0]);
        match &mut self.angle {
            Some(angle) => {
                let turned = (measured - angle.position + std::f32::consts::PI).rem_euclid(std::f32::consts::TAU) - std::f32::consts::PI;
                if turned.abs() <= AXIS_JUMP {
                    angle.update(angle.position + turned, ANGLE);
                } else {
                    *angle = Coordinate::new(measured, ANGLE);
                }
            }
            None => self.angle = Some(Coordinate::new(measured, ANGLE)),
        }
    }

    fn update_tip(&mut self, detection: &Detection, seen_ns: u64, side: f32) {
        let Some(seen) = detection.tip else { return };
        let noises = tip_noise(side);
        let fresh = |velocity: [f32; 2]| {
            let mut point = Point::new(seen, noises);
            point.velocity = velocity;
            Tip { point, doubt: None, seen_ns }
        };
        let axis = self.axis().unwrap_or([1.0, 0.0]);
        let Some(tip) = &mut self.tip else {
            self.tip = Some(fresh([0.0; 2]));
            return;
        };
        let off = distance(tip.point.position, seen);
        if off <= TIP_DOUBTED * side + 2.0 * tip.point.doubt() {
            tip.point.update(seen, axis, noises);
            (tip.doubt, tip.seen_ns) = (None, seen_ns);
            return;
        }
        if self.hits <= YOUNG_HITS {
            *tip = fresh(between([tip.point.position, seen], tip.seen_ns, seen_ns));
            return;
        }
        match &mut tip.doubt {
            Some(doubt) if doubt.goes_on(seen, seen_ns, side) => {
                (doubt.last, doubt.last_ns) = (seen, seen_ns);
                if seen_ns.saturating_sub(doubt.first_ns) >= TIP_DOUBT_NS {
                    *tip = fresh(between([doubt.first, seen], doubt.first_ns, seen_ns));
                }
            }
            _ => tip.doubt = Some(Doubt { first: seen, first_ns: seen_ns, last: seen, last_ns: seen_ns }),
        }
    }

    fn note(&mut self, detection: &Detection) {
        self.last.bbox = detection.bbox;
        self.last.piece = None;
        self.last.axis = detection.axis;
        self.last.tip = detection.tip;
        self.last.foot = foot_of(detection);
        self.last.outlines.clone_from(&detection.outlines);
    }

    fn vote(&mut self, detection: &Detection) {
        self.votes.iter_mut().for_each(|weight| *weight *= CLASS_MEMORY);
        if let Some(weight) = self.votes.get_mut(usize::from(detection.class.0)) {
            *weight += detection.confidence;
        }
    }

    pub fn class(&self) -> Option<ClassId> {
        let best = (0..self.votes.len()).max_by(|&a, &b| self.votes[a].total_cmp(&self.votes[b]));
        best.filter(|&id| self.votes[id] > 0.0).map(|id| ClassId(id as u8))
    }

    /// As it is seen in this frame.
    pub fn shown(&mut self, id: TrackId, detection: Detection, picture: [u32; 2], sure_from: &SureFrom) -> Track {
        let side = picture[0].max(picture[1]) as f32;
        let most = limits::VELOCITY_SIDES * side;
        let confidence = self.confidence.clamp(0.0, 1.0);
        // Filtered where it is followed, but never outside the picture nor, where it was seen whole, off the instrument: then what
        // was measured is nearer to the truth.
        let [x0, y0, x1, y1] = detection.bbox;
        let (low, high, reach) = ([x0, y0], [x1, y1], TIP_DOUBTED * side);
        let in_box = |p: &[f32; 2]| (0..2).all(|i| p[i] >= low[i] - reach && p[i] <= high[i] + reach);
        let inside = |p: &[f32; 2]| (0..2).all(|i| p[i] >= 0.0 && p[i] <= picture[i] as f32) && (!self.is_fresh || in_box(p));
        let tip = detection.tip.map(|measured| self.tip_position().filter(inside).unwrap_or(measured));
        let class = self.class().unwrap_or(detection.class);
        Track {
            id,
            class,
            confidence,
            state: self.steady.say(sure_from.is_sure(class, confidence), self.seen_ns),
            bbox: detection.bbox,
            tip,
            axis: detection.axis.and(self.axis()),
            velocity_px_s: self.velocity().map(|v| v.clamp(-most, most)),
            outlines: detection.outlines,
        }
    }

    /// In the first frame in which it is missed: as it was last seen, moved as it is believed to have moved, and unsure.
    pub fn bridged(&self, id: TrackId, dt_s: f32, picture: [u32; 2], spare: &mut Spare) -> Option<Track> {
        let class = self.class()?;
        let side = picture[0].max(picture[1]) as f32;
        let most = limits::VELOCITY_SIDES * side;
        let velocity = self.velocity().map(|v| v.clamp(-most, most));
        let within = |p: [f32; 2]| [0, 1].map(|i| (p[i] + velocity[i] * dt_s).clamp(0.0, picture[i] as f32));
        let [x0, y0, x1, y1] = self.last.bbox;
        let was = (x1 - x0) * (y1 - y0);
        let ([x0, y0], [x1, y1]) = (within([x0, y0]), within([x1, y1]));
        // Most of it has left the picture.
        if (x1 - x0) * (y1 - y0) < 0.6 * was {
            return None;
        }
        let mut outlines = spare.outlines();
        for last in &self.last.outlines {
            let mut outline = spare.outline();
            outline.extend(last.iter().map(|&point| within(point)));
            outlines.push(outline);
        }
        Some(Track {
            id,
            class,
            confidence: self.confidence.clamp(0.0, 1.0).min(SURE_FROM - 0.01),
            state: Trust::Unsure,
            bbox: [x0, y0, x1, y1],
            tip: self.last.tip.map(|tip| within(self.tip_position().unwrap_or(tip))).filter(|_| self.last.tip.is_some()),
            axis: self.last.axis,
            velocity_px_s: velocity,
            outlines,
        })
    }
}

pub fn distance(a: [f32; 2], b: [f32; 2]) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}
