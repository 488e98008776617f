//! The whole way on one device: a frame that lies in Vulkan's memory is analysed by CUDA from there, and drawn from there. Where there
//! is no GPU, the tests' driver imports the memory of Mesa's software device and runs the kernels, and the processor plays the model.

use crate::base::ids::FrameId;
use crate::base::random::Random;
use crate::frame::cuda::testing::{TestDriver, skipped_without_gpu};
use crate::frame::cuda::{Device, INPUT_HASH, Kernel, PREPROCESS, Payload, Priority, device_of};
use crate::frame::vulkan::{self, SharedBuffer};
use crate::frame::{Colorimetry, FrameLayout, FrameView, Matrix, PixelFormat, Range, Stamps};
use crate::infer::testing::{TestEngine, loaded};
use crate::infer::{Captured, OnnxEngine, cuda};
use crate::overlay::gpu::{Gpu, GpuCompositor, OFFSCREEN_FORMAT, Source, instance};
use crate::scene::{AnalysisTimes, Scene};
use crate::track::Analyser;
use crate::track::cuda::{MAP_KERNELS, SIGHT_KERNELS};

const SLOTS: usize = 3;
const FRAMES: u64 = 12;

/// Vulkan's device, if it shares memory.
fn vulkan_device() -> Result<Gpu, String> {
    let gpu = Gpu::new(&instance(), None).map_err(|error| error.to_string())?;
    let shares = gpu.device.features().contains(vulkan::FEATURE);
    if shares { Ok(gpu) } else { Err(format!("{} shares no memory", gpu.name)) }
}

/// A red picture with a blue bar that moves, and some noise.
fn picture(layout: &FrameLayout, index: u64) -> Vec<u8> {
    let mut random = Random::new(index);
    let mut data = vec![0; layout.size];
    for (y, row) in data.chunks_exact_mut(layout.planes()[0].stride).enumerate() {
        for (x, pixel) in row[..3 * layout.width].chunks_exact_mut(3).enumerate() {
            let is_bar = (layout.height / 3..layout.height / 2).contains(&y) && x < 80 + 3 * index as usize;
            let noise = (random.next_u64() % 8) as u8;
            pixel.copy_from_slice(&if is_bar { [noise, 20, 230] } else { [220 + noise, 10, 20] });
        }
    }
    data
}

fn drawn(compositor: &mut GpuCompositor, source: Source<'_>) -> Vec<u8> {
    let mut pixels = Vec::new();
    compositor.upload(source, &[]).unwrap();
    compositor.draw_offscreen().unwrap();
    compositor.read_back(&mut pixels).unwrap();
    pixels
}

/// `open`: the engine on the device that draws. `is_exact`: the model's own numbers are the same on both.
fn compare(open: &dyn Fn(&TestEngine) -> OnnxEngine, is_exact: bool) {
    let drawing = vulkan_device().unwrap();
    let info = device_of(&vulkan::device_uuid(&drawing.adapter).unwrap()).unwrap();
    let mut compositor = GpuCompositor::new(drawing.clone(), OFFSCREEN_FORMAT);
    let layout = FrameLayout::new(PixelFormat::Rgb, Colorimetry::sdr(Matrix::Bt709, Range::Full), 240, 135).unwrap();

    // What a source on the device does: each frame into a slot of the ring.
    let source = Device::open(&info).unwrap();
    let stream = source.stream(Priority::High).unwrap();
    let ring: Vec<SharedBuffer> = (0..SLOTS).map(|_| SharedBuffer::new(&drawing.device, layout.size).unwrap()).collect();
    let slots: Vec<_> = ring.iter().map(|slot| source.import(slot).unwrap()).collect();
    let mut pinned = source.pinned(layout.size).unwrap();

    let engine = TestEngine::maps();
    let mut here = Analyser::of(Box::new(OnnxEngine::open(loaded(&engine)).unwrap()), None).unwrap();
    let mut there = Analyser::of(Box::new(open(&engine)), None).unwrap();
    let (mut before, mut followed) = (None, 0);
    for index in 0..FRAMES {
        let data = picture(&layout, index);
        let slot = index as usize % SLOTS;
        pinned.bytes_mut().unwrap()[..layout.size].copy_from_slice(&data);
        stream.upload(&mut pinned, layout.size, slots[slot].span(), Payload::Pixels).unwrap();
        stream.synchronize().unwrap();

        let stamps = Stamps { id: FrameId(index), pts_ns: index * 16_666_667, capture_ns: index * 16_666_667 };
        let view = FrameView::new(&layout, &data).unwrap();
        let plain = |scene: Option<Scene>| Scene { times: AnalysisTimes::default(), ..scene.unwrap() };
        let expected = plain(here.analyse(view, stamps, &|| true).unwrap());
        let scene = plain(there.analyse(Captured::There(&layout, slots[slot].span()), stamps, &|| true).unwrap());
        if is_exact {
            assert_eq!(scene, expected, "frame {index}");
        }
        let off = scene.mask.ids.iter().zip(&expected.mask.ids).filter(|(a, b)| a != b).count();
        assert!(off * 200 <= expected.mask.ids.len(), "frame {index}: {off} of the mask's pixels");
        let from_slot = drawn(&mut compositor, Source::OnDevice(&layout, &ring[slot].buffer));
        assert!(from_slot == drawn(&mut compositor, Source::New(&view)), "frame {index}");
        followed = scene.tracks.len();
        before = before.or_else(|| there.device_traffic());
    }
    assert_eq!(followed, 1, "the bar");
    let moved = there.device_traffic().unwrap().since(&before.unwrap());
    assert_eq!((moved.to_device.pixels, moved.allocations), (0, 0), "the frame is there already");
    assert_eq!(moved.to_host.pixels, 0, "and stays there");
    let frames = FRAMES - 1;
    println!("FIGURE bytes a frame from the device: {} of results", moved.to_host.numbers / frames);
}

#[test]
#[ignore = "the other half of a_frame_in_vulkans_memory_is_analysed_and_drawn_from_there"]
fn rehearse_in_this_process() {
    compare(&|engine| crate::infer::testing::rehearsed(engine), true);
}

#[test]
fn a_frame_in_vulkans_memory_is_analysed_and_drawn_from_there() {
    let test = "a_frame_in_vulkans_memory_is_analysed_and_drawn_from_there";
    let gpu = match vulkan_device() {
        Ok(gpu) => gpu,
        Err(reason) => return println!("SKIPPED {test}: {reason}"),
    };
    if !gpu.is_software {
        return println!("SKIPPED {test}: the tests' driver knows the memory of Mesa's software device only");
    }
    let uuid: String = vulkan::device_uuid(&gpu.adapter).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let kernels: Vec<Kernel> = [PREPROCESS, INPUT_HASH].into_iter().chain(MAP_KERNELS).chain(SIGHT_KERNELS).collect();
    if let Some(driver) = TestDriver::new(test).and_then(|driver| driver.with_kernels(test, &kernels)) {
        let settings = [("TEST_CUDA_AT_ONCE", "1"), ("TEST_CUDA_UUID", uuid.as_str())];
        driver.run("pipeline::on_device_tests::rehearse_in_this_process", &settings);
    }
}

mod on_cuda {
    use super::*;

    #[test]
    fn on_a_gpu_a_frame_in_vulkans_memory_is_analysed_and_drawn_from_there() {
        let test = "on_a_gpu_a_frame_in_vulkans_memory_is_analysed_and_drawn_from_there";
        let found = cuda::Gpu::of_this_machine().map_err(|error| error.to_string());
        match found.and_then(|_| vulkan_device()) {
            Ok(_) => {
                compare(&|engine| OnnxEngine::open_on(loaded(engine), cuda::Gpu::of_this_machine().unwrap()).unwrap(), false);
                println!("RAN {test} on a GPU");
            }
            Err(reason) => skipped_without_gpu(test, &reason),
        }
    }
}
