//! What kind of trouble an error is. What is done about each stands in one table (`guard::answer`).

use std::fmt;

/// How the appliance answers an error, whichever room it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Likely to pass by itself: try again, with back-off.
    Retry,
    /// The picture goes on, something beside it does not: show it, count it, go on.
    Degrade,
    /// Cannot run: bad arguments, config, file or device. Exit code 2.
    Stop,
    /// Our own mistake: logged as ERROR, the part that made it is restarted.
    Bug,
}

/// Something that was checked and found bad (exit code 1), as opposed to something that could not be done.
#[derive(Debug)]
pub struct Finding(pub String);

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Finding {}
