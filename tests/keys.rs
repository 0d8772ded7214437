//! Looking after keys, as an administrator types it: many at once, from elsewhere, to elsewhere, and away.
//!
//! Tests that need openssl, root or a file system of their own are ignored here and run by tests/run-all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

#[path = "keys/away.rs"]
mod away;
#[path = "keys/check.rs"]
mod check;
#[path = "keys/generate.rs"]
mod generate;
#[path = "keys/house.rs"]
mod house;
#[path = "keys/import.rs"]
mod import;
#[path = "keys/public.rs"]
mod public;
#[path = "keys/trouble.rs"]
mod trouble;
