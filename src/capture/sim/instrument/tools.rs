//! The instruments that only scripts bring in. Coordinates, tip and shading as in the parent.

use super::{BLACK, Instrument, Kind, STEEL, Touch, cylinder, mix, scale, smoothstep};

const GOLD: [f32; 3] = [0.62, 0.50, 0.24];
const BRIGHT: [f32; 3] = [0.52, 0.53, 0.55];
const TITANIUM: [f32; 3] = [0.66, 0.68, 0.72];
/// Half the needle's opening angle: three eighths of a circle.
const NEEDLE_HALF: f32 = 1.20;

impl Instrument {
    fn blade(&self) -> f32 {
        4.4 * self.radius
    }

    fn prong(&self) -> f32 {
        4.0 * self.radius
    }

    pub(super) fn tool_head(&self) -> f32 {
        match self.kind {
            Kind::Scissors => self.blade() + 2.0 * self.radius,
            Kind::ClipApplier => self.prong() + 2.6 * self.radius,
            Kind::NeedleHolder => 5.2 * self.radius,
            _ => 0.0,
        }
    }

    /// (along, across) of a point just inside the working end.
    pub(super) fn tool_tip(&self) -> (f32, f32) {
        let r = self.radius;
        match self.kind {
            Kind::Scissors => {
                let (sin, cos) = self.jaw[0];
                let (forward, out) = (0.86 * self.blade(), -0.09 * r + self.bend(0.86));
                (self.blade() - forward * cos + out * sin, forward * sin + out * cos)
            }
            Kind::ClipApplier => (0.25 * r, -self.gap(0.0)),
            Kind::NeedleHolder => (0.25 * r, 0.0),
            _ => {
                let (sin, cos) = (NEEDLE_HALF - 0.06).sin_cos();
                (r - 0.93 * r * cos, 0.93 * r * sin)
            }
        }
    }

    /// Curved blades: how far they turn aside at `t` of their length.
    fn bend(&self, t: f32) -> f32 {
        0.55 * self.radius * t * t
    }

    pub(super) fn scissors(&self, along: f32, across: f32) -> Touch {
        let (r, blade) = (self.radius, self.blade());
        if along > self.head() + 0.3 * r {
            return self.shaft(along, across, BLACK, 0.5);
        }
        let slim = 0.80 * r;
        let mut best = Touch {
            distance: (across.abs() - slim).max(blade - 0.5 * r - along).max(along - self.head() - 0.4 * r),
            colour: cylinder(across / slim, STEEL, 0.9),
        };
        for (index, (sin, cos)) in self.jaw.into_iter().enumerate() {
            let side = if index == 0 { -1.0 } else { 1.0 };
            let (fx, fy) = (blade - along, across);
            let forward = fx * cos + fy * sin;
            let t = (forward / blade).clamp(0.0, 1.0);
            let out = (fy * cos - fx * sin - self.bend(t)) * side;
            // From a broad heel to a point; the cutting edge is inside and nearly straight.
            let outer = r * mix(0.62, 0.10, t.powf(1.25));
            let inner = -out - 0.10 * r * (1.0 - t);
            let distance = (out - outer).max(inner).max(-forward - 0.6 * r).max((forward - blade) * 0.5);
            if distance < best.distance || (distance < 0.0 && along < blade) {
                let ground = smoothstep(0.55, 0.35, out / outer);
                let base = cylinder(side * (0.1 + 0.8 * out / outer), BRIGHT, 0.8);
                let colour = scale(base, mix(0.62, 1.12, ground) * mix(0.55, 1.0, smoothstep(0.0, 0.10 * r, distance.abs())));
                best = Touch { distance, colour };
            }
        }
        let screw = ((along - blade).powi(2) + across * across).sqrt();
        if screw < 0.36 * r {
            best.colour = scale(best.colour, mix(1.35, 0.4, smoothstep(0.18 * r, 0.34 * r, screw)));
        }
        self.or_shaft(best, along, across, BLACK, 0.5)
    }

    /// Half the distance between the prongs, at `along` from their ends.
    fn gap(&self, along: f32) -> f32 {
        let open = (self.jaw[1].0 * 1.6).clamp(0.10, 0.55);
        self.radius * mix(0.40 + open, 0.34, smoothstep(0.45, 1.0, along / self.prong()))
    }

    pub(super) fn clip_applier(&self, along: f32, across: f32) -> Touch {
        let (r, prong) = (self.radius, self.prong());
        if along > self.head() + 0.3 * r {
            return self.shaft(along, across, BRIGHT, 1.0);
        }
        // A neck that narrows from the shaft, with two grooves.
        let neck = mix(0.70, 1.0, smoothstep(prong, self.head(), along)) * r;
        let mut best = Touch {
            distance: (across.abs() - neck).max(prong - 0.3 * r - along).max(along - self.head() - 0.4 * r),
            colour: cylinder(across / neck, STEEL, 0.9),
        };
        for at in [0.8, 1.3] {
            let groove = smoothstep(0.16 * r, 0.08 * r, (along - prong - at * r).abs());
            best.colour = scale(best.colour, 1.0 - 0.6 * groove);
        }
        let half = 0.24 * r;
        let middle = self.gap(along);
        let beyond = (half - along).max(0.0);
        let off = across.abs() - middle;
        let bar = (off * off + beyond * beyond).sqrt().max(along - prong) - half;
        if bar < best.distance {
            best = Touch { distance: bar, colour: cylinder(off / half, STEEL, 1.0) };
        }
        // The clip between them: a bright U, open towards the tip.
        let (leg, wire) = (middle - half - 0.05 * r, 0.11 * r);
        let back = 2.1 * r;
        let legs = (across.abs() - leg).abs().max(along - back).max(0.15 * r - along) - wire;
        let bow = (along - back).abs().max(across.abs() - leg) - wire;
        let clip = legs.min(bow);
        if clip < best.distance || clip < 0.0 {
            best = Touch { distance: clip, colour: scale(TITANIUM, 1.0 + 0.35 * smoothstep(0.0, -wire, clip)) };
        }
        self.or_shaft(best, along, across, BRIGHT, 1.0)
    }

    pub(super) fn needle_holder(&self, along: f32, across: f32) -> Touch {
        let r = self.radius;
        if along > self.head() + 0.3 * r {
            return self.shaft(along, across, BLACK, 0.5);
        }
        // Stout closed jaws with a cross-hatched gold insert, then a steel wrist.
        let wide = mix(0.42, 0.90, smoothstep(0.0, 3.4 * r, along)) * r;
        let beyond = (0.3 * r - along).max(0.0);
        let distance = (across * across + beyond * beyond).sqrt().max(across.abs()) - wide;
        let distance = distance.max(along - self.head() - 0.4 * r);
        let jaw = smoothstep(3.6 * r, 3.2 * r, along);
        let base = [0, 1, 2].map(|c| mix(STEEL[c], GOLD[c], jaw * 0.85));
        let hatch = ((along / r * 14.0).sin() * ((along + across) / r * 9.0).sin()).abs();
        let slit = smoothstep(0.10 * r, 0.04 * r, across.abs()) * jaw;
        let colour = scale(cylinder(across / wide, base, 0.8), (1.0 - 0.25 * hatch * jaw) * (1.0 - 0.65 * slit));
        self.or_shaft(Touch { distance, colour }, along, across, BLACK, 0.5)
    }

    pub(super) fn needle(&self, along: f32, across: f32) -> Touch {
        let r = self.radius;
        let (x, y) = (r - along, across);
        let angle = y.atan2(x);
        let beyond = (angle.abs() - NEEDLE_HALF).max(0.0);
        // Thicker at the swage than at the point.
        let thick = r * mix(0.050, 0.085, smoothstep(NEEDLE_HALF, -NEEDLE_HALF, angle));
        let off = x.hypot(y) - 0.93 * r;
        let distance = (off * off + (beyond * r).powi(2)).sqrt() - thick;
        Touch { distance, colour: cylinder(off / thick, BRIGHT, 1.0) }
    }

    /// Where the thread leaves the needle.
    pub fn swage(&self) -> [f32; 2] {
        let (sin, cos) = NEEDLE_HALF.sin_cos();
        self.point(self.radius * (1.0 - 0.93 * cos), -0.93 * self.radius * sin)
    }

    fn or_shaft(&self, best: Touch, along: f32, across: f32, metal: [f32; 3], gloss: f32) -> Touch {
        if along > self.head() {
            let shaft = self.shaft(along, across, metal, gloss);
            if shaft.distance < best.distance {
                return shaft;
            }
        }
        best
    }
}
