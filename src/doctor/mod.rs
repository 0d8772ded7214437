//! Whether an MTA hands its mail to `waxseald`, and leaves alone what was signed: its own settings, read and judged.
//!
//! ```text
//! postconf, sendmail.cf ──▶ postfix::Postfix, sendmail::Sendmail ──▶ judge ──▶ findings
//! ```
//!
//! Nothing here opens a file or a socket: [`Milter`] says where an MTA would connect, whoever asks goes and tries.

mod milter;
pub mod postfix;
mod rules;
pub mod sendmail;

pub use milter::{Endpoint, Milter, is_at};
pub use rules::{RULES, Rule};
