//! Files beside the key store: the configuration, and what it names on this machine.
//!
//! [`configuration`] reads `waxseal.toml`; [`accounts`] answers which ids its users and groups have; [`surroundings`]
//! looks at what the daemon would open, without keeping any of it; [`lock`] keeps a second run from beginning.

pub mod accounts;
pub mod boot;
pub mod configuration;
pub mod lock;
pub mod surroundings;
