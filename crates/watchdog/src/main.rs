//! Starts the invoker.
fn main() {}
