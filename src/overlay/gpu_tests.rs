use super::*;
use crate::frame::vulkan::SharedBuffer;
use crate::overlay::host::tests::noise_layer;
use crate::overlay::host::{Target, compose_blank, compose_full};
use crate::overlay::testing::{ALL_COLORIMETRIES, FORMATS, Owned};

fn by_host(view: Option<&FrameView<'_>>, (width, height): (usize, usize), layers: &[&Layer]) -> Vec<u8> {
    let mut data = vec![0; width * height * 4];
    let mut target = Target { data: &mut data, stride: width * 4, width, height };
    match view {
        Some(view) => compose_full(view, layers, &mut target).unwrap(),
        None => compose_blank(layers, &mut target).unwrap(),
    }
    data
}

#[test]
fn both_compositors_give_the_same_bytes() {
    let Some(gpu) = test_gpu("both_compositors_give_the_same_bytes") else { return };
    let mut compositor = GpuCompositor::new(gpu, OFFSCREEN_FORMAT);
    let mut got = Vec::new();
    for (i, format) in FORMATS.into_iter().enumerate() {
        for colorimetry in ALL_COLORIMETRIES {
            for (width, height) in [(64, 48), (101, 33)] {
                let picture = Owned::noise(format, colorimetry, width, height, i as u64);
                let view = picture.view();
                // The second round must not show what the first one left.
                for seed in 0..3u64 {
                    let layers = [0, 77, 990].map(|by| noise_layer(width, height, seed + by));
                    let layers = [&layers[0], &layers[1], &layers[2]];
                    let source = if seed == 0 { Source::New(&view) } else { Source::Again(view.layout) };
                    compositor.upload(source, &layers).unwrap();
                    compositor.draw_offscreen().unwrap();
                    assert_eq!(compositor.read_back(&mut got).unwrap(), (width, height));
                    assert!(
                        got == by_host(Some(&view), (width, height), &layers),
                        "{format:?} {colorimetry:?} {width}×{height} round {seed}"
                    );
                }
                compositor.upload(Source::Blank(width, height), &[]).unwrap();
                compositor.draw_offscreen().unwrap();
                compositor.read_back(&mut got).unwrap();
                assert!(got == by_host(None, (width, height), &[]));
            }
        }
    }
}

#[test]
fn a_picture_that_lies_on_the_device_is_drawn_from_there() {
    let test = "a_picture_that_lies_on_the_device_is_drawn_from_there";
    let Some(gpu) = test_gpu(test) else { return };
    if !gpu.device.features().contains(frame::vulkan::FEATURE) {
        return println!("SKIPPED {test}: {} shares no memory", gpu.name);
    }
    let mut compositor = GpuCompositor::new(gpu.clone(), OFFSCREEN_FORMAT);
    let mut got = Vec::new();
    for format in FORMATS {
        let (width, height) = (101, 34);
        let pictures: Vec<Owned> =
            (0..3).map(|seed| Owned::noise(format, ALL_COLORIMETRIES[seed], width, height, 40 + seed as u64)).collect();
        let bytes = pictures[0].view().layout.size;
        let ring: Vec<SharedBuffer> = (0..3).map(|_| SharedBuffer::new(&gpu.device, bytes).unwrap()).collect();
        for round in 0..2 {
            for (picture, slot) in pictures.iter().zip(&ring) {
                let view = picture.view();
                for (index, plane) in view.layout.planes().iter().enumerate() {
                    gpu.queue.write_buffer(&slot.buffer, plane.offset as u64, view.plane(index));
                }
                let layer = noise_layer(width, height, round);
                let again = Source::Again(view.layout);
                for source in [Source::OnDevice(view.layout, &slot.buffer), again, Source::Blank(width, height), again] {
                    compositor.upload(source, &[&layer]).unwrap();
                    compositor.draw_offscreen().unwrap();
                    compositor.read_back(&mut got).unwrap();
                    let shown = source.layout().map(|_| &view);
                    assert!(got == by_host(shown, (width, height), &[&layer]), "{format:?} round {round}");
                }
            }
        }
        // And from host memory again, with the same planes left on the device.
        let view = pictures[1].view();
        compositor.upload(Source::New(&view), &[]).unwrap();
        compositor.draw_offscreen().unwrap();
        compositor.read_back(&mut got).unwrap();
        assert!(got == by_host(Some(&view), (width, height), &[]), "{format:?}");
        let short = SharedBuffer::new(&gpu.device, bytes / 2).unwrap();
        let error = compositor.upload(Source::OnDevice(view.layout, &short.buffer), &[]).unwrap_err();
        assert!(error.kind() == ErrorKind::Bug && error.to_string().contains(&bytes.to_string()), "{error}");
    }
}

#[test]
fn wrong_layers_are_refused() {
    let Some(gpu) = test_gpu("wrong_layers_are_refused") else { return };
    let mut compositor = GpuCompositor::new(gpu, OFFSCREEN_FORMAT);
    let layer = Layer::new(64, 48);
    let wrong = compositor.upload(Source::Blank(64, 47), &[&layer]).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Bug);
    assert!(matches!(compositor.draw_offscreen(), Err(OverlayError::NothingUploaded)));
    assert!(matches!(compositor.upload(Source::Blank(64, 48), &[&layer; 4]), Err(OverlayError::TooManyLayers { .. })));
}

#[test]
fn a_lost_device_is_an_error_and_no_panic() {
    let Some(gpu) = test_gpu("a_lost_device_is_an_error_and_no_panic") else { return };
    let mut compositor = GpuCompositor::new(gpu, OFFSCREEN_FORMAT);
    compositor.upload(Source::Blank(64, 48), &[]).unwrap();
    compositor.draw_offscreen().unwrap();
    compositor.gpu().device.destroy();
    let error = compositor.upload(Source::Blank(64, 48), &[]).and_then(|()| compositor.draw_offscreen()).unwrap_err();
    assert!(error.kind() == ErrorKind::Degrade && error.to_string().contains("lost"), "{error}");
}

#[test]
fn no_driver_is_an_error_that_names_vulkan() {
    let none = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let error = Gpu::new(&none, None).unwrap_err();
    assert!(error.to_string().contains("Vulkan") && error.kind() == ErrorKind::Degrade);
}

#[test]
#[ignore = "the other half of a_device_without_memory_is_an_error_and_no_panic"]
fn run_out_of_memory_in_this_process() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Some(gpu) = test_gpu("a_device_without_memory_is_an_error_and_no_panic") else { return };
    let mut compositor = GpuCompositor::new(gpu.clone(), OFFSCREEN_FORMAT);
    let mut show = |side: usize| compositor.upload(Source::Blank(side, side), &[]).and_then(|()| compositor.draw_offscreen());
    show(64).unwrap();
    if !gpu.is_software {
        return println!("SKIPPED: {} has memory of its own", gpu.name);
    }
    // A processor's device takes this process's memory: 64 MiB more, and no more.
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').next().unwrap().parse::<u64>().unwrap();
    let most = pages * rustix::param::page_size() as u64 + (64 << 20);
    setrlimit(Resource::As, Rlimit { current: Some(most), ..getrlimit(Resource::As) }).unwrap();
    let error = show(8192).unwrap_err();
    println!("{:?}: {error}", error.kind());
}

#[test]
fn a_device_without_memory_is_an_error_and_no_panic() {
    let other = "overlay::gpu::tests::run_out_of_memory_in_this_process";
    let program = std::env::current_exe().unwrap();
    let output = std::process::Command::new(program).args(["--exact", other, "--ignored", "--nocapture"]).output().unwrap();
    let [said, log] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).to_lowercase());
    assert!(output.status.success() && said.contains("1 passed") && !log.contains("panicked"), "{said}{log}");
    match said.lines().find(|line| line.contains("skipped")) {
        Some(skipped) => println!("{}", skipped.replace("skipped", "SKIPPED")),
        None => assert!(said.contains("degrade:") && said.contains("memory"), "{said}{log}"),
    }
}
