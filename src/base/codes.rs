//! Names and codes of the status model that are the same in every language: for the log, the report and the engineer.

use crate::base::hud::{AiTrouble, Priority, Signal};

impl Signal {
    /// In this order.
    pub const NAMES: [&'static str; 6] = ["waiting", "live", "frozen", "black", "untrusted", "lost"];

    /// In the log and the report.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

impl Priority {
    pub fn name(self) -> &'static str {
        match self {
            Priority::High => "high",
            Priority::Medium => "medium",
            Priority::Low => "low",
        }
    }
}

impl AiTrouble {
    /// What an engineer looks up, where tests and proofs are what keeps it off.
    pub fn lookup(self) -> Option<&'static str> {
        match self {
            AiTrouble::NotSelfTested => Some("ST-G01"),
            AiTrouble::SelfTestFailed => Some("ST-G02"),
            AiTrouble::ChangedSinceTest => Some("ST-G03"),
            AiTrouble::NeverFullTested => Some("ST-G04"),
            AiTrouble::CableNeverTested => Some("ST-G05"),
            AiTrouble::CableTestTooOld => Some("ST-G06"),
            AiTrouble::ClockBehind => Some("ST-G07"),
            AiTrouble::EnginesFailed => Some("ST-G08"),
            AiTrouble::FullTestFailed => Some("ST-G09"),
            AiTrouble::CableTestFailed => Some("ST-G12"),
            AiTrouble::LiveProofWrong => Some("ST-L71"),
            AiTrouble::LiveProofMissing => Some("ST-L72"),
            AiTrouble::DelayOverLimit => Some("ST-L73"),
            _ => None,
        }
    }
}
