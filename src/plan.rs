//! What is there against what should be: diff, order, apply in parallel.
