//! The one integration binary: rooms together, with real processes, on the program as it is shipped.

mod allocations;
mod annotation;
mod bad_input;
mod calibrate;
mod cuda;
mod doctor;
mod engines;
mod external;
mod false_pass;
mod faults;
mod formats;
mod gate;
mod guard;
mod inputs;
mod link;
mod loop_through;
mod pipeline;
mod record;
mod recording;
mod reference;
mod run;
mod selftest;
mod sim_script;
mod sources;
mod support;
mod theatre;
mod validate;
mod watchdog;
mod window;
mod worker;

/// The hand-written ONNX models of the room `infer`, which know nothing of the crate.
#[allow(dead_code, reason = "the room's own tests use more of them")]
#[path = "../../src/infer/testmodel.rs"]
mod testmodel;
