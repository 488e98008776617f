//! A program that the tests run as AI process. Its first argument says how it behaves.
fn main() {}
