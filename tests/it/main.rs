//! The one integration binary: rooms together, with real processes.

mod link;
