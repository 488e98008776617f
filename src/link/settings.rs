use super::LinkError;
use serde::{Deserialize, Serialize};

/// `[link]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How often an idle worker says that it lives (10–1000). Default 100.
    pub heartbeat_ms: u32,
    /// A worker that owes an answer, or is silent or stopped, for this long is killed (100–10,000; at least twice
    /// `heartbeat_ms`). Default 500.
    pub kill_after_ms: u32,
    /// A worker that has not loaded its engines by then is killed (1000–600,000). Default 30,000.
    pub start_within_ms: u32,
    /// Wait before a worker is started again (1–5000). Default 50.
    pub restart_after_ms: u32,
    /// Largest such wait: it doubles up to here while workers die before their first scene (`restart_after_ms`–600,000). Default 5000.
    pub restart_after_max_ms: u32,
    /// Niceness of the worker (0–19). Default 10.
    pub nice: i32,
    /// How often a worker answers its engine's reference picture beside the live ones (live proof; 0: never, 100–600,000). An answer
    /// that is another one than at its start blocks AI, and so does none within twice this time. Default 10,000.
    pub proof_every_ms: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            heartbeat_ms: 100,
            kill_after_ms: 500,
            start_within_ms: 30_000,
            restart_after_ms: 50,
            restart_after_max_ms: 5_000,
            nice: 10,
            proof_every_ms: 10_000,
        }
    }
}

impl Settings {
    /// Refuses values outside the ranges that stand at the fields.
    pub fn check(&self) -> Result<(), LinkError> {
        let refuse = |key, value: i64, range| Err(LinkError::Setting { key, value, range });
        match self {
            s if !(10..=1_000).contains(&s.heartbeat_ms) => refuse("heartbeat_ms", s.heartbeat_ms.into(), "10–1000"),
            s if !(100..=10_000).contains(&s.kill_after_ms) || s.kill_after_ms < 2 * s.heartbeat_ms => {
                refuse("kill_after_ms", s.kill_after_ms.into(), "100–10000 and at least twice heartbeat_ms")
            }
            s if !(1_000..=600_000).contains(&s.start_within_ms) => refuse("start_within_ms", s.start_within_ms.into(), "1000–600000"),
            s if !(1..=5_000).contains(&s.restart_after_ms) => refuse("restart_after_ms", s.restart_after_ms.into(), "1–5000"),
            s if !(s.restart_after_ms..=600_000).contains(&s.restart_after_max_ms) => {
                refuse("restart_after_max_ms", s.restart_after_max_ms.into(), "restart_after_ms–600000")
            }
            s if !(0..=19).contains(&s.nice) => refuse("nice", s.nice.into(), "0–19"),
            s if s.proof_every_ms != 0 && !(100..=600_000).contains(&s.proof_every_ms) => {
                refuse("proof_every_ms", s.proof_every_ms.into(), "100–600000, or 0 for none")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_good_and_what_lies_outside_is_refused() {
        Settings::default().check().unwrap();
        let refused = [
            Settings { heartbeat_ms: 0, ..Settings::default() },
            Settings { heartbeat_ms: 400, ..Settings::default() },
            Settings { kill_after_ms: 50, ..Settings::default() },
            Settings { start_within_ms: 5, ..Settings::default() },
            Settings { restart_after_ms: 0, ..Settings::default() },
            Settings { restart_after_max_ms: 10, ..Settings::default() },
            Settings { nice: -5, ..Settings::default() },
            Settings { proof_every_ms: 1, ..Settings::default() },
        ];
        for settings in refused {
            assert!(settings.check().is_err(), "{settings:?}");
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(toml::from_str::<Settings>("heartbeat_ms = 50").is_ok());
        assert!(toml::from_str::<Settings>("heart_beat_ms = 50").is_err());
    }
}
