use super::*;
use crate::frame::cuda::testing::TestDriver;
use crate::frame::cuda::{DevicePlane, Moved, Payload, devices, usable_device};

const ADD: Kernel = Kernel { name: "add", source: "", entries: &["add"] };
const PTX: &str = ".visible .entry add(\n\t.param .align 4 .b8 add_param_0[8],\n\t.param .u64 add_param_1\n)\n{ }";
pub const LAUNCH: Launch = Launch { kernel: ADD, entry: "add", grid: [1; 3], block: [32, 1, 1], shared_bytes: 0 };

pub fn open() -> Device {
    let mut device = Device::open(&usable_device().unwrap()).unwrap();
    device.load(&ADD, PTX).unwrap();
    device
}

pub fn params(count: u32, number: u32) -> [u8; 8] {
    bytemuck::cast([count, number])
}

#[test]
#[ignore = "the other half of without_a_driver_or_a_device_that_fits_the_reason_and_the_remedy_are_said"]
fn say_what_is_found_in_this_process() {
    match usable_device() {
        Ok(device) => println!("found {device:?}"),
        Err(error) => println!("refused {error}"),
    }
}

#[test]
fn without_a_driver_or_a_device_that_fits_the_reason_and_the_remedy_are_said() {
    match devices() {
        Err(CudaError::NoDriver) => {
            let text = CudaError::NoDriver.to_string();
            assert!(["libcuda.so.1", "580", "--backend cpu"].iter().all(|part| text.contains(part)), "{text}");
        }
        found => println!("SKIPPED the half without a driver: {found:?}"),
    }
    let Some(driver) = TestDriver::new("without_a_driver_or_a_device_that_fits_the_reason_and_the_remedy_are_said") else { return };
    for (name, value, parts) in [
        ("TEST_CUDA_DEVICES", "-1", &["refused", "CUDA_ERROR_NO_DEVICE", "nvidia-smi"][..]),
        ("TEST_CUDA_DEVICES", "0", &["refused", "it lists none"]),
        ("TEST_CUDA_VERSION", "12040", &["refused", "CUDA 12.4", "13.0", "580"]),
        ("TEST_CUDA_CAPABILITY", "75", &["refused", "'Test card 0'", "7.5", "8.0"]),
        ("TEST_CUDA_CAPABILITY", "120", &["found", "Test card 0", "[12, 0]", "GPU-11111111-1111-1111-1111-111111111111", "13.0"]),
    ] {
        let text = driver.run("frame::cuda::device::tests::say_what_is_found_in_this_process", &[(name, value)]);
        assert!(parts.iter().all(|part| text.contains(part)), "{name}={value}: {parts:?} are not all in: {text}");
    }
}

#[test]
#[ignore = "the other half of a_device_moves_launches_records_and_counts"]
fn work_in_this_process() {
    let device = open();
    let (stream, other) = (device.stream(Priority::Low).unwrap(), device.stream(Priority::High).unwrap());
    let (mut from, mut to) = (device.pinned(64).unwrap(), device.pinned(64).unwrap());
    let (memory, copy) = (device.buffer(64).unwrap(), device.buffer(64).unwrap());
    let event = device.event().unwrap();
    let warm = device.traffic();
    assert_eq!(warm.allocations, 4);

    for frame in 0..50u8 {
        // What is written is not what an earlier copy still reads.
        from.bytes_mut().unwrap().fill(frame);
        stream.upload(&mut from, 64, memory.span(), Payload::Pixels).unwrap();
        let add = |count, number| device.launch(&stream, &LAUNCH, &[Param::Value(&params(count, number)), Param::Memory(memory.span())]);
        add(32, 3).unwrap();
        stream.mark(&event).unwrap();
        other.wait_for(&event).unwrap();
        other.copy(memory.span(), copy.span()).unwrap();
        other.read_back(copy.span(), &mut to, Payload::Numbers).unwrap();
        assert!(!event.is_past().unwrap(), "this driver does nothing before somebody waits for it");
        // What is read is what the copy brought: asking for it waits.
        let found = to.bytes().unwrap();
        assert!(found[..32].iter().all(|byte| *byte == frame + 3) && found[32..].iter().all(|byte| *byte == frame), "{found:?}");
        assert!(event.is_past().unwrap());
    }
    let moved = device.traffic().since(&warm);
    assert_eq!(moved.allocations, 0, "no memory is taken for a frame");
    assert_eq!((moved.to_device, moved.to_host), (Moved { pixels: 50 * 64, numbers: 0 }, Moved { pixels: 0, numbers: 50 * 64 }));

    // A sequence that was recorded is begun as one, with the arguments that it was recorded with.
    stream.clear(memory.span()).unwrap();
    let mut graph = stream
        .record(|| {
            for number in [1, 10] {
                device.launch(&stream, &LAUNCH, &[Param::Value(&params(64, number)), Param::Memory(memory.span())])?;
            }
            Ok(())
        })
        .unwrap();
    (0..3).for_each(|_| stream.replay(&mut graph).unwrap());
    stream.read_back(memory.span(), &mut to, Payload::Numbers).unwrap();
    assert!(to.bytes().unwrap().iter().all(|byte| *byte == 33));
    // It keeps the memory that it uses.
    drop(memory);
    stream.replay(&mut graph).unwrap();
    stream.synchronize().unwrap();
    let text = stream.record(|| stream.upload(&mut from, 64, copy.span(), Payload::Numbers)).err().unwrap().to_string();
    assert!(text.contains("recorded sequence"), "{text}");
    assert!(stream.record(|| Ok(())).is_err(), "an empty one");
}

#[test]
fn a_device_moves_launches_records_and_counts() {
    if let Some(driver) = TestDriver::new("a_device_moves_launches_records_and_counts") {
        driver.run("frame::cuda::device::tests::work_in_this_process", &[]);
    }
}

#[test]
#[ignore = "the other half of what_does_not_fit_is_refused_before_a_device_sees_it"]
fn be_refused_in_this_process() {
    let mut device = open();
    let stream = device.stream(Priority::Low).unwrap();
    let (mut pinned, memory) = (device.pinned(64).unwrap(), device.buffer(32).unwrap());
    let params = params(4, 1);
    let refused = |launch: &Launch, arguments: &[Param<'_>]| device.launch(&stream, launch, arguments).unwrap_err().to_string();
    assert!(refused(&LAUNCH, &[Param::Value(&params)]).contains("8 + 8 bytes, it was given 8 bytes"));
    assert!(refused(&LAUNCH, &[Param::Value(&params[..4]), Param::Nothing]).contains("it was given 4 + 8 bytes"));
    assert!(refused(&Launch { entry: "subtract", ..LAUNCH }, &[]).contains("kernel 'add' to be loaded"));

    let text = stream.upload(&mut pinned, 64, memory.span(), Payload::Numbers).unwrap_err().to_string();
    assert!(text.contains("64 bytes do not lie in 32"), "{text}");
    assert!(stream.upload(&mut pinned, 65, memory.span(), Payload::Numbers).is_err());
    let mut small = device.pinned(31).unwrap();
    assert!(stream.read_back(memory.span(), &mut small, Payload::Numbers).is_err());
    let large = device.buffer(33).unwrap();
    assert!(stream.copy(large.span(), memory.span()).is_err());
    let rows = |stride| DevicePlane { span: memory.span(), stride };
    stream.copy_rows(rows(8), rows(8), 8, 4).unwrap();
    for (from, to, row_bytes, count) in [(8, 8, 8, 5), (8, 16, 8, 4), (16, 8, 8, 4), (8, 16, 9, 1), (usize::MAX, 8, 8, 3)] {
        let refused = stream.copy_rows(rows(from), rows(to), row_bytes, count);
        assert!(matches!(refused, Err(CudaError::Outside { .. })), "{from} {to} {row_bytes} {count}");
    }
    assert_eq!(memory.span().from(30).unwrap().bytes(), 2);
    assert!(memory.span().from(33).is_err());
    assert_eq!(device.traffic().to_device, Moved::default());

    let text = device.buffer(2_000_000_000).unwrap_err().to_string();
    for part in ["'Test card 0'", "2000000000 bytes", "CUDA_ERROR_OUT_OF_MEMORY"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert!(device.load(&Kernel { entries: &["subtract"], ..ADD }, PTX).is_err());
    assert!(device.load(&ADD, "no PTX").unwrap_err().to_string().contains("'add'"));
}

#[test]
fn what_does_not_fit_is_refused_before_a_device_sees_it() {
    if let Some(driver) = TestDriver::new("what_does_not_fit_is_refused_before_a_device_sees_it") {
        driver.run("frame::cuda::device::tests::be_refused_in_this_process", &[]);
    }
}

#[test]
#[ignore = "the other half of a_device_that_is_lost_is_an_error_that_another_process_may_not_have"]
fn lose_the_device_in_this_process() {
    let device = open();
    let error = device.stream(Priority::Low).unwrap().synchronize().unwrap_err();
    println!("{:?}: {error}", error.kind());
}

#[test]
fn a_device_that_is_lost_is_an_error_that_another_process_may_not_have() {
    if let Some(driver) = TestDriver::new("a_device_that_is_lost_is_an_error_that_another_process_may_not_have") {
        let text = driver.run("frame::cuda::device::tests::lose_the_device_in_this_process", &[("TEST_CUDA_LOST", "1")]);
        assert!(text.contains("Retry: device 'Test card 0'") && text.contains("nvidia-smi"), "{text}");
    }
}

#[test]
#[ignore = "the other half of a_device_is_used_by_many_threads_even_while_their_process_ends"]
fn share_in_this_process() {
    let device = Arc::new(open());
    let work = |device: &Device, turns: usize| {
        let stream = device.stream(Priority::High).unwrap();
        let mut here = device.pinned(64).unwrap();
        for number in 0..turns {
            // It waits for all threads' streams when it goes.
            let memory = device.buffer(64).unwrap();
            let params = params(64, number as u32);
            (0..4).for_each(|_| device.launch(&stream, &LAUNCH, &[Param::Value(&params), Param::Memory(memory.span())]).unwrap());
            stream.read_back(memory.span(), &mut here, Payload::Numbers).unwrap();
            assert!(here.bytes().unwrap().iter().all(|byte| *byte == (4 * number) as u8));
        }
    };
    std::thread::scope(|threads| {
        (0..4).for_each(|_| {
            threads.spawn(|| work(&device, 300));
        });
    });
    let (begun, has_begun) = std::sync::mpsc::channel();
    for _ in 0..4 {
        let (device, begun) = (device.clone(), begun.clone());
        std::thread::spawn(move || {
            loop {
                work(&device, 2);
                let _ = begun.send(());
            }
        });
    }
    (0..4).for_each(|_| has_begun.recv().unwrap());
}

#[test]
fn a_device_is_used_by_many_threads_even_while_their_process_ends() {
    if let Some(driver) = TestDriver::new("a_device_is_used_by_many_threads_even_while_their_process_ends") {
        for _ in 0..10 {
            driver.run("frame::cuda::device::tests::share_in_this_process", &[]);
        }
    }
}
