//! On the machine's own card and monitor, which are taken: hw/drm-check.sh plays them in an emulator.

use super::*;
use crate::base::clock::MonotonicClock;
use crate::display::Picture;
use crate::display::kms::scanout::Scanout;
use crate::overlay::testing::{COLORIMETRIES, FORMATS, Owned};
use drm::control::Device as _;

const SIZE: (usize, usize) = (320, 180);

/// A driver that lights what it was lent and then answers no more, and the host that takes its place.
#[test]
#[ignore = "takes the first card's monitor"]
fn a_monitor_that_was_lent_is_taken_back_and_the_console_gets_its_own() {
    let (settings, clock) = (Settings { present_timeout_ms: 5_000, ..Settings::default() }, Arc::new(MonotonicClock));
    let wanted = Wanted { monitor: None, size: SIZE, fps: 10.0 };
    let (card, plan) = Card::find(None, &wanted).unwrap();
    let card = Arc::new(card);
    let shown = || card.get_crtc(plan.crtc).unwrap().framebuffer();
    let console = shown();
    let tenure = Tenure::of(&card, &plan);

    let driver = Arc::new(card.of_lease(tenure.lend(&plan).unwrap()));
    let lit = Scanout::light(&driver, plan.clone()).unwrap();
    let by_driver = shown();
    assert!(by_driver.is_some() && by_driver != console, "it has the monitor");
    // Lent anew: to the same one, and not twice.
    let driver_2 = Arc::new(card.of_lease(tenure.lend(&plan).unwrap()));
    assert!(Scanout::light(&driver, plan.clone()).is_err(), "the first lease has ended");
    let lit_2 = Scanout::light(&driver_2, plan.clone()).unwrap();

    let picture = Owned::noise(FORMATS[0], COLORIMETRIES[1], SIZE.0, SIZE.1, 1).frame();
    let taken = tenure.take_over();
    let mut output = KmsOutput::on(card.clone(), plan.clone(), taken, wanted.clone(), &settings, clock.clone()).unwrap();
    output.show(Picture::New(&picture), &[]).unwrap();
    let by_host = shown();
    assert!(Scanout::light(&driver_2, plan.clone()).is_err(), "nothing is left to the driver");
    // What it had goes late, as where it hangs.
    drop((lit, lit_2, driver, driver_2, tenure));
    assert_eq!(shown(), by_host, "and takes no picture away");
    output.show(Picture::Again(&picture), &[]).unwrap();
    drop(output);
    assert_eq!(shown(), console);

    // Where nobody takes over, the end gives the console its own.
    let tenure = Tenure::of(&card, &plan);
    let driver = Arc::new(card.of_lease(tenure.lend(&plan).unwrap()));
    let lit = Scanout::light(&driver, plan.clone()).unwrap();
    drop((lit, driver));
    drop(tenure);
    assert_eq!(shown(), console);
    let refresh = card.refresh(&plan);
    let pipe = card.pipe(&plan).unwrap();
    let stamp = card.await_refresh(pipe, clock.now_ns() + 1_000_000_000, &|| clock.now_ns());
    assert_eq!(refresh.is_some(), stamp.is_some());
    println!("refreshes: {refresh:?}");
    drop(card);

    // The whole way, as `--display drm` goes it.
    let DrmOutputs { mut output, feed } = open(None, SIZE, 10.0, &settings, clock).unwrap();
    assert!(feed.is_none());
    output.show(Picture::New(&picture), &[]).unwrap();
    println!("{}: {}", output.describe().compositor, output.describe().adapter);
}
