use super::*;
use crate::base::clock::ManualClock;
use crate::frame::marker::paint_border;
use crate::guard::Course;
use crate::pipeline::loop_through::stamps::{Stamp, packed};

const MS: u64 = 1_000_000;
const SIZE: (usize, usize) = (640, 360);
const AT: (usize, usize) = (8, 60);
const BLOCK_PX: usize = 4;

fn eye(stamps: &Arc<Stamps>) -> Eye {
    let stamps = stamps.clone();
    Eye { stamps, spot: None, expected: None, unread: 0, was_read: false, last: None, find_ns: 0, everywhere_ns: 0 }
}

/// A screen with the code of `number` at `at`.
fn screen(number: u32, at: (usize, usize)) -> Vec<u8> {
    let mut bgrx = vec![0; 4 * SIZE.0 * SIZE.1];
    paint_border(&mut bgrx, 4 * SIZE.0, at, BLOCK_PX, number).unwrap();
    bgrx
}

fn capture(bgrx: &[u8]) -> Capture<'_> {
    Capture::bgrx(bgrx, 4 * SIZE.0, SIZE.0, SIZE.1).unwrap()
}

fn show(stamps: &Stamps, number: u32, shown_ms: u64) {
    stamps.note(number, Stamp { capture_ns: (shown_ms - 9) * MS, shown_ns: shown_ms * MS });
    let place = packed((AT.0 as f32, AT.1 as f32), [BLOCK_PX as f32; 2], SIZE);
    stamps.present(shown_ms * MS, Some(place));
}

#[test]
fn each_number_is_measured_at_its_first_sight_and_what_was_never_seen_is_counted() {
    let stamps = Arc::new(Stamps::default());
    let mut eye = eye(&stamps);
    let mut look = |number: u32, at_ms: u64| eye.look(&capture(&screen(number, AT)), at_ms * MS);
    assert_eq!(look(3, 900), Look::Nothing, "nothing is drawn");
    (1..20).for_each(|n| show(&stamps, n, 1_000 + 16 * u64::from(n)));
    let number = |delay_ms: Option<u64>, missing| Look::Number {
        delay_ns: delay_ms.map(|ms| ms * MS),
        since_capture_ns: delay_ms.map(|ms| (ms + 9) * MS),
        missing,
    };
    assert_eq!(look(1, 1_040), number(None, 0), "it may have been there before");
    assert_eq!(look(1, 1_045), Look::Again);
    assert_eq!(look(2, 1_052), number(Some(20), 0));
    assert_eq!(look(5, 1_101), number(Some(21), 2));
    assert_eq!(look(4, 1_105), Look::Unread, "runs backwards");
    assert_eq!(look(6, 1_120), number(Some(24), 0));
    assert_eq!(look(700, 1_125), Look::Unread, "never shown");
    assert_eq!(look(9, 1_160), number(None, 0), "after one that was not read");
    assert_eq!(look(19, 1_200), Look::Unread, "not shown yet");
    assert_eq!(look(10, 9_000), Look::Unread, "too long ago");
}

#[test]
fn a_code_that_moves_or_lies_elsewhere_is_found_again() {
    let stamps = Arc::new(Stamps::default());
    let mut eye = eye(&stamps);
    show(&stamps, 1, 1_000);
    // The window lies somewhere else on the screen than its place says.
    let elsewhere = (AT.0 + 300, AT.1 + 150);
    assert!(matches!(eye.look(&capture(&screen(1, elsewhere)), 9_010 * MS), Look::Unread), "too old");
    show(&stamps, 2, 12_000);
    assert!(matches!(eye.look(&capture(&screen(2, elsewhere)), 12_010 * MS), Look::Number { .. }));
    show(&stamps, 3, 12_016);
    assert!(matches!(eye.look(&capture(&screen(3, elsewhere)), 12_030 * MS), Look::Number { delay_ns: Some(_), .. }));
    // It is where it was expected, suddenly.
    let mut found = None;
    for n in 4..200u32 {
        let at_ms = 12_000 + 16 * u64::from(n);
        show(&stamps, n, at_ms);
        if let Look::Number { .. } = eye.look(&capture(&screen(n, AT)), (at_ms + 10) * MS) {
            found = Some(n);
            break;
        }
    }
    assert!(found.is_some_and(|n| n <= 4 + LOST_AFTER + 20), "{found:?}");
}

fn watch(words: Sender<Word>, stamps: &Arc<Stamps>) -> Watch {
    let creep = Creep::new(99.9);
    Watch { words, creep, eye: eye(stamps), found: Found::default(), trouble: None, since_ns: 0, is_unwatched: false, luma: Vec::new() }
}

/// The same screen in every format that an input may give.
#[test]
fn the_code_is_read_in_pictures_of_every_format() {
    use crate::capture::Planes;
    use crate::frame::{Colorimetry, FrameLayout, Matrix, Range, testing::pack};
    let grey: Vec<u8> = screen(2, AT).chunks_exact(4).map(|pixel| pixel[1]).collect();
    for format in PixelFormat::ALL {
        let (sender, _words) = crossbeam_channel::bounded(8);
        let stamps = Arc::new(Stamps::default());
        let mut watch = watch(sender, &stamps);
        show(&stamps, 2, 1_000);
        let layout = FrameLayout::new(format, Colorimetry::sdr(Matrix::Bt709, Range::Limited), SIZE.0, SIZE.1).unwrap();
        // Ten bits: the upper eight are looked at.
        let bytes = pack(&layout, |x, y| {
            let level = u16::from(grey[y * SIZE.0 + x]) << 2;
            if format.is_rgb() { [level; 3] } else { [64 + level / 2, 512, 512] }
        });
        let picture = Picture {
            layout,
            planes: Planes::of(&layout, &bytes),
            pts_ns: 0,
            due_ns: None,
            arrival_ns: 0,
            decode_ns: None,
            skipped: 0,
            is_damaged: false,
        };
        watch.look(&picture, 1_010 * MS);
        assert_eq!((watch.found.read, watch.found.unreadable), (1, 0), "{format:?}");
    }
}

#[test]
fn a_dead_input_is_an_alarm_only_while_there_is_something_to_be_read() {
    let (sender, words) = crossbeam_channel::bounded(8);
    let stamps = Arc::new(Stamps::default());
    let mut watch = watch(sender, &stamps);
    let pass = |watch: &mut Watch, at_s: u64| {
        watch.pass(at_s * 1_000 * MS);
        (watch.found.state.clone(), words.try_iter().collect::<Vec<_>>())
    };
    assert_eq!(pass(&mut watch, 100), ("no picture to watch".into(), vec![]));
    stamps.present(200_000 * MS, None);
    assert_eq!(pass(&mut watch, 200), ("no room for the code".into(), vec![]));
    watch.hear(&capture::SignalEvent::Lost { reason: "unplugged".into() });
    show(&stamps, 1, 201_000);
    assert_eq!(pass(&mut watch, 201), ("unplugged".into(), vec![]));
    show(&stamps, 2, 211_000);
    let (_, said) = pass(&mut watch, 211);
    let [Word::Raise { cause, words: text }] = &said[..] else { panic!("{said:?}") };
    assert!(cause.code == Code::DelayNotWatched && text.contains("unplugged"), "{text}");
    show(&stamps, 3, 220_000);
    assert_eq!(pass(&mut watch, 220).1, [], "once");
    // No picture: there is nothing to watch.
    stamps.blank();
    assert_eq!(pass(&mut watch, 221), ("no picture to watch".into(), vec![Word::Clear { code: Code::DelayNotWatched, part: 0 }]));
}

#[test]
fn a_delay_over_its_limit_holds_the_ai_back_and_lets_it_go_again() {
    let (sender, words) = crossbeam_channel::bounded(8);
    let mut steps = 0;
    let mut said = |course| {
        say(&sender, &mut steps, course);
        words.try_iter().collect::<Vec<_>>()
    };
    let over = said(Course::Over { now_ms: 101.5, limit_ms: 99.9 });
    assert!(
        matches!(&over[..], [Word::Raise { cause, words }, Word::Hold { trouble: AiTrouble::DelayOverLimit, .. }]
        if cause.code == Code::DelayOverLimit && words.contains("101.5") && words.contains("99.9")),
        "{over:?}"
    );
    let under = said(Course::Under { now_ms: 60.0 });
    let clear = |code| Word::Clear { code, part: 0 };
    assert_eq!(under, [clear(Code::DelayOverLimit), Word::Release { trouble: AiTrouble::DelayOverLimit }]);
    let stepped = said(Course::Stepped { before_ms: 20.0, now_ms: 40.0 });
    assert!(
        matches!(&stepped[..], [Word::Raise { cause, .. }, Word::Clear { code: Code::DelayStepped, .. }] if cause.code == Code::DelayStepped)
    );
    let creeping = said(Course::Creeping { ms_an_hour: 1.02, low: 0.9, high: 1.1, now_ms: 52.3, limit_in_h: 8.0 });
    assert!(
        matches!(&creeping[..], [Word::Raise { cause, words }] if cause.code == Code::DelayCreeping && words.contains("1.02 ms an hour"))
    );
    assert_eq!(said(Course::Calm), [clear(Code::DelayCreeping)]);
}

/// The real thread on an input that cannot be opened: it says why, and ends when it is told to.
#[test]
fn an_input_that_is_not_there_is_said_in_the_report_and_ends_with_the_run() {
    let (sender, _words) = crossbeam_channel::bounded(8);
    let (stop, found, stamps) = (Shutdown::default(), Arc::new(Mutex::new(Found::default())), Arc::new(Stamps::default()));
    let clock = Arc::new(ManualClock::at(1_000 * MS));
    let presents = stamps.clone();
    let watcher = Watcher {
        uri: "v4l2:/dev/no-such-video".into(),
        settings: capture::Settings::default(),
        stamps,
        clock: clock.clone(),
        stop: stop.clone(),
        words: sender,
        creep: Creep::new(99.9),
        found: found.clone(),
    };
    let thread = std::thread::spawn(move || watcher.run());
    let mut number = 0;
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while !found.lock().unwrap().state.contains("no-such-video") {
        assert!(std::time::Instant::now() < until, "{}", found.lock().unwrap().state);
        number += 1;
        show(&presents, number, clock.now_ns() / MS);
        clock.advance_ns(PULL.as_nanos() as u64);
        std::thread::yield_now();
    }
    stop.request();
    while !thread.is_finished() {
        clock.advance_ns(PULL.as_nanos() as u64);
        std::thread::yield_now();
    }
    thread.join().unwrap();
}
