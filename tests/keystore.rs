//! The directory key store on a real file system: modes, users, crashes, full disks, concurrent writers.
//!
//! Tests that play another user or need a file system of their own run themselves again as a child: such a child is a
//! `#[test]` that is ignored as a helper and told what to do by its environment; without being told, it does nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

#[path = "keystore/common.rs"]
mod common;
#[path = "keystore/concurrency.rs"]
mod concurrency;
#[path = "keystore/crashes.rs"]
mod crashes;
#[path = "keystore/disks.rs"]
mod disks;
#[path = "keystore/hand_edited.rs"]
mod hand_edited;
#[path = "keystore/large.rs"]
mod large;
#[path = "keystore/modes.rs"]
mod modes;
#[path = "keystore/users.rs"]
mod users;
