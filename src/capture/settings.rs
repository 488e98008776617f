use serde::Deserialize;

/// Where decoded pictures lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Memory {
    #[default]
    Auto,
    Host,
}

/// `[capture]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Pictures decoded ahead of their release, for sources that we pace (1–16). The default bridges a stall of 100 ms at 60 a second.
    pub decode_ahead_frames: u32,
    /// Where decoded pictures lie: `auto`: on the device that analyses and draws them, where there is one; `host`: in the processor's
    /// memory. Default: auto.
    pub memory: Memory,
    /// A live source that is silent for so long is lost: `signal.lost_ms`, no key of its own.
    #[serde(skip)]
    pub lost_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { decode_ahead_frames: 6, memory: Memory::Auto, lost_ms: 150 }
    }
}
