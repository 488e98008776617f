//! The one integration binary: rooms together, with real processes, on the program as it is shipped.

mod allocations;
mod bad_input;
mod formats;
mod link;
mod pipeline;
mod record;
mod recording;
mod run;
mod sources;
mod support;
mod window;
mod worker;
