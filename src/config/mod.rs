//! The configuration: what is on disk, and what runs.

mod defaults;
mod running;
mod socket;
mod values;

pub use running::{
    Canonicalization, CanonicalizationPair, Config, DomainSettings, HeaderLists, Identity, Keys, Limits, Listener,
    Listeners, Log, LogFormat, LogLevel, LogTarget, OnFailure, OnUnsignable, Permissions, Signing, Threads, Timeouts,
    Trust,
};
pub use socket::{ListenAddress, ListenAddressError};
