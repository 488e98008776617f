//! What happens when something goes wrong: one table from the kind of an error to the screen, the AI, the alarm and the process.
//! Who finds an error asks here and does not decide for himself.

use crate::base::error::ErrorKind;
use crate::base::hud::Priority;

/// What becomes of the part that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Tried again by itself, later each time.
    TriedAgain,
    /// Left out for the rest of the run, or until somebody asks for it again.
    LeftOut,
    /// Started anew; where it is the display, that is the whole process.
    Restarted,
    /// Nothing is begun.
    NotBegun,
}

/// What becomes of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    GoesOn,
    /// With this exit code. Before the first picture only: a run that shows one goes on showing it.
    Ends(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub kind: ErrorKind,
    /// What the screen shows of the picture.
    pub screen: &'static str,
    /// What it does to the AI, where the AI depends on what failed.
    pub ai: &'static str,
    /// None: nobody is called; the error itself says what to do.
    pub alarm: Option<Priority>,
    pub part: Fate,
    pub process: Process,
}

/// In the order of `ErrorKind`.
pub const ANSWERS: [Answer; 4] = [
    Answer {
        kind: ErrorKind::Retry,
        screen: "the picture, or NO SIGNAL while the source is what is tried again",
        ai: "degraded until it runs again",
        alarm: Some(Priority::High),
        part: Fate::TriedAgain,
        process: Process::GoesOn,
    },
    Answer {
        kind: ErrorKind::Degrade,
        screen: "the picture, and what is missing",
        ai: "as it was",
        alarm: Some(Priority::Low),
        part: Fate::LeftOut,
        process: Process::GoesOn,
    },
    Answer {
        kind: ErrorKind::Stop,
        screen: "nothing: the run does not begin. In the theatre the picture, and AI OFF, where it is the AI's error",
        ai: "blocked with its reason",
        alarm: None,
        part: Fate::NotBegun,
        process: Process::Ends(2),
    },
    Answer {
        kind: ErrorKind::Bug,
        screen: "the picture; where the display is what failed, nothing until the process is back (2 s)",
        ai: "degraded until it runs again",
        alarm: Some(Priority::High),
        part: Fate::Restarted,
        process: Process::GoesOn,
    },
];

/// The answer to an error.
pub fn answer(kind: ErrorKind) -> &'static Answer {
    &ANSWERS[kind as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_answer_and_only_what_never_began_ends_the_process() {
        for (i, row) in ANSWERS.iter().enumerate() {
            assert_eq!(row.kind as usize, i);
            assert_eq!(answer(row.kind), row);
            assert!(!row.screen.is_empty() && !row.ai.is_empty());
            assert_eq!(row.process != Process::GoesOn, row.part == Fate::NotBegun, "{:?}", row.kind);
            assert_eq!(row.alarm.is_none(), row.kind == ErrorKind::Stop, "whoever starts a run reads its error");
        }
    }
}
