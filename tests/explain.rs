//! `waxseal explain`: the tables of decisions through the program and a running daemon; what the daemon remembers; hostile
//! values on both sides of the control socket.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

mod support;

#[path = "explain/live.rs"]
mod live;
#[path = "explain/logins.rs"]
mod logins;
#[path = "explain/recorder.rs"]
mod recorder;
#[path = "explain/tables.rs"]
mod tables;
