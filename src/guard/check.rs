//! One check and how its outcome comes about: a number against its limit, a yes or no, or the delays of many pictures. The words
//! are the table's; what all checks together mean is `verdict`'s.

use super::bound::{Bound, number};
use super::limits::{Limit, Limits};
use super::table::{Group, Test};
use super::verdict::Form;
use crate::base::proportion::clopper_pearson;
use crate::base::stats::P999_FROM_COUNT;
use serde::{Deserialize, Serialize};

/// Of each bound of a share, one-sided.
const CONFIDENCE: f64 = 0.95;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Outcome {
    Pass,
    /// Beyond a default, or not shown to be within it: named, and no failure.
    Limited,
    Fail,
    NotRun {
        reason: String,
    },
}

/// The limit as it was when the check was judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    pub id: String,
    /// "at most 100 ms (never over 120 ms)"
    pub words: String,
    pub in_force: Option<Bound>,
    /// Beyond it the check fails.
    pub failing: Option<Bound>,
    pub source: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    pub id: String,
    /// What an engineer looks up: "ST-D12".
    pub code: String,
    pub group: Group,
    pub what: String,
    #[serde(flatten)]
    pub outcome: Outcome,
    pub value: Option<f64>,
    /// What the value is of many: "p99".
    pub statistic: Option<String>,
    /// The largest of many.
    pub longest: Option<f64>,
    pub unit: String,
    pub limit: Option<Judged>,
    /// What was found, for engineers: names, counts, bounds.
    pub detail: String,
    /// For everybody.
    pub explanation: String,
    /// Empty where nothing is to be done.
    pub remedy: String,
}

impl Check {
    /// A number against the test's own limit. A test without one, or a number that is none, fails.
    pub fn measured(test: Test, value: f64, limits: &Limits) -> Check {
        match test.row().limit.and_then(|id| limits.get(id)) {
            Some(limit) => Check::against(test, value, limit),
            None => Check::found(test, false, "there is no limit to judge this by: a mistake of the program"),
        }
    }

    /// A number against a limit that the caller names: the form's, or one that a manifest narrows.
    pub fn against(test: Test, value: f64, limit: &Limit) -> Check {
        let outcome = match (limit.in_force(), limit.failing()) {
            _ if !value.is_finite() => Outcome::Fail,
            (_, Some(failing)) if !failing.holds(value) => Outcome::Fail,
            (Some(bound), _) if !bound.holds(value) => Outcome::Limited,
            (Some(_), _) => Outcome::Pass,
            (None, _) => Outcome::NotRun { reason: format!("measured {} {}, and nobody has set a limit yet", number(value), limit.unit) },
        };
        let detail = if value.is_finite() { String::new() } else { "the measurement gave no number".to_owned() };
        let mut check =
            Check { value: rounded(value), unit: limit.unit.clone(), limit: Some(judged(limit)), ..Check::new(test, outcome, detail) };
        if limit.in_force().is_none() && check.outcome != Outcome::Fail {
            check.remedy = format!("Have the site fix and sign the limit '{}' at commissioning.", limit.id);
        }
        check
    }

    /// A yes or no; `detail` says what was found.
    pub fn found(test: Test, is_good: bool, detail: impl Into<String>) -> Check {
        Check::new(test, if is_good { Outcome::Pass } else { Outcome::Fail }, detail.into())
    }

    pub fn not_run(test: Test, reason: impl Into<String>) -> Check {
        Check::new(test, Outcome::NotRun { reason: reason.into() }, String::new())
    }

    /// The same with more to say to engineers.
    pub fn with_detail(mut self, detail: &str) -> Check {
        if detail.is_empty() {
            return self;
        }
        self.detail = if self.detail.is_empty() { detail.to_owned() } else { format!("{}; {detail}", self.detail) };
        self
    }

    /// The number of pictures that were measured, against the form's.
    pub fn frames(measured: u64, form: Form, limits: &Limits) -> Check {
        Check::of_form(Test::Frames, measured as f64, ["quick_frames", "full_frames"], form, limits)
    }

    /// How long the self-test took, s, against the form's.
    pub fn duration(seconds: f64, form: Form, limits: &Limits) -> Check {
        Check::of_form(Test::Duration, seconds, ["quick_seconds", "full_seconds"], form, limits)
    }

    fn of_form(test: Test, value: f64, ids: [&str; 2], form: Form, limits: &Limits) -> Check {
        match limits.get(ids[form as usize]) {
            Some(limit) => Check::against(test, value, limit),
            None => Check::found(test, false, "there is no limit to judge this by: a mistake of the program"),
        }
    }

    /// One delay a picture, ms.
    ///
    /// - One beyond the failing bound's hard limit fails: the maximum.
    /// - The part beyond the limit in force is judged by its exact (Clopper–Pearson) bounds, each at 95 %: good if the UPPER bound is
    ///   within the form's share (quick: p99, full: p99.9), bad if the LOWER one is beyond it, else not shown. Bad fails where the
    ///   limit is hard or the site's, and is limited where it is a default.
    /// - A full form from 10,000 pictures on is judged by p99.9 itself; below there is none.
    pub fn delay(test: Test, delays_ms: &[f64], form: Form, limits: &Limits) -> Check {
        let (limit, share) = (test.row().limit.and_then(|id| limits.get(id)), limits.number(form.share_id()));
        let (Some(limit), Some(share)) = (limit, share.map(|percent| percent / 100.0)) else {
            return Check::found(test, false, "there is no limit to judge this by: a mistake of the program");
        };
        if delays_ms.is_empty() {
            return Check { limit: Some(judged(limit)), unit: limit.unit.clone(), ..Check::not_run(test, "no picture was measured") };
        }
        let Some(in_force) = limit.in_force() else {
            return Check::against(test, quantile(delays_ms, 0.99), limit);
        };
        let bad = delays_ms.iter().filter(|ms| !ms.is_finite() || **ms < 0.0).count();
        let count = delays_ms.len() as u64;
        let over = delays_ms.iter().filter(|ms| !in_force.holds(**ms)).count() as u64;
        let longest = delays_ms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = clopper_pearson(over, count, CONFIDENCE);
        let has_p999 = form == Form::Full && count >= P999_FROM_COUNT;
        let (statistic, value) = if has_p999 { ("p99.9", quantile(delays_ms, 0.999)) } else { ("p99", quantile(delays_ms, 0.99)) };
        let is_too_long = limit.hard.is_some_and(|hard| !hard.holds(longest));
        let (is_good, is_bad) = if has_p999 { (in_force.holds(value), !in_force.holds(value)) } else { (high <= share, low > share) };
        let outcome = if bad > 0 || is_too_long {
            Outcome::Fail
        } else if is_good {
            Outcome::Pass
        } else if is_bad && limit.failing() == Some(in_force) {
            Outcome::Fail
        } else {
            Outcome::Limited
        };
        let mut detail = format!(
            "{over} of {count} beyond the limit ({in_force} {}): {} to {} % (95 % bounds; allowed {} %); longest {} {}",
            limit.unit,
            number(100.0 * low),
            number(100.0 * high),
            number(100.0 * share),
            number(longest),
            limit.unit
        );
        let is_open = outcome == Outcome::Limited && !is_bad;
        if bad > 0 {
            detail += &format!("; {bad} delays are impossible");
        } else if is_too_long {
            detail += "; not even one may be so long";
        } else if is_open {
            detail += "; too few pictures to show that it holds";
        }
        let mut check = Check {
            value: rounded(value),
            statistic: Some(statistic.to_owned()),
            longest: rounded(longest),
            unit: limit.unit.clone(),
            limit: Some(judged(limit)),
            ..Check::new(test, outcome, detail)
        };
        if is_open {
            check.explanation = format!("Too few pictures were measured to be sure of it: {}.", check.what);
            check.remedy = "Test again, longer, with nothing else running.".to_owned();
        }
        check
    }

    fn new(test: Test, outcome: Outcome, detail: String) -> Check {
        let row = test.row();
        Check {
            id: row.id.to_owned(),
            code: row.code.to_owned(),
            group: row.group,
            what: row.what.to_owned(),
            value: None,
            statistic: None,
            longest: None,
            unit: String::new(),
            limit: None,
            detail,
            explanation: match &outcome {
                Outcome::Pass => row.meaning.to_owned(),
                Outcome::NotRun { reason } => format!("Not tested: {reason}."),
                Outcome::Limited | Outcome::Fail => row.wrong.to_owned(),
            },
            remedy: match &outcome {
                Outcome::Pass => "",
                Outcome::NotRun { .. } => "Take the reason away, then test again.",
                Outcome::Limited | Outcome::Fail => row.remedy,
            }
            .to_owned(),
            outcome,
        }
    }
}

/// For the report; what was judged is the number itself.
fn rounded(value: f64) -> Option<f64> {
    value.is_finite().then(|| (value * 1e6).round() / 1e6)
}

fn judged(limit: &Limit) -> Judged {
    let (id, source) = (limit.id.clone(), limit.source.clone());
    Judged { id, words: limit.words(), in_force: limit.in_force(), failing: limit.failing(), source }
}

/// The nearest rank: a delay that was measured. NaN without one.
pub(super) fn quantile(values: &[f64], quantile: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_video_limit(bound: f64) -> Limits {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.toml");
        let text = format!(
            "schema = \"keyhole.site-limits/1\"\nby = \"a\"\ndate = \"b\"\nwhy = \"c\"\n[[limit]]\nid = \"video_delay_ms\"\nvalue = {bound:?}\n"
        );
        std::fs::write(&path, text).unwrap();
        Limits::load(None, Some(&path), crate::base::mode::Mode::Demo, &[]).unwrap()
    }

    /// `count` delays of 4 ms, `over` of them of `long` ms.
    fn delays(count: usize, over: usize, long: f64) -> Vec<f64> {
        (0..count).map(|i| if i < over { long } else { 4.0 }).collect()
    }

    #[test]
    fn a_number_passes_is_limited_or_fails_by_its_limit() {
        let limits = Limits::shipped();
        let outcome = |test, value| Check::measured(test, value, &limits).outcome;
        assert_eq!([0.0, 0.4, 1.1].map(|value| outcome(Test::Missing, value)), [Outcome::Pass, Outcome::Limited, Outcome::Fail]);
        assert_eq!([0.0, 1.0].map(|value| outcome(Test::Pixels, value)), [Outcome::Pass, Outcome::Fail]);
        assert_eq!([-0.4, 0.6, -17.0].map(|value| outcome(Test::Refresh, value)), [Outcome::Pass, Outcome::Fail, Outcome::Fail]);
        assert_eq!(outcome(Test::Missing, f64::NAN), Outcome::Fail);
        assert!(matches!(outcome(Test::Temperature, 61.0), Outcome::NotRun { reason } if reason.contains("61")));
        assert_eq!(Check::measured(Test::Audit, 1.0, &limits).outcome, Outcome::Fail, "a test without a limit is never passed by a number");
        let failed = Check::measured(Test::Pixels, 3.0, &limits);
        assert_eq!((failed.code.as_str(), failed.value, failed.unit.as_str()), ("ST-P33", Some(3.0), "pixels"));
        assert!(failed.limit.as_ref().unwrap().source.contains("DEN200055") && !failed.remedy.is_empty());
        assert!(Check::measured(Test::Pixels, 0.0, &limits).remedy.is_empty());
        assert_eq!(Check::frames(499, Form::Quick, &limits).outcome, Outcome::Fail);
        assert_eq!(Check::frames(500, Form::Quick, &limits).outcome, Outcome::Pass);
        assert_eq!(Check::frames(500, Form::Full, &limits).outcome, Outcome::Fail);
        assert_eq!([9.0, 11.0].map(|s| Check::duration(s, Form::Quick, &limits).outcome), [Outcome::Pass, Outcome::Limited]);
    }

    #[test]
    fn delays_are_judged_by_the_bound_of_their_share_and_by_the_longest() {
        let shipped = Limits::shipped();
        let site = with_video_limit(5.75);
        use {Form::Full, Form::Quick, Outcome as O};
        for (form, count, over, long, by_default, by_site) in [
            (Quick, 500, 0, 0.0, O::Pass, O::Pass),
            // The bound of 1 of 500 is 0.945 %, of 2 it is 1.25 %.
            (Quick, 500, 1, 9.0, O::Pass, O::Pass),
            (Quick, 500, 2, 9.0, O::Limited, O::Limited),
            // Evidently more than 1 %: the lower bound of 12 is 1.39 %.
            (Quick, 500, 12, 9.0, O::Limited, O::Fail),
            (Quick, 500, 1, 51.0, O::Fail, O::Fail),
            // The bound of none of 4,000 is 0.075 %, of one 0.119 %.
            (Full, 4_000, 0, 0.0, O::Pass, O::Pass),
            (Full, 4_000, 1, 9.0, O::Limited, O::Limited),
            (Full, 4_000, 12, 9.0, O::Limited, O::Fail),
            // p99.9 itself.
            (Full, 10_000, 10, 9.0, O::Pass, O::Pass),
            (Full, 10_000, 11, 9.0, O::Limited, O::Fail),
            (Full, 10_000, 1, 50.5, O::Fail, O::Fail),
        ] {
            for (limits, expected) in [(&shipped, by_default), (&site, by_site)] {
                let check = Check::delay(Test::VideoDelay, &delays(count, over, long), form, limits);
                assert_eq!(check.outcome, expected, "{form:?}: {over} of {count} at {long}: {}", check.detail);
                assert_eq!(check.statistic.as_deref() == Some("p99.9"), count >= 10_000);
                assert!(check.detail.contains(&format!("{over} of {count}")), "{}", check.detail);
            }
        }
        // Hard alone: one is enough.
        assert_eq!(Check::delay(Test::CableToCable, &delays(500, 1, 100.0), Quick, &shipped).outcome, O::Fail);
        assert_eq!(Check::delay(Test::CableToCable, &delays(500, 1, 99.9), Quick, &shipped).outcome, O::Pass);
        assert_eq!(Check::delay(Test::AnnotationDelay, &delays(500, 1, 120.1), Quick, &shipped).outcome, O::Fail);
        for odd in [f64::NAN, f64::INFINITY, -1.0] {
            let check = Check::delay(Test::VideoDelay, &delays(600, 1, odd), Quick, &shipped);
            assert!(check.outcome == O::Fail && check.detail.contains("impossible"), "{odd}: {}", check.detail);
        }
        // What was not shown is not said to be bad, and the longest is named.
        let open = Check::delay(Test::AnnotationDelay, &delays(270, 0, 0.0), Quick, &shipped);
        assert!(open.outcome == O::Limited && open.explanation.starts_with("Too few pictures") && !open.explanation.contains("too late"));
        let long = Check::delay(Test::CableToCable, &delays(500, 1, 118.0), Quick, &shipped);
        assert_eq!((long.value, long.longest, long.detail.contains("not even one")), (Some(4.0), Some(118.0), true));
        assert!(matches!(Check::delay(Test::VideoDelay, &[], Quick, &shipped).outcome, O::NotRun { .. }));
    }

    proptest! {
        /// One longer delay never makes a verdict better, and no list of numbers makes the rule panic or pass a picture beyond the hard limit.
        #[test]
        fn a_longer_delay_is_never_better(mut ms in proptest::collection::vec(0.0f64..130.0, 1..700), at in any::<prop::sample::Index>(), more in 0.0f64..200.0) {
            let limits = Limits::shipped();
            let rank = |check: &Check| match check.outcome { Outcome::Pass => 0, Outcome::Limited => 1, Outcome::Fail => 2, Outcome::NotRun { .. } => 9 };
            for test in [Test::VideoDelay, Test::AnnotationDelay, Test::CableToCable] {
                let before = rank(&Check::delay(test, &ms, Form::Quick, &limits));
                let hard = limits.get(test.row().limit.unwrap()).unwrap().hard.unwrap();
                prop_assert!(before == 2 || ms.iter().all(|ms| hard.holds(*ms)));
                let index = at.index(ms.len());
                let kept = ms[index];
                ms[index] += more;
                prop_assert!(rank(&Check::delay(test, &ms, Form::Quick, &limits)) >= before);
                ms[index] = kept;
            }
        }
    }
}
