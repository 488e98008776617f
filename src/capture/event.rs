//! What a source says about its signal, beside its pictures. Each event is named and kept in the run's report.

use super::stereo::Eye;
use std::fmt;

/// How pictures come that do not come as announced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// About so many a second.
    Steady(f64),
    Irregular,
}

/// Something that happened to the signal.
#[derive(Debug, Clone, PartialEq)]
pub enum SignalEvent {
    /// No picture comes any more, and why. The source tries to get it back on its own.
    Lost {
        reason: String,
    },
    /// Pictures come again, so long after the last one before the loss.
    Back {
        after_ms: u64,
    },
    /// Pictures were missing for so long, and came again before that counted as a loss.
    Gap {
        ms: u64,
    },
    /// Size, pixel format or colorimetry are others from the next picture on.
    Format {
        from: String,
        to: String,
    },
    /// Pictures come at another rate than was announced; it is the announced one from now on.
    Rate {
        from_fps: f64,
        to_fps: f64,
    },
    /// Pictures do not come at the announced rate: known after six of them, long before the rate that they come at.
    RateWrong {
        announced_fps: f64,
        pace: Pace,
    },
    /// They do again.
    RateRight,
    /// A picture made of two moments: one, or (said besides) they keep coming.
    Torn {
        is_stream: bool,
    },
    /// None any more; so many there were.
    Whole {
        pictures: u32,
    },
    /// A picture that was shown before another one, or stands before it in the source: one, or they keep coming.
    OutOfOrder {
        is_stream: bool,
    },
    InOrder {
        pictures: u32,
    },
    /// A picture of which its decoder says that something in it is missing or wrong: one, or they keep coming.
    Damaged {
        is_stream: bool,
    },
    Sound {
        pictures: u32,
    },
    /// Of two inputs this one is lost: its half is black, the other is shown.
    EyeLost {
        eye: Eye,
        reason: String,
    },
    /// Both inputs give pictures again.
    EyeBack {
        eye: Eye,
        after_ms: u64,
    },
    /// One eye shows the same picture, byte for byte, for `signal.frozen_ms`, while the other one moves.
    EyeFrozen {
        eye: Eye,
    },
    /// It moves again.
    EyeMoving {
        eye: Eye,
    },
    /// One eye shows nothing but black for `signal.black_ms`, the other one does not.
    EyeBlack {
        eye: Eye,
    },
    /// There is something to see in it again.
    EyeLit {
        eye: Eye,
    },
    /// A stereo picture can (None) or cannot be parted into its eyes, from the picture before this on.
    Parted {
        failure: Option<String>,
    },
    /// The same picture, byte for byte, for `signal.frozen_ms`.
    Frozen,
    /// It moves again.
    Moving,
    /// Nothing but black for `signal.black_ms`.
    Black,
    /// There is something to see again.
    Lit,
}

impl fmt::Display for SignalEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignalEvent::Lost { reason } => f.write_str(reason),
            SignalEvent::Back { after_ms } => write!(f, "the picture is back after {after_ms} ms"),
            SignalEvent::Gap { ms } => write!(f, "no picture came for {ms} ms"),
            SignalEvent::Format { from, to } => write!(f, "the source changed from {from} to {to}"),
            SignalEvent::Rate { from_fps, to_fps } => write!(f, "the source changed from {from_fps:.2} to {to_fps:.2} pictures a second"),
            SignalEvent::RateWrong { announced_fps, pace: Pace::Steady(fps) } => {
                write!(f, "about {fps:.0} pictures a second come instead of {announced_fps:.2}")
            }
            SignalEvent::RateWrong { announced_fps, pace: Pace::Irregular } => {
                write!(f, "pictures come irregularly, not {announced_fps:.2} times a second")
            }
            SignalEvent::RateRight => f.write_str("pictures come at their rate again"),
            SignalEvent::Torn { is_stream: false } => f.write_str("a picture is torn: its rows are of two moments"),
            SignalEvent::Torn { is_stream: true } => f.write_str("the source gives torn pictures"),
            SignalEvent::Whole { pictures } => write!(f, "pictures are whole again; torn: {pictures}"),
            SignalEvent::OutOfOrder { is_stream: false } => f.write_str("a picture came out of order"),
            SignalEvent::OutOfOrder { is_stream: true } => f.write_str("the source gives pictures out of order"),
            SignalEvent::InOrder { pictures } => write!(f, "pictures come in order again; out of order: {pictures}"),
            SignalEvent::Damaged { is_stream: false } => f.write_str("a picture is damaged: its decoder says that it is not whole"),
            SignalEvent::Damaged { is_stream: true } => f.write_str("the source gives damaged pictures"),
            SignalEvent::Sound { pictures } => write!(f, "pictures are sound again; damaged: {pictures}"),
            SignalEvent::EyeLost { eye, reason } => write!(f, "the {} eye is lost ({reason}); the other is shown", eye.name()),
            SignalEvent::EyeBack { eye, after_ms } => write!(f, "the {} eye is back after {after_ms} ms", eye.name()),
            SignalEvent::EyeFrozen { eye } => write!(f, "the {} eye repeats one picture; the other one moves", eye.name()),
            SignalEvent::EyeMoving { eye } => write!(f, "the {} eye moves again", eye.name()),
            SignalEvent::EyeBlack { eye } => write!(f, "the {} eye is black; the other one is not", eye.name()),
            SignalEvent::EyeLit { eye } => write!(f, "the {} eye is no longer black", eye.name()),
            SignalEvent::Parted { failure: Some(reason) } => write!(f, "{reason}: it is shown, and not analysed"),
            SignalEvent::Parted { failure: None } => f.write_str("the picture can be parted into its eyes again"),
            SignalEvent::Frozen => f.write_str("the source repeats one picture"),
            SignalEvent::Moving => f.write_str("the picture moves again"),
            SignalEvent::Black => f.write_str("the picture is black"),
            SignalEvent::Lit => f.write_str("the picture is no longer black"),
        }
    }
}
