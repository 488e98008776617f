//! The same frames by both ways, of every format; where there is no GPU its kernel is run by the tests' driver, and the processor plays
//! the model.

use super::*;
use crate::base::ids::FrameId;
use crate::base::random::Random;
use crate::frame::cuda::Launches;
use crate::frame::cuda::testing::{TestDriver, skipped_without_gpu};
use crate::frame::cuda::{INPUT_HASH, PREPROCESS, Traffic};
use crate::frame::{Colorimetry, FrameLayout, FrameRing, Matrix, PixelFormat, Range, Stamps, Transfer};
use crate::infer::cuda::Gpu;
use crate::infer::tensorrt::testing::rehearsed;
use crate::infer::testing::{self, TestEngine, loaded};
use crate::infer::{InputSpec, LockedEngine, OnnxEngine};
use crate::store::{Normalisation, Spread};

/// Brighter than any frame here.
fn cohort() -> Normalisation {
    let bright = Spread { mean: -1.0, std: 0.1 };
    Normalisation { dead_band: 0.0, brightness: bright, grey_brightness: Some(bright), ..testing::cohort() }
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// An engine with its feed and the light that it knows.
struct Side {
    engine: Box<dyn Engine>,
    feed: Feed,
    normaliser: Normaliser,
    /// Frames are shown there, and nothing of the input comes here by itself.
    stays_there: bool,
}

impl Side {
    fn new(mut engine: Box<dyn Engine>) -> Self {
        let spec: InputSpec = engine.input().clone();
        Side { feed: Feed::new(&mut *engine).unwrap(), normaliser: Normaliser::new(cohort(), spec), engine, stays_there: false }
    }

    /// What the model is shown, and what it says of it.
    fn analyse(&mut self, view: FrameView<'_>, capture_ns: u64) -> (Fit, Vec<f32>, Vec<f32>, Vec<f32>) {
        let mut looked_at = None;
        let fit = match self.stays_there {
            true => self.feed.show_there(view.into(), &mut *self.engine, &mut |_, fit| {
                looked_at = Some(fit);
                Ok(())
            }),
            false => self.feed.show(view.into(), &mut *self.engine),
        };
        let fit = fit.unwrap();
        assert_eq!(looked_at, self.stays_there.then_some(fit));
        if self.stays_there {
            self.feed.fetch(&mut *self.engine).unwrap();
        }
        let captured = self.engine.input_mut().to_vec();
        self.feed.normalise(&mut self.normaliser, capture_ns, &mut *self.engine).unwrap();
        self.feed.run(&mut *self.engine).unwrap();
        self.engine.fetch_outputs(&|_| true).unwrap();
        if self.stays_there {
            self.feed.fetch(&mut *self.engine).unwrap();
        }
        let outputs = (0..self.engine.outputs()).flat_map(|tensor| self.engine.tensor(tensor).to_vec()).collect();
        let shown = self.engine.input_mut().to_vec();
        // What lies there is what was shown, but for what a half cannot hold.
        self.engine.fetch_input().unwrap();
        assert!(worst(self.engine.input_mut(), &shown) <= 0.001);
        (fit, captured, shown, outputs)
    }

    fn traffic(&mut self) -> Traffic {
        self.engine.device_input().unwrap().gpu.traffic()
    }
}

/// Noise in a lit circle on black: there is an outside, and something to correct.
fn frame(layout: &FrameLayout, seed: u64) -> Vec<u8> {
    let mut data = Random::new(seed).bytes(layout.size);
    if layout.format == PixelFormat::Rgb {
        let plane = layout.planes()[0];
        for (y, row) in data.chunks_exact_mut(plane.stride).enumerate() {
            for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
                let off = [(x as f32 / layout.width as f32) - 0.5, (y as f32 / layout.height as f32) - 0.5];
                let is_lit = off[0] * off[0] + off[1] * off[1] < 0.2;
                pixel.iter_mut().for_each(|byte| *byte = if is_lit { *byte / 4 + 20 } else { 0 });
            }
        }
    }
    data
}

fn layouts() -> Vec<FrameLayout> {
    let of = |format: PixelFormat, transfer| {
        let range = if format.is_rgb() { Range::Full } else { Range::Limited };
        FrameLayout::new(format, Colorimetry { matrix: Matrix::Bt709, range, transfer }, 162, 90).unwrap()
    };
    let plain = PixelFormat::ALL.into_iter().map(|format| of(format, Transfer::Sdr));
    plain.chain([of(PixelFormat::P010, Transfer::Pq), of(PixelFormat::V210, Transfer::Hlg)]).collect()
}

fn on(gpu: Gpu, engine: LockedEngine) -> Box<dyn Engine> {
    Box::new(OnnxEngine::open_on(engine, gpu).unwrap())
}

fn compare(there: &dyn Fn(LockedEngine) -> Box<dyn Engine>) {
    for stays_there in [false, true] {
        compare_as(there, stays_there);
    }
}

fn compare_as(there: &dyn Fn(LockedEngine) -> Box<dyn Engine>, stays_there: bool) {
    for (name, engine, most) in [("maps", TestEngine::maps(), 1e-3), ("half", TestEngine::maps().in_half_precision(), 0.04)] {
        let mut here = Side::new(Box::new(OnnxEngine::open(loaded(&engine)).unwrap()));
        let mut there = Side { stays_there, ..Side::new(there(loaded(&engine))) };
        assert!(here.feed.device.is_none() && there.feed.device.is_some());
        let is_half = name == "half";
        let mut corrected = 0;
        for (index, layout) in layouts().into_iter().enumerate() {
            for side in [&mut here, &mut there] {
                side.normaliser.forget();
            }
            for seed in 0..2 {
                let data = frame(&layout, seed);
                let view = FrameView::new(&layout, &data).unwrap();
                let capture_ns = (2 * index as u64 + seed) * 16_666_667;
                let (fit, captured, shown, said) = here.analyse(view, capture_ns);
                let (its_fit, its_captured, its_shown, its_said) = there.analyse(view, capture_ns);
                assert_eq!(fit, its_fit, "{name} {layout:?}");
                assert_eq!(there.feed.input_hash(view.into(), &mut *there.engine), Some(input_hash(view)), "{name} {layout:?}");
                // To the last bit; halves are judged as they are rounded, so that what is made of them may be a rounding off, too.
                let off = [worst(&captured, &its_captured), worst(&shown, &its_shown), worst(&said, &its_said)];
                let may = if is_half { [0.001, 0.01, 0.2] } else { [0.0, 0.0, most] };
                assert!(off.iter().zip(may).all(|(off, may)| *off <= may), "{name} {layout:?}: {off:?}");
                corrected += usize::from(captured != shown);
            }
        }
        assert!(corrected > 4, "hardly any frame was corrected: {corrected}");
    }
}

/// Frames of the shared ring, and of the one that follows it.
/// Whether the device is expected to read them by itself.
fn from_rings(gpu: Gpu, by_itself: bool) {
    let mut side = Side::new(on(gpu, loaded(&TestEngine::maps())));
    let mut here = Side::new(Box::new(OnnxEngine::open(loaded(&TestEngine::maps())).unwrap()));
    for (index, layout) in layouts().into_iter().take(3).enumerate() {
        let ring = FrameRing::new(layout).unwrap();
        let reader = Arc::new(RingReader::map(ring.fd(), ring.geometry()).unwrap());
        side.feed.meet(&reader, &mut *side.engine);
        assert_eq!(side.feed.device.as_ref().unwrap().reads_the_ring_itself(), by_itself);
        for seed in 0..3 {
            let mut writer = ring.acquire().unwrap();
            writer.data_mut().copy_from_slice(&frame(&layout, seed));
            let stamps = Stamps { id: FrameId(seed), pts_ns: 0, capture_ns: (3 * index as u64 + seed) * 16_666_667 };
            let (slot, generation) = writer.publish(stamps).address();
            let view = reader.view(slot).unwrap();
            assert_eq!(side.analyse(view, stamps.capture_ns).2, here.analyse(view, stamps.capture_ns).2, "{layout:?}");
            assert!(reader.is_current(slot, generation));
        }
    }
}

/// What 20 frames move: each its own bytes, the input that comes back, the outputs; and no memory is taken.
fn count(there: &dyn Fn(LockedEngine) -> Box<dyn Engine>) {
    let mut side = Side::new(there(loaded(&TestEngine::maps())));
    let layout = layouts()[0];
    let data = frame(&layout, 7);
    let show = |side: &mut Side| {
        side.feed.show(FrameView::new(&layout, &data).unwrap().into(), &mut *side.engine).unwrap();
        side.feed.run(&mut *side.engine).unwrap();
        side.engine.fetch_outputs(&|_| true).unwrap();
    };
    show(&mut side);
    let before = side.traffic();
    (0..20).for_each(|_| show(&mut side));
    let moved = side.traffic().since(&before);
    let outputs: usize = (0..side.engine.outputs()).map(|tensor| 4 * side.engine.tensor(tensor).len()).sum();
    let input = 4 * side.engine.input_mut().len();
    assert_eq!((moved.to_device.pixels, moved.to_device.numbers), (20 * layout.size as u64, 0));
    assert_eq!(moved.to_host.pixels + moved.to_host.numbers, 20 * (input + outputs) as u64);
    assert_eq!(moved.allocations, 0);
}

/// A clip's frames are kept here: its input goes there, its outputs come back, each once, however often they are asked for.
fn count_clip(there: &dyn Fn(LockedEngine) -> Box<dyn Engine>) {
    let mut engine = there(loaded(&TestEngine::clip(true)));
    let mut feed = Feed::new(&mut *engine).unwrap();
    let layout = layouts()[0];
    let data = frame(&layout, 3);
    let before = engine.gpu().unwrap().traffic();
    for _ in 0..5 {
        feed.show(FrameView::new(&layout, &data).unwrap().into(), &mut *engine).unwrap();
        feed.run(&mut *engine).unwrap();
        (0..2).for_each(|_| engine.fetch_outputs(&|_| true).unwrap());
    }
    let moved = engine.gpu().unwrap().traffic().since(&before);
    let outputs: usize = (0..engine.outputs()).map(|tensor| 4 * engine.tensor(tensor).len()).sum();
    let clip = 3 * 4 * engine.input_mut().len();
    let back = moved.to_host.pixels + moved.to_host.numbers;
    assert_eq!((moved.to_device.pixels, back), (5 * clip as u64, 5 * outputs as u64));
}

#[test]
#[ignore = "the other half of a_frame_that_is_prepared_on_a_device_is_what_it_is_here"]
fn rehearse_in_this_process() {
    let there = |engine| on(Gpu::rehearsal(), engine);
    compare(&there);
    count(&there);
    count_clip(&there);
}

#[test]
#[ignore = "the other half of a_frame_that_is_prepared_on_a_device_is_what_it_is_here"]
fn rehearse_plans_in_this_process() {
    let there = |engine: LockedEngine| -> Box<dyn Engine> { Box::new(rehearsed(&engine, Launches::Recorded)) };
    compare(&there);
    count(&there);
    count_clip(&there);
}

#[test]
#[ignore = "the other half of a_frame_that_is_prepared_on_a_device_is_what_it_is_here"]
fn rehearse_rings_in_this_process() {
    from_rings(Gpu::rehearsal(), std::env::var("TEST_CUDA_REGISTERS").unwrap() == "1");
}

#[test]
fn a_frame_that_is_prepared_on_a_device_is_what_it_is_here() {
    let test = "a_frame_that_is_prepared_on_a_device_is_what_it_is_here";
    if let Some(driver) = TestDriver::new(test).and_then(|driver| driver.with_kernels(test, &[PREPROCESS, INPUT_HASH])) {
        driver.run("infer::feed::tests::rehearse_in_this_process", &[("TEST_CUDA_AT_ONCE", "1")]);
        for registers in ["1", "0"] {
            let settings = [("TEST_CUDA_AT_ONCE", "1"), ("TEST_CUDA_REGISTERS", registers)];
            driver.run("infer::feed::tests::rehearse_rings_in_this_process", &settings);
        }
        driver.run("infer::feed::tests::rehearse_plans_in_this_process", &[]);
    }
}

mod cuda {
    use super::*;

    #[test]
    fn a_frame_that_is_prepared_on_a_gpu_is_what_it_is_here() {
        let test = "a_frame_that_is_prepared_on_a_gpu_is_what_it_is_here";
        match Gpu::of_this_machine() {
            Ok(_) => {
                let there = |engine| on(Gpu::of_this_machine().unwrap(), engine);
                compare(&there);
                count(&there);
                count_clip(&there);
                from_rings(Gpu::of_this_machine().unwrap(), true);
                println!("RAN {test} on a GPU");
            }
            Err(error) => skipped_without_gpu(test, &error.to_string()),
        }
    }
}
