use super::*;
use crate::guard::{Named, Standing};
use proptest::prelude::*;

const BOTH: [bool; 2] = [true; 2];
const LEFT: [bool; 2] = [true, false];
const RIGHT: [bool; 2] = [false, true];

fn live() -> States {
    let mut states = States::new(0, true);
    states.worker(0, Worker::Running, String::new);
    states.picture(1);
    states
}

fn codes(states: &States) -> Vec<&'static str> {
    states.alarms().records().iter().map(|record| record.code.name()).collect()
}

#[test]
fn a_hold_lasts_as_long_as_it_is_measured_and_touches_no_block() {
    let mut states = live();
    let hold = || Word::Hold { trouble: AiTrouble::DelayOverLimit, words: "101 ms".into() };
    let release = || Word::Release { trouble: AiTrouble::DelayOverLimit };
    states.hear(2, hold());
    assert_eq!((states.ai(), states.shows_overlay()), (Ai::Blocked(AiTrouble::DelayOverLimit), false));
    assert_eq!(states.history().last().unwrap().reason, "101 ms");
    states.hear(3, release());
    assert!(states.shows_overlay());
    // A block goes before it, and stays when it ends.
    states.hear(4, hold());
    states.hear(5, Word::Block { trouble: AiTrouble::LiveProofWrong, words: "another mask".into() });
    assert_eq!(states.ai(), Ai::Blocked(AiTrouble::LiveProofWrong));
    states.hear(6, release());
    assert_eq!(states.ai(), Ai::Blocked(AiTrouble::LiveProofWrong));
    states.hear(7, hold());
    states.hear(8, Word::Lift);
    assert_eq!(states.ai(), Ai::Blocked(AiTrouble::DelayOverLimit), "what lasts is not lifted");
    states.hear(9, release());
    assert!(states.shows_overlay());
}

#[test]
fn every_loss_and_recovery_is_kept_with_its_reason() {
    let mut states = live();
    for n in 0..50 {
        let at = 1_000_000 * (10 * n + 1);
        states.lose(at, "the cable was pulled");
        states.lose(at + 1, "no picture for 150 ms");
        states.picture(at + 2);
        states.notice(at + 3, News::Back, "back after 80 ms".into());
    }
    let records = states.alarms().records();
    assert_eq!(records.len(), 50, "a loss that lasts is said once");
    assert!(records.iter().all(|a| a.code == Code::SignalLost && a.text == "the cable was pulled" && a.cleared_ns == Some(a.at_ns + 2)));
    let of = |signal, reason: &str| states.history().iter().filter(|l| l.signal == signal && l.reason.contains(reason)).count();
    assert_eq!((of(Signal::Lost, "cable"), of(Signal::Live, "back after 80 ms")), (50, 50));
}

#[test]
fn a_return_that_is_told_before_its_first_picture_is_that_picture_s_reason() {
    let mut states = live();
    states.lose(2, "the cable was pulled");
    states.notice(3, News::Back, "back after 188 ms".into());
    assert_eq!(states.signal(), Signal::Lost);
    states.picture(4);
    let last = states.history().last().unwrap();
    assert!(last.signal == Signal::Live && last.reason.contains("back after 188 ms"), "{last:?}");
}

#[test]
fn a_picture_that_does_not_live_is_not_called_live() {
    let mut states = live();
    for (news, signal) in [
        (News::Frozen(BOTH, true), Signal::Frozen),
        (News::Black(BOTH, true), Signal::Black),
        (News::Frozen(BOTH, false), Signal::Black),
        (News::Black(BOTH, false), Signal::Live),
    ] {
        states.notice(2, news, String::new());
        states.picture(3);
        assert_eq!(states.signal(), signal, "{news:?}");
        assert_eq!(states.shows_overlay(), signal == Signal::Live);
    }
    states.notice(4, News::Frozen(BOTH, true), String::new());
    states.lose(4, "the display stood still");
    states.picture(4);
    assert_eq!(states.signal(), Signal::Frozen, "the source has not said that it moves");
    states.interrupted(5);
    states.lose(5, "unplugged");
    states.picture(6);
    assert_eq!(states.signal(), Signal::Live, "what froze is gone with the signal");
    assert_eq!(states.alarms().standing(Code::SignalFrozen, 0), Some(Standing::Past), "somebody may have trusted it");
    let mut recording = States::new(0, false);
    recording.picture(1);
    recording.notice(2, News::Frozen(BOTH, true), "the source repeats one picture".into());
    assert_eq!(recording.signal(), Signal::Live);
    assert!(recording.alarms().records().is_empty() && recording.history().last().unwrap().reason.contains("repeats one picture"));
}

#[test]
fn an_eye_that_does_not_live_is_named_and_only_what_can_be_taken_for_live_takes_the_picture_s_trust() {
    let mut states = live();
    let mut said = |news: News| {
        states.notice(2, news, String::new());
        states.picture(3);
        let lasting = states.alarms().lines(|_| Default::default()).into_iter().filter(|line| line.was.is_none());
        (states.signal(), lasting.map(|line| line.text).collect::<Vec<_>>())
    };
    use Text::*;
    assert_eq!(said(News::Frozen(RIGHT, true)), (Signal::Frozen, vec![RightEyeStands]));
    assert_eq!(said(News::Black(RIGHT, true)), (Signal::Live, vec![RightEyeBlack]), "seen to be black");
    assert_eq!(said(News::Black(LEFT, true)), (Signal::Black, vec![PictureIsBlack]), "that is the whole picture");
    assert_eq!(said(News::Black(LEFT, false)), (Signal::Live, vec![RightEyeBlack]));
    assert_eq!(said(News::Absent(RIGHT, true)), (Signal::Live, vec![RightEyeGone]));
    assert_eq!(said(News::Absent(RIGHT, false)), (Signal::Live, vec![]), "said anew where it holds");
    assert_eq!(said(News::Frozen(BOTH, true)), (Signal::Frozen, vec![PictureStands]));
    assert_eq!(said(News::Frozen(LEFT, false)), (Signal::Frozen, vec![RightEyeStands]), "never without a word while one stands");
    assert_eq!(said(News::Frozen(RIGHT, false)), (Signal::Live, vec![]));
    let expected = ["EYE-FROZEN", "EYE-BLACK", "SIGNAL-BLACK", "EYE-BLACK", "EYE-LOST", "SIGNAL-FROZEN", "EYE-FROZEN"];
    assert_eq!(codes(&states), expected);
    assert!(states.alarms().records()[0].text.contains("right eye"));
}

#[test]
fn a_block_holds_whatever_the_worker_says_until_it_is_lifted() {
    let mut states = States::new(0, true);
    states.picture(1);
    let block = Block::NoSelfTest;
    states.hear(2, Word::from(&block));
    let blocked = Ai::Blocked(AiTrouble::NotSelfTested);
    for worker in [Worker::Running, Worker::Down(AiTrouble::Hung), Worker::Starting, Worker::Running] {
        states.worker(3, worker, || "hung".into());
        assert_eq!((states.ai(), states.shows_overlay(), states.is_ai_out()), (blocked, false, true), "{worker:?}");
    }
    let line = states.alarms().lines(|_| Default::default())[0];
    assert_eq!((line.text, line.lookup), (Text::NotSelfTested, Some(block.code())), "one alarm, with the engineer's code");
    states.hear(4, Word::Testing(true));
    assert_eq!(states.ai(), Ai::Testing);
    assert!(states.alarms().lines(|_| Default::default()).is_empty());
    states.hear(5, Word::Testing(false));
    assert_eq!(states.ai(), blocked, "a test that was broken off lifts nothing");
    states.hear(6, Word::Lift);
    assert_eq!((states.ai(), states.shows_overlay()), (Ai::Running, true));
    // The live proof, while the worker dies and comes back.
    states.hear(7, Word::Block { trouble: AiTrouble::LiveProofWrong, words: "another mask".into() });
    states.worker(8, Worker::Down(AiTrouble::Ended), || "the AI process ended".into());
    states.worker(9, Worker::Starting, String::new);
    assert_eq!(states.ai(), Ai::Blocked(AiTrouble::LiveProofWrong));
    states.hear(10, Word::Lift);
    assert_eq!(states.ai(), Ai::Degraded(AiTrouble::Ended), "a restart is not a recovery");
    let last = states.history().last().unwrap();
    assert_eq!((last.at_ns, last.reason.as_str()), (10, "the AI process ended"), "its own reason is not lost under the block");
    assert_eq!(codes(&states), ["AI-BLOCKED", "AI-BLOCKED", "AI-BLOCKED", "AI-DOWN"]);
    assert!(states.alarms().standing(Code::AiBlocked, 0).is_none());
}

#[test]
fn a_refused_engine_and_a_run_without_ai_are_changed_by_no_test() {
    let mut states = States::new(0, true);
    states.worker(1, Worker::Blocked(AiTrouble::EngineRefused), || "its signature is broken".into());
    let refused = Ai::Blocked(AiTrouble::EngineRefused);
    for word in [Word::Testing(true), Word::Testing(false), Word::from(&Block::NeverFull), Word::Lift] {
        states.hear(2, word.clone());
        assert_eq!(states.ai(), refused, "{word:?}");
    }
    let mut none = States::without_ai(0, true);
    for word in [Word::Testing(true), Word::from(&Block::NeverFull), Word::Lift] {
        none.hear(1, word);
        assert_eq!(none.ai(), Ai::Off);
    }
    assert!(none.alarms().records().is_empty(), "chosen, and no alarm");
}

#[test]
fn a_worker_that_is_held_is_being_tested_until_the_gate_has_answered() {
    let mut states = States::new(0, true);
    states.worker(1, Worker::Held, String::new);
    assert_eq!(states.ai(), Ai::Testing);
    states.hear(2, Word::from(&Block::CableFailed));
    assert_eq!(states.ai(), Ai::Blocked(AiTrouble::CableTestFailed));
    let mut permitted = States::new(0, true);
    for (worker, ai) in [(Worker::Held, Ai::Testing), (Worker::Starting, Ai::Starting), (Worker::Running, Ai::Running)] {
        permitted.worker(1, worker, String::new);
        assert_eq!(permitted.ai(), ai);
    }
    let wrong = Worker::Blocked(AiTrouble::LiveProofWrong);
    permitted.worker(2, wrong, || "another mask".into());
    permitted.hear(3, Word::Lift);
    assert_eq!(permitted.ai(), Ai::Blocked(AiTrouble::LiveProofWrong), "for the rest of the run");
}

#[test]
fn each_refusal_of_the_gate_has_words_for_the_screen_and_its_own_code() {
    let failures = vec![Named::new("ST-D01", "The picture is late.")];
    let blocks = [
        Block::NoSelfTest,
        Block::Failed { failures: failures.clone() },
        Block::ChangedSince { changes: Vec::new() },
        Block::NeverFull,
        Block::FullFailed { failures: failures.clone() },
        Block::CableNeverProven,
        Block::CableFailed,
        Block::CableProofTooOld { days: 31.0, allowed_days: 30.0 },
        Block::ClockBeforeProof,
        Block::EnginesFailed { failures },
    ];
    for block in &blocks {
        let trouble = AiTrouble::from(block);
        assert_eq!(trouble.lookup(), Some(block.code()), "{block:?}");
        let Word::Block { words, .. } = Word::from(block) else { panic!("a refusal blocks") };
        assert!(words.starts_with("AI is off: "));
    }
}

#[test]
fn what_has_changed_since_the_full_test_is_said_and_is_no_alarm() {
    let mut states = live();
    states.hear(2, Word::Changed { words: "The monitor has changed since the last full self-test.".into() });
    assert!(states.is_changed() && states.shows_overlay() && states.alarms().records().is_empty());
    assert!(states.history().last().unwrap().reason.contains("monitor"));
}

#[test]
fn changes_are_kept_once_and_bounded() {
    let mut states = States::new(0, true);
    for i in 0..3 * KEPT as u64 {
        let worker = if i % 2 == 0 { Worker::Running } else { Worker::Down(AiTrouble::Ended) };
        states.worker(i, worker, || "died".into());
        states.worker(i, worker, || "asked twice".into());
    }
    states.worker(4 * KEPT as u64, Worker::Running, String::new);
    let (history, records) = (states.history(), states.alarms().records());
    assert_eq!((history.len(), records.len()), (KEPT, crate::guard::alarm::KEPT));
    assert_eq!((history[1].ai, history[2].reason.as_str()), (Ai::Running, "died"));
}

fn any_word() -> impl Strategy<Value = Word> {
    let trouble = proptest::sample::select(AiTrouble::ALL.to_vec());
    prop_oneof![
        trouble.prop_map(|trouble| Word::Block { trouble, words: "why".into() }),
        Just(Word::Lift),
        any::<bool>().prop_map(|is_held| {
            let trouble = AiTrouble::DelayOverLimit;
            if is_held { Word::Hold { trouble, words: "101 ms".into() } } else { Word::Release { trouble } }
        }),
        any::<bool>().prop_map(Word::Testing),
    ]
}

fn any_worker() -> impl Strategy<Value = Worker> {
    prop_oneof![
        Just(Worker::Starting),
        Just(Worker::Running),
        Just(Worker::Held),
        proptest::sample::select(AiTrouble::ALL[..6].to_vec()).prop_map(Worker::Down),
    ]
}

proptest! {
    /// Whatever is said in whatever order: nothing of the AI is shown while it is blocked or tested, or while its process does
    /// not run, or while the picture does not live; and what is wrong with it is said by exactly one alarm.
    #[test]
    fn nothing_of_a_blocked_tested_or_dead_ai_is_shown(ops in proptest::collection::vec((any_word(), any_worker(), 0u8..5), 1..100)) {
        let mut states = live();
        let (mut is_blocked, mut is_testing, mut is_held) = (false, false, false);
        for (i, (word, worker, what)) in ops.into_iter().enumerate() {
            let now_ns = 10 + i as u64;
            match what {
                0 | 1 => {
                    match word {
                        Word::Block { .. } => is_blocked = true,
                        Word::Lift => is_blocked = false,
                        Word::Testing(is_so) => is_testing = is_so,
                        Word::Hold { .. } => is_held = true,
                        Word::Release { .. } => is_held = false,
                        _ => {}
                    }
                    states.hear(now_ns, word);
                }
                2 => states.lose(now_ns, "lost"),
                3 => states.picture(now_ns),
                _ => states.worker(now_ns, worker, || "why".into()),
            }
            let may_show = !is_blocked && !is_held && !is_testing && states.worker == Worker::Running && states.signal() == Signal::Live;
            prop_assert_eq!(states.shows_overlay(), may_show);
            let alarms = [Code::AiDown, Code::AiBlocked].map(|code| states.alarms().standing(code, 0).is_some());
            let expected = [matches!(states.ai(), Ai::Degraded(_)), matches!(states.ai(), Ai::Blocked(_))];
            prop_assert_eq!(alarms, expected);
            prop_assert_eq!(states.alarms().standing(Code::SignalLost, 0).is_some(), states.signal() == Signal::Lost);
        }
    }
}

#[test]
fn an_ai_that_is_too_slow_is_degraded_while_it_runs_and_runs_again_by_itself() {
    let mut states = live();
    states.slow(2, true);
    assert_eq!((states.ai(), states.shows_overlay()), (Ai::Degraded(AiTrouble::Slow), false));
    assert!(states.history().last().unwrap().reason.contains("too late") && codes(&states) == ["AI-DOWN"]);
    states.slow(3, true);
    states.worker(4, Worker::Down(AiTrouble::Ended), || "it ended".into());
    assert_eq!(states.ai(), Ai::Degraded(AiTrouble::Ended), "what is not there is not slow");
    states.worker(5, Worker::Running, String::new);
    assert_eq!(states.ai(), Ai::Degraded(AiTrouble::Slow));
    states.slow(6, false);
    assert_eq!((states.ai(), states.shows_overlay()), (Ai::Running, true));
    states.slow(7, true);
    states.block(8, AiTrouble::SelfTestFailed, "failed".into());
    assert_eq!(states.ai(), Ai::Blocked(AiTrouble::SelfTestFailed), "a block lies over it");
}

#[test]
fn damaged_pictures_take_the_trust_and_give_it_back() {
    let mut states = live();
    states.notice(2, News::Damaged(Flaw::Single), "one".into());
    assert_eq!((states.signal(), states.shows_overlay()), (Signal::Live, true));
    states.notice(3, News::Damaged(Flaw::Stream), "more".into());
    assert_eq!((states.signal(), states.shows_overlay()), (Signal::Untrusted, false));
    states.notice(4, News::Damaged(Flaw::None), "none".into());
    assert_eq!((states.signal(), codes(&states)), (Signal::Live, vec!["SIGNAL-DAMAGED", "SIGNAL-UNTRUSTED"]));
    assert_eq!(states.alarms().standing(Code::SignalUntrusted, 2), Some(Standing::Past), "somebody may have trusted it");
}
