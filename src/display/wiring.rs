//! How the box is wired into the theatre: what the surgeon still sees when it fails. A statement of whoever built it; no
//! relay is driven here.

use serde::Deserialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WiringPath {
    /// Between scope and monitor; a relay bridges the box when it fails.
    InlineWithRelay,
    /// Between scope and monitor, and nothing bridges it.
    Inline,
    /// Beside the surgeon's own monitor, which has the picture without this box.
    SecondMonitor,
}

impl WiringPath {
    /// As it is written in the config.
    pub fn name(self) -> &'static str {
        match self {
            WiringPath::InlineWithRelay => "inline-with-relay",
            WiringPath::Inline => "inline",
            WiringPath::SecondMonitor => "second-monitor",
        }
    }
}

/// `[wiring]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wiring {
    /// inline-with-relay, inline or second-monitor. Default: not stated, which clinical mode refuses.
    pub path: Option<WiringPath>,
}

impl Wiring {
    /// As it stands in the report.
    pub fn name(&self) -> &'static str {
        self.path.map_or("not stated", WiringPath::name)
    }

    /// May a surgeon depend on it? If not: why, and what to do, as one sentence for people.
    pub fn check_clinical(&self) -> Result<(), String> {
        let remedy = "use a bypass relay (inline-with-relay) or a monitor beside the surgeon's own (second-monitor)";
        match self.path {
            Some(WiringPath::InlineWithRelay | WiringPath::SecondMonitor) => Ok(()),
            Some(WiringPath::Inline) => Err(format!(
                "wiring.path = \"inline\" is refused in clinical mode, because the surgeon has no picture when this box fails: {remedy}"
            )),
            None => Err(format!("wiring.path is not stated, and clinical mode needs it: {remedy}, and state it")),
        }
    }
}
