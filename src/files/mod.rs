//! Files beside the key store: the configuration, and what it names on this machine.
//!
//! [`configuration`] reads `waxseal.toml`; [`accounts`] answers which ids its users and groups have; [`surroundings`]
//! looks at what the daemon would open, without keeping any of it; [`secret`] reads what is shared with name servers, [`token`] what
//! is shared with whoever reads the status page;
//! [`maps`] reads who is signed for; [`lock`] keeps a second run from beginning; [`boot`] tells this boot from others.

pub mod accounts;
pub mod boot;
pub mod configuration;
pub mod lock;
pub mod maps;
mod private;
pub mod secret;
pub mod surroundings;
pub mod token;
