//! A key record in the form that a DNS server, provider or tool takes.
//!
//! ```text
//! PublishedRecord ──write──▶ lines      plain, bind, nsupdate, tinydns
//!        │                   API bodies powerdns, cloudflare, route53: an array, one body a zone (or a part of it)
//!        │                   tools      terraform, octodns, dnscontrol
//!        ▼                   programs   json
//!      Zones: which zone a record is in, where the form names it
//! ```
//!
//! Each form of any number of records is one valid document; tests/record_formats.rs has others read them back to the
//! same octets. docs/records.md says how each is loaded.

mod api;
mod bind;
mod cloudflare;
mod dnscontrol;
mod format;
mod json;
mod nsupdate;
mod octodns;
mod plain;
mod powerdns;
mod published;
mod quote;
mod route53;
mod terraform;
mod tinydns;
mod zones;

pub use bind::write_bind;
pub use format::{RecordFormat, write};
pub use published::PublishedRecord;
pub use zones::Zones;
