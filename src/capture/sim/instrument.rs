//! Instruments: a shaft through an entry point, a wrist, a working end. Drawn and masked by the same signed distance.
//!
//! ```text
//!   port ══════ shaft ══════╪═ wrist ═╪═ jaws ═ tip        along: 0 at the tip, grows towards the port
//!                                                          across: 0 on the axis
//! ```

mod tools;

use super::noise::{mix, smoothstep};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Grasper,
    Hook,
    /// Suction and irrigation tube.
    Irrigator,
    Scissors,
    ClipApplier,
    NeedleHolder,
    /// The curved needle itself: `radius` is that of its arc.
    Needle,
}

impl Kind {
    /// Id in the class table.
    pub fn class(self) -> u8 {
        match self {
            Kind::Grasper => 5,
            Kind::Hook => 9,
            Kind::Irrigator | Kind::NeedleHolder => 13,
            Kind::Scissors => 14,
            Kind::ClipApplier => 15,
            Kind::Needle => 16,
        }
    }
}

/// One instrument in one picture. Lengths in picture heights, points in the picture.
#[derive(Debug, Clone)]
pub struct Instrument {
    pub id: u8,
    pub kind: Kind,
    /// Unit vector along the shaft, towards the tip.
    pub axis: [f32; 2],
    /// The working end: a point just inside the shape.
    pub tip: [f32; 2],
    /// Origin of `along` and `across`.
    end: [f32; 2],
    length: f32,
    radius: f32,
    /// Angle from the axis of the fixed jaw (0) and the moving jaw, sine and cosine.
    jaw: [(f32, f32); 2],
}

/// Distance to the outline (negative inside) and colour of one point.
#[derive(Debug, Clone, Copy)]
pub struct Touch {
    pub distance: f32,
    pub colour: [f32; 3],
}

const STEEL: [f32; 3] = [0.40, 0.41, 0.43];
const BLACK: [f32; 3] = [0.15, 0.16, 0.18];
const CERAMIC: [f32; 3] = [0.74, 0.72, 0.66];

impl Instrument {
    /// `opening`: angle between the jaws, radians.
    pub fn new(id: u8, kind: Kind, port: [f32; 2], end: [f32; 2], radius: f32, opening: f32) -> Self {
        let (dx, dy) = (end[0] - port[0], end[1] - port[1]);
        let length = (dx * dx + dy * dy).sqrt().max(1e-3);
        let axis = [dx / length, dy / length];
        let shares = if kind == Kind::Grasper { [-0.12, 0.88] } else { [-0.5, 0.5] };
        let jaw = shares.map(|share| (share * opening).sin_cos());
        let mut instrument = Instrument { id, kind, axis, tip: end, end, length, radius, jaw };
        let (along, across) = match kind {
            Kind::Grasper => {
                let reach = instrument.jaw_length() - 0.22 * radius;
                let inner = -0.16 * radius;
                let (sin, cos) = instrument.jaw[0];
                (instrument.jaw_length() - reach * cos + inner * sin, reach * sin + inner * cos)
            }
            Kind::Hook => (0.20 * radius, 0.85 * radius),
            Kind::Irrigator => (0.20 * radius, 0.0),
            Kind::Scissors | Kind::ClipApplier | Kind::NeedleHolder | Kind::Needle => instrument.tool_tip(),
        };
        instrument.tip = instrument.point(along, across);
        instrument
    }

    fn jaw_length(&self) -> f32 {
        3.6 * self.radius
    }

    /// Where the working end stops and the shaft begins.
    fn head(&self) -> f32 {
        match self.kind {
            Kind::Grasper => self.jaw_length() + 2.4 * self.radius,
            Kind::Hook => 3.6 * self.radius,
            Kind::Irrigator => 0.0,
            Kind::Scissors | Kind::ClipApplier | Kind::NeedleHolder | Kind::Needle => self.tool_head(),
        }
    }

    pub fn point(&self, along: f32, across: f32) -> [f32; 2] {
        let [ax, ay] = self.axis;
        [self.end[0] - along * ax - across * ay, self.end[1] - along * ay + across * ax]
    }

    /// (along, across) of a point of the picture.
    #[inline(always)]
    pub fn local(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let (dx, dy) = (x - self.end[0], y - self.end[1]);
        let [ax, ay] = self.axis;
        [-(dx * ax + dy * ay), dy * ax - dx * ay]
    }

    /// The shaft widens towards the port: it comes nearer to the camera.
    #[inline(always)]
    fn shaft_radius(&self, along: f32) -> f32 {
        self.radius * (1.0 + 0.55 * along)
    }

    /// The part of the row `y` (picture heights) on which `touch` can be within `pad` of the shape, or None.
    pub fn span(&self, y: f32, pad: f32) -> Option<(f32, f32)> {
        if self.kind == Kind::Needle {
            let [cx, cy] = self.point(self.radius, 0.0);
            let reach = self.radius + pad;
            let half = (reach * reach - (y - cy) * (y - cy)).max(0.0).sqrt();
            return (half > 0.0).then_some((cx - half, cx + half));
        }
        let side = self.shaft_radius(self.length).max(1.6 * self.radius + self.jaw[1].0.abs() * self.jaw_length()) + pad;
        let [ax, ay] = self.axis;
        let (mut from, mut to) = (f32::MIN, f32::MAX);
        let dy = y - self.end[1];
        // low <= gain·dx + offset <= high
        for (gain, offset, low, high) in [(-ax, -dy * ay, -pad, self.length), (-ay, dy * ax, -side, side)] {
            if gain.abs() < 1e-6 {
                if offset < low || offset > high {
                    return None;
                }
                continue;
            }
            let (a, b) = ((low - offset) / gain, (high - offset) / gain);
            from = from.max(a.min(b));
            to = to.min(a.max(b));
        }
        (from < to).then_some((self.end[0] + from, self.end[0] + to))
    }

    /// Cheap distance for the shadow: the whole as one tapering rod.
    #[inline(always)]
    pub fn rod(&self, point: [f32; 2]) -> f32 {
        if self.kind == Kind::Needle {
            return f32::MAX;
        }
        let [along, across] = self.local(point);
        let beyond = (0.5 * self.radius - along).max(0.0);
        (across * across + beyond * beyond).sqrt() - 0.8 * self.shaft_radius(along.max(0.0))
    }

    /// Distance to the outline and the colour there.
    #[inline]
    pub fn touch(&self, point: [f32; 2]) -> Touch {
        let [along, across] = self.local(point);
        match self.kind {
            Kind::Grasper => self.grasper(along, across),
            Kind::Hook => self.hook(along, across),
            Kind::Irrigator => self.irrigator(along, across),
            Kind::Scissors => self.scissors(along, across),
            Kind::ClipApplier => self.clip_applier(along, across),
            Kind::NeedleHolder => self.needle_holder(along, across),
            Kind::Needle => self.needle(along, across),
        }
    }

    fn shaft(&self, along: f32, across: f32, metal: [f32; 3], gloss: f32) -> Touch {
        let r = self.shaft_radius(along);
        Touch { distance: (across.abs() - r).max(self.head() - along), colour: cylinder(across / r, metal, gloss) }
    }

    fn grasper(&self, along: f32, across: f32) -> Touch {
        let r = self.radius;
        let jaws = self.jaw_length();
        if along > self.head() + 0.3 * r {
            return self.shaft(along, across, BLACK, 0.5);
        }
        // Wrist: steel, a little thinner, with a slot and the pin that the jaws turn about.
        let slim = 0.86 * r;
        let mut best = Touch {
            distance: (across.abs() - slim).max(jaws - 0.9 * r - along).max(along - self.head() - 0.4 * r),
            colour: cylinder(across / slim, STEEL, 0.9),
        };
        let pin = ((along - jaws).powi(2) + across * across).sqrt();
        let pin_edge = smoothstep(0.34 * r, 0.26 * r, pin);
        best.colour = scale(best.colour, mix(1.0, mix(0.35, 1.15, smoothstep(0.30 * r, 0.18 * r, pin)), pin_edge));
        let slot = smoothstep(0.20 * r, 0.12 * r, across.abs())
            * smoothstep(jaws + 0.6 * r, jaws + 0.8 * r, along)
            * smoothstep(self.head() - 0.3 * r, self.head() - 0.5 * r, along);
        best.colour = scale(best.colour, 1.0 - 0.75 * slot);
        for (index, (sin, cos)) in self.jaw.into_iter().enumerate() {
            let side = if index == 0 { -1.0 } else { 1.0 };
            // From the pin forwards, turned into the jaw's own frame; `out` grows away from the other jaw.
            let (fx, fy) = (jaws - along, across);
            let forward = fx * cos + fy * sin;
            let out = (fy * cos - fx * sin) * side;
            let t = (forward / jaws).clamp(0.0, 1.0);
            let outer = r * mix(0.80, 0.40, t);
            // Teeth along the inner face.
            let teeth = 0.045 * r * (forward * 11.0 / r).sin();
            let inner = -out + 0.01 * r + teeth * smoothstep(0.9 * r, 1.3 * r, forward);
            let round = {
                let cut = (forward - (jaws - outer)).max(0.0);
                (cut * cut + out * out).sqrt() - outer
            };
            let distance = round.max(out - outer).max(inner).max(-forward - 0.5 * r);
            if distance < best.distance || (distance < 0.0 && along < jaws - 0.5 * r) {
                let mut colour = cylinder(side * (0.25 + 0.75 * out / outer), STEEL, 1.0);
                let hole =
                    smoothstep(0.16 * r, 0.08 * r, (out - 0.42 * outer).abs()) * smoothstep(0.22, 0.30, t) * smoothstep(0.86, 0.78, t);
                colour = scale(colour, (1.0 - 0.72 * hole) * mix(0.7, 1.0, smoothstep(0.0, 0.15 * r, out)));
                best = Touch { distance, colour };
            }
        }
        if along > self.head() {
            let shaft = self.shaft(along, across, BLACK, 0.5);
            if shaft.distance < best.distance {
                return shaft;
            }
        }
        best
    }

    fn hook(&self, along: f32, across: f32) -> Touch {
        let r = self.radius;
        let collar = self.head() - 0.9 * r;
        if along > self.head() + 0.2 * r {
            return self.shaft(along, across, BLACK, 0.35);
        }
        // The wire: straight along the axis, then a foot to one side.
        let wire = 0.20 * r;
        let straight = {
            let beyond = (wire - along).max(0.0).max(along - collar - 0.2 * r);
            (across * across + beyond * beyond).sqrt() - wire
        };
        let foot = {
            let a = along - wire;
            let b = (across - across.clamp(0.0, 0.95 * r)).abs();
            (a * a + b * b).sqrt() - wire * 0.95
        };
        let mut best = if straight < foot {
            Touch { distance: straight, colour: cylinder(across / wire, STEEL, 1.0) }
        } else {
            Touch { distance: foot, colour: cylinder((along - wire) / wire, STEEL, 1.0) }
        };
        let cone = mix(0.45, 0.92, smoothstep(collar, self.head(), along)) * r;
        let ring = (across.abs() - cone).max(collar - along).max(along - self.head() - 0.2 * r);
        if ring < best.distance {
            best = Touch { distance: ring, colour: cylinder(across / cone, CERAMIC, 0.3) };
        }
        if along > self.head() {
            let shaft = self.shaft(along, across, BLACK, 0.35);
            if shaft.distance < best.distance {
                return shaft;
            }
        }
        best
    }

    fn irrigator(&self, along: f32, across: f32) -> Touch {
        let r = self.shaft_radius(along.max(0.0));
        let beyond = (0.6 * r - along).max(0.0);
        let distance = if beyond > 0.0 {
            // A rounded rim.
            let wide = (across.abs() - 0.4 * r).max(0.0);
            (wide * wide + beyond * beyond).sqrt() - 0.6 * r
        } else {
            across.abs() - r
        };
        let mut colour = cylinder(across / r, STEEL, 1.0);
        for (at, side) in [(1.5, -0.35), (2.5, 0.30), (3.5, -0.30), (4.5, 0.35)] {
            let hole = ((along - at * self.radius).powi(2) + ((across - side * r) * 1.1).powi(2)).sqrt();
            colour = scale(colour, 1.0 - 0.85 * smoothstep(0.24 * self.radius, 0.16 * self.radius, hole));
        }
        Touch { distance, colour: scale(colour, smoothstep(-0.1 * r, 0.6 * r, along) * 0.4 + 0.6) }
    }
}

fn scale(colour: [f32; 3], by: f32) -> [f32; 3] {
    colour.map(|c| c * by)
}

/// Shading across a cylinder lit from the camera: −1..1 from edge to edge.
#[inline(always)]
fn cylinder(across: f32, base: [f32; 3], gloss: f32) -> [f32; 3] {
    let s = across.clamp(-1.0, 1.0);
    let facing = (1.0 - s * s).sqrt();
    let lit = 0.22 + 0.80 * facing - 0.16 * s;
    // One sharp and one broad reflection, and a fainter one of the tissue on the far side.
    let (a, b) = ((s + 0.30) * 5.5, (s + 0.22) * 2.2);
    let shine = gloss * (0.60 / (1.0 + a * a * a * a) + 0.16 / (1.0 + b * b * b * b));
    let c = (s - 0.72) * 6.0;
    let red = gloss * 0.14 / (1.0 + c * c);
    [base[0] * lit + shine + red, base[1] * lit + shine + red * 0.35, base[2] * lit + shine + red * 0.35]
}
