use super::*;
use crate::base::clock::{Clock, ManualClock, MonotonicClock};
use crate::capture::{Picture, Pull, Settings, SignalEvent, Source, open, open_on};
use crate::frame::cuda::testing::{TestDriver, skipped_without_gpu};
use crate::frame::cuda::{CudaError, DeviceBuffer, Moved, Payload, Priority, Stream, devices, usable_device};
use std::io::Write;
use std::time::Duration;

const PICTURES: usize = 30;
const NV12: &str = "format=NV12,width=240,height=136";

/// A ball that moves, with these caps, brought onto the device by GStreamer's own element.
fn uploaded(caps: &str) -> String {
    format!("{} ! cudaupload ! video/x-raw(memory:CUDAMemory)", plain(caps))
}

fn plain(caps: &str) -> String {
    format!("gst:videotestsrc num-buffers={PICTURES} pattern=ball ! video/x-raw,{caps},framerate=30/1")
}

fn opened(uri: &str, device: &Device) -> Box<dyn Source> {
    open_on(uri, &Settings::default(), still(), Some(device)).unwrap_or_else(|error| panic!("{uri}: {error}"))
}

fn still() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(1_000_000_007))
}

fn first_device() -> Device {
    Device::open(&usable_device().unwrap()).unwrap()
}

/// Calls `take` with so many pictures, or as many as there are.
fn each_of(source: &mut dyn Source, count: usize, mut take: impl FnMut(usize, &Picture<'_>)) -> Result<usize, CaptureError> {
    let (mut taken, mut idle) = (0, 0);
    while taken < count {
        match source.pull(Duration::from_millis(50))? {
            Pull::Picture(picture) => {
                take(taken, &picture);
                (taken, idle) = (taken + 1, 0);
            }
            Pull::End => break,
            Pull::Idle | Pull::Event(_) => idle += 1,
        }
        assert!(idle < 200, "no picture within 10 s");
    }
    Ok(taken)
}

/// Every picture of `uri`, as it comes into this process's memory.
fn as_ever(uri: &str) -> Vec<Vec<u8>> {
    let mut source = open(uri, &Settings::default(), still()).unwrap_or_else(|error| panic!("{uri}: {error}"));
    let mut pictures = Vec::new();
    let taken = each_of(&mut *source, PICTURES, |_, picture| {
        let mut bytes = vec![0; picture.layout.size];
        picture.copy_into(&mut bytes);
        pictures.push(bytes);
    });
    assert_eq!(taken.unwrap(), PICTURES, "{uri}");
    pictures
}

/// Every picture of `uri`, copied on the device and read back when the last one was copied.
fn copied_there(uri: &str, device: &Device) -> Vec<Vec<u8>> {
    let stream = device.stream(Priority::High).unwrap();
    let mut source = opened(uri, device);
    let info = source.info();
    let layout = FrameLayout::new(info.format, info.colorimetry, info.width, info.height).unwrap();
    let copies: Vec<DeviceBuffer> = (0..PICTURES).map(|_| device.buffer(layout.size).unwrap()).collect();
    let before = device.traffic();
    let taken = each_of(&mut *source, PICTURES, |at, picture| {
        assert!(picture.planes.here().is_none(), "{uri}: picture {at} lies in the host's memory");
        assert_eq!(picture.layout, layout);
        picture.copy_there(&stream, copies[at].span()).unwrap();
    });
    assert_eq!(taken.unwrap(), PICTURES, "{uri}");
    let moved = device.traffic().since(&before);
    assert_eq!((moved.to_device, moved.to_host, moved.allocations), (Moved::default(), Moved::default(), 0), "{uri}");
    drop(source);
    copies.iter().map(|copy| read_back(copy, device, &stream)).collect()
}

fn read_back(copy: &DeviceBuffer, device: &Device, stream: &Stream) -> Vec<u8> {
    let mut pinned = device.pinned(copy.span().bytes()).unwrap();
    stream.read_back(copy.span(), &mut pinned, Payload::Pixels).unwrap();
    pinned.bytes().unwrap().to_vec()
}

fn compare(device: &Device) {
    for format in ["NV12", "I420", "P010_10LE", "RGB", "BGRx", "BGRA"] {
        for size in ["width=240,height=136", "width=241,height=137"] {
            let caps = format!("format={format},{size}");
            let (expected, found) = (as_ever(&plain(&caps)), copied_there(&uploaded(&caps), device));
            assert!(expected.windows(2).all(|two| two[0] != two[1]), "{caps}: the ball does not move");
            for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let different = found.iter().zip(expected).position(|(a, b)| a != b);
                assert_eq!((different, found.len()), (None, expected.len()), "{caps}: picture {at}");
            }
        }
    }
}

fn rehearse(test: &str, other_half: &str, settings: &[(&str, &str)]) {
    if let Some(driver) = TestDriver::new(test) {
        driver.with_gstreamer().run(&format!("capture::cuda::tests::{other_half}"), settings);
    }
}

#[test]
#[ignore = "the other half of what_gstreamer_holds_on_a_device_is_copied_there_as_it_is"]
fn copy_in_this_process() {
    compare(&first_device());
}

#[test]
fn what_gstreamer_holds_on_a_device_is_copied_there_as_it_is() {
    rehearse("what_gstreamer_holds_on_a_device_is_copied_there_as_it_is", "copy_in_this_process", &[]);
}

#[test]
#[ignore = "the other half of what_comes_in_the_host_s_memory_stays_there"]
fn stay_in_this_process() {
    let device = first_device();
    let stream = device.stream(Priority::High).unwrap();
    let to = device.buffer(1 << 20).unwrap();
    let mut found = Vec::new();
    each_of(&mut *opened(&plain(NV12), &device), PICTURES, |_, picture| {
        assert!(matches!(picture.copy_there(&stream, to.span()), Err(CudaError::NotThere)));
        let mut bytes = vec![0; picture.layout.size];
        picture.copy_into(&mut bytes);
        found.push(bytes);
    })
    .unwrap();
    assert!(found == as_ever(&plain(NV12)));
    // An element that brings it there does so only where it is asked to.
    each_of(&mut *opened(&format!("{} ! cudaupload", plain(NV12)), &device), 3, |_, picture| assert!(picture.planes.here().is_some()))
        .unwrap();
    // What has an end of its rows that is made up is not taken there.
    let packed = uploaded("format=YUY2,width=241,height=137");
    assert!(open_on(&packed, &Settings::default(), still(), Some(&device)).is_err());
    // What is not there is nowhere in this process's memory: no picture of before is taken for it.
    each_of(&mut *opened(&uploaded(NV12), &device), 3, |_, picture| {
        let mut bytes = vec![7; picture.layout.size];
        picture.copy_into(&mut bytes);
        assert!(bytes.iter().all(|byte| *byte == 0));
        let small = to.span().first(picture.layout.size - 1).unwrap();
        assert!(matches!(picture.copy_there(&stream, small), Err(CudaError::Outside { .. })));
    })
    .unwrap();
}

#[test]
fn what_comes_in_the_host_s_memory_stays_there() {
    rehearse("what_comes_in_the_host_s_memory_stays_there", "stay_in_this_process", &[]);
}

#[test]
#[ignore = "the other half of a_live_input_on_a_device_is_as_live_as_any_other"]
fn be_live_in_this_process() {
    let (device, clock): (_, Arc<dyn Clock>) = (first_device(), Arc::new(MonotonicClock));
    let live = plain(NV12).replace("videotestsrc", "videotestsrc is-live=true");
    // As live inputs go: past an element that makes interlaced pictures progressive.
    let uri = format!("{live} ! cudaupload ! video/x-raw(memory:CUDAMemory) ! deinterlace mode=auto");
    let mut source = open_on(&uri, &Settings::default(), clock, Some(&device)).unwrap();
    assert!(source.info().live);
    let taken = each_of(&mut *source, 5, |_, picture| {
        assert!(picture.planes.here().is_none() && picture.due_ns.is_none());
    });
    assert_eq!(taken.unwrap(), 5);
}

#[test]
fn a_live_input_on_a_device_is_as_live_as_any_other() {
    rehearse("a_live_input_on_a_device_is_as_live_as_any_other", "be_live_in_this_process", &[]);
}

// The library that stands for NVIDIA's makes flat pictures of whatever it is given: 16 + their number.

fn clip(through: &str, folder: &tempfile::TempDir) -> String {
    let clip = folder.path().join("ball");
    let made = plain("format=I420,width=240,height=136").replace("gst:", "");
    crate::capture::tests::write_clip(&format!("{made} ! {through}"), &clip);
    clip.display().to_string()
}

#[test]
#[ignore = "the other half of a_file_is_decoded_on_the_device_that_is_given"]
fn decode_in_this_process() {
    let folder = tempfile::tempdir().unwrap();
    let uri = clip("x264enc bframes=0 ! mp4mux", &folder);
    for info in devices().unwrap() {
        let device = Device::open(&info).unwrap();
        let stream = device.stream(Priority::High).unwrap();
        let to = device.buffer(1 << 20).unwrap();
        let mut source = opened(&uri, &device);
        let mut numbers = Vec::new();
        // Its end is followed by its beginning, out of a second decoder.
        let taken = each_of(&mut *source, PICTURES + 5, |_, picture| {
            picture.copy_there(&stream, to.span()).unwrap();
            let bytes = read_back(&to, &device, &stream);
            let [luma, chroma] = [0, 1].map(|plane| picture.layout.planes()[plane]);
            let of = |plane: crate::frame::PlaneLayout, row: usize| &bytes[plane.offset + row * plane.stride..][..plane.row_bytes];
            assert!((0..luma.rows).all(|row| of(luma, row).iter().all(|byte| *byte == bytes[0])));
            assert!((0..chroma.rows).all(|row| of(chroma, row).iter().all(|byte| *byte == 128)));
            numbers.push(usize::from(bytes[0]) - 16);
        });
        assert_eq!(taken.unwrap(), PICTURES + 5);
        assert_eq!(numbers, (0..PICTURES).chain(0..5).collect::<Vec<_>>(), "{}", info.name);
    }
    // Without a device it is decoded as ever, whatever the machine has.
    assert_eq!(as_ever(&uri).len(), PICTURES);
}

#[test]
fn a_file_is_decoded_on_the_device_that_is_given() {
    let settings = [("TEST_CUDA_DECODES", "240x136"), ("TEST_CUDA_DEVICES", "2")];
    let Some(driver) = TestDriver::new("a_file_is_decoded_on_the_device_that_is_given") else { return };
    let driver = driver.with_gstreamer();
    // GStreamer has noted what it found while there was no decoder.
    driver.run("capture::cuda::tests::stay_in_this_process", &[]);
    driver.run("capture::cuda::tests::decode_in_this_process", &settings);
}

/// A stream that goes on as long as it is read, and a source of it.
fn live(device: &Device) -> (tempfile::TempDir, std::thread::JoinHandle<()>, Box<dyn Source>) {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let stream = std::fs::read(clip("x264enc bframes=0 key-int-max=10 ! h264parse ! mpegtsmux", &folder)).unwrap();
    let to = pipe.clone();
    let writer = std::thread::spawn(move || {
        let mut to = std::fs::OpenOptions::new().write(true).open(to).unwrap();
        // Until nobody reads any more.
        while to.write_all(&stream).is_ok() {}
    });
    let source = open_on(pipe.to_str().unwrap(), &Settings::default(), Arc::new(MonotonicClock), Some(device)).unwrap();
    (folder, writer, source)
}

#[test]
#[ignore = "the other half of a_live_stream_whose_decoder_fails_on_its_device_comes_back_here"]
fn come_back_in_this_process() {
    let (_folder, writer, mut source) = live(&first_device());
    assert_eq!(each_of(&mut *source, 1, |_, picture| assert!(picture.planes.here().is_none())).unwrap(), 1);
    let mut here = 0;
    let taken = each_of(&mut *source, 40, |_, picture| here += usize::from(picture.planes.here().is_some()));
    assert_eq!(taken.unwrap(), 40);
    assert!(here >= 20, "{here} of 40");
    drop(source);
    writer.join().unwrap();
}

#[test]
fn a_live_stream_whose_decoder_fails_on_its_device_comes_back_here() {
    let test = "a_live_stream_whose_decoder_fails_on_its_device_comes_back_here";
    rehearse(test, "come_back_in_this_process", &[("TEST_CUDA_DECODES", "240x136"), ("TEST_CUDA_DECODER_LASTS", "20")]);
}

#[test]
#[ignore = "the other half of a_live_stream_is_decoded_on_the_device_and_comes_here_where_it_is_interlaced"]
fn decode_live_in_this_process() {
    let (_folder, writer, mut source) = live(&first_device());
    let is_interlaced = std::env::var("TEST_CUDA_DECODES").unwrap().ends_with('i');
    let taken = each_of(&mut *source, 5, |_, picture| assert_eq!(picture.planes.here().is_some(), is_interlaced));
    assert_eq!(taken.unwrap(), 5);
    // A device that has failed is a loss, and what comes back comes here.
    assert!(source.leave_device().unwrap());
    assert!(matches!(source.pull(Duration::ZERO).unwrap(), Pull::Event(SignalEvent::Lost { .. })));
    assert_eq!(each_of(&mut *source, 5, |_, picture| assert!(picture.planes.here().is_some())).unwrap(), 5);
    drop(source);
    writer.join().unwrap();
}

#[test]
fn a_live_stream_is_decoded_on_the_device_and_comes_here_where_it_is_interlaced() {
    for decodes in ["240x136", "240x136i"] {
        let test = "a_live_stream_is_decoded_on_the_device_and_comes_here_where_it_is_interlaced";
        rehearse(test, "decode_live_in_this_process", &[("TEST_CUDA_DECODES", decodes)]);
    }
}

#[test]
#[ignore = "the other half of a_source_whose_device_has_failed_goes_on_here"]
fn go_on_in_this_process() {
    let (folder, device) = (tempfile::tempdir().unwrap(), first_device());
    let uri = clip("x264enc bframes=0 key-int-max=5 ! mp4mux", &folder);
    let expected = as_ever(&uri);
    let mut source = opened(&uri, &device);
    let mut last_ns = 0;
    each_of(&mut *source, 12, |_, picture| {
        assert!(picture.planes.here().is_none());
        last_ns = picture.pts_ns;
    })
    .unwrap();
    assert!(source.leave_device().unwrap() && !source.leave_device().unwrap(), "there is no other device to leave");
    let mut places = Vec::new();
    // Past the file's end: the decoder that stood by is another one, too.
    let taken = each_of(&mut *source, 2 * PICTURES, |_, picture| {
        assert!(picture.pts_ns > last_ns, "{} after {last_ns}", picture.pts_ns);
        last_ns = picture.pts_ns;
        let mut bytes = vec![0; picture.layout.size];
        picture.copy_into(&mut bytes);
        places.push(expected.iter().position(|frame| *frame == bytes).expect("a picture of the file, decoded here"));
    });
    assert_eq!(taken.unwrap(), 2 * PICTURES);
    assert!((5..20).contains(&places[0]), "it goes on where it was: {places:?}");
    assert!(places.windows(2).all(|two| two[1] == (two[0] + 1) % PICTURES), "{places:?}");
    // What a description makes comes there or not at all.
    let mut source = opened(&uploaded(NV12), &device);
    each_of(&mut *source, 1, |_, picture| assert!(picture.planes.here().is_none())).unwrap();
    assert!(!source.leave_device().unwrap());
}

#[test]
fn a_source_whose_device_has_failed_goes_on_here() {
    rehearse("a_source_whose_device_has_failed_goes_on_here", "go_on_in_this_process", &[("TEST_CUDA_DECODES", "240x136")]);
}

#[test]
#[ignore = "the other half of a_decoder_that_fails_on_its_device_is_followed_by_one_here"]
fn decode_on_in_this_process() {
    let (folder, device) = (tempfile::tempdir().unwrap(), first_device());
    let uri = clip("x264enc bframes=0 key-int-max=5 ! mp4mux", &folder);
    let mut source = opened(&uri, &device);
    let (mut there, mut last_ns) = (0, None);
    let taken = each_of(&mut *source, 2 * PICTURES, |_, picture| {
        there += usize::from(picture.planes.here().is_none());
        assert!(last_ns < Some(picture.pts_ns), "{} after {last_ns:?}", picture.pts_ns);
        last_ns = Some(picture.pts_ns);
    });
    assert_eq!(taken.unwrap(), 2 * PICTURES);
    // One that fails at once was never lent the device.
    let lasts: usize = std::env::var("TEST_CUDA_DECODER_LASTS").unwrap().parse().unwrap();
    assert!(there <= lasts && (there > 0) == (lasts > 0), "{there} of {lasts}");
}

#[test]
fn a_decoder_that_fails_on_its_device_is_followed_by_one_here() {
    let test = "a_decoder_that_fails_on_its_device_is_followed_by_one_here";
    for lasts in ["12", "0"] {
        let settings = [("TEST_CUDA_DECODES", "240x136"), ("TEST_CUDA_DECODER_LASTS", lasts)];
        rehearse(test, "decode_on_in_this_process", &settings);
    }
}

#[test]
#[ignore = "the other half of memory_of_another_device_is_refused_by_name"]
fn refuse_in_this_process() {
    let device = first_device();
    // It takes no context but of its own device.
    let uri = uploaded(NV12).replace("cudaupload", "cudaupload cuda-device-id=1");
    let error = each_of(&mut *opened(&uri, &device), 1, |_, _| panic!("it was taken")).unwrap_err().to_string();
    for part in ["cudaupload cuda-device-id=1", "(of device 1)", "device 0, 'Test card 0'", "--backend cpu"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
}

#[test]
fn memory_of_another_device_is_refused_by_name() {
    rehearse("memory_of_another_device_is_refused_by_name", "refuse_in_this_process", &[("TEST_CUDA_DEVICES", "2")]);
}

#[test]
#[ignore = "the other half of without_gstreamer_s_library_it_is_said_what_is_missing"]
fn miss_it_in_this_process() {
    let device = first_device();
    let uri = plain(NV12);
    let error = open_on(&uri, &Settings::default(), still(), Some(&device)).err().unwrap().to_string();
    for part in ["libgstcuda-1.0.so.0", "too short", "gstreamer1.0-plugins-bad", "--backend cpu"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    assert_eq!(as_ever(&uri).len(), PICTURES, "without a device nothing is missing");
}

#[test]
fn without_gstreamer_s_library_it_is_said_what_is_missing() {
    if let Some(driver) = TestDriver::new("without_gstreamer_s_library_it_is_said_what_is_missing") {
        let driver = driver.with_gstreamer().with_broken("libgstcuda-1.0.so.0");
        driver.run("capture::cuda::tests::miss_it_in_this_process", &[]);
    }
}

/// The first GPU, where GStreamer has these elements. None: `test` is skipped, which is said.
fn on_a_gpu(test: &str, elements: &[&str]) -> Option<Device> {
    let found = usable_device().and_then(|info| Device::open(&info));
    let device = found.map_err(|error| skipped_without_gpu(test, &error.to_string())).ok()?;
    crate::capture::messages::init().unwrap();
    let missing = elements.iter().find(|element| gst::ElementFactory::find(element).is_none());
    missing.inspect(|element| println!("SKIPPED {test} on a GPU: GStreamer has no {element}")).is_none().then_some(device)
}

#[test]
fn on_a_gpu_what_gstreamer_holds_there_is_copied_there_as_it_is() {
    let test = "on_a_gpu_what_gstreamer_holds_there_is_copied_there_as_it_is";
    if let Some(device) = on_a_gpu(test, &["cudaupload"]) {
        compare(&device);
        println!("RAN {test} on a GPU");
    }
}

/// H.264 says what a decoder makes, bit for bit: NVIDIA's makes what libav's does.
#[test]
fn on_a_gpu_a_file_is_decoded_there() {
    let test = "on_a_gpu_a_file_is_decoded_there";
    let Some(device) = on_a_gpu(test, &["nvh264dec", "x264enc"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("ball.mp4");
    let made = plain("format=NV12,width=640,height=360").replace("gst:", "");
    crate::capture::tests::write_clip(&format!("{made} ! x264enc bframes=0 ! mp4mux"), &clip);
    let found = copied_there(&clip.display().to_string(), &device);
    let expected = as_ever(&format!(
        "gst:filesrc location={} ! qtdemux ! h264parse ! avdec_h264 ! videoconvert ! video/x-raw,format=NV12",
        clip.display()
    ));
    assert!(found == expected, "what was decoded differs");
    println!("RAN {test} on a GPU");
}
