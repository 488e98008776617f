use super::*;
use crate::base::random::Random;
use proptest::prelude::*;

const S: u64 = 1_000_000_000;

/// Numbers of -1 to 1, and normal ones of unit deviation.
struct Dice(Random);

impl Dice {
    fn new(seed: u64) -> Self {
        Dice(Random::new(seed))
    }

    fn next(&mut self) -> f64 {
        self.0.next_u64() as f64 / (1u64 << 63) as f64 - 1.0
    }

    fn normal(&mut self) -> f64 {
        (0..4).map(|_| self.next()).sum::<f64>() * 0.866
    }
}

/// One delay a second for `hours`, by `delay(hours)`, in noise of `jitter_ms` (standard deviation) with a heavy tail: each 50th is late.
/// Returns what was said, and when, h.
fn said(creep: &mut Creep, hours: f64, jitter_ms: f64, seed: u64, delay: impl Fn(f64) -> f64) -> Vec<(f64, Course)> {
    let (mut dice, mut said) = (Dice::new(seed), Vec::new());
    for second in 0..(hours * 3_600.0) as u64 {
        let at_h = second as f64 / 3_600.0;
        let late = if dice.next() > 0.96 { 12.0 * dice.next().abs() } else { 0.0 };
        let ms = delay(at_h) + jitter_ms * dice.normal() + late;
        creep.see(second * S, ms, &mut |course| said.push((at_h, course)));
    }
    said
}

fn creeps(said: &[(f64, Course)]) -> Vec<f64> {
    said.iter().filter(|(_, course)| matches!(course, Course::Creeping { .. })).map(|(at_h, _)| *at_h).collect()
}

/// The time that the alarm takes, where there is time.
#[test]
fn a_millisecond_an_hour_is_alarmed_before_the_limit() {
    let (mut dice, mut took) = (Dice::new(17), Vec::new());
    for round in 0..60 {
        let jitter_ms = 1.0 + 1.5 * (dice.next() + 1.0);
        let distance_ms = 3.0 + 9.0 * (dice.next() + 1.0);
        let start_ms = 5.0 + 40.0 * (dice.next() + 1.0) / 2.0;
        let quiet_h = 4.0 * (dice.next() + 1.0) / 2.0;
        let mut creep = Creep::new(start_ms + distance_ms);
        let said = said(&mut creep, quiet_h + distance_ms, jitter_ms, round, |at_h| start_ms + (at_h - quiet_h).max(0.0));
        let alarms = creeps(&said);
        assert!(!alarms.is_empty(), "{round}: {distance_ms:.1} ms at ±{jitter_ms:.1}: {said:?}");
        assert!(alarms[0] > quiet_h, "{round}: before it began");
        let limit_h = quiet_h + distance_ms;
        assert!(alarms[0] < limit_h, "{round}");
        // Where it is far from its limit, the alarm waits for the horizon.
        took.push(alarms[0] - quiet_h - (distance_ms - HORIZON_H).max(0.0));
        let over = said.iter().find(|(_, course)| matches!(course, Course::Over { .. })).map(|(at_h, _)| *at_h);
        assert!(over.is_none_or(|at_h| at_h > alarms[0]));
    }
    took.sort_by(f64::total_cmp);
    println!("creep of 1 ms/h: alarmed after p50 {:.2} h, worst {:.2} h (of {})", took[took.len() / 2], took[took.len() - 1], took.len());
}

#[test]
fn noise_a_day_s_temperature_and_single_steps_are_no_creep() {
    false_alarms(45);
}

#[test]
#[ignore = "minutes"]
fn noise_of_500_days_is_no_creep() {
    false_alarms(500);
}

fn false_alarms(days: u64) {
    let mut alarms = [0u64; 3];
    for day in 0..days {
        let mut dice = Dice::new(day ^ 0xabc);
        let jitter_ms = 1.0 + 1.5 * (dice.next() + 1.0);
        let (phase, step_h, step_ms) = (dice.next() * 12.0, 12.0 + 11.0 * dice.next(), 2.0 * dice.next());
        let kind = (day % 3) as usize;
        // Near enough that any rise would reach it.
        let mut creep = Creep::new(22.0 + 2.0 * 2.5 + 4.0);
        let said = fast(&mut creep, 24.0, jitter_ms, day, |at_h| match kind {
            0 => 20.0,
            1 => 20.0 + 0.3 * ((at_h + phase) / 24.0 * std::f64::consts::TAU).sin(),
            _ => 20.0 + if at_h > step_h { step_ms } else { 0.0 },
        });
        alarms[kind] += creeps(&said).len() as u64;
    }
    println!("false creep alarms in {days} days: noise {}, temperature {}, a step {}", alarms[0], alarms[1], alarms[2]);
    // A step smaller than `LEAST_STEP_MS` near the limit is taken for a creep in one day of a hundred, for a while.
    assert!(alarms[0] == 0 && alarms[1] == 0 && alarms[2] <= days / 50, "{alarms:?}");
}

/// As `said`, with six delays in ten seconds.
fn fast(creep: &mut Creep, hours: f64, jitter_ms: f64, seed: u64, delay: impl Fn(f64) -> f64) -> Vec<(f64, Course)> {
    let (mut dice, mut said) = (Dice::new(seed), Vec::new());
    for look in 0..(hours * 2_160.0) as u64 {
        let at_h = look as f64 / 2_160.0;
        creep.see(look * S * 5 / 3, delay(at_h) + jitter_ms * dice.normal(), &mut |course| said.push((at_h, course)));
    }
    said
}

#[test]
fn a_step_of_20_ms_is_named_within_a_minute_with_its_size() {
    for seed in 0..40 {
        let at_h = 0.5 + seed as f64 / 977.0;
        let mut creep = Creep::new(99.9);
        let said = said(&mut creep, 1.0, 2.0, seed, |now_h| if now_h > at_h { 40.0 } else { 20.0 });
        let [(named_h, Course::Stepped { before_ms, now_ms })] = said[..] else { panic!("{said:?}") };
        assert!((named_h - at_h) * 60.0 < 1.0, "{} s", (named_h - at_h) * 3_600.0);
        assert!((before_ms - 20.0).abs() < 1.5 && (now_ms - 40.0).abs() < 3.0, "{said:?}");
    }
}

#[test]
fn over_the_limit_is_said_once_and_its_end_too() {
    let mut creep = Creep::new(30.0);
    let delay = |at_h: f64| if (0.3..0.6).contains(&at_h) { 33.0 } else { 28.0 };
    let said = said(&mut creep, 1.0, 0.5, 9, delay);
    let limits: Vec<_> = said.iter().filter(|(_, c)| matches!(c, Course::Over { .. } | Course::Under { .. })).collect();
    assert!(
        matches!(limits[..], [(a, Course::Over { .. }), (b, Course::Under { .. })]
        if (0.3..0.32).contains(a) && (0.6..0.62).contains(b)),
        "{said:?}"
    );
    assert!(!creep.is_over());
}

#[test]
fn few_delays_say_nothing_and_a_gap_joins_nothing() {
    let mut creep = Creep::new(30.0);
    let mut count = 0;
    for at_s in (0..7_200).step_by(3) {
        creep.see(at_s * S, 50.0, &mut |_| count += 1);
    }
    assert_eq!((count, creep.trend()), (0, None), "four in ten seconds");
    let mut creep = Creep::new(30.0);
    for at_s in 0..40 {
        creep.see(at_s * S, 10.0, &mut |_| count += 1);
    }
    // Nothing for an hour, then another delay.
    creep.pass(3_000 * S, &mut |_| count += 1);
    for at_s in 3_600..3_620 {
        creep.see(at_s * S, f64::NAN, &mut |_| count += 1);
    }
    assert_eq!(count, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Whatever comes: Over and Under alternate, Creeping and Calm too, and what is said of now is of what came.
    #[test]
    fn courses_alternate(levels in proptest::collection::vec((0.0f64..60.0, 1u64..900), 1..40)) {
        let mut creep = Creep::new(30.0);
        let (mut at_s, mut over, mut creeping, mut wrong) = (0, false, false, None);
        for (level, seconds) in levels {
            for _ in 0..seconds {
                at_s += 1;
                creep.see(at_s * S, level, &mut |course| match course {
                    Course::Over { now_ms, .. } => { if over || now_ms <= 30.0 { wrong = Some(course) } over = true }
                    Course::Under { now_ms } => { if !over || now_ms > 30.0 { wrong = Some(course) } over = false }
                    Course::Creeping { .. } => { if creeping { wrong = Some(course) } creeping = true }
                    Course::Calm => { if !creeping { wrong = Some(course) } creeping = false }
                    Course::Stepped { before_ms, now_ms } => if (before_ms - now_ms).abs() < LEAST_STEP_MS { wrong = Some(course) },
                });
            }
        }
        prop_assert_eq!(wrong, None);
        prop_assert_eq!((creep.is_over(), creep.is_creeping()), (over, creeping));
    }
}
