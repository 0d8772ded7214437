//! Records put into DNS and taken out again: with BIND, Knot and PowerDNS, by zone files, programs and hand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program"
)]

#[path = "publish/common.rs"]
mod common;
#[path = "publish/rfc2136.rs"]
mod rfc2136;
mod support;
