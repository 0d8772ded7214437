//! OpenDKIM's configuration, as version 2.11 reads it.
//!
//! [`Setup::read`] takes in `opendkim.conf` and all it names; [`Setup::select`] says whom OpenDKIM signs for, traps and
//! all; [`Setup::carry`] says the same in Waxseal's terms.

mod carry;
mod dataset;
mod exceptions;
mod hosts;
mod key;
mod known;
mod line;
mod samples;
mod selection;
mod settings;
mod setup;
mod trust;

pub use samples::{by_design, samples};
pub use setup::Setup;
