//! Puts key records into DNS and takes them out again.
//!
//! ```text
//!                    ┌ Rfc2136: update ─ connection ─ tsig       prerequisites: atomic on the server; connections kept (pool)
//! Publisher: present ┤ PowerDns                                  read, write, read back
//!            replace ┤ ZoneInclude                               a file of ours, written whole, and a reload
//!            absent  ┤ ExecHook                                  a program, JSON on stdin
//!                    └ Manual                                    an administrator
//! ```
//!
//! Each operation is idempotent: asked again, after an answer was lost, it says [`Outcome::AlreadySo`]. None overwrites or
//! deletes a record whose value is not the one it was given ([`Outcome::Conflict`]). None of them looks whether the
//! record is *seen*: that is [`super::Observer`]'s to say, of every authoritative server, whatever an interface claims.

mod error;
mod exec_hook;
mod manual;
mod open;
mod pool;
mod powerdns;
mod program;
mod publisher;
mod rfc2136;
mod stream;
mod zone_include;
mod zones;

pub use error::{CredentialsProblem, ProgramProblem, PublishError, Refusal};
pub use exec_hook::ExecHook;
pub use manual::Manual;
pub use open::{OpenError, open};
pub use powerdns::{PowerDns, PowerDnsSettings};
pub(crate) use program::run as run_program;
use publisher::Operation;
pub use publisher::{Outcome, Publisher, Publishing, Record, Standing};
pub use rfc2136::{Rfc2136, Rfc2136Settings, TsigKey, TsigKeyError};
pub use zone_include::ZoneInclude;
