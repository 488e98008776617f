use super::*;
use crate::base::ids::{ClassId, FrameId};
use crate::frame::FrameView;
use crate::infer::testing::{Colorimetry, Matrix, PixelFormat, Range, TestModel, loaded, locked};

fn stamps(id: u64) -> Stamps {
    Stamps { id: FrameId(id), pts_ns: id * 40_000_000, capture_ns: 1_000_000_000 + id * 40_000_000 }
}

/// A red picture (liver to the test model) with a green patch (fat) and a blue bar (instrument) from the left to `bar_end`.
fn picture(layout: &FrameLayout, bar_end: usize) -> Vec<u8> {
    let mut data = vec![0; layout.size];
    for y in 0..layout.height {
        for x in 0..layout.width {
            let colour = if (220..260).contains(&y) && x < bar_end {
                [0, 0, 255]
            } else if x >= 480 && y < 200 {
                [0, 255, 0]
            } else {
                [255, 0, 0]
            };
            data[y * layout.planes()[0].stride + 3 * x..][..3].copy_from_slice(&colour);
        }
    }
    data
}

fn rgb(width: usize, height: usize) -> FrameLayout {
    FrameLayout::new(PixelFormat::Rgb, Colorimetry::sdr(Matrix::Bt709, Range::Full), width, height).unwrap()
}

#[test]
fn pixels_become_a_scene_with_tissues_and_a_followed_instrument() {
    let mut analyser = Analyser::load(locked(&TestModel::default())).unwrap();
    let layout = rgb(640, 480);
    let mut last = None;
    for id in 0..6 {
        let data = picture(&layout, 300 + 8 * id as usize);
        let view = FrameView::new(&layout, &data).unwrap();
        let scene = analyser.analyse(view, stamps(id), &|| true).unwrap().unwrap();
        assert_eq!(scene.check(), Ok(()));
        assert_eq!((scene.frame, scene.capture_ns, scene.picture), (FrameId(id), stamps(id).capture_ns, [640, 480]));
        last = Some(scene);
    }
    let scene = last.unwrap();
    let [track] = &scene.tracks[..] else { panic!("{} tracks", scene.tracks.len()) };
    assert_eq!((track.id.0, track.class), (0, ClassId(13)));
    let tip = track.tip.unwrap();
    assert!((tip[0] - 340.0).abs() < 8.0 && (tip[1] - 240.0).abs() < 6.0, "{tip:?}");
    assert!((track.velocity_px_s[0] - 200.0).abs() < 60.0, "{:?}", track.velocity_px_s);
    assert!(track.axis.unwrap()[0] > 0.99);
    let area = |class| scene.tissues.iter().find(|t| t.class == ClassId(class)).unwrap().area_px as f32;
    assert!((area(4) - 160.0 * 200.0).abs() < 2500.0, "fat: {}", area(4));
    assert!(area(2) > 200_000.0, "liver: {}", area(2));
    assert!(scene.times.infer_ns > 0 && scene.times.preprocess_ns > 0 && scene.times.track_ns > 0);
}

#[test]
fn an_overwritten_frame_is_not_used() {
    let mut analyser = Analyser::load(locked(&TestModel::default())).unwrap();
    let layout = rgb(64, 48);
    let data = vec![0; layout.size];
    let view = FrameView::new(&layout, &data).unwrap();
    assert_eq!(analyser.analyse(view, stamps(0), &|| false).unwrap(), None);
}

#[test]
fn a_change_of_format_needs_no_new_analyser() {
    let mut analyser = Analyser::load(locked(&TestModel::default())).unwrap();
    for (id, (width, height)) in [(640, 480), (101, 33), (1920, 1080), (33, 301)].into_iter().enumerate() {
        let layout = rgb(width, height);
        let data = picture(&layout, width / 2);
        let scene = analyser.analyse(FrameView::new(&layout, &data).unwrap(), stamps(id as u64), &|| true).unwrap().unwrap();
        assert_eq!(scene.check(), Ok(()), "{width}×{height}");
        assert_eq!(scene.picture, [width as u32, height as u32]);
    }
}

#[test]
fn pictures_on_their_own_do_not_remember_each_other() {
    let mut analyser = Analyser::load(locked(&TestModel::default())).unwrap();
    let layout = rgb(640, 480);
    let data = picture(&layout, 300);
    let mut once = |id| {
        analyser.forget();
        let view = FrameView::new(&layout, &data).unwrap();
        let scene = analyser.analyse(view, stamps(id), &|| true).unwrap().unwrap();
        (scene.tracks, scene.tissues, scene.mask)
    };
    assert_eq!(once(0), once(1));
}

/// The test model asked to have frames brought to a cohort that is twice as bright as what is shown.
#[test]
fn an_engine_that_states_its_cohort_is_shown_frames_in_its_light_unless_that_is_off() {
    let mut engine = TestModel::default().engine();
    engine.tables.push_str(
        "
[normalisation]
dead_band = 0.0
strength = 1.0
max_exposure = 1.5
max_balance = 0.0
max_stretch = 0.0
brightness = { mean = -1.0, std = 0.1 }
contrast = { mean = 0.0, std = 4.0 }
red_green = { mean = 0.0, std = 4.0 }
yellow_blue = { mean = 0.0, std = 4.0 }
saturation = { mean = 0.0, std = 4.0 }
grey_brightness = { mean = -1.0, std = 0.1 }
",
    );
    let layout = rgb(640, 480);
    let data = vec![64; layout.size];
    let view = FrameView::new(&layout, &data).unwrap();
    let shown = |normalise| {
        let settings = infer::Settings { normalise, ..Default::default() };
        let mut analyser = Analyser::load_with(loaded(&engine), Backend::Cpu, &settings).unwrap();
        analyser.analyse(view, stamps(0), &|| true).unwrap();
        analyser.engine.input_mut()[0]
    };
    assert!((shown(true) - 0.5).abs() < 0.01, "{}", shown(true));
    assert!((shown(false) - 64.0 / 255.0).abs() < 1e-4);
}

#[test]
fn a_proof_between_two_frames_is_the_same_each_time_and_disturbs_nothing() {
    let load = || Analyser::load(locked(&TestModel::default())).unwrap();
    let (mut proven, mut left_alone) = (load(), load());
    let answer = proven.prove().unwrap();
    let layout = rgb(640, 480);
    for id in 0..6 {
        let data = picture(&layout, 300 + 8 * id as usize);
        let analyse = |analyser: &mut Analyser| {
            let scene = analyser.analyse(FrameView::new(&layout, &data).unwrap(), stamps(id), &|| true).unwrap().unwrap();
            Scene { times: AnalysisTimes::default(), ..scene }
        };
        assert_eq!(analyse(&mut proven), analyse(&mut left_alone), "frame {id}");
        assert_eq!(proven.prove().unwrap(), answer, "whatever was analysed before");
    }
    proven.reference[0] += 0.5;
    assert_ne!(proven.prove().unwrap(), answer, "another answer is another proof");
}

#[test]
fn nothing_of_an_answer_that_cannot_be_becomes_a_scene() {
    use crate::infer::EngineFault;
    let mut analyser = Analyser::load(locked(&TestModel::default())).unwrap();
    let layout = rgb(64, 48);
    let data = picture(&layout, 32);
    let mut id = 0;
    let mut analyse = |fault| {
        analyser.set_fault(fault);
        id += 1;
        analyser.analyse(FrameView::new(&layout, &data).unwrap(), stamps(id), &|| true)
    };
    assert!(analyse(None).unwrap().is_some());
    for fault in [EngineFault::NotANumber, EngineFault::OutOfRange, EngineFault::Shape, EngineFault::Fails] {
        let error = analyse(Some(fault)).unwrap_err();
        assert_eq!(error.kind(), crate::base::error::ErrorKind::Retry, "{error}");
        assert!(analyse(None).unwrap().is_some(), "{fault:?} leaves nothing behind");
    }
}
