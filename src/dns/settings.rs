//! Whom the observer asks, how often, and how long it waits.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use crate::clock::Clock;

/// Whom to ask and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Recursive servers: for addresses of name servers, for delegations at and above public suffixes, and, last of all,
    /// for the record itself.
    pub resolvers: Resolvers,
    /// Which servers answer for the zones.
    pub servers: AskedServers,
    /// Servers to ask besides, such as hidden primaries.
    pub extra_servers: Vec<SocketAddr>,
    /// The port of authoritative servers that are known by name.
    pub port: u16,
    /// For one answer to one datagram, or one connection.
    pub timeout: Duration,
    /// Datagrams to one server before TCP is tried.
    pub attempts: NonZeroU32,
    /// Questions a second to one address.
    pub queries_per_second: NonZeroU32,
    /// Questions to one address that may be waiting for their answer at once.
    pub in_flight: NonZeroUsize,
    /// When a resolver is asked for the record.
    pub recursion: Recursion,
    /// What DNSSEC validation begins with; none: the root's keys.
    pub trust_anchor: Option<TrustAnchor>,
    /// Where the time of an observation comes from.
    pub clock: Clock,
}

impl Default for Settings {
    /// What suits the Internet:
    ///
    /// - two seconds and two datagrams, then TCP, then one more after a pause: a server that is further away than that
    ///   loses the patience of resolvers too;
    /// - 2,000 questions a second to one address: a small fraction of what a name server takes, and 10,000 domains
    ///   with two keys each on one pair of servers, four questions to both, are done in 20 seconds;
    /// - 256 at once: enough for that rate at a round trip of 100 milliseconds.
    fn default() -> Self {
        const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);
        Self {
            resolvers: Resolvers::System,
            servers: AskedServers::OfTheZone,
            extra_servers: Vec::new(),
            port: 53,
            timeout: Duration::from_secs(2),
            attempts: TWO,
            queries_per_second: NonZeroU32::MIN.saturating_add(1999),
            in_flight: NonZeroUsize::MIN.saturating_add(255),
            recursion: Recursion::AfterAgreement,
            trust_anchor: None,
            clock: Clock::System,
        }
    }
}

/// Recursive servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolvers {
    /// Those of the system's configuration.
    System,
    /// These.
    Servers(Vec<SocketAddr>),
}

/// Which servers are asked for a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedServers {
    /// Every address of every name server, of the delegation and of the zone's own NS records.
    OfTheZone,
    /// These instead, for split horizons and tests. A zone that none of them answers for, as the target of a CNAME may
    /// be in, is asked of its own servers.
    Exactly(Vec<SocketAddr>),
}

/// When a resolver is asked for a key record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recursion {
    /// When every authoritative server has the same record: an earlier question would make the resolver remember that
    /// there is none.
    AfterAgreement,
    /// At once, and no authoritative server is asked: where port 53 is blocked.
    Only,
    /// Never.
    Never,
}

/// DNSKEY records that DNSSEC validation begins with, as lines of a zone file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustAnchor {
    /// The records.
    pub dnskeys: String,
}
