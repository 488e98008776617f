//! The AI process: how it is started, fed, watched, killed and started again, and what of its answers is believed.
//! What an engine or a track is, nobody here knows.
//!
//! ```text
//!   VIDEO PROCESS                                                             AI PROCESS
//!   capture ── offer(&Frame) ─► outbox (1 asked + 1 newest waiting) ═ Infer ═► serve ─► Analyst
//!                                                                                         │
//!   display ◄─ take_scene() ◄─ scene slot (1) ◄─ judge ◄─ thread "link" ◄═ Scene, Hash ═══╯
//!   display ◄─ status() ◄───── board ◄────────── thread "link-watch" (waitid: exited, stopped, continued)
//! ```
//! One packet socket (SOCK_SEQPACKET) joins the two; the worker has it as descriptor 0. Pixels never go through it: the
//! worker maps the frame ring for reading only. All that the worker says is judged like input from outside.
//!
//! ```text
//!   Held ─► (permitted) ─► start                Held, and each other state ─► (forbidden) ─► Blocked
//!                 ┌───────────── restart, after a back-off ◄──────────────┐
//!                 ▼                                                       │
//!   start ─► Starting ── Ready ─► Ready ── died, stopped, hung, nonsense ─► Down(reason)
//!                 └────── Failed (no engine to run) ─► Blocked                (Stopped ── continued ─► Ready)
//!                         Ready ── proof wrong, or none in time ─► Blocked
//!   Down ── `Instead` is there, and was not used yet ─► the next one, and each after it, is made from that
//! ```
//! Whoever draws: hide the overlay, and forget the scene, whenever the state is not `Ready`.

mod error;
mod judge;
mod os;
mod outbox;
pub mod sandbox;
mod scene_codec;
mod serve;
mod session;
mod settings;
mod socket;
mod status;
mod watch;
pub mod wire;
mod worker;

pub use error::LinkError;
pub use judge::Rejection;
#[cfg(test)]
pub(crate) use judge::tests::good_scene;
pub use scene_codec::{SceneBytesFault, decode_scene, encode_scene};
pub use serve::{Analyst, Handed, Hello, Instead, LentSlots, serve, worker_main};
pub use settings::Settings;
pub use socket::{Received, Socket};
pub use status::{Block, Counts, Reason, State, Status};
pub use worker::{Answer, Permission, Spawn, Worker};
