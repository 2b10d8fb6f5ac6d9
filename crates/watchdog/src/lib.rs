//! The invoker.
