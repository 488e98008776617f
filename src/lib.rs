//! keyhole: a real-time surgical video inference appliance.
//!
//! ```text
//!     VIDEO PROCESS                                                              AI PROCESS (a child, may die)
//!     camera/file ─► capture ─► frame ring ─┬─► display slot (2) ─► overlay ─► display ─► monitor
//!                               (shared     │                          ▲
//!                                memory)    └─► inference slot (1) ════╪═══► infer ─► track ─► Scene
//!                                                                      └════ scene slot (1) ◄══┘
//!                         record (audit, video, DICOM) ◄─ events ─► guard (self-test, drift, watchdog, alarms)
//! ```
//! The one rule: video never waits for AI. The modules stand in the order in which a frame walks through them;
//! `tests/architecture` holds who may import whom.

pub mod base;
pub mod frame;
pub mod scene;
pub mod store;

pub mod capture;

pub mod link;

pub mod infer;

pub mod track;

pub mod overlay;

pub mod display;

pub mod record;

pub mod guard;

pub mod config;

pub mod pipeline;

pub mod eval;

pub mod cmd;
