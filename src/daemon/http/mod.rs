//! Metrics, health and the status page, over HTTP.
//!
//! ```text
//! a thread of its own: listen ─▶ bounded connections ─▶ gate (token, host) ─▶ routes ─▶ metrics | health | page
//!                        └ every ten seconds: history, progress, the summary of the last rotation
//! ```
//!
//! Architecture invariant: it only reads. Nothing here holds up a message: it has its own thread and runtime, and what it
//! shares with those that sign are counters. Whether it can listen or not, mail is signed.

mod gate;
mod page;
mod query;
mod routes;
mod server;
mod site;

pub(super) use server::start;
pub(super) use site::Heartbeat;
