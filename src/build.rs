//! Turns a function and its template into an artifact. It doesn't know where that goes.
