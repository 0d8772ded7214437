//! What the daemon says of itself: its log, and the count of its decisions.
//!
//! ```text
//! any thread ─▶ bounded queue ─▶ log thread ─▶ stderr or journald
//! ```
//!
//! [`recorder`] remembers the last messages and the slowest, for whoever asks why.
//!
//! Nobody waits for the log: when the queue is full, lines are dropped and counted, and the count is logged.

pub mod journald;
pub mod line;
pub mod log;
pub mod recorder;
pub mod tally;
