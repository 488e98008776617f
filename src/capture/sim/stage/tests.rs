use super::*;
use crate::capture::sim::Script;
use std::sync::Arc;

fn scripted(events: &str) -> Simulator {
    let mut spec = Spec::parse("sim:?seed=4&width=320&height=180&fps=10").unwrap();
    spec.play(Arc::new(Script::parse("test", &format!("seconds = 4.0\n{events}")).unwrap()));
    Simulator::new(&spec).unwrap()
}

fn event(more: &str) -> String {
    format!("[[event]]\nat_s = 1.0\nfor_s = 2.0\nfade_s = 0.2\n{more}\n")
}

fn picture(simulator: &Simulator, index: usize) -> Vec<u8> {
    let mut bytes = vec![0; simulator.layout().size];
    simulator.render(index, &mut bytes);
    bytes
}

fn count(mask: &[u8], class: u8) -> usize {
    mask.iter().filter(|c| **c == class).count()
}

#[test]
fn a_script_without_events_is_the_plain_scene() {
    let plain = Simulator::new(&Spec::parse("sim:?seed=4&width=320&height=180&fps=10&seconds=4").unwrap()).unwrap();
    let scripted = scripted("");
    for index in [0, 13] {
        assert_eq!(picture(&plain, index), picture(&scripted, index));
        assert_eq!(plain.truth(index), scripted.truth(index));
    }
}

#[test]
fn a_freeze_repeats_its_first_picture_to_the_bit_and_black_is_black() {
    let simulator = scripted(&event("kind = 'freeze'"));
    let first = picture(&simulator, 10);
    for index in [11, 20, 29] {
        assert_eq!(picture(&simulator, index), first);
        assert_eq!(simulator.truth(index), simulator.truth(10));
    }
    assert_ne!(picture(&simulator, 9), first);
    assert_ne!(picture(&simulator, 30), first);
    let simulator = scripted(&event("kind = 'black'"));
    let layout = *simulator.layout();
    let dark = picture(&simulator, 15);
    assert!(dark[..layout.planes()[0].row_bytes].iter().all(|y| *y == 16) && dark[layout.planes()[1].offset] == 128);
    assert!(simulator.truth(15).class_mask.iter().all(|c| *c == 0) && simulator.truth(15).instruments.is_empty());
    assert!(!simulator.truth(9).instruments.is_empty());
}

#[test]
fn a_still_scene_differs_by_noise_alone() {
    let spec = Spec::parse("sim:?seed=4&width=320&height=180&fps=10&still=true").unwrap();
    let simulator = Simulator::new(&spec).unwrap();
    assert_eq!(simulator.truth(0), simulator.truth(31));
    assert!(!simulator.truth(0).instruments.is_empty());
    let (a, b) = (picture(&simulator, 0), picture(&simulator, 31));
    assert!(a != b && a.iter().zip(&b).all(|(a, b)| a.abs_diff(*b) <= 8));
    let silent = Simulator::new(&Spec { noise: 0.0, ..spec }).unwrap();
    assert_eq!(picture(&silent, 0), picture(&silent, 31));
}

#[test]
fn blood_is_labelled_where_it_is_red_and_instruments_stay_in_front() {
    let (with, without) = (scripted(&event("kind = 'bleeding'\namount = 1.0")), scripted(""));
    let (bleeding, clean) = (with.truth(20), without.truth(20));
    assert!(count(&bleeding.class_mask, 7) > 1500 && count(&clean.class_mask, 7) * 2 < count(&bleeding.class_mask, 7));
    assert_eq!(bleeding.instance_mask, clean.instance_mask);
    let (a, b) = (picture(&with, 20), picture(&without, 20));
    let stride = with.layout().planes()[0].stride;
    let (mut inside, mut outside) = (0, 0);
    for (at, (new, old)) in bleeding.class_mask.iter().zip(&clean.class_mask).enumerate() {
        let place = at / 320 * stride + at % 320;
        let differs = a[place].abs_diff(b[place]) > 6;
        inside += usize::from(differs && *new == 7);
        outside += usize::from(differs && new == old && *new != 7);
    }
    assert!(inside > 800 && outside * 20 < inside, "{inside} inside, {outside} outside");
}

#[test]
fn what_hides_the_scene_is_ignored_and_tracks_say_how_much_is_clear() {
    let clean = scripted("").truth(20);
    let smoky = scripted(&event("kind = 'smoke'\namount = 1.0")).truth(20);
    assert!(count(&smoky.class_mask, IGNORE) > 2000);
    assert_eq!(smoky.instance_mask, clean.instance_mask);
    let boxes = |truth: &Truth| truth.instruments.iter().map(|i| (i.id, i.bbox)).collect::<Vec<_>>();
    assert_eq!(boxes(&smoky), boxes(&clean));
    assert!(smoky.instruments.iter().any(|i| i.clear < 1.0), "{:?}", smoky.instruments);
    let menu = scripted(&event("kind = 'camera_menu'")).truth(20);
    assert_eq!(menu.class_mask[60 * 320 + 60], IGNORE);
    let thin = scripted(&event("kind = 'smoke'\namount = 0.2")).truth(20);
    assert_eq!(thin.class_mask, clean.class_mask);
}

#[test]
fn out_of_the_body_there_is_nothing_and_in_the_trocar_everything_is_small() {
    let simulator = scripted(&event("kind = 'out_of_body'"));
    let inside = |index: usize| simulator.truth(index).class_mask.iter().filter(|c| **c != 0).count();
    assert!(inside(9) > 30_000 && inside(20) == 0 && inside(12) < inside(9) && inside(14) < inside(12), "{} {}", inside(12), inside(14));
    assert!(simulator.truth(20).instruments.is_empty());
    for instrument in &simulator.truth(13).instruments {
        if let Some([x, y]) = instrument.tip {
            let [x0, y0, x1, y1] = instrument.bbox.map(|v| v as f32);
            assert!((x0..x1).contains(&x) && (y0..y1).contains(&y));
        }
    }
}

#[test]
fn each_instrument_has_its_class_and_its_tip_lies_in_it() {
    for (tool, class) in [("grasper", 5), ("hook", 9), ("scissors", 14), ("clip-applier", 15), ("needle", 16), ("irrigator", 13)] {
        for side in ["left", "right", "top", "bottom"] {
            let text = format!("default_instruments = false\n{}", event(&format!("kind = 'instrument'\ntool = '{tool}'\nside = '{side}'")));
            // Twice as large: the point of a needle is smaller than a pixel otherwise.
            let mut spec = Spec { width: 640, height: 360, ..scripted(&text).spec().clone() };
            spec.seed = 6;
            let simulator = Simulator::new(&spec).unwrap();
            let truth = simulator.truth(20);
            let found = truth.instruments.iter().find(|i| i.class.0 == class).unwrap_or_else(|| panic!("{tool} from the {side}"));
            let [x, y] = found.tip.unwrap_or_else(|| panic!("the tip of a {tool} from the {side} lies outside of it"));
            assert_eq!(truth.instance_mask[y as usize * 640 + x as usize], found.id.0 as u8);
            assert!(simulator.truth(5).instruments.is_empty() && simulator.truth(31).instruments.is_empty());
        }
    }
}

#[test]
fn the_camera_moves_the_scene_and_another_operation_has_other_instruments() {
    let near = scripted(&event("kind = 'camera'\nzoom = 2.0"));
    let share = |simulator: &Simulator, index| count(&simulator.truth(index).class_mask, 10);
    assert!(share(&near, 20) > share(&near, 5) * 2);
    let cut = scripted(&event("kind = 'cut'\nseed = 11"));
    let ids = |index| cut.truth(index).instruments.iter().map(|i| i.id.0).collect::<Vec<_>>();
    assert!(!ids(20).is_empty() && ids(20).iter().all(|id| *id > 100) && ids(9).iter().all(|id| *id < 100));
}

#[test]
fn events_are_told_by_the_pictures_that_show_them() {
    let simulator = scripted(&event("kind = 'black'"));
    let spans = simulator.events();
    assert_eq!((spans[0].0, spans[0].1), (10, 30));
    let dark = |index: usize| simulator.truth(index).instruments.is_empty();
    assert!(!dark(9) && dark(10) && dark(29) && !dark(30));
}
