//! Real clips: how far the tip has really moved is found by registering the picture around it, frame to frame.

use crate::moved::Moved;
use crate::{Options, analyser};
use keyhole::base::clock::ManualClock;
use keyhole::base::ids::FrameId;
use keyhole::capture::{self, Pull};
use keyhole::frame::{FrameLayout, FrameView, Stamps};
use keyhole::scene::Scene;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Half a side of the patch around the tip that is looked for, and how far, in parts of the width.
const PATCH: f32 = 0.03;
const REACH: f32 = 0.035;
/// Mean difference of levels up to which a patch was found.
const FOUND_TO: f32 = 9.0;

pub fn run(options: &Options) -> serde_json::Value {
    let mut rows = Vec::new();
    for path in &options.clips {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        if !path.exists() {
            println!("SKIPPED {name}: no shared data");
            continue;
        }
        // Its clock stands still: nothing is ever late, and no picture is left out.
        let source = capture::open(&path.to_string_lossy(), &capture::Settings::default(), Arc::new(ManualClock::at(1_000_000_000)));
        let mut source = source.unwrap_or_else(|error| panic!("{error}"));
        let mut analyser = analyser();
        let mut before: Option<(Scene, FrameLayout, Vec<u8>)> = None;
        let (mut moved, mut first_pts_ns) = (Moved::default(), None);
        let mut steady = keyhole::eval::Steadiness::default();
        for index in 0.. {
            let (layout, pts_ns, bytes) = match source.pull(Duration::from_secs(2)) {
                Ok(Pull::Picture(picture)) => {
                    let mut bytes = vec![0; picture.layout.size];
                    picture.copy_into(&mut bytes);
                    (picture.layout, picture.pts_ns, bytes)
                }
                Ok(Pull::Idle | Pull::Event(_)) => continue,
                Ok(Pull::End) => break,
                Err(error) => panic!("{name}: {error}"),
            };
            let start = *first_pts_ns.get_or_insert(pts_ns);
            if (pts_ns - start) as f64 >= 9.9e9_f64.min(options.seconds * 1e9) {
                break;
            }
            let stamps = Stamps { id: FrameId(index), pts_ns, capture_ns: 1_000_000_000 + pts_ns };
            let view = FrameView::new(&layout, &bytes).expect("of this layout");
            let scene = analyser.analyse(view, stamps, &|| true).expect("the engine runs").expect("nothing is overwritten");
            if options.verbose {
                let tracks: Vec<String> = scene.tracks.iter().map(|t| format!("{} {:.2} {:.0?}", t.id.0, t.confidence, t.bbox)).collect();
                println!(
                    "    {} {tracks:?} departed {:?}",
                    scene.frame.0,
                    scene.departed.iter().map(|d| (d.id.0, d.at)).collect::<Vec<_>>()
                );
            }
            if let Some((earlier, _, earlier_bytes)) = &before {
                let earlier_view = FrameView::new(&layout, earlier_bytes).expect("of this layout");
                let age_ns = scene.capture_ns - earlier.capture_ns;
                for track in &earlier.tracks {
                    let Some(tip) = track.tip else { continue };
                    // Behind the tip, so that more of the patch is instrument than tissue.
                    let back = PATCH * layout.width as f32;
                    let at = track.axis.map_or(tip, |axis| [0, 1].map(|i| tip[i] - back * axis[i]));
                    if options.verbose {
                        let ahead = track.velocity_px_s.map(|v| v * age_ns as f32 / 1e9);
                        println!(
                            "    {} track {} tip {tip:.0?} {:.2} predicted {ahead:.1?} registered {:.1?}",
                            earlier.frame.0,
                            track.id.0,
                            track.confidence,
                            register(&earlier_view, &view, at)
                        );
                    }
                    if let Some(shift) = register(&earlier_view, &view, at) {
                        moved.note(track, layout.width as u32, age_ns, at, [at[0] + shift[0], at[1] + shift[1]]);
                    }
                }
            }
            steady.push(scene.clone());
            before = Some((scene, layout, bytes));
        }
        moved.print(&name);
        let figures = steady.summary();
        println!(
            "    tracks and tissues that appear: {:.1} a minute; temporal IoU {:.3}",
            figures.appearances_a_minute, figures.temporal_iou_mean
        );
        rows.push(json!({ "clip": name, "prediction": moved.json(), "appearances_a_minute": figures.appearances_a_minute }));
    }
    json!(rows)
}

/// How far the luma around `at` has moved; None where it is not found again, or lies at the picture's edge.
fn register(before: &FrameView<'_>, now: &FrameView<'_>, at: [f32; 2]) -> Option<[f32; 2]> {
    let (width, height) = (before.layout.width as i32, before.layout.height as i32);
    let half = (PATCH * width as f32) as i32;
    let reach = (REACH * width as f32) as i32;
    let [x, y] = at.map(|v| v as i32);
    if x < half + reach || y < half + reach || x + half + reach >= width || y + half + reach >= height {
        return None;
    }
    let difference = |dx: i32, dy: i32| {
        let (mut sum, mut count) = (0u32, 0u32);
        for row in (-half..half).step_by(2) {
            let a = before.row(0, (y + row) as usize);
            let b = now.row(0, (y + row + dy) as usize);
            for column in (-half..half).step_by(2) {
                sum += u32::from(a[(x + column) as usize].abs_diff(b[(x + column + dx) as usize]));
                count += 1;
            }
        }
        sum as f32 / count as f32
    };
    let mut best = (f32::MAX, 0, 0);
    for dy in -reach..=reach {
        for dx in -reach..=reach {
            let found = difference(dx, dy);
            if found < best.0 {
                best = (found, dx, dy);
            }
        }
    }
    let (least, dx, dy) = best;
    if least > FOUND_TO || dx.abs() == reach || dy.abs() == reach {
        return None;
    }
    let part = |left: f32, right: f32| {
        let curvature = left - 2.0 * least + right;
        if curvature > 0.0 { (0.5 * (left - right) / curvature).clamp(-0.5, 0.5) } else { 0.0 }
    };
    let fine = [part(difference(dx - 1, dy), difference(dx + 1, dy)), part(difference(dx, dy - 1), difference(dx, dy + 1))];
    Some([dx as f32 + fine[0], dy as f32 + fine[1]])
}
