//! Engines of every form as plans and on the processor, side by side. Where there is no GPU all but the library is rehearsed
//! (rehearsal.rs), and the real one makes plans.

use super::super::run::rehearsal::{self, ENQUEUED, REFUSED, REFUSES_RECORDING};
use super::*;
use crate::frame::cuda::Launches;
use crate::frame::cuda::testing::{TestDriver, skipped_without_gpu};
use crate::infer::tensorrt::{Kind, Options, RTX_CAPABILITIES, build};
use crate::infer::testing::{HEIGHT, TestEngine, WIDTH, compare, count, forms, loaded};
use crate::infer::{Backend, Engine, open_on};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// A folder for plans.
fn plans() -> (tempfile::TempDir, Plans) {
    let folder = tempfile::tempdir().unwrap();
    let plans = Plans::in_folder(folder.path().join("plans"));
    (folder, plans)
}

/// A plan of it is there, as the stand-in takes it.
pub fn rehearsed(engine: &LockedEngine, launches: Launches) -> TensorRtEngine {
    let engine = opened(engine, &engine.model).unwrap();
    engine.gpu().unwrap().stream().set_launches(launches).unwrap();
    engine
}

fn opened(engine: &LockedEngine, plan: &[u8]) -> Result<TensorRtEngine, InferError> {
    let ((_folder, plans), library) = (plans(), rehearsal::library());
    plans.write(&builder::key(engine, &library, Options::default())?, plan).unwrap();
    TensorRtEngine::open_with(engine, &library, &usable_device().unwrap(), &plans)
}

#[test]
#[ignore = "the other half of a_plan_answers_as_its_model_does_where_the_processor_plays_the_library"]
fn rehearse_in_this_process() {
    let mut forms = forms();
    // The stand-in takes no model with these; the real library makes plans of them, in which nothing of it is left.
    forms.retain(|(name, ..)| !["free sides", "external"].contains(name));
    let mut more = TestEngine::maps();
    more.graph.colours("image", "more", &[Some(0)]);
    more.graph.output("more", &format!("1 1 {HEIGHT} {WIDTH}"));
    forms.push(("an output that nobody reads", more, 1e-3));
    assert!(forms.len() > 10);
    for launches in [Launches::Plain, Launches::Recorded] {
        compare(&forms, &|engine| Box::new(rehearsed(&engine, launches)));
        count(&mut rehearsed(&loaded(&TestEngine::maps()), launches));
    }
}

#[test]
fn a_plan_answers_as_its_model_does_where_the_processor_plays_the_library() {
    if let Some(driver) = TestDriver::new("a_plan_answers_as_its_model_does_where_the_processor_plays_the_library") {
        driver.run("infer::tensorrt::engine::tests::rehearse_in_this_process", &[]);
    }
}

#[test]
#[ignore = "the other half of what_was_recorded_is_begun_without_the_library_and_what_cannot_be_recorded_is_run_as_before"]
fn record_in_this_process() {
    let engine = loaded(&TestEngine::recurrent());
    let run = |launches| {
        let mut opened = rehearsed(&engine, launches);
        let before = ENQUEUED.load(Relaxed);
        let answers: Vec<f32> = (1..6)
            .map(|frame| {
                opened.input_mut().fill(frame as f32 / 10.0);
                opened.run().unwrap();
                opened.tensor(0)[0]
            })
            .collect();
        (answers, ENQUEUED.load(Relaxed) - before)
    };
    let (plain, begun) = run(Launches::Plain);
    assert!(begun == 5 && (plain[4] - 1.5).abs() < 1e-5, "{plain:?}");
    // The trial runs are the first, and the one that is recorded.
    assert_eq!(run(Launches::Recorded), (plain.clone(), 0));
    REFUSES_RECORDING.store(true, Relaxed);
    assert_eq!(run(Launches::Recorded), (plain, 5));
}

#[test]
fn what_was_recorded_is_begun_without_the_library_and_what_cannot_be_recorded_is_run_as_before() {
    let test = "what_was_recorded_is_begun_without_the_library_and_what_cannot_be_recorded_is_run_as_before";
    if let Some(driver) = TestDriver::new(test) {
        driver.run("infer::tensorrt::engine::tests::record_in_this_process", &[]);
    }
}

#[test]
#[ignore = "the other half of a_plan_that_is_not_there_refused_damaged_or_of_another_network_is_an_error_with_the_remedy"]
fn refuse_in_this_process() {
    let engine = loaded(&TestEngine::maps());
    let told = |error: InferError, parts: &[&str], is_finding: bool| {
        let text = error.to_string();
        for part in parts.iter().chain(&["test-cpu"]) {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        assert_eq!(error.is_finding(), is_finding, "{text}");
    };
    let ((_folder, plans), library, device) = (plans(), rehearsal::library(), usable_device().unwrap());
    let open = || TensorRtEngine::open_with(&engine, &library, &device, &plans);
    let build = format!("keyhole engine build {} --backend tensorrt", engine.dir.display());
    told(open().err().unwrap(), &["has made no plan", "TensorRT-RTX 0.0.0.0", "Test card 0", &build], false);
    // One that was asked for with other options is taken.
    plans.write(&builder::key(&engine, &library, Options { tf32: true }).unwrap(), &engine.model).unwrap();
    assert!(open().is_ok());

    let refused = |plan: &[u8]| opened(&engine, plan).err().unwrap();
    told(
        refused(REFUSED),
        &["does not run its plan", "Test card 0", "not made for this compute capability", &build, "--backend cuda"],
        false,
    );
    let text = refused(b"no plan").to_string();
    assert!(["does not load the plan", "Test card 0", "this is no plan", "build it anew"].iter().all(|part| text.contains(part)), "{text}");
    told(refused(&loaded(&TestEngine::findings_and_quality()).model), &["instrument head", "does not fit the manifest"], true);
}

#[test]
fn a_plan_that_is_not_there_refused_damaged_or_of_another_network_is_an_error_with_the_remedy() {
    let test = "a_plan_that_is_not_there_refused_damaged_or_of_another_network_is_an_error_with_the_remedy";
    if let Some(driver) = TestDriver::new(test) {
        driver.run("infer::tensorrt::engine::tests::refuse_in_this_process", &[]);
    }
}

/// A plan is no use without the device that it was made for; nothing of the library is called that would need one.
#[test]
fn without_a_driver_a_plan_is_made_and_found_and_opening_it_says_that_there_is_none() {
    let test = "without_a_driver_a_plan_is_made_and_found_and_opening_it_says_that_there_is_none";
    let library = match (TensorRt::open(Kind::Rtx), usable_device()) {
        (Ok(library), Err(_)) => library,
        (Err(error), _) => return println!("SKIPPED {test}: {error}"),
        (_, Ok(device)) => return println!("SKIPPED {test}: there is {device}"),
    };
    let ((_folder, plans), engine) = (plans(), loaded(&TestEngine::maps()));
    assert_eq!(builder::found(&engine, &library, &plans).unwrap(), None);
    let built = build(&engine, &library, Options::default(), &plans, &|_, _| true).unwrap();
    assert_eq!(builder::found(&engine, &library, &plans).unwrap().map(|plan| plan.len()), Some(built.bytes));
    let text = open_on(engine, Backend::TensorRt).err().unwrap().to_string();
    assert!(text.contains("driver") && text.contains("--backend cpu"), "{text}");
}

/// The device and its library; None: said to be skipped.
fn on_gpu(test: &str) -> Option<(TensorRt, DeviceInfo)> {
    let device = usable_device().map_err(|error| skipped_without_gpu(test, &error.to_string())).ok()?;
    let library = TensorRt::open_any(Some(&device)).map_err(|error| println!("SKIPPED {test} on a GPU: {error}")).ok()?;
    if library.kind() == Kind::Rtx && !RTX_CAPABILITIES.contains(&device.capability) {
        println!("SKIPPED {test} on a GPU: {library} makes no plans for {device}");
        return None;
    }
    Some((library, device))
}

#[test]
fn every_form_of_engine_answers_as_a_plan_on_a_gpu_as_on_the_processor() {
    let test = "every_form_of_engine_answers_as_a_plan_on_a_gpu_as_on_the_processor";
    let Some((library, device)) = on_gpu(test) else { return };
    let (_folder, plans) = plans();
    let open = |engine: &LockedEngine, launches| {
        build(engine, &library, Options::default(), &plans, &|_, _| true).unwrap();
        let engine = TensorRtEngine::open_with(engine, &library, &device, &plans).unwrap();
        engine.gpu().unwrap().stream().set_launches(launches).unwrap();
        engine
    };
    for launches in [Launches::Plain, Launches::Recorded] {
        compare(&forms(), &|engine| Box::new(open(&engine, launches)));
        let mut engine = open(&loaded(&TestEngine::maps()), launches);
        count(&mut engine);
        let mut times_us: Vec<u128> = (0..1000)
            .map(|_| {
                let begun = Instant::now();
                engine.run().unwrap();
                begun.elapsed().as_micros()
            })
            .collect();
        times_us.sort_unstable();
        println!("RAN {test} on a GPU: {library}, {device}, {launches:?}: p50 {} µs, p99 {} µs a run", times_us[500], times_us[990]);
    }
}
