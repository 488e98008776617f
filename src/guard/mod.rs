//! Judges. The self-test: what its measurements mean by which limits, its verdict and report, its history, and whether AI may run
//! after it. The appliance's state and its alarms, and what is done about an error. Pure: what is measured comes in as numbers, time
//! as a value; no device, no screen. The loops that measure are `cmd`'s and `pipeline`'s.
//!
//! ```text
//!   limits (compiled in + the site's, signed) ─┐
//!   numbers of a loop ─► check ────────────────┴─► verdict ─► report ─► page, history ─► gate: may AI run?
//! ```
//! Clean video asks nobody here.

mod alarm;
mod answer;
mod bound;
mod check;
mod creep;
mod error;
mod fingerprint;
mod freshness;
mod gate;
mod history;
mod history_page;
mod limits;
mod page;
mod page_parts;
mod plot;
mod report;
mod series;
mod settings;
mod stamp;
mod state;
mod table;
mod trend;
mod verdict;
mod wall;
mod watchdog;

pub use alarm::{Alarms, Cause, Code, Record, Row as AlarmRow, Standing, TABLE as ALARMS};
pub use answer::{ANSWERS, Answer, Fate, Process, answer};
pub use bound::{Bound, Side};
pub use check::{Check, Judged, Outcome};
pub use creep::{Course, Creep};
pub use error::{LimitsError, ReportError};
pub use fingerprint::{Change, Fingerprint};
pub use freshness::Freshness;
pub use gate::{Block, CHANGED_SINCE_FULL, Cable, Gate, Situation, Tested, decide};
pub use history::{Damaged, Entry, Figure, History, Quantiles};
pub use history_page::html as history_html;
pub use limits::{Limit, Limits, Site, sign_site};
pub use page::html as report_html;
pub use report::{BarLine, Colours, Counts, Delays, Explained, Geometry, Refresh, Report, SCHEMA, Stage};
pub use series::{Bin, MOST_POINTS, downsampled, histogram};
pub use settings::Settings;
pub use stamp::Stamp;
pub use state::{Ai, Flaw, News, StateChange, States, Word, Worker};
pub use table::{Group, Need, Row, Test};
pub use trend::Trend;
pub use verdict::{CABLE_NOT_PROVEN, Form, Grade, Loop, Named, Verdict, judge};
pub use wall::{Jump, WallWatch};
pub use watchdog::{EXIT_DISPLAY_STALLED, Finding, Part, TURN_NS, Watchdog};
