//! `waxseald`: sockets, connections, reload and drain around the filter.
//!
//! ```text
//! run ─▶ listen ─▶ accept loop, one per socket ─▶ connection, one task each ─▶ filter
//!  │ SIGHUP ─▶ reload: read on a thread of its own, swap, or keep the old
//!  │ SIGTERM ─▶ drain: idle connections close, messages in progress finish within timeouts.drain
//!  ├ control: what is asked of the daemon, on a socket of its own
//!  ├ evidence: when each key last signed, into the state directory
//!  ├ http: metrics, health and the status page, where they are configured
//!  └ notify: READY, RELOADING, STOPPING, STATUS
//! ```
//!
//! Architecture invariant: nothing here decides about a message.

mod connection;
mod control;
mod evidence;
mod http;
mod limits;
mod listen;
mod map_watch;
mod notify;
mod run;
mod stream;

pub use listen::ListenError;
pub use run::{Arguments, StartError, run};
