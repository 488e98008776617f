use crate::base::random::Random;
use crate::frame::cuda::device::tests::{LAUNCH, open, params};
use crate::frame::cuda::testing::TestDriver;
use crate::frame::cuda::{Device, DeviceBuffer, Graph, Launch, Launches, Param, Payload, PinnedBuffer, Priority, Stream};

const BYTES: usize = 64;

/// One of two streams that are told the same.
struct Side {
    stream: Stream,
    memory: [DeviceBuffer; 2],
    here: PinnedBuffer,
    recorded: Graph,
}

impl Side {
    fn new(device: &Device, launches: Launches) -> Self {
        let stream = device.stream(Priority::Low).unwrap();
        let memory = [device.buffer(BYTES).unwrap(), device.buffer(BYTES).unwrap()];
        let recorded = stream.record(|| (0..2).try_for_each(|number| add(device, &stream, &memory[0], BYTES as u32, 3 + number)));
        stream.set_launches(launches).unwrap();
        Side { recorded: recorded.unwrap(), here: device.pinned(BYTES).unwrap(), stream, memory }
    }

    fn tell(&mut self, device: &Device, step: &Step) {
        let Side { stream, memory, recorded, .. } = self;
        match *step {
            Step::Add { to, count, number } => add(device, stream, &memory[to], count, number),
            Step::Clear(which) => stream.clear(memory[which].span()),
            Step::Replay => stream.replay(recorded),
            Step::Copy => stream.copy(memory[0].span(), memory[1].span()),
        }
        .unwrap();
    }

    /// Waits for it.
    fn bytes(&mut self) -> Vec<u8> {
        let both = self.memory.each_ref().map(|memory| {
            self.stream.read_back(memory.span(), &mut self.here, Payload::Numbers).unwrap();
            self.here.bytes().unwrap()[..BYTES].to_vec()
        });
        both.concat()
    }
}

fn add(device: &Device, stream: &Stream, to: &DeviceBuffer, count: u32, number: u32) -> Result<(), crate::frame::cuda::CudaError> {
    device.launch(stream, &LAUNCH, &[Param::Value(&params(count, number)), Param::Memory(to.span())])
}

#[derive(Debug, Clone)]
enum Step {
    Add {
        to: usize,
        count: u32,
        number: u32,
    },
    Clear(usize),
    Replay,
    /// No launch: what was told before is begun by then.
    Copy,
}

fn step(random: &mut Random) -> Step {
    let which = random.below(2);
    match random.below(8) {
        0 => Step::Clear(which),
        1 => Step::Replay,
        2 => Step::Copy,
        _ => Step::Add { to: which, count: random.below(BYTES + 1) as u32, number: random.below(256) as u32 },
    }
}

#[test]
#[ignore = "the other half of what_is_begun_as_one_does_what_each_launch_does_by_itself"]
fn tell_both_in_this_process() {
    let (device, mut random) = (open(), Random::new(6));
    let [mut plain, mut as_one] = [Launches::Plain, Launches::Recorded].map(|launches| Side::new(&device, launches));
    // More than are known at a time.
    let frames: Vec<Vec<Step>> = (0..30).map(|_| (0..random.below(12)).map(|_| step(&mut random)).collect()).collect();
    for turn in 0..600 {
        // Often the same as before, and given other numbers.
        let mut frame = frames[random.below(30) * random.below(30) / 30].clone();
        for step in &mut frame {
            if let Step::Add { number, to, .. } = step
                && random.below(3) == 0
            {
                (*number, *to) = (random.below(256) as u32, random.below(2));
            }
        }
        for step in &frame {
            plain.tell(&device, step);
            as_one.tell(&device, step);
        }
        assert_eq!(plain.bytes(), as_one.bytes(), "turn {turn}: {frame:?}");
    }
}

#[test]
#[ignore = "the other half of launches_that_come_again_are_begun_with_one_call"]
fn count_in_this_process() {
    let device = open();
    let mut side = Side::new(&device, Launches::Recorded);
    let begun = |side: &mut Side, numbers: &[u32]| {
        let before = device.traffic();
        side.tell(&device, &Step::Clear(0));
        numbers.iter().for_each(|number| side.tell(&device, &Step::Add { to: 0, count: 1, number: *number }));
        side.tell(&device, &Step::Replay);
        assert_eq!(device.traffic().since(&before).begun, 0, "nothing is begun before it is wanted");
        let sum = side.bytes()[0];
        assert_eq!(sum, (numbers.iter().sum::<u32>() + 7) as u8);
        device.traffic().since(&before).begun
    };
    let takes_graphs = std::env::var_os("TEST_CUDA_GRAPHS").is_none();
    let as_one = |steps| if takes_graphs { 1 } else { steps };
    assert_eq!([[1, 2], [3, 4], [5, 6]].map(|numbers| begun(&mut side, &numbers)), [3, as_one(3), as_one(3)]);
    // Another one, and the first again.
    assert_eq!([[1, 2, 3], [3, 4, 5]].map(|numbers| begun(&mut side, &numbers)), [4, as_one(4)]);
    assert_eq!(begun(&mut side, &[7, 8]), as_one(3));
    // What was forgotten is new.
    side.stream.forget_sequences();
    assert_eq!([[1, 2], [3, 4]].map(|numbers| begun(&mut side, &numbers)), [3, as_one(3)]);
    // One alone gains nothing; an empty one is none.
    let before = device.traffic();
    for _ in 0..3 {
        side.tell(&device, &Step::Add { to: 1, count: 1, number: 1 });
        side.stream.synchronize().unwrap();
    }
    side.stream.synchronize().unwrap();
    assert_eq!(device.traffic().since(&before).begun, 3);
    // Memory that goes before it is begun stays as long.
    let short = device.buffer(BYTES).unwrap();
    add(&device, &side.stream, &short, BYTES as u32, 1).unwrap();
    side.stream.copy(short.span(), side.memory[1].span()).unwrap();
    add(&device, &side.stream, &short, BYTES as u32, 1).unwrap();
    drop(short);
    assert_eq!(side.bytes()[BYTES], 1);
    // What waits is begun by the last of the other way.
    side.tell(&device, &Step::Clear(1));
    side.tell(&device, &Step::Add { to: 1, count: 1, number: 9 });
    side.stream.set_launches(Launches::Plain).unwrap();
    assert_eq!((side.bytes()[BYTES], side.stream.launches()), (9, Launches::Plain));
}

#[test]
fn what_is_begun_as_one_does_what_each_launch_does_by_itself() {
    if let Some(driver) = TestDriver::new("what_is_begun_as_one_does_what_each_launch_does_by_itself") {
        for settings in [&[][..], &[("TEST_CUDA_AT_ONCE", "1")], &[("TEST_CUDA_GRAPHS", "0")], &[("TEST_CUDA_GRAPHS", "2")]] {
            driver.run("frame::cuda::sequence::tests::tell_both_in_this_process", settings);
        }
    }
}

#[test]
fn launches_that_come_again_are_begun_with_one_call() {
    if let Some(driver) = TestDriver::new("launches_that_come_again_are_begun_with_one_call") {
        driver.run("frame::cuda::sequence::tests::count_in_this_process", &[]);
        // A driver that makes no such sequences, and one that makes them and cannot begin them.
        for refuses in ["0", "2"] {
            driver.run("frame::cuda::sequence::tests::count_in_this_process", &[("TEST_CUDA_GRAPHS", refuses)]);
        }
    }
}

#[test]
#[ignore = "the other half of what_cannot_be_begun_is_an_error_and_what_was_begun_before_is_waited_for"]
fn fail_in_this_process() {
    let device = open();
    let stream = device.stream(Priority::Low).unwrap();
    stream.set_launches(Launches::Recorded).unwrap();
    let (mut from, memory, before, done) =
        (device.pinned(BYTES).unwrap(), device.buffer(BYTES).unwrap(), device.event().unwrap(), device.event().unwrap());
    let impossible = Launch { grid: [0; 3], ..LAUNCH };
    let wait: [&dyn Fn() -> bool; 2] = [&|| stream.synchronize().is_err(), &|| stream.settle(&done).is_err()];
    for fails in wait {
        stream.upload(&mut from, BYTES, memory.span(), Payload::Numbers).unwrap();
        stream.mark(&before).unwrap();
        device.launch(&stream, &impossible, &[Param::Value(&params(1, 1)), Param::Memory(memory.span())]).unwrap();
        assert!(fails() && before.is_past().unwrap());
        // It is not begun with what comes next.
        stream.synchronize().unwrap();
    }
}

#[test]
fn what_cannot_be_begun_is_an_error_and_what_was_begun_before_is_waited_for() {
    if let Some(driver) = TestDriver::new("what_cannot_be_begun_is_an_error_and_what_was_begun_before_is_waited_for") {
        driver.run("frame::cuda::sequence::tests::fail_in_this_process", &[]);
    }
}
