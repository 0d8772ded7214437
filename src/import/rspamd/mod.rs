//! The module dkim_signing of rspamd 3, as its configuration has it.
//!
//! ```text
//! modules.d, local.d, override.d ─▶ ucl ─▶ config: one table of options ─▶ Setup ─┬─▶ carry
//!   (dkim_signing.conf, options.inc)                 maps, tables, key files      └─▶ select
//! ```
//!
//! [`Setup::read`] takes in the directory; [`Setup::select`] says whom rspamd signs for; [`Setup::carry`] says the same in
//! Waxseal's terms.

mod carry;
mod config;
mod map;
mod samples;
mod selection;
mod setup;
mod ucl;

pub use samples::{by_design, samples};
pub use setup::Setup;
