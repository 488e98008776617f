//! Clips of the simulator against its truth.

use crate::detector::{self, Detector};
use crate::moved::Moved;
use crate::{Options, analyser};
use keyhole::base::ids::FrameId;
use keyhole::capture::sim::{Simulator, Truth, TruthInstrument};
use keyhole::eval::{Sequence, Spread, box_iou, mask_iou};
use keyhole::frame::{FrameView, Stamps};
use keyhole::scene::Scene;
use serde_json::json;

/// Ages at which prediction is looked at, ms.
const AGES_MS: std::ops::RangeInclusive<f32> = 15.0..=60.0;

/// One frame of the loop, rendered once.
struct Shot {
    bytes: Vec<u8>,
    instruments: Vec<TruthInstrument>,
    /// Instrument or not, at the size of the scene's mask.
    mask: Vec<u8>,
    coverage: Vec<(u8, Vec<f32>)>,
}

/// Figures of one clip or of all.
#[derive(Default)]
struct Figures {
    tip_error_percent: Vec<f32>,
    /// Along the true axis: less than 0 where the tip that was found lies behind the true one.
    tip_ahead_percent: Vec<f32>,
    mask_iou: Vec<f32>,
    tip: Moved,
    shaft: Moved,
    track_ms: Vec<f32>,
    class_right: [u32; 2],
    /// Frames from which an instrument that comes in is found to that from which it is shown.
    shown_after_frames: Vec<f32>,
}

/// An instrument that has come in: when it was first found. None once it is shown.
type Entering = std::collections::HashMap<u32, Option<u64>>;

/// The real engine, or the truth with known faults.
#[derive(Clone, Copy, PartialEq)]
enum Eyes {
    Engine,
    Detector,
}

pub fn with_engine(options: &Options) -> serde_json::Value {
    run(options, Eyes::Engine)
}

pub fn with_detector(options: &Options) -> serde_json::Value {
    run(options, Eyes::Detector)
}

fn run(options: &Options, eyes: Eyes) -> serde_json::Value {
    println!("{}", if eyes == Eyes::Engine { "the engine" } else { "a detector with known faults" });
    println!(
        "simulator, {}×{} at {} fps, loop {} s, {} s a seed",
        options.size[0], options.size[1], options.fps, options.loop_s, options.seconds
    );
    println!(
        "  {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>8} {:>8} {:>8}",
        "seed", "HOTA", "DetA", "AssA", "LocA", "IDF1", "MOTA", "missed", "extra", "switches", "tip p50%", "mask IoU"
    );
    let (mut all, mut rows, mut hotas, mut idf1s) = (Figures::default(), Vec::new(), Vec::new(), Vec::new());
    for &seed in &options.seeds {
        let (sequence, figures) = clip(seed, options, eyes);
        let (hota, identity, clear) = (sequence.hota(), sequence.identity(), sequence.clear());
        let (tip, iou) = (Spread::of(&figures.tip_error_percent), Spread::of(&figures.mask_iou));
        println!(
            "  {seed:>6} {:6.3} {:6.3} {:6.3} {:6.3} {:6.3} {:6.3} {:6} {:6} {:8} {:8.2} {:8.3}",
            hota.hota,
            hota.det_a,
            hota.ass_a,
            hota.loc_a,
            identity.idf1,
            clear.mota,
            clear.missed,
            clear.invented,
            clear.switches,
            tip.p50,
            iou.mean
        );
        rows.push(json!({ "seed": seed, "hota": hota, "identity": identity, "clear": clear, "tip_error_percent": tip, "mask_iou": iou }));
        hotas.push(hota.hota);
        idf1s.push(identity.idf1);
        all.tip_error_percent.extend(figures.tip_error_percent);
        all.tip_ahead_percent.extend(figures.tip_ahead_percent);
        all.mask_iou.extend(figures.mask_iou);
        all.track_ms.extend(figures.track_ms);
        all.tip.append(figures.tip);
        all.shaft.append(figures.shaft);
        all.shown_after_frames.extend(figures.shown_after_frames);
    }
    let (tip, track) = (Spread::of(&all.tip_error_percent), Spread::of(&all.track_ms));
    println!(
        "  mean HOTA {:.3} (goal 0.80)   IDF1 {:.3} (goal 0.90)   tip error p50 {:.2} % p95 {:.2} % of the width (goal 1)   track stage p50 {:.2} p95 {:.2} ms",
        Spread::of(&hotas).mean,
        Spread::of(&idf1s).mean,
        tip.p50,
        tip.p95,
        track.p50,
        track.p95
    );
    let ahead = Spread::of(&all.tip_ahead_percent);
    println!("  the tip that was found lies ahead of the true one by p50 {:.2} % mean {:.2} % of the width", ahead.p50, ahead.mean);
    let shown = Spread::of(&all.shown_after_frames);
    if eyes == Eyes::Detector {
        println!(
            "  {} instruments came in: shown p50 {:.0} p95 {:.0} max {:.0} frames after they were found (goal 1)",
            all.shown_after_frames.len(),
            shown.p50,
            shown.p95,
            shown.max
        );
    }
    all.tip.print("tip, 15–60 ms old");
    all.shaft.print("shaft, 15–60 ms old");
    json!({ "seeds": rows, "hota_mean": Spread::of(&hotas).mean, "idf1_mean": Spread::of(&idf1s).mean, "tip_error_percent": tip,
            "prediction_tip": all.tip.json(), "prediction_shaft": all.shaft.json(), "track_ms": track,
            "shown_after_frames": shown })
}

fn clip(seed: u64, options: &Options, eyes: Eyes) -> (Sequence, Figures) {
    let spec = options.spec(seed);
    let simulator = Simulator::new(&spec).expect("a size that frames can have");
    let mut analyser = (eyes == Eyes::Engine).then(analyser);
    let mut detector = Detector::new(seed, options.fps);
    let frames = (options.seconds * f64::from(options.fps)) as usize;
    let mut shots: Vec<Option<Shot>> = (0..simulator.frame_count()).map(|_| None).collect();
    let (mut sequence, mut figures) = (Sequence::default(), Figures::default());
    let mut recent: Vec<(Scene, Vec<TruthInstrument>)> = Vec::new();
    let (mut last, mut entering) = (String::new(), Entering::new());
    for index in 0..frames {
        let shot = shots[index % simulator.frame_count()].get_or_insert_with(|| {
            let mut bytes = vec![0; simulator.layout().size];
            if eyes == Eyes::Engine {
                simulator.render(index, &mut bytes);
            }
            let truth = simulator.truth(index);
            let coverage = if eyes == Eyes::Detector { detector::coverage(&truth) } else { Vec::new() };
            Shot { bytes, mask: Vec::new(), coverage, instruments: truth.instruments }
        });
        let capture_ns = 1_000_000_000 + index as u64 * 1_000_000_000 / u64::from(options.fps);
        let stamps = Stamps { id: FrameId(index as u64), pts_ns: capture_ns, capture_ns };
        let view = FrameView::new(simulator.layout(), &shot.bytes).expect("rendered to this layout");
        let scene = match &mut analyser {
            Some(analyser) => analyser.analyse(view, stamps, &|| true).expect("the engine runs").expect("nothing is overwritten"),
            None => {
                let scale = [detector::WIDTH as f32 / options.size[0] as f32, detector::HEIGHT as f32 / options.size[1] as f32];
                let tips =
                    shot.instruments.iter().filter_map(|i| Some((i.id.0 as u8, i.tip.map(|tip| [tip[0] * scale[0], tip[1] * scale[1]])?)));
                detector.analyse(&shot.coverage, &tips.collect::<Vec<_>>(), simulator.layout(), index as u64, capture_ns)
            }
        };
        if shot.mask.is_empty() {
            shot.mask = small(&simulator.truth(index), scene.mask.width as usize, scene.mask.height as usize);
        }
        assert_eq!(scene.check(), Ok(()));
        figures.track_ms.push(scene.times.track_ns as f32 / 1e6);
        compare(&scene, shot, &mut sequence, &mut figures);
        if eyes == Eyes::Detector {
            entrances(&scene, &detector.found, &shot.instruments, &mut entering, &mut figures.shown_after_frames);
        }
        if options.verbose {
            print_changes(&scene, &shot.instruments, &mut last);
        }
        for (earlier, truth) in &recent {
            let age_ns = capture_ns - earlier.capture_ns;
            if AGES_MS.contains(&(age_ns as f32 / 1e6)) {
                predicted(earlier, truth, &shot.instruments, age_ns, &mut figures);
            }
        }
        recent.retain(|(earlier, _)| capture_ns - earlier.capture_ns < 80_000_000);
        recent.push((scene, shot.instruments.clone()));
    }
    (sequence, figures)
}

fn small(truth: &Truth, width: usize, height: usize) -> Vec<u8> {
    let at = |x: usize, y: usize| {
        truth.instance_mask[(2 * y + 1) * truth.height / (2 * height) * truth.width + (2 * x + 1) * truth.width / (2 * width)]
    };
    (0..width * height).map(|i| u8::from(at(i % width, i / width) != 0)).collect()
}

fn box_of(instrument: &TruthInstrument) -> [f32; 4] {
    instrument.bbox.map(|v| v as f32)
}

/// Pairs (truth, track) of one frame whose boxes overlap by half.
fn pairs<'a>(scene: &'a Scene, truth: &'a [TruthInstrument]) -> Vec<(&'a TruthInstrument, &'a keyhole::scene::Track)> {
    let mut pairs = Vec::new();
    for instrument in truth {
        let iou = |track: &keyhole::scene::Track| box_iou(box_of(instrument), track.bbox);
        let best = scene.tracks.iter().max_by(|a, b| iou(a).total_cmp(&iou(b))).filter(|track| iou(track) >= 0.5);
        pairs.extend(best.map(|track| (instrument, track)));
    }
    pairs
}

fn compare(scene: &Scene, shot: &Shot, sequence: &mut Sequence, figures: &mut Figures) {
    let truth: Vec<u32> = shot.instruments.iter().map(|i| i.id.0).collect();
    let found: Vec<u32> = scene.tracks.iter().map(|t| t.id.0).collect();
    sequence.push(&truth, &found, |r, c| box_iou(box_of(&shot.instruments[r]), scene.tracks[c].bbox));
    for (instrument, track) in pairs(scene, &shot.instruments) {
        if let (Some(a), Some(b)) = (instrument.tip, track.tip) {
            let part = 100.0 / scene.picture[0] as f32;
            let off = [(b[0] - a[0]) * part, (b[1] - a[1]) * part];
            figures.tip_error_percent.push(off[0].hypot(off[1]));
            figures.tip_ahead_percent.push(off[0] * instrument.axis[0] + off[1] * instrument.axis[1]);
        }
        figures.class_right[usize::from(track.class == instrument.class)] += 1;
    }
    let table = keyhole::base::classes::table();
    let found: Vec<u8> = scene.mask.ids.iter().map(|&id| u8::from(table.is_instrument(keyhole::base::ids::ClassId(id)))).collect();
    figures.mask_iou.extend(mask_iou(&shot.mask, &found, None, |id| id == 1));
}

/// How much later than it is found an instrument is shown that comes in.
fn entrances(scene: &Scene, found: &[[f32; 4]], truth: &[TruthInstrument], entering: &mut Entering, frames: &mut Vec<f32>) {
    entering.retain(|id, _| truth.iter().any(|instrument| instrument.id.0 == *id));
    for instrument in truth {
        let overlaps = |bbox: [f32; 4]| box_iou(box_of(instrument), bbox) >= 0.5;
        let is_found = found.iter().any(|&bbox| overlaps(bbox));
        let since = entering.entry(instrument.id.0).or_insert(Some(u64::MAX));
        if let Some(first) = since.filter(|_| is_found) {
            let first = first.min(scene.frame.0);
            *since = Some(first);
            if scene.tracks.iter().any(|track| overlaps(track.bbox)) {
                frames.push((scene.frame.0 - first) as f32);
                *since = None;
            }
        }
    }
}

/// The scene of an earlier frame over what is there now.
fn predicted(earlier: &Scene, then: &[TruthInstrument], now: &[TruthInstrument], age_ns: u64, figures: &mut Figures) {
    let width = earlier.picture[0];
    for (before, track) in pairs(earlier, then) {
        let Some(after) = now.iter().find(|after| after.id == before.id) else { continue };
        let (Some(from), Some(to)) = (before.tip, after.tip) else { continue };
        figures.tip.note(track, width, age_ns, from, to);
        // A fifth of the width behind the tip, where the shaft is still in the picture.
        let behind = |tip: [f32; 2], axis: [f32; 2]| [0, 1].map(|i| tip[i] - 0.2 * width as f32 * axis[i]);
        let (from, to) = (behind(from, before.axis), behind(to, after.axis));
        let inside = |p: [f32; 2]| (0..2).all(|i| p[i] >= 0.0 && p[i] < earlier.picture[i] as f32);
        if inside(from) && inside(to) {
            figures.shaft.note(track, width, age_ns, from, to);
        }
    }
}

/// Who is found as whom, where that is not as in the frame before.
fn print_changes(scene: &Scene, truth: &[TruthInstrument], last: &mut String) {
    let pairs = pairs(scene, truth);
    let mut line: Vec<String> = truth
        .iter()
        .map(|t| format!("{}>{}", t.id.0, pairs.iter().find(|p| p.0.id == t.id).map_or("-".to_owned(), |p| p.1.id.0.to_string())))
        .collect();
    let extra = scene.tracks.iter().filter(|track| !pairs.iter().any(|pair| pair.1.id == track.id));
    line.extend(extra.map(|t| format!("+{}{:?}{:.2}", t.id.0, t.bbox.map(|v| v as i32), t.confidence)));
    let short: String = line.iter().map(|part| part.split('[').next().unwrap_or("").to_owned() + " ").collect();
    if short != *last {
        println!("{:4} {}", scene.frame.0, line.join("  "));
        *last = short;
    }
}
