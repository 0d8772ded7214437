//! Records put into DNS and taken out again: with BIND, Knot and PowerDNS, by zone files, programs and hand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program"
)]

#[path = "publish/bad_input.rs"]
mod bad_input;
#[path = "publish/between.rs"]
mod between;
#[path = "publish/command.rs"]
mod command;
#[path = "publish/common.rs"]
mod common;
#[path = "publish/daemon.rs"]
mod daemon;
#[path = "publish/documented.rs"]
mod documented;
#[path = "publish/exec_hook.rs"]
mod exec_hook;
#[path = "publish/meddling.rs"]
mod meddling;
#[path = "publish/powerdns.rs"]
mod powerdns;
#[path = "publish/rfc2136.rs"]
mod rfc2136;
mod support;
#[path = "publish/throughput.rs"]
mod throughput;
#[path = "publish/zone_include.rs"]
mod zone_include;
