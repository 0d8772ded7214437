//! Who puts records into DNS.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::DomainName;

/// A way to put records into DNS, for some domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publisher {
    /// What messages call it.
    pub name: String,
    /// For which domains.
    pub domains: Vec<DomainPattern>,
    /// What it does.
    pub method: PublishingMethod,
    /// How long to wait for each answer, or for a program to end.
    pub timeout: Duration,
}

/// How records get into DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishingMethod {
    /// Dynamic updates, signed with TSIG.
    Rfc2136 {
        /// The primary.
        server: NameServer,
        /// The zone; found out where unset.
        zone: Option<DomainName>,
        /// The TSIG key's name.
        key_name: String,
        /// Its hash.
        algorithm: TsigHash,
        /// Where its secret is, in base64.
        secret: SecretPlace,
    },
    /// PowerDNS' HTTP API.
    PowerDns {
        /// Where it listens.
        api_url: ApiUrl,
        /// The zone; found out where unset.
        zone: Option<DomainName>,
        /// Where its key is.
        secret: SecretPlace,
    },
    /// A file that a zone file includes.
    ZoneInclude {
        /// The file.
        path: PathBuf,
        /// The zone that includes it.
        zone: DomainName,
        /// The program that has the zone loaded again, and its arguments; at least the program.
        reload: Vec<String>,
        /// Where to look whether it was.
        server: Option<NameServer>,
    },
    /// A program.
    Exec {
        /// The program and its arguments; at least the program.
        program: Vec<String>,
        /// The zone it is told.
        zone: Option<DomainName>,
    },
    /// A human.
    Manual,
}

impl PublishingMethod {
    /// Its kind, as the file has it.
    pub fn kind(&self) -> PublisherKind {
        match self {
            Self::Rfc2136 { .. } => PublisherKind::Rfc2136,
            Self::PowerDns { .. } => PublisherKind::PowerDns,
            Self::ZoneInclude { .. } => PublisherKind::ZoneInclude,
            Self::Exec { .. } => PublisherKind::Exec,
            Self::Manual => PublisherKind::Manual,
        }
    }

    /// Where its secret is, if it has one.
    pub fn secret(&self) -> Option<&SecretPlace> {
        match self {
            Self::Rfc2136 { secret, .. } | Self::PowerDns { secret, .. } => Some(secret),
            _ => None,
        }
    }
}

/// The kind of a publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PublisherKind {
    /// Dynamic updates (RFC 2136).
    #[serde(rename = "rfc2136")]
    Rfc2136,
    /// PowerDNS' HTTP API.
    #[serde(rename = "powerdns")]
    PowerDns,
    /// A file that a zone file includes.
    #[serde(rename = "zone-include")]
    ZoneInclude,
    /// A program.
    #[serde(rename = "exec")]
    Exec,
    /// A human.
    #[serde(rename = "manual")]
    Manual,
}

impl fmt::Display for PublisherKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rfc2136 => "rfc2136",
            Self::PowerDns => "powerdns",
            Self::ZoneInclude => "zone-include",
            Self::Exec => "exec",
            Self::Manual => "manual",
        })
    }
}

/// Where a secret is. The secret itself is in no configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// In a file that only its owner and group may read.
    File(PathBuf),
    /// In a credential that systemd passes (`LoadCredential=`), by its name.
    Credential(String),
}

/// The hash of a TSIG key's HMAC (RFC 8945 §6). SHA-1 and MD5 are not offered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TsigHash {
    /// Every server knows it.
    #[default]
    #[serde(rename = "hmac-sha256")]
    Sha256,
    /// 384 bits.
    #[serde(rename = "hmac-sha384")]
    Sha384,
    /// 512 bits.
    #[serde(rename = "hmac-sha512")]
    Sha512,
}

/// Which domains a publisher is for: `example.com`, `*.example.com` (all below it) or `*` (all).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainPattern {
    /// All domains.
    Any,
    /// All domains below this one.
    Below(DomainName),
    /// This one.
    Exactly(DomainName),
}

/// Why a text is no pattern of domains.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no pattern of domains; write \"example.com\", \"*.example.com\" for those below it, or \"*\"")]
pub struct DomainPatternError {
    given: String,
}

impl DomainPattern {
    /// How closely it fits a domain, more for closer; none if it does not.
    pub fn closeness(&self, domain: &DomainName) -> Option<usize> {
        let labels = |name: &DomainName| name.as_str().split('.').count();
        match self {
            Self::Any => Some(0),
            Self::Below(ancestor) => (domain.is_within(ancestor) && domain != ancestor).then(|| labels(ancestor)),
            Self::Exactly(name) => (domain == name).then_some(usize::MAX),
        }
    }
}

impl FromStr for DomainPattern {
    type Err = DomainPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let parsed = match text.strip_prefix("*.") {
            Some(ancestor) => DomainName::parse(ancestor).map(Self::Below),
            None => DomainName::parse(text).map(Self::Exactly),
        };
        parsed.map_err(|_| DomainPatternError { given: text.into() })
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(ancestor) => write!(f, "*.{ancestor}"),
            Self::Exactly(name) => name.fmt(f),
        }
    }
}

/// A name server by address or host name, with its port where that is not 53.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameServer {
    /// An address or a host name.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Why a text is no name server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no server; write one such as \"192.0.2.53\", \"[2001:db8::53]:5353\" or \"ns1.example.com\"")]
pub struct NameServerError {
    given: String,
}

impl NameServer {
    const PORT: u16 = 53;
}

impl From<SocketAddr> for NameServer {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl FromStr for NameServer {
    type Err = NameServerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self { host: address.to_string(), port: Self::PORT });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)),
            None => (text, Some(Self::PORT)),
        };
        match (DomainName::parse(host), port) {
            (Ok(host), Some(port)) => Ok(Self { host: host.to_string(), port }),
            _ => Err(NameServerError { given: text.into() }),
        }
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.host.contains(':'), self.port) {
            (_, Self::PORT) => f.write_str(&self.host),
            (true, port) => write!(f, "[{}]:{port}", self.host),
            (false, port) => write!(f, "{}:{port}", self.host),
        }
    }
}

/// Where an HTTP API listens: `http://127.0.0.1:8081`, and perhaps a path in front of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiUrl {
    /// An address or a host name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Empty, or a path that begins with a slash and does not end with one.
    pub path: String,
}

/// Why a text is no URL of an API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiUrlError {
    /// TLS, which PowerDNS does not speak either.
    #[error("{given:?}: https is not spoken here, nor by PowerDNS; use the API on loopback, or through a tunnel")]
    Tls {
        /// The text.
        given: String,
    },
    /// Anything else.
    #[error("{given:?} is no URL of an API; write one such as \"http://127.0.0.1:8081\"")]
    Malformed {
        /// The text.
        given: String,
    },
}

impl ApiUrl {
    /// Whether it is on this machine, so that nobody reads along.
    pub fn is_local(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Host and port as a Host field has them.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for ApiUrl {
    type Err = ApiUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("https://") {
            return Err(ApiUrlError::Tls { given: text.into() });
        }
        let malformed = || ApiUrlError::Malformed { given: text.into() };
        let rest = text.strip_prefix("http://").ok_or_else(malformed)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = path.trim_end_matches('/');
        if !path.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"/-._~%".contains(&octet)) {
            return Err(malformed());
        }
        // As a name server is written, but for the port that is meant where none is given.
        let server: NameServer = authority.parse().map_err(|_| malformed())?;
        let has_port = authority.parse::<IpAddr>().is_err() && authority.ends_with(&format!(":{}", server.port));
        let port = if has_port { server.port } else { 80 };
        Ok(Self { host: server.host, port, path: path.to_owned() })
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_written_as_they_are_read() {
        for text in ["192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]:5353", "ns1.example.com:5353"] {
            assert_eq!(text.parse::<NameServer>().unwrap().to_string(), text);
        }
        for wrong in ["", "ns1.example.com:", "ns1.example.com:0", "a b", "ns1:99999"] {
            assert!(wrong.parse::<NameServer>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn urls_are_http_with_host_port_and_path() {
        let url: ApiUrl = "http://[::1]:8081/dns/".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("::1", 8081, "/dns"));
        assert!(url.is_local());
        assert_eq!("http://pdns.example.com".parse::<ApiUrl>().unwrap().to_string(), "http://pdns.example.com:80");
        assert!(matches!("https://127.0.0.1".parse::<ApiUrl>(), Err(ApiUrlError::Tls { .. })));
        for wrong in ["127.0.0.1:8081", "http://", "http://a b", "http://a/\r\nX: y", "http://u@h/"] {
            assert!(matches!(wrong.parse::<ApiUrl>(), Err(ApiUrlError::Malformed { .. })), "{wrong}");
        }
    }

    #[test]
    fn the_closer_pattern_fits_more() {
        let domain = DomainName::parse("a.b.example.com").unwrap();
        let closeness = |text: &str| text.parse::<DomainPattern>().unwrap().closeness(&domain);
        let rising = ["*", "*.com", "*.example.com", "*.b.example.com", "a.b.example.com"];
        assert!(rising.windows(2).all(|pair| closeness(pair[0]) < closeness(pair[1])));
        assert_eq!((closeness("b.example.com"), closeness("*.a.b.example.com")), (None, None));
        for wrong in ["", "*.", "a*.example.com", "*.*.com"] {
            assert!(wrong.parse::<DomainPattern>().is_err(), "{wrong}");
        }
    }
}
