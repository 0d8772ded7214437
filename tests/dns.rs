//! What is seen of key records: against a server that lies, BIND and Knot.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program"
)]

#[path = "dns/answers.rs"]
mod answers;
#[path = "dns/chains.rs"]
mod chains;
#[path = "dns/common.rs"]
mod common;
#[path = "dns/delegations.rs"]
mod delegations;
#[path = "dns/hostile.rs"]
mod hostile;
#[path = "dns/load.rs"]
mod load;
#[path = "dns/real_servers.rs"]
mod real_servers;
#[path = "dns/resolvers.rs"]
mod resolvers;
mod support;
