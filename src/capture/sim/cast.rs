//! The instruments that a script brings in, and the thread of a needle.

use super::instrument::{Instrument, Kind};
use super::motion::Pose;
use super::noise::{Rng, smoothstep};
use super::script::{Effect, Event, Script, Side, Tool};
use std::f32::consts::{PI, TAU};

/// Ids of the plain scene's own instruments end before this one.
const FIRST_ID: u8 = 4;

#[derive(Debug)]
struct Player {
    id: u8,
    event: Event,
    tool: Tool,
    port: [f32; 2],
    target_in_scene: [f32; 2],
    radius: f32,
    start: f32,
}

#[derive(Debug, Default)]
pub struct Cast {
    players: Vec<Player>,
}

/// A thread in one picture: points of the picture, from the needle on.
#[derive(Debug, Clone, PartialEq)]
pub struct Thread(pub Vec<[f32; 2]>);

impl Cast {
    /// `content` is the content area's centre and radius, `neck_in_scene` where the work is.
    pub fn new(script: &Script, seed: u64, neck_in_scene: [f32; 2], content: ([f32; 2], f32)) -> Self {
        let mut rng = Rng::new(seed, 8);
        let r = &mut rng;
        let mut cast = Cast::default();
        for event in &script.events {
            let Effect::Instrument { tool, side } = event.effect else { continue };
            let angle = r.range(-0.25, 0.25)
                + match side {
                    Side::Right => 0.16 * PI,
                    Side::Bottom => 0.5 * PI,
                    Side::Left => 0.84 * PI,
                    Side::Top => 1.5 * PI,
                };
            let far = content.1 * 1.35;
            let away = match side {
                Side::Left => [-0.12, 0.02],
                Side::Right => [0.12, 0.0],
                Side::Top => [0.0, -0.10],
                Side::Bottom => [0.0, 0.12],
            };
            let wide = match tool {
                Tool::ClipApplier => 0.046,
                Tool::Irrigator => 0.030,
                _ => 0.037,
            };
            cast.players.push(Player {
                id: FIRST_ID + 2 * cast.players.len() as u8,
                event: event.clone(),
                tool,
                port: [content.0[0] + far * angle.cos(), content.0[1] + far * angle.sin()],
                target_in_scene: [neck_in_scene[0] + away[0] + r.range(-0.04, 0.04), neck_in_scene[1] + away[1] + r.range(-0.04, 0.04)],
                radius: wide * r.range(0.95, 1.1),
                start: r.range(0.0, TAU),
            });
        }
        cast
    }

    /// Puts those that are on stage into `pose`, in front of what is there. `moves`: false in a still scene.
    pub fn enter(&self, t_ns: u64, moves: bool, magnify: f32, pose: &mut Pose) -> Vec<Thread> {
        let mut threads = Vec::new();
        for player in self.players.iter().filter(|player| player.event.is_on(t_ns)) {
            let (from_ns, to_ns) = player.event.span_ns();
            let since = |ns: u64| ns as f32 / 1e9;
            let ramp_s = (player.event.for_s as f32 / 3.0).min(1.2);
            let inside = smoothstep(0.0, ramp_s, since(t_ns - from_ns)) * smoothstep(0.0, ramp_s, since(to_ns - t_ns));
            let t = if moves { since(t_ns - from_ns) } else { 0.0 };
            let wander = [0.024 * (1.9 * t + player.start).sin(), 0.020 * (1.3 * t + 2.0 * player.start).sin()];
            let goal = pose.picture_of([0, 1].map(|axis| player.target_in_scene[axis] + wander[axis]));
            let end = [0, 1].map(|axis| player.port[axis] + (goal[axis] - player.port[axis]) * (0.10 + 0.90 * inside));
            let opening = 0.42 + 0.30 * (2.6 * t + player.start).sin();
            let radius = player.radius * magnify;
            let kind = match player.tool {
                Tool::Grasper => Kind::Grasper,
                Tool::Hook => Kind::Hook,
                Tool::Scissors => Kind::Scissors,
                Tool::ClipApplier => Kind::ClipApplier,
                Tool::Irrigator => Kind::Irrigator,
                Tool::Needle => Kind::NeedleHolder,
            };
            let instrument = Instrument::new(player.id, kind, player.port, end, radius, opening);
            if player.tool == Tool::Needle {
                let needle = held_needle(&instrument, player.id + 1, radius);
                threads.push(hanging(needle.swage(), instrument.axis[0], radius));
                pose.instruments.push(needle);
            }
            pose.instruments.push(instrument);
        }
        threads
    }
}

/// The needle stands across the jaws, held at a third of its length.
fn held_needle(holder: &Instrument, id: u8, radius: f32) -> Instrument {
    let arc = 2.5 * radius;
    let [ax, ay] = holder.axis;
    // Its own axis is across the holder's, so that it points to one side and bows forwards.
    let axis = [ax * 0.35 + ay * 0.94, ay * 0.35 - ax * 0.94];
    let grip = holder.point(0.55 * radius, 0.0);
    let end = [grip[0] + 0.07 * arc * axis[0], grip[1] + 0.07 * arc * axis[1]];
    Instrument::new(id, Kind::Needle, [end[0] - 2.0 * arc * axis[0], end[1] - 2.0 * arc * axis[1]], end, arc, 0.0)
}

/// From `start` it rises, loops once and runs down out of the picture; `away` is the side of the picture to which.
fn hanging(start: [f32; 2], away: f32, radius: f32) -> Thread {
    let [x, y] = start;
    // Away from the holder, and as large as everything else.
    let (by, way) = (radius / 0.037, radius / 0.037 * away.signum());
    let bends = [
        [x, y],
        [x + 0.01 * way, y - 0.07 * by],
        [x + 0.11 * way, y - 0.11 * by],
        [x + 0.20 * way, y - 0.02 * by],
        [x + 0.12 * way, y + 0.05 * by],
        [x + 0.09 * way, y - 0.03 * by],
        [x + 0.20 * way, y + 0.06 * by],
        [x + 0.24 * way, y + 0.22 * by],
        [x + 0.42 * way, y + 0.60 * by],
    ];
    // Catmull and Rom's spline through the bends.
    let mut points = Vec::new();
    for n in 0..bends.len() - 1 {
        let p = [n.saturating_sub(1), n, n + 1, (n + 2).min(bends.len() - 1)].map(|at| bends[at]);
        for step in 0..10 {
            let t = step as f32 / 10.0;
            let weights = [
                -0.5 * t + t * t - 0.5 * t * t * t,
                1.0 - 2.5 * t * t + 1.5 * t * t * t,
                0.5 * t + 2.0 * t * t - 1.5 * t * t * t,
                -0.5 * t * t + 0.5 * t * t * t,
            ];
            points.push([0, 1].map(|axis| (0..4).map(|k| weights[k] * p[k][axis]).sum::<f32>()));
        }
    }
    Thread(points)
}

impl Thread {
    /// Half its thickness, picture heights.
    pub const HALF: f32 = 0.0026;

    /// Distance to its outline, negative inside.
    pub fn distance(&self, [x, y]: [f32; 2]) -> f32 {
        let mut nearest = f32::MAX;
        for pair in self.0.windows(2) {
            let (dx, dy) = (pair[1][0] - pair[0][0], pair[1][1] - pair[0][1]);
            let (px, py) = (x - pair[0][0], y - pair[0][1]);
            let t = ((px * dx + py * dy) / (dx * dx + dy * dy).max(1e-9)).clamp(0.0, 1.0);
            nearest = nearest.min((px - t * dx).powi(2) + (py - t * dy).powi(2));
        }
        nearest.sqrt() - Self::HALF
    }

    /// Left and right end of what can be within `pad` of it at height `y`.
    pub fn span(&self, y: f32, pad: f32) -> Option<(f32, f32)> {
        let pad = pad + Self::HALF;
        let (mut from, mut to) = (f32::MAX, f32::MIN);
        for pair in self.0.windows(2).filter(|pair| pair[0][1].min(pair[1][1]) - pad <= y && y <= pair[0][1].max(pair[1][1]) + pad) {
            from = from.min(pair[0][0].min(pair[1][0]) - pad);
            to = to.max(pair[0][0].max(pair[1][0]) + pad);
        }
        (from < to).then_some((from, to))
    }
}
