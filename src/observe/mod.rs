//! What the daemon says of itself: its log, its counts, and what is made of them for machines and for people.
//!
//! ```text
//! any thread ─▶ bounded queue ─▶ log thread ─▶ stderr or journald
//!            └▶ tally, traffic, signing_meter, problems ─▶ snapshot ─▶ metrics
//!                              └▶ history ──────────────────┴────────▶ page
//! ```
//!
//! [`recorder`] remembers the last messages and the slowest, for whoever asks why.
//!
//! Nobody waits for the log: when the queue is full, lines are dropped and counted, and the count is logged. Nobody waits to
//! be counted either: counters are relaxed atomics.

pub mod histogram;
pub mod history;
pub mod journald;
pub mod line;
pub mod log;
pub mod metrics;
pub mod page;
pub mod problems;
pub mod process;
pub mod recorder;
pub mod rotation_summary;
pub mod signing_meter;
pub mod snapshot;
pub mod tally;
pub mod traffic;
