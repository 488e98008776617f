//! The one integration binary: rooms together, with real processes.

mod allocations;
mod link;
