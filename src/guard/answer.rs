//! What happens when something goes wrong: one table from the kind of an error to the part that failed and to the process. Who has
//! an error of a part asks here and does not decide for himself: the AI process of its engine (`pipeline::analyst`: another one is
//! started, or the frame is left out), the display thread of its output (`pipeline::mishaps`: another way, or the end), and whoever
//! ends a run of what is missing in it (`RunError::is_finding`: exit code 1 or 2). Parts whose every error has the same answer need
//! not ask: a live source is brought back whatever it says, and a recording that stops stays stopped until somebody begins another.
//!
//! ```text
//!           the screen                              the AI that depends on it        called by an alarm
//!   Retry   the picture, or NO SIGNAL where it      degraded until it runs again     high, medium
//!           is the source that is tried again
//!   Degrade the picture, and what is missing        as it was                        medium, low
//!   Stop    nothing: the run does not begin; in     blocked with its reason          no: whoever starts
//!           the theatre the picture, and AI OFF,                                     a run reads its error
//!           where it is the AI's error
//!   Bug     the picture; where the display is       degraded until it runs again     high
//!           what failed, nothing until the
//!           process is back (2 s)
//! ```

use crate::base::error::ErrorKind;

/// What becomes of the part that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Tried again by itself, later each time, or in another way.
    TriedAgain,
    /// Left out for the rest of the run, or until somebody asks for it again; where there is another way, that takes its place.
    LeftOut,
    /// Started anew; where it is the display, that is the whole process.
    Restarted,
    /// Nothing is begun.
    NotBegun,
}

/// What becomes of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// To its end, which says what was missing: exit code 1.
    GoesOn,
    /// With this exit code.
    Ends(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub kind: ErrorKind,
    pub part: Fate,
    pub process: Process,
}

/// In the order of `ErrorKind`.
pub const ANSWERS: [Answer; 4] = [
    Answer { kind: ErrorKind::Retry, part: Fate::TriedAgain, process: Process::GoesOn },
    Answer { kind: ErrorKind::Degrade, part: Fate::LeftOut, process: Process::GoesOn },
    Answer { kind: ErrorKind::Stop, part: Fate::NotBegun, process: Process::Ends(2) },
    Answer { kind: ErrorKind::Bug, part: Fate::Restarted, process: Process::GoesOn },
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
            assert_eq!(row.process != Process::GoesOn, row.part == Fate::NotBegun, "{:?}", row.kind);
        }
    }
}
