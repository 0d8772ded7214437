//! Dynamic updates (RFC 2136), signed with TSIG (RFC 8945), over TCP.
//!
//! ```text
//! present  UPDATE { the name is in use by nothing } add ours
//! replace  UPDATE { the TXT records are exactly the old one } delete it, add the new one
//! absent   UPDATE { the TXT records are exactly ours } delete it by value
//!    NOERROR, verified ─▶ Done
//!    a prerequisite failed ─▶ ask the same server what stands there ─▶ AlreadySo | Conflict
//!                              └ ours, cut into other strings ─▶ once more, with those
//! ```
//!
//! The server checks the prerequisites and makes the change in one step: nothing can come between. No answer is believed
//! before its signature is verified, except refusals, which some servers send unsigned.
//!
//! Connections are kept for the next operation, and zones remembered: many domains at once are published as fast as the server
//! writes.

mod connection;
mod tsig;
mod update;
mod updater;

pub use tsig::{TsigKey, TsigKeyError};
pub use updater::{Rfc2136, Rfc2136Settings};
