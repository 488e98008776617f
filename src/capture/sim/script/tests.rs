use super::*;
use crate::base::error::ErrorKind;
use crate::capture::sim::{Simulator, Spec};
use proptest::prelude::*;
use std::sync::Arc;

fn refused(text: &str) -> String {
    let error = Script::parse("scene.toml", text).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stop);
    error.to_string()
}

#[test]
fn refusals_name_the_line_and_what_is_possible() {
    let event = |more: &str| format!("seconds = 4.0\n\n[[event]]\nat_s = 1.0\nfor_s = 1.0\n{more}\n");
    let cases = [
        ("second = 4".to_owned(), 1, "seconds"),
        (event("kind = 'smoke'\namout = 0.5"), 7, "amount"),
        (event("kind = 'smok'"), 3, "smoke, bleeding"),
        (event("kind = 'smoke'\ntool = 'hook'"), 3, "leave it out"),
        (event("kind = 'smoke'\namount = 1.5"), 3, "0 to 1"),
        (event("kind = 'smoke'\nsite = [nan, 0.0]"), 3, "picture heights"),
        (event("kind = 'instrument'"), 3, "needs tool"),
        (event("kind = 'instrument'\ntool = 'saw'"), 7, "scissors"),
        (event("kind = 'look'"), 3, "nbi"),
        (event("kind = 'black'\nfor_s = 2.0"), 7, "duplicate"),
        ("seconds = 1.0\n[[event]]\nkind='black'\nat_s=0.5\nfor_s=1.0".to_owned(), 1, "raise seconds"),
        ("seconds = nan".to_owned(), 1, "possible"),
        ("noise = -1.0".to_owned(), 1, "0 to 8"),
    ];
    for (text, line, remedy) in cases {
        let said = refused(&text);
        assert!(said.contains("scene.toml") && said.contains(&format!("line {line}:")) && said.contains(remedy), "{text}\n→ {said}");
    }
}

#[test]
fn each_builtin_is_a_script_and_all_kinds_are_in_use_somewhere() {
    let mut kinds: Vec<String> = Vec::new();
    for (name, _) in BUILTIN {
        let script = Script::open(&format!("builtin:{name}")).unwrap_or_else(|error| panic!("{error}"));
        kinds.extend(script.events.iter().map(|event| serde_json::to_value(event).unwrap()["kind"].as_str().unwrap().to_owned()));
    }
    let missing: Vec<&str> = KINDS.split(',').map(str::trim).filter(|kind| !kinds.iter().any(|k| k == kind)).collect();
    assert_eq!(missing, ["noise"], "shown in the gallery only");
}

#[test]
fn an_event_comes_and_goes() {
    let script = Script::parse("x", "[[event]]\nkind='smoke'\nat_s=1.0\nfor_s=2.0\namount=0.5\nfade_s=0.5").unwrap();
    let level = |t_s: f64| script.events[0].level((t_s * 1e9) as u64);
    assert_eq!((level(0.99), level(1.0), level(1.5), level(2.0), level(3.0)), (0.0, 0.0, 0.5, 0.5, 0.0));
    assert!(level(1.2) > 0.0 && level(1.2) < 0.5 && (level(1.25) - level(2.75)).abs() < 1e-6);
    assert_eq!(script.seconds, 3.0);
}

fn event_text() -> impl Strategy<Value = String> {
    let kind = prop_oneof![
        Just("kind='smoke'\nsite=[0.2,0.1]"),
        Just("kind='smoke'"),
        Just("kind='bleeding'"),
        Just("kind='bleeding'\nsite=[-1.0,1.0]"),
        Just("kind='lens_fog'"),
        Just("kind='droplets'"),
        Just("kind='soiling'"),
        Just("kind='defocus'"),
        Just("kind='motion_blur'"),
        Just("kind='out_of_body'"),
        Just("kind='camera_menu'"),
        Just("kind='pip'"),
        Just("kind='look'\nlook='a'"),
        Just("kind='look'\nlook='nbi'"),
        Just("kind='look'\nlook='icg'"),
        Just("kind='freeze'"),
        Just("kind='black'"),
        Just("kind='loss'"),
        Just("kind='cut'\nseed=9"),
        Just("kind='flicker'"),
        Just("kind='interference'"),
        Just("kind='noise'"),
        Just("kind='instrument'\ntool='needle'\nside='top'"),
        Just("kind='instrument'\ntool='scissors'\nside='bottom'"),
        Just("kind='instrument'\ntool='clip-applier'"),
        Just("kind='camera'\npan=[-0.4,0.4]\nzoom=0.7\nturn_deg=-180.0"),
        Just("kind='camera'\nzoom=3.0"),
    ];
    (kind, 0u32..20, 1u32..20, 0.0f32..=1.0, 0.0f64..3.0).prop_map(|(kind, at, long, amount, fade)| {
        format!(
            "[[event]]\n{kind}\nat_s={:.1}\nfor_s={:.1}\namount={amount}\nfade_s={fade}\n",
            f64::from(at) / 10.0,
            f64::from(long) / 10.0
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is written, it is read or refused with a line.
    #[test]
    fn no_text_is_too_strange(text in "[a-z_=\\[\\]0-9.\"' \n-]{0,120}", event in event_text(), cut in 0usize..200) {
        for text in [text.clone(), format!("{event}{text}"), event.chars().take(cut).collect()] {
            if let Err(error) = Script::parse("x", &text) {
                prop_assert!(error.to_string().contains("line "), "{error}");
            }
        }
    }

    /// Any valid script renders, at any size, and its truth is of the picture's size with known classes only.
    #[test]
    fn any_valid_script_renders(
        events in proptest::collection::vec(event_text(), 0..7),
        still: bool,
        noise in 0.0f32..8.0,
        width in 16u32..70,
        height in 16u32..60,
        index in 0usize..40,
    ) {
        let text = format!("still={still}\nnoise={noise}\n{}", events.concat());
        let script = Script::parse("x", &text).unwrap();
        let mut spec = Spec::parse(&format!("sim:?width={width}&height={height}&fps=10&seed={index}")).unwrap();
        spec.play(Arc::new(script));
        let simulator = Simulator::new(&spec).unwrap();
        let mut picture = vec![0; simulator.layout().size];
        simulator.render(index, &mut picture);
        let truth = simulator.truth(index);
        prop_assert_eq!(truth.class_mask.len(), (width * height) as usize);
        let table = crate::base::classes::table();
        prop_assert!(truth.class_mask.iter().all(|c| *c == 255 || table.by_id(crate::base::ids::ClassId(*c)).is_some()));
        for instrument in &truth.instruments {
            prop_assert!((0.0..=1.0).contains(&instrument.clear));
            prop_assert!(instrument.tip.is_none_or(|[x, y]| x < width as f32 && y < height as f32));
        }
        for (first, end, _) in simulator.events() {
            prop_assert!(first <= end && end <= spec.frame_count());
        }
    }
}
