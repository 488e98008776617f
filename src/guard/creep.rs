//! Does the delay to the monitor creep, while the appliance is in use? Delays come in as they are measured; what comes out is named once
//! and is an alarm's to say. Pure: time is a value.
//!
//! ```text
//!   delays ─► median of 10 s ─┬─ of the last three: over the limit? a step from what it was?      named within a minute
//!                             └► of a minute ─► of five minutes ─► trend over 1½, 3 and 6 hours ─► forecast: creeping?
//! ```
//! A creep is a rise whose whole interval lies above [`LEAST_SLOPE_MS_AN_HOUR`], which a straight line explains better than a step does,
//! and which reaches the limit within [`HORIZON_H`]. Slower ones, and those of longer ways, are the self-tests' (`trend` over days).

use super::trend::{Ground, Trend, middle};
use std::collections::VecDeque;

/// A rise is called a creep only where it is steeper than this for sure: a theatre's temperature makes less (±0.3 ms over a day: 0.08).
pub const LEAST_SLOPE_MS_AN_HOUR: f64 = 0.2;
/// Whoever begins an operation now wants to know: longer ones are rare.
pub const HORIZON_H: f64 = 12.0;
const TEN_S_NS: u64 = 10_000_000_000;
/// Fewer delays than these in ten seconds say nothing.
const FEWEST_IN_TEN_S: usize = 5;
/// More are not kept: the first of each ten seconds stand for all.
const MOST_IN_TEN_S: usize = 4_096;
const TENS_A_MINUTE: usize = 6;
const MINUTES_A_POINT: usize = 5;
/// Ten minutes: what a step is measured against.
const TENS_KEPT: usize = 60;
/// What the delay is now: of the last three ten seconds, the middle one.
const RECENT_TENS: usize = 3;
/// What it was before: so many ten seconds at least.
const FEWEST_BEFORE: usize = 6;
/// Less than this, or than so many times the spread, is no step.
const LEAST_STEP_MS: f64 = 5.0;
const STEP_SPREADS: f64 = 6.0;
/// Below the limit by so much it is no longer over it.
const UNDER_BY_MS: f64 = 0.5;
/// Points of five minutes: six hours.
const POINTS_KEPT: usize = 72;
/// The windows that a creep is looked for in, in points: the short one sees it soon, the long one through more noise.
const WINDOWS: [usize; 3] = [18, 36, POINTS_KEPT];
/// The interval is of 99.9 %: it is asked some 900 times a day.
const GROUND: Ground = Ground { fewest: WINDOWS[0], shortest: 1.25, z: 3.290_527 };
const HOUR_NS: f64 = 3.6e12;

/// What has become of the delay; each is said once, when it begins or ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Course {
    /// It rises, and reaches the limit in so many hours.
    Creeping {
        ms_an_hour: f64,
        low: f64,
        high: f64,
        now_ms: f64,
        limit_in_h: f64,
    },
    /// It does not, or not so soon, any more.
    Calm,
    /// It has become another one at once. What was known of its trend is forgotten.
    Stepped {
        before_ms: f64,
        now_ms: f64,
    },
    Over {
        now_ms: f64,
        limit_ms: f64,
    },
    Under {
        now_ms: f64,
    },
}

/// Watches one delay.
#[derive(Debug)]
pub struct Creep {
    limit_ms: f64,
    /// Delays of these ten seconds, which end then.
    ten: Vec<f64>,
    ten_ends_ns: Option<u64>,
    tens: VecDeque<f64>,
    /// Medians of this minute's ten seconds, and of this point's minutes.
    minute: Vec<f64>,
    minutes: Vec<f64>,
    /// [hours, ms].
    points: VecDeque<[f64; 2]>,
    scratch: Vec<f64>,
    is_over: bool,
    is_creeping: bool,
    trend: Option<Trend>,
}

impl Creep {
    pub fn new(limit_ms: f64) -> Self {
        Creep {
            limit_ms,
            ten: Vec::with_capacity(MOST_IN_TEN_S),
            ten_ends_ns: None,
            tens: VecDeque::with_capacity(TENS_KEPT + 1),
            minute: Vec::with_capacity(TENS_A_MINUTE),
            minutes: Vec::with_capacity(MINUTES_A_POINT),
            points: VecDeque::with_capacity(POINTS_KEPT + 1),
            scratch: Vec::with_capacity(MOST_IN_TEN_S),
            is_over: false,
            is_creeping: false,
            trend: None,
        }
    }

    pub fn limit_ms(&self) -> f64 {
        self.limit_ms
    }

    /// ms an hour over the longest window that there is; None: too short a time, or not sure.
    pub fn trend(&self) -> Option<&Trend> {
        self.trend.as_ref()
    }

    /// Hours until the limit, by the trend; None: it does not rise for sure.
    pub fn forecast_h(&self) -> Option<f64> {
        self.trend?.until(self.limit_ms)
    }

    pub fn is_over(&self) -> bool {
        self.is_over
    }

    pub fn is_creeping(&self) -> bool {
        self.is_creeping
    }

    /// A delay, measured at `at_ns`.
    pub fn see(&mut self, at_ns: u64, delay_ms: f64, tell: &mut impl FnMut(Course)) {
        self.pass(at_ns, tell);
        self.ten_ends_ns.get_or_insert(at_ns + TEN_S_NS);
        if self.ten.len() < MOST_IN_TEN_S && delay_ms.is_finite() {
            self.ten.push(delay_ms);
        }
    }

    /// Time has passed.
    pub fn pass(&mut self, now_ns: u64, tell: &mut impl FnMut(Course)) {
        let Some(ends_ns) = self.ten_ends_ns.filter(|&ends_ns| now_ns >= ends_ns) else { return };
        self.ten_ends_ns = None;
        if self.ten.len() < FEWEST_IN_TEN_S {
            self.ten.clear();
            return;
        }
        let ten_ms = median(&mut self.scratch, self.ten.iter().copied());
        self.ten.clear();
        self.tens.push_back(ten_ms);
        if self.tens.len() > TENS_KEPT {
            self.tens.pop_front();
        }
        self.look_for_limit(tell);
        if self.look_for_step(tell) {
            return;
        }
        self.minute.push(ten_ms);
        if self.minute.len() < TENS_A_MINUTE {
            return;
        }
        let of_minute = median(&mut self.scratch, self.minute.drain(..));
        self.minutes.push(of_minute);
        if self.minutes.len() < MINUTES_A_POINT {
            return;
        }
        let of_point = median(&mut self.scratch, self.minutes.drain(..));
        self.points.push_back([ends_ns as f64 / HOUR_NS, of_point]);
        if self.points.len() > POINTS_KEPT {
            self.points.pop_front();
        }
        self.look_for_creep(tell);
    }

    /// The middle one of the last three.
    fn now_ms(&mut self) -> Option<f64> {
        let from = self.tens.len().checked_sub(RECENT_TENS)?;
        Some(median(&mut self.scratch, self.tens.range(from..).copied()))
    }

    fn look_for_limit(&mut self, tell: &mut impl FnMut(Course)) {
        let Some(now_ms) = self.now_ms() else { return };
        if !self.is_over && now_ms > self.limit_ms {
            self.is_over = true;
            tell(Course::Over { now_ms, limit_ms: self.limit_ms });
        } else if self.is_over && now_ms < self.limit_ms - UNDER_BY_MS {
            self.is_over = false;
            tell(Course::Under { now_ms });
        }
    }

    /// Another level than before. What came before it says nothing of what comes.
    fn look_for_step(&mut self, tell: &mut impl FnMut(Course)) -> bool {
        let Some(before) = self.tens.len().checked_sub(RECENT_TENS).filter(|&before| before >= FEWEST_BEFORE) else { return false };
        let (last_ms, now_ms) = (self.tens[before + 1], self.tens[before + 2]);
        let before_ms = median(&mut self.scratch, self.tens.range(..before).copied());
        let spread_ms = median(&mut self.scratch, self.tens.range(..before).map(|ms| (ms - before_ms).abs()));
        let step_ms = LEAST_STEP_MS.max(STEP_SPREADS * spread_ms);
        // Seen twice, and alike: ten seconds that hold both levels say neither.
        let is_other = [last_ms, now_ms].iter().all(|ms| (ms - before_ms).abs() >= step_ms);
        if !is_other || (now_ms - last_ms).abs() >= step_ms {
            return false;
        }
        tell(Course::Stepped { before_ms, now_ms });
        // Of the three, the first may still be of before.
        self.tens.drain(..before + 1);
        self.minute.clear();
        self.minutes.clear();
        self.points.clear();
        self.trend = None;
        if std::mem::take(&mut self.is_creeping) {
            tell(Course::Calm);
        }
        true
    }

    fn look_for_creep(&mut self, tell: &mut impl FnMut(Course)) {
        let points = self.points.make_contiguous();
        let mut found = None;
        for window in WINDOWS.into_iter().filter(|&window| window <= points.len() || window == WINDOWS[0]) {
            let last = &points[points.len().saturating_sub(window)..];
            let Some(trend) = Trend::on(last, &GROUND) else { continue };
            self.trend = Some(trend);
            let limit_in_h = trend.until(self.limit_ms).filter(|&hours| hours <= HORIZON_H && trend.low > LEAST_SLOPE_MS_AN_HOUR);
            if let Some(limit_in_h) = limit_in_h
                && found.is_none()
                && is_line(last, &trend, &mut self.scratch)
            {
                found = Some((trend, limit_in_h));
            }
        }
        match found {
            Some((trend, limit_in_h)) if !std::mem::replace(&mut self.is_creeping, true) => {
                let Trend { slope: ms_an_hour, low, high, level: now_ms, .. } = trend;
                tell(Course::Creeping { ms_an_hour, low, high, now_ms, limit_in_h });
            }
            // One that stands at the edge of what is called so is not said again and again.
            None if self.is_creeping && !self.trend.is_some_and(|trend| trend.low > 0.0) => {
                self.is_creeping = false;
                tell(Course::Calm);
            }
            _ => {}
        }
    }
}

/// Does the line leave less unexplained than the best step does? A single step slants every line through it.
fn is_line(points: &[[f64; 2]], trend: &Trend, scratch: &mut Vec<f64>) -> bool {
    let by_line: f64 = points.iter().map(|&[time, value]| (value - trend.at(time)).abs()).sum();
    let mut off = |part: &[[f64; 2]]| {
        let level = median(scratch, part.iter().map(|point| point[1]));
        part.iter().map(|point| (point[1] - level).abs()).sum::<f64>()
    };
    (1..points.len()).all(|at| off(&points[..at]) + off(&points[at..]) > by_line)
}

/// 0 of none.
fn median(scratch: &mut Vec<f64>, values: impl Iterator<Item = f64>) -> f64 {
    scratch.clear();
    scratch.extend(values);
    scratch.sort_unstable_by(f64::total_cmp);
    if scratch.is_empty() { 0.0 } else { middle(scratch) }
}

#[cfg(test)]
#[path = "creep_tests.rs"]
mod tests;
