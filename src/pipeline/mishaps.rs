//! What goes wrong beside the picture and is gone on from: the display thread hears of it here, by the table of `guard::answer`.

use crate::display::{DisplayError, Output};
use crate::guard::{Cause, Code, Fate, States, answer};
use crate::pipeline::ai::Analysis;
use crate::pipeline::sinks::Sinks;

/// An error of the display: tried in another way where the table says so and the output has one, else given back. That way lasts for
/// the rest of the run, and so does the alarm.
pub fn rescue(states: &mut States, now_ns: u64, output: &mut dyn Output, error: DisplayError) -> Result<(), DisplayError> {
    let other_way = match answer(error.kind()).part {
        Fate::TriedAgain | Fate::LeftOut => output.recover(&error),
        // A mistake of our own, or what cannot be: the process ends, and whoever started it starts it again.
        Fate::Restarted | Fate::NotBegun => None,
    };
    let words = other_way.ok_or(error)?;
    states.note(now_ns, words.clone());
    states.raise(now_ns, Code::GpuLost, words);
    Ok(())
}

/// The AI goes on on the processor because its device has failed: so for the rest of the run, and said once. Asked each turn.
pub fn of_device(states: &mut States, now_ns: u64, analysis: &dyn Analysis, sinks: &mut Sinks) {
    if analysis.has_fallen_back() && states.alarms().standing(Code::AiOnProcessor, 0).is_none() {
        let words = format!("the AI's device failed ({}); the processor goes on for the rest of the run", analysis.fallback_reason());
        states.note(now_ns, words.clone());
        states.raise(now_ns, Code::AiOnProcessor, words);
        sinks.fall_back();
    }
}

/// Files beside the recording that cannot be written: an alarm each, while it lasts. Asked each turn.
pub fn of_files(states: &mut States, now_ns: u64, sinks: &Sinks) {
    for (part, mishap) in sinks.mishaps() {
        states.set(now_ns, Cause { part, ..Code::FilesIncomplete.into() }, mishap.is_so(), || mishap.words());
    }
}
