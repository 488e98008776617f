//! The one integration binary: rooms together, with real processes, on the program as it is shipped.

mod allocations;
mod bad_input;
mod link;
mod pipeline;
mod record;
mod run;
mod sim_script;
mod support;
mod window;
mod worker;
