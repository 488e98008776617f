//! What the appliance is used for. Which rooms are stricter in which mode is said there.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// For looking, testing and teaching.
    #[default]
    Demo,
    /// For operating.
    Clinical,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Demo => "demo",
            Mode::Clinical => "clinical",
        }
    }
}
