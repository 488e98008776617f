//! What the comparison of pixels is made on: pictures of every format, scenes that draw something of everything, and what the status
//! display says. All of it is made up from a seed, and the same each time.

use super::reference::Planes;
use crate::base::classes::{self, ClassKind};
use crate::base::hud::{Ai, Drawn, Figures, PipCaption, PipMode, Recording, Signal, Source, SourceKind, Status};
use crate::base::ids::{ClassId, FrameId, TrackId};
use crate::base::random::Random;
use crate::base::texts::Language;
use crate::frame::PixelFormat;
use crate::overlay::style::Style;
use crate::overlay::{OverlayMode, Settings};
use crate::scene::{AnalysisTimes, ClassMask, Departed, Finding, Outline, Scene, Tissue, Track, Trust};

fn one_of<T: Copy>(things: &[T], random: &mut Random) -> T {
    things[random.below(things.len())]
}

/// Another picture in the same planes: every sample value, smooth shades, or one value everywhere; rows as long as sources make them.
pub(super) fn paint(planes: &mut Planes, format: PixelFormat, (width, height): (usize, usize), random: &mut Random) {
    let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
    // Bytes of a row and rows of each plane, as GStreamer defines the formats.
    let shapes = match format {
        PixelFormat::Nv12 => [(width, height), (2 * half_width, half_height), (0, 0)],
        PixelFormat::I420 => [(width, height), (half_width, half_height), (half_width, half_height)],
        PixelFormat::P010 => [(2 * width, height), (4 * half_width, half_height), (0, 0)],
        PixelFormat::Rgb => [(3 * width, height), (0, 0), (0, 0)],
        PixelFormat::Bgrx | PixelFormat::Bgra => [(4 * width, height), (0, 0), (0, 0)],
        PixelFormat::Yuy2 | PixelFormat::Uyvy => [(4 * half_width, height), (0, 0), (0, 0)],
        PixelFormat::V210 => [(width.div_ceil(6) * 16, height), (0, 0), (0, 0)],
    };
    let kind = random.below(8);
    let (value, slope) = (one_of(&[0, 255, 16, 235, 128], random), random.between(0.2, 3.0));
    (planes.format, planes.width, planes.height) = (Some(format), width, height);
    for (index, (row_bytes, rows)) in shapes.into_iter().enumerate() {
        // Neither our own alignment nor the same from picture to picture.
        let stride = row_bytes + random.below(3) * 4;
        planes.strides[index] = stride;
        let data = &mut planes.planes[index];
        data.resize(stride * rows, 0);
        match kind {
            0 => data.fill(value),
            1 => data.iter_mut().enumerate().for_each(|(at, byte)| *byte = ((at % stride.max(1)) as f32 * slope) as u8),
            _ => random.fill(data),
        }
    }
}

/// Something of everything that can be drawn, here or there.
pub(super) fn scene((width, height): (usize, usize), random: &mut Random) -> Scene {
    let trusts = [Trust::Sure, Trust::Sure, Trust::Unsure, Trust::Unknown];
    let place = |random: &mut Random| [random.between(-0.1, 1.1) * width as f32, random.between(-0.1, 1.1) * height as f32];
    let side = height as f32;
    let tissues = (0..random.below(4)).map(|_| {
        let [x, y] = place(random);
        let outlines = vec![ellipse([x, y], random.between(0.03, 0.3) * side, random.between(0.5, 2.0))];
        Tissue { class: class(ClassKind::Tissue, random), area_px: 1, confidence: 0.8, state: one_of(&trusts, random), outlines }
    });
    let tissues = tissues.collect();
    let tracks = (0..random.below(4)).map(|id| {
        let (from, tip) = (place(random), place(random));
        let has_outline = random.below(4) > 0;
        let half_width = random.between(0.01, 0.06) * side;
        let bbox = [from[0].min(tip[0]), from[1].min(tip[1]), from[0].max(tip[0]), from[1].max(tip[1])];
        Track {
            id: TrackId(id as u32),
            class: class(ClassKind::Instrument, random),
            confidence: 0.9,
            state: one_of(&trusts, random),
            bbox,
            tip: (random.below(3) > 0).then_some(tip),
            axis: None,
            velocity_px_s: [0.0; 2],
            outlines: if has_outline { vec![shaft(from, tip, half_width)] } else { Vec::new() },
        }
    });
    let tracks = tracks.collect();
    let findings = (0..random.below(3)).map(|id| {
        let ([x, y], size) = (place(random), random.between(0.05, 0.4) * side);
        let (class, state) = (class(ClassKind::Finding, random), one_of(&trusts, random));
        Finding { id: TrackId(40 + id as u32), class, confidence: 0.7, state, bbox: [x, y, x + size, y + size] }
    });
    let findings = findings.collect();
    let departed = (0..random.below(3)).map(|id| {
        let at = [one_of(&[0.0, width as f32], random), random.between(0.0, 1.0) * side];
        Departed { id: TrackId(90 + id as u32), class: class(ClassKind::Instrument, random), at, seen_ns: 0 }
    });
    let departed = departed.collect();
    Scene {
        frame: FrameId(0),
        pts_ns: 0,
        capture_ns: 0,
        picture: [width as u32, height as u32],
        frame_state: one_of(&[Trust::Sure, Trust::Sure, Trust::Sure, Trust::Sure, Trust::Sure, Trust::Unsure, Trust::Unknown], random),
        tracks,
        tissues,
        findings,
        frame_classes: Vec::new(),
        departed,
        reset: None,
        gate: None,
        unknown_px: 0,
        mask: ClassMask { width: 1, height: 1, ids: vec![0] },
        times: AnalysisTimes::default(),
    }
}

fn class(kind: ClassKind, random: &mut Random) -> ClassId {
    let of_kind = || classes::table().iter().filter(|class| class.kind == kind);
    let chosen = random.below(of_kind().count());
    of_kind().nth(chosen).map_or(ClassId(0), |class| class.id)
}

fn ellipse([x, y]: [f32; 2], radius: f32, flat: f32) -> Outline {
    let points = (0..48).map(|i| i as f32 / 48.0 * std::f32::consts::TAU);
    points.map(|angle| [x + radius * flat * angle.cos(), y + radius * (1.0 + 0.1 * (5.0 * angle).sin()) * angle.sin()]).collect()
}

fn shaft(from: [f32; 2], tip: [f32; 2], half_width: f32) -> Outline {
    let [dx, dy] = [tip[0] - from[0], tip[1] - from[1]];
    let length = dx.hypot(dy).max(1.0);
    let (x, y) = (-dy / length * half_width, dx / length * half_width);
    vec![[from[0] + x, from[1] + y], [tip[0] + x, tip[1] + y], [tip[0] - x, tip[1] - y], [from[0] - x, from[1] - y]]
}

/// One of the looks that an operator can choose.
pub(super) fn style(random: &mut Random) -> Style {
    let settings = Settings {
        mode: one_of(&[OverlayMode::Off, OverlayMode::Outline, OverlayMode::Outline, OverlayMode::Outline, OverlayMode::Fill], random),
        opacity: random.between(0.3, 1.0),
        fill_opacity: random.between(0.05, 0.4),
        line_width_px_at_1080: random.between(1.0, 12.0),
        ..Settings::default()
    };
    Style { labels: random.below(2) == 1, language: one_of(&Language::ALL, random), ..Style::of(&settings) }
}

/// What is said beside a picture that is there: little, much, and with a picture in picture.
pub(super) fn statuses() -> [Status; 3] {
    let running = Status {
        is_on: true,
        signal: Signal::Live,
        ai: Ai::Running,
        source: Source { kind: SourceKind::Camera, width: 1920, height: 1080, hz: 60.0 },
        figures: Figures { frames_per_s: 60, video_delay_ns: Some(3_000_000), annotation_delay_ns: Some(31_000_000), overlay_age_ns: None },
        engines: "surgical-cpu".into(),
        is_demonstration: true,
        drawn: Drawn::Outline,
        recording: Recording::Running { seconds: 61 },
        case: Some("2026-117".into()),
        ..Status::default()
    };
    let troubled = Status { signal: Signal::Frozen, ai: Ai::Stale, language: Language::De, is_armed: true, ..running.clone() };
    let beside = Status { pip: Some(PipCaption { mode: PipMode::Frozen, age_s: 12 }), ..running.clone() };
    [running, troubled, beside]
}
