//! Questions to the DNS. Nothing here judges: answers become values of [`crate::observation`].
//!
//! ```text
//! Observer ── place: which zone a name is in, and whom to ask
//!     ├────── delegation: from the public suffix down to the zone, by referrals
//!     ├────── transport: one question to one address, over UDP and TCP ── gate: how often an address is asked
//!     └────── resolver: recursive and validating, once all authoritative servers agree
//! zone_file: the same observation from a zone file, before it is published
//! Lookup: TXT as a verifier of mail sees it
//! publish: puts records into DNS, and takes them out
//! ```
//!
//! An answer tells apart what callers must not mix up: there is a record, there is none, and nobody could say.
//!
//! **Nothing at or below `_domainkey`, and no target of a CNAME, is asked of a resolver before every authoritative server
//! has the record**: a resolver that is asked too early remembers for hours that there is none, and with it everyone who asks
//! it.

mod delegation;
mod gate;
mod lookup;
mod name;
mod observer;
mod place;
pub mod publish;
mod resolver;
mod seen;
mod settings;
mod shared;
mod transport;
mod wire;
mod zone_file;

pub use lookup::{Lookup, LookupError, Patience, SetupError, TxtAnswer};
pub use observer::{Observer, Taken};
pub use settings::{AskedServers, Recursion, Resolvers, Settings, TrustAnchor};
pub use zone_file::{ZoneFile, ZoneFileError, ZoneFileProblem};
