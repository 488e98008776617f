//! Annotation delay and age of the overlay, judged by what was seen from outside: when the number of each picture that the AI has
//! answered first stood on the monitor (see `echo`). What was hidden as too old never stood there, and counts as late.

use super::Observed;
use super::judge::{analysed, summary};
use crate::frame::marker::Analysis;
use crate::guard::{Check, Form, Limits, Report, Test};

/// An AI that has answered before and then says nothing for so long has stopped: its process is killed after this time.
const SILENT_NS: u64 = 500_000_000;

pub fn judge(seen: &Observed, limits: &Limits, report: &mut Report, checks: &mut Vec<Check>) {
    let run = &seen.report;
    let inside = &run.annotation_delay_ms;
    let answers = Answers::of(seen, &analysed(seen, |sight| sight.echo));
    report.delays_ms.annotation = summary(&answers.shown_ms);
    report.delays_ms.annotation_inside = (inside.count > 0).then(|| inside.clone());
    let reason = if !seen.has_echo {
        Some("the test pictures have no room for the overlay's answers; make them larger")
    } else if run.engines.is_empty() {
        Some("no AI ran: no engine was found that may run here")
    } else {
        None
    };
    if let Some(reason) = reason {
        checks.push(Check::not_run(Test::AnnotationDelay, reason));
        return;
    }
    let inner =
        if inside.count > 0 { format!("the box itself says p50 {:.2}, longest {:.2} ms", inside.p50, inside.max) } else { String::new() };
    checks.push(answers.check(limits).with_detail(&inner));
    if run.overlay_age_ms.count > 0 {
        checks.push(Check::measured(Test::OverlayAge, run.overlay_age_ms.max, limits));
    }
}

/// What became of the pictures that the AI was given.
#[derive(Debug, Default)]
struct Answers {
    /// From release to the first look that saw the answer.
    shown_ms: Vec<f64>,
    /// How old those were already that were hidden before anybody saw them.
    hidden_ms: Vec<f64>,
    /// When there was an answer, shown or hidden.
    at_ns: Vec<u64>,
    /// When the last picture was presented.
    end_ns: u64,
    restarts: u64,
}

impl Answers {
    fn of(seen: &Observed, analysis: &Analysis) -> Answers {
        let late = || seen.late.iter().filter(|late| late.capture_ns >= seen.since_ns);
        let at_ns = analysis.sights.iter().map(|sight| sight.seen_ns).chain(late().map(|late| late.capture_ns + late.age_ns));
        let end_ns = seen.presents.iter().filter(|present| !present.is_again).map(|present| present.present_ns).max();
        Answers {
            shown_ms: analysis.sights.iter().map(|sight| sight.delay_ns() as f64 / 1e6).collect(),
            hidden_ms: late().map(|late| late.age_ns as f64 / 1e6).collect(),
            at_ns: at_ns.collect(),
            end_ns: end_ns.unwrap_or(0),
            restarts: seen.report.worker_restarts,
        }
    }

    fn check(&self, limits: &Limits) -> Check {
        let (shown, hidden) = (self.shown_ms.len(), self.hidden_ms.len());
        let words = format!("{shown} answers of the AI were seen, {hidden} came too late and were hidden");
        if self.restarts > 0 {
            return Check::found(Test::AnnotationDelay, false, format!("the AI process ended {} times; {words}", self.restarts));
        }
        if shown == 0 {
            return Check::found(Test::AnnotationDelay, false, words);
        }
        let silent_ns = self.longest_silence_ns();
        if silent_ns >= SILENT_NS {
            let silent_ms = silent_ns / 1_000_000;
            return Check::found(Test::AnnotationDelay, false, format!("the AI said nothing for {silent_ms} ms; {words}"));
        }
        // The hard limit is for what is shown: what is hidden is beyond the other one, however old it has become.
        let hard_ms = limits.get("annotation_delay_ms").and_then(|limit| limit.hard).map_or(f64::MAX, |bound| bound.ends().1);
        let all_ms: Vec<f64> = self.shown_ms.iter().copied().chain(self.hidden_ms.iter().map(|ms| ms.min(hard_ms))).collect();
        // p99 in both forms: an AI answers hardly every picture, and never so many that p99.9 could be shown.
        Check::delay(Test::AnnotationDelay, &all_ms, Form::Quick, limits).with_detail(&words)
    }

    /// From the first answer to the end.
    fn longest_silence_ns(&self) -> u64 {
        let mut at_ns = self.at_ns.clone();
        at_ns.sort_unstable();
        at_ns.push(self.end_ns);
        at_ns.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Outcome;

    const MS: u64 = 1_000_000;

    /// 600 pictures at 60 a second, each answered `delay_ms` later.
    fn answers(delay_ms: impl Fn(u64) -> f64) -> Answers {
        let shown_ms: Vec<f64> = (0..600).map(&delay_ms).collect();
        let at_ns = shown_ms.iter().zip(0..).map(|(ms, i)| 1_000 * MS + i * 16 * MS + (ms * 1e6) as u64).collect();
        Answers { shown_ms, hidden_ms: Vec::new(), at_ns, end_ns: 1_000 * MS + 600 * 16 * MS, restarts: 0 }
    }

    fn judged(answers: &Answers) -> Check {
        answers.check(&Limits::shipped())
    }

    #[test]
    fn each_delay_that_was_seen_counts_by_the_limit_and_the_hard_one_allows_none() {
        assert_eq!(judged(&answers(|_| 30.0)).outcome, Outcome::Pass);
        assert_eq!(judged(&answers(|i| if i % 10 == 0 { 110.0 } else { 30.0 })).outcome, Outcome::Limited);
        let one = judged(&answers(|i| if i == 300 { 120.5 } else { 30.0 }));
        assert!(one.outcome == Outcome::Fail && one.longest == Some(120.5), "{one:?}");
    }

    #[test]
    fn what_was_hidden_as_too_old_is_late_and_an_ai_that_is_always_late_fails() {
        let mut late = answers(|_| 30.0);
        late.hidden_ms = vec![300.0; 60];
        let check = judged(&late);
        assert!(check.outcome == Outcome::Limited && check.detail.contains("60 came too late"), "{check:?}");
        let never = Answers { shown_ms: Vec::new(), hidden_ms: vec![150.0; 60], ..answers(|_| 150.0) };
        assert_eq!(judged(&never).outcome, Outcome::Fail);
        let silent = Answers { shown_ms: Vec::new(), at_ns: Vec::new(), ..answers(|_| 0.0) };
        assert_eq!(judged(&silent).outcome, Outcome::Fail, "nothing was ever seen");
    }

    #[test]
    fn an_ai_that_stops_fails_however_good_its_numbers_were() {
        let mut dead = answers(|_| 30.0);
        dead.restarts = 1;
        assert_eq!(judged(&dead).outcome, Outcome::Fail);
        for (from, until) in [(500, 600), (200, 300)] {
            let mut silent = answers(|_| 30.0);
            silent.shown_ms.drain(from..until);
            silent.at_ns.drain(from..until);
            let check = judged(&silent);
            assert!(check.outcome == Outcome::Fail && check.detail.contains("said nothing for 1"), "{check:?}");
        }
    }
}
