//! More mail than can be signed, and faults while there is much of it. Every message ends signed, deferred or, where it is not
//! ours, passed; none is lost and none of ours goes unsigned. Nothing here is held against a clock.
//!
//! ```console
//! $ tests/overload.sh
//! ```
//!
//! tells the whole story with figures, on an optimised build (docs/overload.md).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program"
)]

#[path = "overload/accounting.rs"]
mod accounting;
#[path = "overload/bench.rs"]
mod bench;
#[path = "overload/bounds.rs"]
mod bounds;
#[path = "overload/faults.rs"]
mod faults;
#[path = "overload/hand_over.rs"]
mod hand_over;
#[path = "overload/mta.rs"]
mod mta;
#[path = "overload/story.rs"]
mod story;
mod support;
