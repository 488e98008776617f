//! A detector with known faults in the place of the network: the truth's masks as logits, whose borders wobble, whose
//! instances drop out or fade for a while, beside false regions, some of which hang on a tip. What the real engine does on
//! pictures like those that it learned from, without its blindness for others.

use keyhole::base::ids::{ClassId, FrameId};
use keyhole::capture::sim::Truth;
use keyhole::frame::FrameLayout;
use keyhole::infer::{Activation, ColourOrder, Fit, HeadKind, InputSpec, OutputSpec, Resize, TensorLayout, TensorView};
use keyhole::scene::{AnalysisTimes, Scene, Trust};
use keyhole::track::{Decoder, Tracker};
use std::time::Instant;

pub const WIDTH: usize = 320;
pub const HEIGHT: usize = 192;
/// Standard deviation of the wobble of logits, of patches 16 pixels wide; and how much of it stays for 1/60 s.
const WOBBLE: f32 = 1.3;
const WOBBLE_MEMORY: f32 = 0.75;
/// So many a second, of each instrument and of false regions.
const FAULTS_A_SECOND: f32 = 0.4;

pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// 0..1
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Mean 0, variance 1: the sum of four uniform numbers.
    pub fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: u32 = (0..4).map(|part| (bits >> (16 * part)) as u32 & 0xffff).sum();
        (sum as f32 - 131_070.0) / 37_837.0
    }
}

#[derive(Clone, Copy)]
enum Fault {
    /// The instance is not seen.
    Gone(u8),
    /// It is seen with little confidence.
    Faint(u8),
    /// A region where nothing is: x, y, radius.
    False(f32, f32, f32),
    /// A region that hangs on an instance's tip: radius.
    Hanging(u8, f32),
}

pub struct Detector {
    noise: Noise,
    fps: f32,
    wobble: Vec<f32>,
    faults: Vec<(Fault, f32)>,
    spec: OutputSpec,
    data: Vec<f32>,
    decoder: Decoder,
    tracker: Tracker,
    /// Boxes of what was found in the last frame, before any tracking.
    pub found: Vec<[f32; 4]>,
}

const GRID: usize = WIDTH / 16 + 1;

impl Detector {
    pub fn new(seed: u64, fps: u32) -> Self {
        let input = InputSpec {
            name: "image".to_owned(),
            layout: TensorLayout::Nchw,
            width: WIDTH as u32,
            height: HEIGHT as u32,
            colour: ColourOrder::Rgb,
            resize: Resize::Stretch,
            mean: [0.5; 3],
            std: [0.25; 3],
        };
        let spec = OutputSpec {
            name: "instrument".to_owned(),
            kind: HeadKind::Instrument,
            activation: Activation::Sigmoid,
            threshold: 0.4,
            calibration: Default::default(),
            classes: vec![ClassId(13)],
            layout: TensorLayout::Nchw,
            width: WIDTH,
            height: HEIGHT,
        };
        Detector {
            noise: Noise::new(seed + 77),
            fps: fps as f32,
            wobble: vec![0.0; GRID * GRID],
            faults: Vec::new(),
            data: vec![0.0; spec.len()],
            spec,
            decoder: Decoder::new(input),
            tracker: Tracker::default(),
            found: Vec::new(),
        }
    }

    /// `coverage`: of each instance, id and part of each pixel of the map that it covers.
    pub fn analyse(
        &mut self,
        coverage: &[(u8, Vec<f32>)],
        tips: &[(u8, [f32; 2])],
        layout: &FrameLayout,
        frame: u64,
        capture_ns: u64,
    ) -> Scene {
        self.fail(coverage);
        self.fill(coverage, tips);
        let picture = [layout.width, layout.height];
        let head = TensorView { spec: &self.spec, data: &self.data };
        let fit = Fit { x: 0, y: 0, width: WIDTH, height: HEIGHT };
        let start = Instant::now();
        self.decoder.expect(self.tracker.expected(capture_ns));
        let decoded = self.decoder.decode(&[head], fit, picture);
        let sides = picture.map(|side| side as u32);
        self.found.clear();
        self.found.extend(decoded.instruments.iter().map(|detection| detection.bbox));
        let tracks = self.tracker.step(decoded.instruments, capture_ns, sides);
        let times = AnalysisTimes { track_ns: start.elapsed().as_nanos() as u64, ..AnalysisTimes::default() };
        Scene {
            frame: FrameId(frame),
            pts_ns: capture_ns,
            capture_ns,
            picture: sides,
            frame_state: Trust::Sure,
            tracks,
            tissues: Vec::new(),
            findings: Vec::new(),
            frame_classes: Vec::new(),
            departed: Vec::new(),
            reset: None,
            gate: None,
            unknown_px: 0,
            mask: decoded.mask,
            times,
        }
    }

    /// Faults begin and end.
    fn fail(&mut self, coverage: &[(u8, Vec<f32>)]) {
        let step_s = 1.0 / self.fps;
        self.faults.iter_mut().for_each(|fault| fault.1 -= step_s);
        self.faults.retain(|fault| fault.1 > 0.0);
        let rate = FAULTS_A_SECOND * step_s;
        for &(id, _) in coverage {
            if self.noise.unit() < rate {
                let lasts = 0.02 + 0.1 * self.noise.unit();
                self.faults.push((Fault::Gone(id), lasts));
            }
            if self.noise.unit() < rate {
                let lasts = 0.05 + 0.3 * self.noise.unit();
                self.faults.push((Fault::Faint(id), lasts));
            }
            if self.noise.unit() < rate {
                let (radius, lasts) = (6.0 + 5.0 * self.noise.unit(), 0.05 + 0.35 * self.noise.unit());
                self.faults.push((Fault::Hanging(id, radius), lasts));
            }
        }
        if self.noise.unit() < rate {
            let at = [0.1 + 0.8 * self.noise.unit(), 0.1 + 0.8 * self.noise.unit()];
            let (radius, lasts) = (5.0 + 10.0 * self.noise.unit(), 0.03 + 0.12 * self.noise.unit());
            self.faults.push((Fault::False(at[0] * WIDTH as f32, at[1] * HEIGHT as f32, radius), lasts));
        }
        let memory = WOBBLE_MEMORY.powf(60.0 / self.fps);
        for value in &mut self.wobble {
            *value = memory * *value + (1.0 - memory * memory).sqrt() * WOBBLE * self.noise.normal();
        }
    }

    fn fill(&mut self, coverage: &[(u8, Vec<f32>)], tips: &[(u8, [f32; 2])]) {
        self.data.fill(0.0);
        for (id, part) in coverage {
            let has = |wanted: fn(&Fault) -> Option<u8>| self.faults.iter().any(|(fault, _)| wanted(fault) == Some(*id));
            if has(|fault| if let Fault::Gone(id) = fault { Some(*id) } else { None }) {
                continue;
            }
            let most = if has(|fault| if let Fault::Faint(id) = fault { Some(*id) } else { None }) { 0.62 } else { 0.985 };
            self.data.iter_mut().zip(part).for_each(|(to, &part)| *to = to.max(part * most));
        }
        let mut blobs = Vec::new();
        for (fault, _) in &self.faults {
            match *fault {
                Fault::False(x, y, radius) => blobs.push((x, y, radius)),
                Fault::Hanging(id, radius) => {
                    blobs.extend(tips.iter().filter(|tip| tip.0 == id).map(|(_, tip)| (tip[0], tip[1] + 0.7 * radius, radius)));
                }
                _ => {}
            }
        }
        for y in 0..HEIGHT {
            for x in 0..WIDTH {
                let mut p = self.data[y * WIDTH + x];
                for &(bx, by, radius) in &blobs {
                    let off = (x as f32 - bx).hypot(y as f32 - by) - radius;
                    p = p.max(0.8 / (1.0 + off.exp()));
                }
                let p = p.clamp(0.005, 0.985);
                let (gx, gy) = (x as f32 / 16.0, y as f32 / 16.0);
                let (ix, iy) = (gx as usize, gy as usize);
                let (fx, fy) = (gx - ix as f32, gy - iy as f32);
                let at = |x: usize, y: usize| self.wobble[y * GRID + x];
                let wobble = (at(ix, iy) * (1.0 - fx) + at(ix + 1, iy) * fx) * (1.0 - fy)
                    + (at(ix, iy + 1) * (1.0 - fx) + at(ix + 1, iy + 1) * fx) * fy;
                self.data[y * WIDTH + x] = (p / (1.0 - p)).ln() + wobble + 0.3 * self.noise.normal();
            }
        }
    }
}

/// Of each instance the part of each map pixel that it covers, smoothed as a network's borders are.
pub fn coverage(truth: &Truth) -> Vec<(u8, Vec<f32>)> {
    truth
        .instruments
        .iter()
        .map(|instrument| {
            let id = instrument.id.0 as u8;
            let mut part = vec![0f32; WIDTH * HEIGHT];
            for (i, part) in part.iter_mut().enumerate() {
                let (x, y) = (i % WIDTH, i / WIDTH);
                let hits = (0..9).filter(|tap| {
                    let (u, v) = (6 * x + 2 * (tap % 3) + 1, 6 * y + 2 * (tap / 3) + 1);
                    truth.instance_mask[v * truth.height / (6 * HEIGHT) * truth.width + u * truth.width / (6 * WIDTH)] == id
                });
                *part = hits.count() as f32 / 9.0;
            }
            for _ in 0..2 {
                smooth(&mut part, 1);
                smooth(&mut part, WIDTH);
            }
            (id, part)
        })
        .collect()
}

/// Mean over three pixels along rows (`step` 1) or columns (`step` WIDTH).
fn smooth(part: &mut [f32], step: usize) {
    let before = part.to_vec();
    for i in 0..part.len() {
        let (x, y) = (i % WIDTH, i / WIDTH);
        let (at, last) = if step == 1 { (x, WIDTH - 1) } else { (y, HEIGHT - 1) };
        let less = if at > 0 { before[i - step] } else { before[i] };
        let more = if at < last { before[i + step] } else { before[i] };
        part[i] = (less + before[i] + more) / 3.0;
    }
}
