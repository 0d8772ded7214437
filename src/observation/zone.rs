//! Zones and the servers that answer for them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

/// A zone and every server that is to answer for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Zone {
    /// Its apex.
    pub apex: String,
    /// Its name servers: those of the delegation, those of the apex's own NS records, and those that the configuration
    /// adds.
    pub name_servers: Vec<NameServer>,
    /// Whether the parent has a DS record of it; none if that could not be found out.
    pub has_ds: Option<bool>,
    /// What each server says of the zone itself.
    pub soas: Vec<ServerSoa>,
}

/// A name server of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NameServer {
    /// Its name; the address where it was given as one.
    pub name: String,
    /// Whether the parent's delegation names it.
    pub in_delegation: bool,
    /// Whether the NS records at the apex name it.
    pub in_apex: bool,
    /// Whether it was named by the configuration or on the command line.
    pub is_configured: bool,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Why its addresses are not known, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unresolved: Option<String>,
}

/// One address of a name server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Server {
    /// The name server's name.
    pub name: String,
    /// Where it was asked; unspecified (`0.0.0.0:0`) for a zone file.
    pub address: SocketAddr,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ip = self.address.ip();
        // A zone file stands in for a server and has no address.
        if ip.is_unspecified() {
            return f.write_str(&self.name);
        }
        match self.address.port() {
            53 => write!(f, "{} ({ip})", self.name),
            _ => write!(f, "{} ({})", self.name, self.address),
        }
    }
}

/// A server's SOA record of the zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerSoa {
    /// The server.
    pub server: Server,
    /// What it says; none if it said nothing of use.
    pub soa: Option<Soa>,
}

/// What matters of an SOA record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Soa {
    /// The zone's serial number.
    pub serial: u32,
    /// The record's own TTL, in seconds.
    pub ttl: u32,
    /// Its MINIMUM field, in seconds.
    pub minimum: u32,
}

impl Soa {
    /// How long resolvers remember that a name or record is absent, in seconds (RFC 2308 §5).
    pub fn negative_ttl(&self) -> u32 {
        self.ttl.min(self.minimum)
    }
}

/// What a domain says of DMARC (RFC 7489 §6.6.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "dmarc", rename_all = "snake_case")]
pub enum Dmarc {
    /// A record was found.
    Found {
        /// Where: at the domain or its registrable domain.
        name: String,
        /// The record, in presentation form.
        record: String,
    },
    /// Neither the domain nor its registrable domain has one.
    Absent,
    /// It could not be found out, or was not asked for.
    Unknown,
}
