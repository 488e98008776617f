//! Flaws of single pictures, as they add up: one is said and passes, a stream of them takes the picture's trust. What a flaw
//! is, is found elsewhere (`order`, `torn`). Pure: times come in.
//!
//! ```text
//!   Calm ─ one ─► Seen ─ the third within WITHIN_NS ─► Stream ─ none for CALM_NS ─► Calm
//!                  └────────────── none for CALM_NS ─────────────────────────────────▲
//! ```

/// So many flawed pictures …
const STREAM: usize = 3;
/// … within so long are a stream.
const WITHIN_NS: u64 = 500_000_000;
/// Without a flaw for so long, all is well again.
const CALM_NS: u64 = 600_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// One was flawed.
    Seen,
    /// They keep coming.
    Stream,
    /// No more of them, after so many.
    Calm { pictures: u32 },
}

#[derive(Debug, Default)]
pub(super) struct Flaws {
    /// Of the latest ones, ns; the newest first.
    latest: [Option<u64>; STREAM],
    pictures: u32,
    is_stream: bool,
}

impl Flaws {
    /// A picture was looked at.
    pub fn picture(&mut self, is_flawed: bool, now_ns: u64) -> Option<Change> {
        if !is_flawed {
            let is_calm = self.latest[0].is_some_and(|at_ns| now_ns.saturating_sub(at_ns) >= CALM_NS);
            return is_calm.then(|| Change::Calm { pictures: std::mem::take(self).pictures });
        }
        let is_first = self.pictures == 0;
        self.pictures = self.pictures.saturating_add(1);
        self.latest.rotate_right(1);
        self.latest[0] = Some(now_ns);
        let is_stream = self.latest[STREAM - 1].is_some_and(|at_ns| now_ns.saturating_sub(at_ns) <= WITHIN_NS);
        if is_stream && !std::mem::replace(&mut self.is_stream, true) {
            return Some(Change::Stream);
        }
        is_first.then_some(Change::Seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn one_passes_and_a_third_within_half_a_second_is_a_stream() {
        let mut flaws = Flaws::default();
        let mut said = Vec::new();
        for n in 0..200u64 {
            let is_flawed = n == 10 || (n > 60 && n < 100 && n % 3 == 0);
            said.extend(flaws.picture(is_flawed, n * 17 * MS).map(|change| (n, change)));
        }
        let expected = [
            (10, Change::Seen),
            (46, Change::Calm { pictures: 1 }),
            (63, Change::Seen),
            (69, Change::Stream),
            (135, Change::Calm { pictures: 13 }),
        ];
        assert_eq!(said, expected);
    }

    proptest! {
        /// Seen or a stream always ends in calm, and never two of one kind follow each other.
        #[test]
        fn it_always_calms_down(steps in proptest::collection::vec((any::<bool>(), 1u64..400), 0..100)) {
            let (mut flaws, mut at, mut last) = (Flaws::default(), 0, Change::Calm { pictures: 0 });
            let quiet = std::iter::repeat_n((false, 100), 8);
            for (is_flawed, step) in steps.into_iter().chain(quiet) {
                at += step * MS;
                if let Some(change) = flaws.picture(is_flawed, at) {
                    prop_assert!(std::mem::discriminant(&change) != std::mem::discriminant(&last));
                    prop_assert!(!(change == Change::Seen && last == Change::Stream));
                    last = change;
                }
            }
            let is_calm = matches!(last, Change::Calm { .. });
            prop_assert!(is_calm);
        }
    }
}
