//! Every state of the screen as a picture to look at: `cargo test --release --lib hud::gallery -- --ignored` leaves them
//! in `target/screens/`. Also the states that the other tests of this room go through.

use crate::base::hud::{
    Ai, AiTrouble, Alarm, Doubt, Drawn, Figures, Mode, PipCaption, PipMode, Priority, Recording, Signal, Source, SourceKind, Status,
};
use crate::base::texts::{Language, Text};
use crate::base::time_of_day::TimeOfDay;
use crate::display::hud::screen::Screen;
use crate::display::hud::{Layout, Sheet, Sizes};
use crate::display::pip::Pip;
use crate::frame::{Colorimetry, FrameLayout, Matrix, PixelFormat, Range, Transfer};
use crate::overlay::Layer;
use crate::overlay::host::{Target, compose_blank, compose_full};
use crate::overlay::placement::Placement;
use crate::overlay::testing::{Owned, write_png};
use std::path::Path;

/// A state of the screen by name.
pub(super) fn states() -> Vec<(&'static str, Status)> {
    let running = Status {
        is_on: true,
        signal: Signal::Live,
        ai: Ai::Running,
        source: Source { kind: SourceKind::Camera, width: 1920, height: 1080, hz: 59.94 },
        figures: Figures {
            frames_per_s: 60,
            video_delay_ns: Some(14_940_000),
            annotation_delay_ns: Some(111_300_000),
            overlay_age_ns: Some(112_700_000),
        },
        engines: "lapchole-cpu".into(),
        drawn: Drawn::Outline,
        ..Status::default()
    };
    let state = |change: &dyn Fn(&mut Status)| {
        let mut status = running.clone();
        change(&mut status);
        status
    };
    let alarm = |text: Text| Alarm::new(text, Priority::Medium);
    let with_ai = |ai: Ai| {
        let said = match ai {
            Ai::Degraded(trouble) | Ai::Blocked(trouble) => vec![Alarm { lookup: trouble.lookup(), ..alarm(trouble.text()) }],
            _ => Vec::new(),
        };
        state(&|status| (status.ai, status.alarms) = (ai, said.clone()))
    };
    let with_signal = |signal: Signal| {
        let text = match signal {
            Signal::Lost => Some(Text::NoPictureComes),
            Signal::Frozen => Some(Text::PictureStands),
            Signal::Black => Some(Text::PictureIsBlack),
            Signal::Untrusted => Some(Text::PicturesTorn),
            Signal::Waiting | Signal::Live => None,
        };
        state(&|status| (status.signal, status.alarms) = (signal, text.map(alarm).into_iter().collect()))
    };
    let with_pip = |mode: PipMode, age_s: u64| state(&|status| status.pip = Some(PipCaption { mode, age_s }));
    let mut states = vec![
        ("running", running.clone()),
        ("no-ai", state(&|s| (s.ai, s.drawn, s.engines) = (Ai::Off, Drawn::Off, "".into()))),
        ("ai-starting", with_ai(Ai::Starting)),
        ("ai-testing", with_ai(Ai::Testing)),
        ("ai-stale", with_ai(Ai::Stale)),
        ("ai-unknown", with_ai(Ai::Unknown(None))),
        ("ai-unknown-covered", with_ai(Ai::Unknown(Some(Doubt::Covered)))),
        ("signal-waiting", with_signal(Signal::Waiting)),
        ("signal-frozen", with_signal(Signal::Frozen)),
        ("signal-black", with_signal(Signal::Black)),
        ("signal-untrusted", with_signal(Signal::Untrusted)),
        ("signal-lost", with_signal(Signal::Lost)),
        ("overlay-off", state(&|s| s.drawn = Drawn::Off)),
        ("overlay-fill", state(&|s| s.drawn = Drawn::Fill)),
        ("overlay-armed", state(&|s| (s.drawn, s.is_armed) = (Drawn::Off, true))),
        ("hud-off", state(&|s| s.is_on = false)),
        ("hud-off-lost", state(&|s| (s.is_on, s.signal) = (false, Signal::Lost))),
        ("hud-off-picture-frozen", state(&|s| (s.is_on, s.signal) = (false, Signal::Frozen))),
        ("hud-off-pip-frozen", state(&|s| (s.is_on, s.pip) = (false, Some(PipCaption { mode: PipMode::Frozen, age_s: 3 })))),
        ("pip-clean", with_pip(PipMode::Clean, 0)),
        ("pip-zoom", with_pip(PipMode::Zoom(2), 0)),
        ("pip-zoom-more", with_pip(PipMode::Zoom(4), 0)),
        ("pip-frozen", with_pip(PipMode::Frozen, 12)),
        ("pip-frozen-long", with_pip(PipMode::Frozen, 3_599)),
        (
            "clinical",
            state(&|s| {
                (s.mode, s.recording, s.source.kind) = (Mode::Clinical, Recording::Running { seconds: 65 }, SourceKind::Simulated);
                s.case = Some("2026-11-21/OR3/0007".into());
            }),
        ),
        (
            "everything",
            state(&|s| {
                (s.mode, s.recording, s.is_armed, s.drawn) = (Mode::Clinical, Recording::Running { seconds: 35_999 }, true, Drawn::Off);
                s.source = Source { kind: SourceKind::Simulated, width: 3840, height: 2160, hz: 59.94 };
                s.case = Some("2026-11-21/OR3/0007".into());
                s.ai = Ai::Degraded(AiTrouble::Nonsense);
                s.alarms = [Text::AiNonsense, Text::SerialGone, Text::FootswitchGone, Text::RecordingLost].map(alarm).to_vec();
                s.is_changed = true;
                s.pip = Some(PipCaption { mode: PipMode::Clean, age_s: 0 });
            }),
        ),
    ];
    let recordings = [
        ("recording", Recording::Running { seconds: 754 }, vec![]),
        ("recording-ended", Recording::Ended { seconds: 4_354 }, vec![]),
        ("recording-failed", Recording::Failed, vec![alarm(Text::RecordingFull)]),
        ("right-eye-black", Recording::Off, vec![alarm(Text::RightEyeBlack)]),
        ("controls-gone", Recording::Off, vec![alarm(Text::FootswitchGone), alarm(Text::SerialGone)]),
    ];
    for (name, recording, alarms) in recordings {
        states.push((name, state(&|s| (s.recording, s.alarms) = (recording, alarms.clone()))));
    }
    let at = |text: Text, hours: u32, minutes: u32| Alarm { was: Some(TimeOfDay(hours * 3_600 + minutes * 60 + 7)), ..alarm(text) };
    let known = Alarm { is_acknowledged: true, ..alarm(Text::MonitorLost) };
    for (name, alarms) in [
        ("alarm-known", vec![known]),
        ("alarm-known-and-past", vec![known, at(Text::PictureStands, 14, 3)]),
        ("alarms-past", vec![at(Text::EyesNotParted, 9, 41), at(Text::RecordingFailed, 23, 59)]),
    ] {
        states.push((name, state(&|s| s.alarms = alarms.clone())));
    }
    states.push(("changed", state(&|s| s.is_changed = true)));
    states.push(("changed-unknown", state(&|s| (s.is_changed, s.ai) = (true, Ai::Unknown(Some(Doubt::OffCohort))))));
    let troubles = [
        ("ai-ended", AiTrouble::Ended),
        ("ai-stopped", AiTrouble::Stopped),
        ("ai-hung", AiTrouble::Hung),
        ("ai-nonsense", AiTrouble::Nonsense),
        ("ai-fault", AiTrouble::Fault),
        ("ai-cannot-start", AiTrouble::CannotStart),
    ];
    states.extend(troubles.map(|(name, trouble)| (name, with_ai(Ai::Degraded(trouble)))));
    let blocks = [
        ("ai-refused", AiTrouble::EngineRefused),
        ("ai-not-self-tested", AiTrouble::NotSelfTested),
        ("ai-self-test-failed", AiTrouble::SelfTestFailed),
        ("ai-changed-since-test", AiTrouble::ChangedSinceTest),
        ("ai-never-full-tested", AiTrouble::NeverFullTested),
        ("ai-full-test-failed", AiTrouble::FullTestFailed),
        ("ai-cable-never-tested", AiTrouble::CableNeverTested),
        ("ai-cable-test-failed", AiTrouble::CableTestFailed),
        ("ai-cable-test-too-old", AiTrouble::CableTestTooOld),
        ("ai-clock-behind", AiTrouble::ClockBehind),
        ("ai-engines-failed", AiTrouble::EnginesFailed),
        ("ai-live-proof-wrong", AiTrouble::LiveProofWrong),
        ("ai-live-proof-missing", AiTrouble::LiveProofMissing),
        ("ai-delay-over-limit", AiTrouble::DelayOverLimit),
    ];
    states.extend(blocks.map(|(name, trouble)| (name, with_ai(Ai::Blocked(trouble)))));
    for (name, text, priority) in [
        ("delay-creeping", Text::DelayCreeping, Priority::Low),
        ("delay-stepped", Text::DelayStepped, Priority::Low),
        ("delay-over-limit", Text::DelayOverLimit, Priority::High),
        ("delay-not-watched", Text::DelayNotWatched, Priority::Low),
    ] {
        states.push((name, state(&|s| s.alarms = vec![Alarm::new(text, priority)])));
    }
    let eye = vec![Alarm::new(Text::RightEyeStands, Priority::High)];
    states.push(("right-eye-frozen", state(&|s| (s.signal, s.alarms) = (Signal::Frozen, eye.clone()))));
    states
}

/// A status painted as the thread would paint it: on a picture, and where there is a screen, beside it.
pub(super) fn painted_on(status: &Status, language: Language, picture: (usize, usize), screen: Option<(usize, usize)>) -> (Sheet, bool) {
    let mut sheet = Sheet::new(Sizes { picture, screen });
    let has_room = Screen::new().paint(&Status { language, ..status.clone() }, &mut sheet);
    (sheet, has_room)
}

pub(super) fn painted(status: &Status, language: Language, width: usize, height: usize) -> (Layer, bool) {
    let (sheet, has_room) = painted_on(status, language, (width, height), None);
    (sheet.over, has_room)
}

const RGB: Colorimetry = Colorimetry { matrix: Matrix::Bt709, range: Range::Full, transfer: Transfer::Sdr };

/// A laparoscopic picture if there is one, else the brightest and the darkest that there can be.
fn pictures(width: usize, height: usize) -> Vec<(&'static str, Owned)> {
    let layout = FrameLayout::new(PixelFormat::Rgb, RGB, width, height).unwrap();
    let fill = |pixel: &dyn Fn(usize, usize) -> [u8; 3]| {
        let mut owned = Owned { layout, data: vec![0; layout.size] };
        let plane = layout.planes()[0];
        for y in 0..height {
            for x in 0..width {
                owned.data[plane.offset + y * plane.stride + 3 * x..][..3].copy_from_slice(&pixel(x, y));
            }
        }
        owned
    };
    let mut pictures = vec![("white", fill(&|_, _| [255; 3])), ("black", fill(&|_, _| [0; 3]))];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/cholecseg8k/frames");
    let frame = std::fs::read_dir(folder).ok().and_then(|files| files.filter_map(|file| Some(file.ok()?.path())).min());
    let Some(frame) = frame else {
        println!("SKIPPED the tissue of every_state_can_be_looked_at: no shared data");
        return pictures;
    };
    let mut decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(frame).unwrap()));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().unwrap();
    let mut data = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut data).unwrap();
    let (wide, high, samples) = (info.width as usize, info.height as usize, info.color_type.samples());
    let tissue = fill(&|x, y| {
        let at = (y * high / height * wide + x * wide / width) * samples;
        [data[at], data[at + 1], data[at + 2]]
    });
    pictures.insert(0, ("tissue", tissue));
    pictures
}

/// Status, picture in picture and picture put together as on the screen: BGRX.
fn composed(status: &Status, mut layer: Layer, picture: &Owned) -> Vec<u8> {
    let (width, height) = (picture.layout.width, picture.layout.height);
    if let Some(caption) = status.pip {
        let rect = Layout::of(width, height).pip.picture;
        let mut pip = Pip::default();
        pip.toggle(caption.mode);
        pip.update(&picture.view(), 0, (rect.width(), rect.height()));
        for (y, row) in (rect.y0..rect.y1).zip(pip.rows()) {
            layer.row_mut(y, rect.x0, rect.x1).copy_from_slice(row);
        }
        layer.rects.push(rect);
    }
    let mut data = vec![0; 4 * width * height];
    let mut target = Target { data: &mut data, stride: 4 * width, width, height };
    if status.has_picture() {
        compose_full(&picture.view(), &[&layer], &mut target).unwrap();
    } else {
        compose_blank(&[&layer], &mut target).unwrap();
    }
    data
}

fn screen(status: &Status, language: Language, picture: &Owned) -> Vec<u8> {
    let (layer, _) = painted(status, language, picture.layout.width, picture.layout.height);
    composed(status, layer, picture)
}

/// The same on a screen of another size, as a window shows it.
fn on_screen(status: &Status, language: Language, picture: &Owned, (width, height): (usize, usize)) -> Vec<u8> {
    let size = (picture.layout.width, picture.layout.height);
    let (sheet, _) = painted_on(status, language, size, Some((width, height)));
    let mut data = if sheet.bars.is_some() { sheet.beside.data } else { vec![0; 4 * width * height] };
    let inner = composed(status, sheet.over, picture);
    let placement = Placement::fit(size, (width, height));
    let rect = placement.rect;
    for (x, y) in (rect.y0..rect.y1).flat_map(|y| (rect.x0..rect.x1).map(move |x| (x, y))) {
        let from = 4 * (placement.source_y(y) * size.0 + placement.source_x(x));
        data[4 * (y * width + x)..][..4].copy_from_slice(&inner[from..from + 4]);
    }
    data
}

/// Pictures on screens of another shape, all of which have room for text beside the picture.
pub(super) const SHAPES: [[(usize, usize); 2]; 6] = [
    [(1280, 720), (1280, 800)],
    [(1920, 1080), (2560, 1080)],
    [(1440, 1080), (1920, 1080)],
    [(1920, 1080), (1600, 1200)],
    [(720, 576), (1280, 720)],
    [(1280, 720), (1024, 768)],
];

#[test]
#[ignore = "leaves pictures to look at"]
fn every_state_can_be_looked_at() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screens");
    let (width, height) = (1280, 720);
    let pictures = pictures(width, height);
    for language in Language::ALL {
        for (name, status) in states() {
            let data = screen(&status, language, &pictures[0].1);
            write_png(&folder.join(format!("{language:?}-{name}.png").to_lowercase()), &data, width, height);
        }
    }
    for (ground, picture) in &pictures {
        for (name, status) in states().into_iter().filter(|(name, _)| matches!(*name, "everything" | "signal-frozen" | "ai-unknown")) {
            let data = screen(&status, Language::En, picture);
            write_png(&folder.join(format!("on-{ground}-{name}.png")), &data, width, height);
        }
    }
    for [size, (width, height)] in SHAPES {
        let picture = &self::pictures(size.0, size.1)[0].1;
        for (name, status) in states()
            .into_iter()
            .filter(|(name, _)| matches!(*name, "everything" | "running" | "ai-unknown" | "recording-failed" | "signal-lost"))
        {
            for language in Language::ALL {
                let data = on_screen(&status, language, picture, (width, height));
                let name = format!("beside-{}x{}-on-{width}x{height}-{language:?}-{name}.png", size.0, size.1).to_lowercase();
                write_png(&folder.join(name), &data, width, height);
            }
        }
    }
    for (width, height) in [(640, 360), (720, 576), (1920, 1080), (3840, 2160)] {
        let picture = &self::pictures(width, height)[0].1;
        let (_, everything) = states().into_iter().find(|(name, _)| *name == "everything").unwrap();
        write_png(&folder.join(format!("at-{width}x{height}.png")), &screen(&everything, Language::De, picture), width, height);
    }
}
