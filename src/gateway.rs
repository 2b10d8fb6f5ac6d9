//! The embedded platform behind `local`: router, controller, queue, logs, state.
