//! Scripted scenes: the plain scene with what a script does to it, in the order in which light and signal pass.
//!
//! ```text
//!   which picture (freeze, cut) ─► tissue ─► blood ─► shadows, instruments, thread ─► smoke ─► shutter
//!        ─► lens (focus, fog, drops, dirt) ─► trocar, room ─► look ─► lamp ─► picture in picture, menu ─► cable ─► noise ─► NV12
//! ```
//! Beside the colours goes how much of the scene is hidden at each pixel: what truth says there is from the same numbers.

use super::SimError;
use super::anatomy::Anatomy;
use super::canvas::Canvas;
use super::cast::{Cast, Thread};
use super::drawing::{draw_instrument, draw_shadow};
use super::fluids::{Clouds, Pool, Smoke, scene_point};
use super::grade;
use super::lens::{self, Lens};
use super::map::Warp;
use super::motion::{Camera, Pose};
use super::noise::{Rng, smoothstep};
use super::nv12::RgbRow;
use super::osd::{self, Letters};
use super::port::{self, View};
use super::render::{Masks, Simulator, Truth};
use super::script::{Effect, Event, Look};
use super::spec::Spec;
use std::f32::consts::TAU;

/// Label of what cannot be judged.
pub const IGNORE: u8 = 255;
/// Where more than this is hidden, the label is `IGNORE`.
pub const MOST_HIDDEN: f32 = 0.8;
const BLOOD: u8 = 7;
/// Ids of the instruments of the n-th other operation begin here.
const OTHER_IDS: u8 = 140;
/// The plain scene's motion is made for a loop of about this length.
const CYCLE_S: f64 = 6.0;

#[derive(Debug)]
pub struct Stage {
    events: Vec<Event>,
    look: Look,
    noise: f32,
    default_instruments: bool,
    /// Nothing moves: the one phase that is shown.
    still: Option<f32>,
    cycles: f64,
    cast: Cast,
    others: Vec<(u64, Simulator)>,
    clouds: Clouds,
    lens: Lens,
    letters: Letters,
    bleeds_at: [f32; 2],
}

/// What is to be seen, before noise.
struct Composed {
    canvas: Canvas,
    hidden: Vec<f32>,
}

/// Everything that stands still within one scripted picture.
struct Moment<'a> {
    scene: &'a Simulator,
    pose: Pose,
    warp: Warp,
    pools: Vec<Pool>,
    threads: Vec<Thread>,
    t_ns: u64,
    view: Option<View>,
}

impl Stage {
    /// How far beyond the plain scene the camera can look: least magnification, largest way, does it turn.
    pub fn reach(spec: &Spec) -> (f32, f32, bool) {
        let events = spec.script.iter().flat_map(|script| &script.events);
        let (mut least, mut way, mut turns) = (1.0f32, 0.0f32, false);
        for event in events {
            match event.effect {
                Effect::Camera { pan, zoom, turn_deg } => {
                    least = least.min(zoom.powf(event.amount.max(0.0)).min(zoom));
                    way += pan[0].hypot(pan[1]);
                    turns |= turn_deg != 0.0;
                }
                Effect::MotionBlur => way += 0.1,
                _ => {}
            }
        }
        (least.max(0.5), way.min(0.6), turns)
    }

    pub fn new(spec: &Spec, anatomy: &Anatomy, plain: &Simulator) -> Result<Self, SimError> {
        let script = spec.script.as_deref();
        let events = script.map_or_else(Vec::new, |script| script.events.clone());
        let mut others: Vec<(u64, Simulator)> = Vec::new();
        for event in &events {
            if let Effect::Cut { seed } = event.effect
                && !others.iter().any(|(known, _)| *known == seed)
            {
                let other = Spec { seed, script: None, still: false, noise: 1.0, look: Look::Standard, ..spec.clone() };
                others.push((seed, Simulator::new(&other)?));
            }
        }
        let content = (plain.content.centre, plain.content.radius);
        let neck = anatomy.neck_in_scene;
        Ok(Stage {
            events,
            look: spec.look,
            noise: spec.noise,
            default_instruments: script.is_none_or(|script| script.default_instruments),
            still: spec.still.then(|| plain.motion.busiest_phase()),
            cycles: (spec.loop_s / CYCLE_S).round().max(1.0),
            cast: script.map_or_else(Cast::default, |script| Cast::new(script, spec.seed, neck, content)),
            others,
            clouds: Clouds::new(spec.seed),
            lens: Lens::new(spec.seed, &plain.content),
            letters: Letters::new(),
            bleeds_at: [neck[0] + 0.02, neck[1] - 0.03],
        })
    }

    /// The events that are on at `t_ns`.
    fn on(&self, t_ns: u64) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.is_on(t_ns))
    }

    /// A frozen picture is the first one of its event, to the last bit.
    fn shown(&self, spec: &Spec, index: usize) -> usize {
        let mut shown = index;
        // A freeze within a freeze leads further back.
        for _ in 0..2 {
            let t_ns = spec.pts_ns(shown as u64);
            if let Some(event) = self.on(t_ns).find(|event| event.effect == Effect::Freeze) {
                shown = first_at(spec, event.span_ns().0).min(shown);
            }
        }
        shown
    }

    fn is_dark(&self, t_ns: u64) -> bool {
        self.on(t_ns).any(|event| matches!(event.effect, Effect::Black | Effect::Loss))
    }

    fn camera(&self, t_ns: u64) -> Camera {
        let mut camera = Camera::AT_REST;
        let t = t_ns as f32 / 1e9;
        for event in self.on(t_ns) {
            match event.effect {
                Effect::Camera { pan, zoom, turn_deg } => {
                    let there = event.envelope(t_ns);
                    camera.pan = [0, 1].map(|axis| camera.pan[axis] + pan[axis] * there);
                    camera.magnify *= zoom.powf(there);
                    camera.turn += turn_deg.to_radians() * there;
                }
                Effect::MotionBlur => {
                    let size = 0.07 * event.level(t_ns);
                    camera.pan[0] += size * (TAU * 1.3 * t).sin();
                    camera.pan[1] += 0.6 * size * (TAU * 1.9 * t + 0.6).sin();
                }
                _ => {}
            }
        }
        // However many cameras a script adds up, the atlas ends somewhere.
        camera.magnify = camera.magnify.clamp(0.5, 8.0);
        camera
    }

    fn phase(&self, spec: &Spec, t_ns: u64) -> f32 {
        let loop_ns = spec.pts_ns(spec.frame_count() as u64).max(1);
        self.still.unwrap_or_else(|| ((t_ns as f64 / loop_ns as f64 * self.cycles).fract()) as f32)
    }

    fn pose(&self, scene: &Simulator, spec: &Spec, t_ns: u64) -> Pose {
        scene.motion.pose_seen_by(self.phase(spec, t_ns), &self.camera(t_ns))
    }

    fn moment<'a>(&'a self, plain: &'a Simulator, t_ns: u64) -> Moment<'a> {
        let spec = plain.spec();
        let cut = self.on(t_ns).find_map(|event| if let Effect::Cut { seed } = event.effect { Some(seed) } else { None });
        let other = cut.and_then(|seed| self.others.iter().position(|(known, _)| *known == seed));
        let scene = other.map_or(plain, |at| &self.others[at].1);
        let mut pose = self.pose(scene, spec, t_ns);
        let mut threads = Vec::new();
        if let Some(at) = other {
            pose.instruments.iter_mut().for_each(|instrument| instrument.id += OTHER_IDS + 3 * at as u8);
        } else {
            if !self.default_instruments {
                pose.instruments.clear();
            }
            threads = self.cast.enter(t_ns, self.still.is_none(), self.camera(t_ns).magnify, &mut pose);
        }
        let warp = scene.warp(&pose);
        let pools = self.on(t_ns).filter(|_| other.is_none()).filter_map(|event| match event.effect {
            Effect::Bleeding { site } => Some(Pool { site: site.unwrap_or(self.bleeds_at), level: event.level(t_ns) }),
            _ => None,
        });
        let view = self.on(t_ns).find(|event| event.effect == Effect::OutOfBody).map(|event| {
            let (from, to) = event.span_ns();
            View::at((t_ns - from) as f32 / (to - from) as f32)
        });
        Moment { scene, pools: pools.collect(), pose, warp, threads, t_ns, view }
    }

    /// Draws picture `index`; noise is left to the caller, who is told how strong it is. None: black.
    pub fn render(&self, plain: &Simulator, index: usize) -> Option<(Vec<[f32; 3]>, f32, usize)> {
        let shown = self.shown(plain.spec(), index);
        let t_ns = plain.spec().pts_ns(shown as u64);
        if self.is_dark(plain.spec().pts_ns(index as u64)) || self.is_dark(t_ns) {
            return None;
        }
        let more: f32 = self.on(t_ns).filter(|event| event.effect == Effect::Noise).map(|event| 7.0 * event.level(t_ns)).sum();
        let composed = self.compose(plain, &self.moment(plain, t_ns), shown);
        Some((composed.canvas.pixels, self.noise + more, shown))
    }

    fn compose(&self, plain: &Simulator, moment: &Moment<'_>, shown: usize) -> Composed {
        let (t_ns, content) = (moment.t_ns, &moment.scene.content);
        let t_s = t_ns as f32 / 1e9;
        let mut canvas = self.paint(moment);
        let mut hidden = vec![0.0; canvas.pixels.len()];
        let size = (canvas.width, canvas.height);
        let mut rng = Rng::new(plain.spec().seed ^ (shown as u64) << 20, 9);
        for event in self.on(t_ns) {
            if let Effect::Smoke { site } = event.effect {
                let from = moment.pose.picture_of(site.unwrap_or(self.bleeds_at));
                let drift_s = if self.still.is_some() { 0.0 } else { t_s };
                Smoke::new(&self.clouds, size, content.place(), from, event.level(t_ns), drift_s).draw(content, &mut canvas, &mut hidden);
            }
        }
        for event in self.on(t_ns) {
            let level = event.level(t_ns);
            match event.effect {
                Effect::MotionBlur => canvas = lens::swept(&canvas, content, self.shutter(moment, plain.spec(), level)),
                Effect::Defocus => canvas = canvas.defocused(level * 0.024 * size.1 as f32),
                Effect::LensFog => lens::fog(&mut canvas, &self.clouds, content, level, &mut hidden),
                Effect::Droplets => self.lens.drops(&mut canvas, content, level, &mut hidden),
                Effect::Soiling => self.lens.dirt(&mut canvas, &self.clouds, content, level, &mut hidden),
                _ => {}
            }
        }
        // The field stop lies behind the lens: whatever blurs, the content's edge stays.
        for (at, pixel) in canvas.pixels.iter_mut().enumerate() {
            if content.light_row(at / size.0)[at % size.0] == 0 {
                *pixel = [0.0; 3];
            }
        }
        match moment.view {
            Some(View::Tube(size)) => port::draw(&mut canvas, content, size, &mut hidden),
            Some(View::Room(blind)) => {
                let sway = [0.05 * (0.9 * t_s).sin(), 0.04 * (0.7 * t_s + 1.0).sin()];
                canvas = grade::room(size.0, size.1, content, &self.clouds, sway);
                canvas
                    .pixels
                    .iter_mut()
                    .for_each(|pixel| *pixel = pixel.map(|v| if v > 0.0 { (v * (1.0 + 1.5 * blind) + 0.25 * blind).min(1.0) } else { v }));
                hidden.fill(0.0);
            }
            None => {}
        }
        self.signal(moment, &mut canvas, &mut hidden, &mut rng);
        Composed { canvas, hidden }
    }

    /// What happens behind the sensor.
    fn signal(&self, moment: &Moment<'_>, canvas: &mut Canvas, hidden: &mut [f32], rng: &mut Rng) {
        let t_ns = moment.t_ns;
        let glow = || self.glow(moment);
        let chosen = self.on(t_ns).find_map(|event| if let Effect::Look { look } = event.effect { Some(look) } else { None });
        let small = self.on(t_ns).any(|event| event.effect == Effect::Pip).then(|| canvas.clone());
        let look = chosen.unwrap_or(self.look);
        grade::look(canvas, look, &glow);
        for event in self.on(t_ns).filter(|event| event.effect == Effect::Flicker) {
            grade::flicker(canvas, event.level(t_ns), t_ns as f32 / 1e9, rng);
        }
        let mut covered: Vec<osd::Area> = Vec::new();
        if let Some(mut small) = small {
            // White light beside fluorescence, fluorescence beside white light.
            if !matches!(look, Look::Icg | Look::Nbi) {
                grade::look(&mut small, Look::Icg, &glow);
            }
            covered.push(osd::picture_in_picture(canvas, &small));
        }
        if self.on(t_ns).any(|event| event.effect == Effect::CameraMenu) {
            covered.extend(osd::menu(canvas, &self.letters));
        }
        for [x0, y0, x1, y1] in covered {
            (y0..y1).for_each(|y| hidden[y * canvas.width + x0..y * canvas.width + x1].fill(1.0));
        }
        for event in self.on(t_ns).filter(|event| event.effect == Effect::Interference) {
            grade::interference(canvas, event.level(t_ns), rng);
        }
    }

    /// Tissue, blood, shadows, instruments and thread: what is in the abdomen.
    fn paint(&self, moment: &Moment<'_>) -> Canvas {
        let scene = moment.scene;
        let (width, height) = (scene.layout().width, scene.layout().height);
        let place = scene.content.place();
        let mut canvas = Canvas::new(width, height);
        let mut row = RgbRow::new(width);
        for y in 0..height {
            let (from, to) = scene.content.span(y);
            scene.draw_tissue(&moment.warp, y, &mut row);
            for pool in &moment.pools {
                pool.paint(&self.clouds, &moment.warp, &scene.atlas.grid, &scene.content, &scene.speculars, y, &mut row);
            }
            let light = scene.content.light_row(y);
            moment.pose.instruments.iter().for_each(|instrument| draw_shadow(instrument, place, y, from..to, &mut row));
            for thread in &moment.threads {
                draw_thread(thread, scene, y, &mut row);
            }
            moment.pose.instruments.iter().for_each(|instrument| draw_instrument(instrument, place, y, from..to, light, &mut row));
            for (x, pixel) in canvas.pixels[y * width..][..width].iter_mut().enumerate() {
                *pixel = [row.r[x], row.g[x], row.b[x]].map(|v| f32::from(v) / 255.0);
            }
        }
        canvas
    }

    /// How far each point of the picture goes while the shutter is open.
    fn shutter<'a>(&'a self, moment: &'a Moment<'_>, spec: &'a Spec, level: f32) -> impl Fn([f32; 2]) -> [f32; 2] + 'a {
        let open_ns = (level * 0.055 * 1e9) as u64;
        let before = self.pose(moment.scene, spec, moment.t_ns.saturating_sub(open_ns / 2));
        let after = self.pose(moment.scene, spec, moment.t_ns + open_ns / 2);
        let magnify = self.camera(moment.t_ns).magnify;
        move |point| {
            let (a, b) = (before.scene_of(point), after.scene_of(point));
            [(a[0] - b[0]) * magnify, (a[1] - b[1]) * magnify]
        }
    }

    /// How much dye each pixel's tissue holds: bile and liver.
    fn glow(&self, moment: &Moment<'_>) -> Vec<f32> {
        if matches!(moment.view, Some(View::Room(_))) {
            return vec![0.0; moment.scene.layout().width * moment.scene.layout().height];
        }
        let masks = self.masks(moment);
        masks
            .classes
            .iter()
            .map(|class| match class {
                10 => 1.0,
                8 => 0.85,
                2 => 0.34,
                _ => 0.02,
            })
            .collect()
    }

    /// The masks of the scene as the camera sees it, without what hides it.
    fn masks(&self, moment: &Moment<'_>) -> Masks {
        let scene = moment.scene;
        let mut masks = scene.masks(&moment.pose, &moment.warp);
        let (width, place) = (scene.layout().width, scene.content.place());
        for (y, (classes, instances)) in masks.classes.chunks_exact_mut(width).zip(masks.instances.chunks_exact(width)).enumerate() {
            let (from, to) = scene.content.span(y);
            let mut bare = |x: usize, class: u8| {
                if instances[x] == 0 && scene.content.contains(x, y) {
                    classes[x] = class;
                }
            };
            for pool in &moment.pools {
                moment.warp.runs(y, from, to, |columns, [mut u, mut v], [du, dv]| {
                    for x in columns {
                        if pool.covers(&self.clouds, scene_point(&scene.atlas.grid, u, v)) {
                            bare(x, BLOOD);
                        }
                        (u, v) = (u + du, v + dv);
                    }
                });
            }
            for thread in &moment.threads {
                for x in place.columns(thread.span(place.y(y), 0.0), from..to) {
                    if thread.distance([place.x(x), place.y(y)]) <= 0.0 {
                        bare(x, IGNORE);
                    }
                }
            }
        }
        if let Some(view) = moment.view {
            let before = masks.clone();
            for at in 0..masks.classes.len() {
                let from = match view {
                    View::Tube(size) => port::through(&scene.content, size, [place.x(at % width), place.y(at / width)]),
                    View::Room(_) => None,
                };
                let near = from
                    .map(|point| place.pixel(point))
                    .map(|[x, y]| (x as usize).min(width - 1) + (y as usize).min(before.classes.len() / width - 1) * width);
                (masks.classes[at], masks.instances[at]) = near.map_or((0, 0), |near| (before.classes[near], before.instances[near]));
            }
        }
        masks
    }

    pub fn truth(&self, plain: &Simulator, index: usize) -> Truth {
        let shown = self.shown(plain.spec(), index);
        let t_ns = plain.spec().pts_ns(shown as u64);
        let (width, height) = (plain.layout().width, plain.layout().height);
        if self.is_dark(plain.spec().pts_ns(index as u64)) || self.is_dark(t_ns) {
            let nothing = vec![0; width * height];
            return Truth { width, height, class_mask: nothing.clone(), instance_mask: nothing, instruments: Vec::new() };
        }
        let moment = self.moment(plain, t_ns);
        let mut masks = self.masks(&moment);
        let hides = |event: &Event| {
            use Effect::{CameraMenu, Droplets, LensFog, Pip, Smoke, Soiling};
            matches!(event.effect, Smoke { .. } | LensFog | Droplets | Soiling | CameraMenu | Pip)
        };
        let hidden = if self.on(t_ns).any(hides) { self.compose(plain, &moment, shown).hidden } else { vec![0.0; width * height] };
        for (class, hidden) in masks.classes.iter_mut().zip(&hidden) {
            if *hidden > MOST_HIDDEN {
                *class = IGNORE;
            }
        }
        let content = &moment.scene.content;
        let seen_at = |tip: [f32; 2]| match moment.view {
            Some(View::Tube(size)) => port::seen(content, size, content.place(), tip),
            _ => tip,
        };
        let instruments = moment.scene.list(&moment.pose, &masks.instances, &hidden, &seen_at);
        Truth { width, height, class_mask: masks.classes, instance_mask: masks.instances, instruments }
    }

    /// First and one past the last picture of each event, in the script's order.
    pub fn spans(&self, spec: &Spec) -> Vec<(usize, usize, Event)> {
        let frames = |event: &Event| event.span_ns();
        self.events
            .iter()
            .map(|event| {
                let (from, to) = frames(event);
                (first_at(spec, from), first_at(spec, to), event.clone())
            })
            .collect()
    }
}

/// The first picture that is due at or after `t_ns`.
fn first_at(spec: &Spec, t_ns: u64) -> usize {
    let due = spec.newest_due(t_ns);
    let first = if spec.pts_ns(due) < t_ns { due + 1 } else { due };
    (first as usize).min(spec.frame_count())
}

fn draw_thread(thread: &Thread, scene: &Simulator, y: usize, row: &mut RgbRow) {
    let place = scene.content.place();
    let (from, to) = scene.content.span(y);
    let edge = (1.4 / scene.layout().height as f32).max(0.0012);
    let light = scene.content.light_row(y);
    for x in place.columns(thread.span(place.y(y), edge), from..to) {
        let distance = thread.distance([place.x(x), place.y(y)]);
        let alpha = smoothstep(edge * 0.5, -edge * 0.5, distance);
        if alpha > 0.0 {
            let across = (1.0 + distance / Thread::HALF).clamp(0.0, 1.0);
            let lit = f32::from(light[x]) / 256.0 * (1.25 - 0.7 * across * across);
            for (plane, colour) in [&mut row.r, &mut row.g, &mut row.b].into_iter().zip([0.24, 0.10, 0.40]) {
                let under = f32::from(plane[x]);
                plane[x] = (under + ((colour * lit * 255.0).min(255.0) - under) * alpha + 0.5) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests;
