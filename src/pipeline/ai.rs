//! The analysis as the display thread sees it: a status and the newest scene. Behind it stands the worker process.

use crate::link::{Block, Reason, State, Worker};
use crate::scene::Scene;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AiStatus {
    /// Not permitted yet: the appliance tests itself.
    Testing,
    Starting,
    Running,
    Down(Reason),
    Blocked(Block),
}

pub trait Analysis: Send + Sync {
    /// Never waits, allocates nothing: asked for each present.
    fn status(&self) -> AiStatus;
    /// Why it is down or blocked, in words; asked when that changes.
    fn reason(&self) -> String;
    /// Its device has failed, and for the rest of the run the processor goes on. As `status`.
    fn has_fallen_back(&self) -> bool;
    /// Why, in words; asked once.
    fn fallback_reason(&self) -> String;
    /// The newest scene that was not taken yet.
    fn take_scene(&self) -> Option<Arc<Scene>>;
}

/// The worker process.
pub struct WorkerAnalysis(pub Arc<Worker>);

impl Analysis for WorkerAnalysis {
    fn status(&self) -> AiStatus {
        match self.0.status().state {
            State::Held => AiStatus::Testing,
            State::Starting => AiStatus::Starting,
            State::Ready => AiStatus::Running,
            State::Down(reason) => AiStatus::Down(reason),
            State::Blocked(why) => AiStatus::Blocked(why),
        }
    }

    fn reason(&self) -> String {
        let because = |words: &str| match self.0.trouble() {
            Some(trouble) => format!("{words}: {trouble}"),
            None => words.to_owned(),
        };
        let words = match self.0.status().state {
            State::Down(Reason::Died) => "the AI process ended",
            State::Down(Reason::Stopped) => "the AI process was stopped",
            State::Down(Reason::Hung) => "the AI process did not answer in time",
            State::Down(Reason::Nonsense) => return because("the AI process said what cannot be"),
            State::Down(Reason::Fault) => return because("the AI process could not go on"),
            State::Down(Reason::CannotStart) => "the AI process cannot be started",
            State::Blocked(_) => return self.0.trouble().unwrap_or_default(),
            State::Held | State::Starting | State::Ready => "",
        };
        words.to_owned()
    }

    fn has_fallen_back(&self) -> bool {
        self.0.status().has_fallen_back
    }

    fn fallback_reason(&self) -> String {
        self.0.fallback().unwrap_or_default()
    }

    fn take_scene(&self) -> Option<Arc<Scene>> {
        self.0.take_scene()
    }
}
