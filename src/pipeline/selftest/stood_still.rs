//! Words beside a loss: whether the machine itself stood still then, as bare timer threads beside the run saw it. It explains a
//! loss and never excuses it: what was lost counts all the same.

use super::Observed;
use crate::record::StallLine;

/// Beside pictures that were lost. Empty: none was.
pub(super) fn at(missing: &[u32], seen: &Observed) -> String {
    let Some(first) = seen.presents.first().filter(|_| !missing.is_empty()) else { return String::new() };
    let start_ns = first.capture_ns.saturating_sub(first.pts_ns);
    let due_ns: Vec<u64> = missing.iter().map(|&number| start_ns + seen.pattern.pts_ns(u64::from(number))).collect();
    beside(&due_ns, seen.pattern.rate.period_ns(), &seen.report.machine_stalls)
}

/// Of the whole time in which pictures were watched. Empty: the machine never stood still for as long as a picture takes.
pub(super) fn meanwhile(seen: &Observed) -> String {
    let stalls: Vec<&StallLine> = seen.report.machine_stalls.iter().filter(|stall| stall.at_ns >= seen.since_ns).collect();
    match longest(stalls.iter().copied()) {
        Some(ms) => format!("meanwhile the machine itself stood still {}, at most for {ms:.0} ms", times(stalls.len())),
        None => String::new(),
    }
}

fn beside(due_ns: &[u64], period_ns: u64, stalls: &[StallLine]) -> String {
    // A timer that was late woke up that much after it was due, and may have been kept from running a period before.
    let covers = |stall: &StallLine, due_ns: u64| {
        let end_ns = stall.at_ns + (stall.late_ms * 1e6) as u64;
        stall.at_ns <= due_ns + 2 * period_ns && end_ns + period_ns >= due_ns
    };
    let then = || stalls.iter().filter(|stall| due_ns.iter().any(|&due_ns| covers(stall, due_ns)));
    let explained = due_ns.iter().filter(|&&due_ns| stalls.iter().any(|stall| covers(stall, due_ns))).count();
    match longest(then()) {
        Some(ms) => format!("the machine itself stood still at that moment for {explained} of {}, at most for {ms:.0} ms", due_ns.len()),
        None if due_ns.is_empty() => String::new(),
        None => "the machine itself did not stand still then".to_owned(),
    }
}

fn longest<'a>(stalls: impl Iterator<Item = &'a StallLine>) -> Option<f64> {
    stalls.map(|stall| stall.late_ms).max_by(f64::total_cmp)
}

fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn stall(at_ms: u64, late_ms: f64) -> StallLine {
        StallLine { at_ms: 0.0, at_ns: at_ms * MS, late_ms, core: None }
    }

    #[test]
    fn a_loss_is_said_to_be_the_machine_s_only_where_it_stood_still_then() {
        let stalls = [stall(1_000, 40.0), stall(5_000, 90.0)];
        let words = |due_ms: &[u64]| beside(&due_ms.iter().map(|ms| ms * MS).collect::<Vec<_>>(), 16 * MS, &stalls);
        assert_eq!(words(&[1_010]), "the machine itself stood still at that moment for 1 of 1, at most for 40 ms");
        assert_eq!(words(&[1_010, 3_000]), "the machine itself stood still at that moment for 1 of 2, at most for 40 ms");
        assert_eq!(words(&[1_010, 5_100, 5_020]), "the machine itself stood still at that moment for 3 of 3, at most for 90 ms");
        for apart in [960, 1_060, 4_960, 5_110] {
            assert_eq!(words(&[apart]), "the machine itself did not stand still then", "{apart}");
        }
        assert_eq!(words(&[]), "");
    }
}
