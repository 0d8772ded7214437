//! OpenDKIM's configuration, as version 2.11 reads it.
//!
//! [`Setup::read`] takes in `opendkim.conf` and all it names; [`Setup::select`] says whom OpenDKIM signs for, traps and
//! all; [`Setup::carry`] says the same in Waxseal's terms. [`compare`] holds one against the other.

mod carry;
mod compare;
mod dataset;
mod hosts;
mod key;
mod known;
mod line;
mod selection;
mod settings;
mod setup;
mod trust;

pub use carry::{Carried, CarriedKey, KeyUse, MAP, Wishes};
pub use compare::{Comparison, Difference, Sample, compare, samples};
pub use selection::{Message, Selection, Signature};
pub use setup::Setup;
