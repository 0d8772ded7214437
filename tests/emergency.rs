//! Emergencies end to end, against a real BIND that takes signed updates, with the daemon running, dead or unknown: one key,
//! a whole store, retired keys that are published, hooks, resolvers that differ, domains that leave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

#[path = "publish/common.rs"]
#[expect(dead_code, reason = "tests/publish.rs uses the rest")]
mod common;
#[path = "emergency/eyes.rs"]
mod eyes;
#[path = "emergency/hooks.rs"]
mod hooks;
#[path = "emergency/host.rs"]
mod host;
#[path = "emergency/key.rs"]
mod key;
#[path = "emergency/leaving.rs"]
mod leaving;
#[path = "emergency/retired.rs"]
mod retired;
#[path = "emergency/status.rs"]
mod status;
#[path = "emergency/store.rs"]
mod store;
mod support;
