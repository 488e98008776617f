//! What is on this machine and what is not, one item a line, for `keyhole doctor`. Each room looks for its own; what a run does without
//! an item is decided elsewhere.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is there and can be used.
    Ok,
    /// It is not there, and nothing that was asked for needs it.
    Absent,
    /// A run goes on without it, with less.
    Limited,
    /// The picture or the AI does not run without it.
    Missing,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Absent => "absent",
            State::Limited => "limited",
            State::Missing => "MISSING",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    pub state: State,
    /// What was found; of what was not: the reason and the remedy too.
    pub text: String,
}

impl Item {
    pub fn new(state: State, text: impl Into<String>) -> Self {
        Item { state, text: text.into() }
    }

    /// What was found, or the error that says why not, which then is in `state`.
    pub fn of<E: std::fmt::Display>(found: Result<String, E>, state: State) -> Self {
        match found {
            Ok(text) => Item::new(State::Ok, text),
            Err(error) => Item::new(state, error.to_string()),
        }
    }
}
