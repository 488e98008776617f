//! How everything moves over the loop: camera, breathing, instruments through their fixed entry points. All of it is
//! periodic in the phase (0..1 of the loop), so that the last picture leads to the first.

use super::anatomy::Anatomy;
use super::instrument::{Instrument, Kind};
use super::noise::{Rng, smoothstep};
use std::f32::consts::TAU;

/// A sum of a few harmonics of the loop.
#[derive(Debug, Clone)]
struct Wave([(f32, f32, f32); 3]);

impl Wave {
    fn new(r: &mut Rng, amplitude: f32) -> Self {
        let mut part = |n: f32| (n, amplitude / n * r.range(0.6, 1.0), r.range(0.0, TAU));
        Wave([part(1.0), part(2.0), part(3.0)])
    }

    fn at(&self, phase: f32) -> f32 {
        self.0.iter().map(|(n, a, start)| a * (TAU * n * phase + start).sin()).sum()
    }
}

/// When something goes on: from..to of the loop (may pass over its end), with soft ends.
#[derive(Debug, Clone, Copy)]
struct Window {
    from: f32,
    length: f32,
    ramp: f32,
}

impl Window {
    fn at(&self, phase: f32) -> f32 {
        let t = (phase - self.from).rem_euclid(1.0);
        smoothstep(0.0, self.ramp, t) * smoothstep(self.length, self.length - self.ramp, t)
    }
}

#[derive(Debug, Clone)]
struct Actor {
    id: u8,
    kind: Kind,
    /// Where the shaft passes the abdominal wall, outside the content area.
    port: [f32; 2],
    target_in_scene: [f32; 2],
    wander: [Wave; 2],
    present: Window,
    /// Jaws closed, tissue held.
    grip: Window,
    pull: [f32; 2],
    jaws: Wave,
    radius: f32,
}

#[derive(Debug)]
pub struct Motion {
    pan: [Wave; 2],
    turn: Wave,
    zoom: Wave,
    breaths: f32,
    breath_size: f32,
    actors: Vec<Actor>,
}

/// What a script adds to the camera's own motion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    /// Picture heights.
    pub pan: [f32; 2],
    pub turn: f32,
    pub magnify: f32,
}

impl Camera {
    pub const AT_REST: Camera = Camera { pan: [0.0; 2], turn: 0.0, magnify: 1.0 };
}

/// Everything that stands still within one picture.
#[derive(Debug)]
pub struct Pose {
    pan: [f32; 2],
    sin: f32,
    cos: f32,
    breath: f32,
    /// Tissue that is held: where it rests, how far it is pulled.
    pulls: Vec<([f32; 2], [f32; 2])>,
    /// From back to front.
    pub instruments: Vec<Instrument>,
}

/// How far the warp may reach beyond the picture, picture heights.
pub const REACH: f32 = 0.15;

impl Motion {
    /// `content` is the content area's centre and radius, picture heights.
    pub fn new(seed: u64, anatomy: &Anatomy, content: ([f32; 2], f32), loop_s: f64) -> Self {
        let mut rng = Rng::new(seed, 3);
        let r = &mut rng;
        let pan = [Wave::new(r, 0.032), Wave::new(r, 0.024)];
        let (turn, zoom) = (Wave::new(r, 0.022), Wave::new(r, 0.022));
        let breaths = (loop_s / 3.6).round().max(1.0) as f32;
        let second = [Kind::Hook, Kind::Hook, Kind::Irrigator][r.below(3)];
        let third = [Kind::Irrigator, Kind::Grasper, Kind::Irrigator][r.below(3)];
        let count = 2 + r.below(2);
        // The second works while the first is away: there is always one.
        let from = r.unit();
        let mirror = r.bits().is_multiple_of(4);
        let kinds = [Kind::Grasper, second, third];
        // Entry points round the clock: left, lower right, upper right.
        let clock = [0.47 + r.range(-0.03, 0.05), 0.06 + r.range(-0.04, 0.07), 0.84 + r.range(-0.04, 0.04)];
        let body = anatomy.gallbladder_in_scene;
        let neck = anatomy.neck_in_scene;
        let targets = [[body[0] - 0.03, body[1] + 0.12], [neck[0] + 0.06, neck[1] - 0.02], [neck[0] + 0.09, neck[1] + 0.03]];
        let mut actors: Vec<Actor> = (0..count)
            .map(|i| {
                let angle = TAU * if mirror { (0.5 - clock[i]).rem_euclid(1.0) } else { clock[i] };
                let far = content.1 * 1.35;
                let size = [0.034, 0.038, 0.030][i] * r.range(0.9, 1.15);
                let length = [0.86, 0.66, 0.54][i] + r.range(-0.03, 0.03);
                let start = (from + [0.0, 0.52, 0.30][i] + r.range(-0.03, 0.03)).rem_euclid(1.0);
                let present = Window { from: start, length, ramp: 0.15 };
                let grip = Window { from: (start + 0.28 * length).rem_euclid(1.0), length: 0.48 * length, ramp: 0.09 };
                let grips = kinds[i] == Kind::Grasper && i == 0;
                Actor {
                    id: i as u8 + 1,
                    kind: kinds[i],
                    port: [content.0[0] + far * angle.cos(), content.0[1] + far * angle.sin()],
                    target_in_scene: targets[i],
                    wander: [Wave::new(r, 0.028), Wave::new(r, 0.024)],
                    present,
                    grip,
                    pull: if grips { [r.range(-0.09, -0.05), r.range(-0.05, 0.02)] } else { [0.0; 2] },
                    jaws: Wave::new(r, 0.10),
                    radius: size,
                }
            })
            .collect();
        // Drawn from back to front: the one in the middle of the work lies behind.
        actors.rotate_left(r.below(count));
        Motion { pan, turn, zoom, breaths, breath_size: r.range(0.008, 0.014), actors }
    }

    #[cfg(test)]
    pub fn leave_out_instruments(&mut self) {
        // They stay where they pull, so that the tissue lies as it did: only what is drawn goes.
        self.actors.iter_mut().for_each(|actor| actor.present = Window { from: 0.0, length: -1.0, ramp: 1.0 });
    }

    pub fn pose(&self, phase: f32) -> Pose {
        self.pose_seen_by(phase, &Camera::AT_REST)
    }

    /// The phase in which most instruments are well inside: for a picture that stands still.
    pub fn busiest_phase(&self) -> f32 {
        let inside = |phase: f32| self.actors.iter().map(|actor| actor.present.at(phase)).sum::<f32>();
        let phases = (0..64).map(|step| step as f32 / 64.0);
        phases.max_by(|a, b| inside(*a).total_cmp(&inside(*b))).unwrap_or(0.0)
    }

    pub fn pose_seen_by(&self, phase: f32, camera: &Camera) -> Pose {
        let turn = self.turn.at(phase) + camera.turn;
        let wave = 1.0 + self.zoom.at(phase);
        let zoom = wave / camera.magnify;
        let mut pose = Pose {
            pan: [self.pan[0].at(phase) + camera.pan[0], self.pan[1].at(phase) + camera.pan[1]],
            sin: turn.sin() * zoom,
            cos: turn.cos() * zoom,
            // Breathing in takes less long than breathing out.
            breath: self.breath_size * ((TAU * self.breaths * phase).sin() + 0.25 * (2.0 * TAU * self.breaths * phase + 0.8).sin()),
            pulls: Vec::new(),
            instruments: Vec::new(),
        };
        let held: Vec<f32> = self.actors.iter().map(|actor| actor.grip.at(phase)).collect();
        for (actor, &grip) in self.actors.iter().zip(&held) {
            if actor.pull != [0.0; 2] && grip > 0.0 {
                pose.pulls.push((actor.target_in_scene, actor.pull.map(|v| v * grip)));
            }
        }
        for (actor, &grip) in self.actors.iter().zip(&held) {
            let inside = actor.present.at(phase);
            if inside <= 0.0 {
                continue;
            }
            // What holds tissue goes with it; what does not wanders about its place of work.
            let free = 1.0 - grip * if actor.pull == [0.0; 2] { 0.5 } else { 1.0 };
            let at = [0, 1].map(|axis| actor.target_in_scene[axis] + actor.wander[axis].at(phase) * free);
            let goal = pose.picture_of(at);
            let tip = [0, 1].map(|axis| actor.port[axis] + (goal[axis] - actor.port[axis]) * (0.12 + 0.88 * inside));
            let opening = ((0.32 + actor.jaws.at(phase)) * (1.0 - grip) + 0.03).max(0.03);
            pose.instruments.push(Instrument::new(actor.id, actor.kind, actor.port, tip, actor.radius * wave * camera.magnify, opening));
        }
        pose
    }
}

impl Pose {
    /// The point of the resting scene that is seen at `point` of the picture.
    #[inline]
    pub fn scene_of(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let mut scene = [(x * self.cos - y * self.sin) + self.pan[0], (x * self.sin + y * self.cos) + self.pan[1]];
        // The diaphragm is above; the lower the tissue, the less it goes with it.
        let swing = self.breath * (0.9 - 0.8 * y);
        scene[1] -= swing;
        scene[0] -= 0.35 * swing * (1.0 + x);
        let here = scene;
        for (rest, pull) in &self.pulls {
            let (dx, dy) = (here[0] - rest[0] - pull[0], here[1] - rest[1] - pull[1]);
            let near = (-(dx * dx + dy * dy) / (2.0 * 0.15 * 0.15)).exp();
            scene[0] -= pull[0] * near;
            scene[1] -= pull[1] * near;
        }
        scene
    }

    /// Where in the picture a point of the resting scene is seen: the inverse of `scene_of`.
    pub fn picture_of(&self, point: [f32; 2]) -> [f32; 2] {
        let mut at = point;
        for _ in 0..12 {
            let seen = self.scene_of(at);
            at = [at[0] + point[0] - seen[0], at[1] + point[1] - seen[1]];
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_warp_leads_back_and_the_loop_closes() {
        for seed in 0..12 {
            let anatomy_free = Anatomy::new(seed);
            let motion = Motion::new(seed, &anatomy_free, ([0.0, 0.0], 0.78), 6.0);
            for step in 0..20 {
                let phase = step as f32 / 20.0;
                let pose = motion.pose(phase);
                for point in [[0.0, 0.0], [0.3, -0.2], [-0.4, 0.3]] {
                    let back = pose.scene_of(pose.picture_of(point));
                    assert!((back[0] - point[0]).abs() < 1e-4 && (back[1] - point[1]).abs() < 1e-4, "{back:?} {point:?}");
                }
                let (a, b) = (pose.scene_of([0.7, 0.5]), motion.pose(phase + 1.0).scene_of([0.7, 0.5]));
                assert!((a[0] - b[0]).abs() < 1e-4 && (a[1] - b[1]).abs() < 1e-4);
            }
        }
    }
}
