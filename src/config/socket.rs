//! Addresses of milter sockets, as MTAs, the configuration and the command line write them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where to listen or to connect.
///
/// | written | means |
/// | --- | --- |
/// | `unix:/path`, `local:/path` | a Unix stream socket |
/// | `inet:port@address`, `inet:port@localhost` | TCP over IPv4 |
/// | `inet6:port@address`, `inet6:port@localhost` | TCP over IPv6 |
/// | `systemd`, `systemd:name` | sockets passed by systemd: all, or those with that `FileDescriptorName=` |
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListenAddress {
    /// An absolute path of at most 107 octets.
    Unix(PathBuf),
    /// TCP.
    Inet(SocketAddr),
    /// Passed by systemd: all of them, or those of that name.
    Systemd(Option<String>),
}

/// Why a text is no address of a socket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenAddressError {
    /// None of the forms.
    #[error("socket {given:?} is none of unix:/path, inet:port@address, inet6:port@address, systemd")]
    Form {
        /// The text as given.
        given: String,
    },
    /// A path that depends on where the daemon was started.
    #[error("socket {given:?} has no absolute path; write unix:/run/waxseal/milter.sock")]
    RelativePath {
        /// The text as given.
        given: String,
    },
    /// sun_path holds 108 octets, the final NUL included.
    #[error("socket {given:?} has a path of {octets} octets; the system allows {MAX_PATH}")]
    PathTooLong {
        /// The text as given.
        given: String,
        /// Octets of the path.
        octets: usize,
    },
    /// A NUL octet would end the path.
    #[error("socket {given:?} has a NUL octet in its path")]
    Nul {
        /// The text as given.
        given: String,
    },
    /// No @, so it is open to which address.
    #[error("socket {given:?} names no address; write for example {scheme}:8891@localhost")]
    NoHost {
        /// The text as given.
        given: String,
        /// `inet` or `inet6`.
        scheme: &'static str,
    },
    /// No number from 0 to 65535.
    #[error("socket {given:?} has no port number before the @; write for example {scheme}:8891@localhost")]
    Port {
        /// The text as given.
        given: String,
        /// `inet` or `inet6`.
        scheme: &'static str,
    },
    /// Not an address of that family.
    #[error("socket {given:?} names no {family} address; write the address itself, not a host name, or localhost")]
    Host {
        /// The text as given.
        given: String,
        /// `IPv4` or `IPv6`.
        family: &'static str,
    },
    /// `systemd:` without a name.
    #[error("socket {given:?} names no socket; write systemd alone for all that are passed")]
    NoName {
        /// The text as given.
        given: String,
    },
}

/// Octets that fit into `sun_path` beside the final NUL (unix(7)).
const MAX_PATH: usize = 107;

impl ListenAddress {
    /// Whether other machines can reach it. What systemd passes is not known here: false.
    pub fn is_beyond_loopback(&self) -> bool {
        matches!(self, Self::Inet(address) if !address.ip().to_canonical().is_loopback())
    }
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let given = || text.to_owned();
        if text == "systemd" {
            return Ok(Self::Systemd(None));
        }
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(ListenAddressError::Form { given: given() });
        };
        match scheme {
            "unix" | "local" if !rest.starts_with('/') => Err(ListenAddressError::RelativePath { given: given() }),
            "unix" | "local" if rest.len() > MAX_PATH => {
                Err(ListenAddressError::PathTooLong { given: given(), octets: rest.len() })
            }
            "unix" | "local" if rest.contains('\0') => Err(ListenAddressError::Nul { given: given() }),
            "unix" | "local" => Ok(Self::Unix(rest.into())),
            "inet" => inet(text, rest, Family::V4).map(Self::Inet),
            "inet6" => inet(text, rest, Family::V6).map(Self::Inet),
            "systemd" if rest.is_empty() => Err(ListenAddressError::NoName { given: given() }),
            "systemd" => Ok(Self::Systemd(Some(rest.to_owned()))),
            _ => Err(ListenAddressError::Form { given: given() }),
        }
    }
}

#[derive(Clone, Copy)]
enum Family {
    V4,
    V6,
}

/// `port@host` of either family.
fn inet(text: &str, rest: &str, family: Family) -> Result<SocketAddr, ListenAddressError> {
    let given = text.to_owned();
    let (scheme, family_name) = match family {
        Family::V4 => ("inet", "IPv4"),
        Family::V6 => ("inet6", "IPv6"),
    };
    let Some((port, host)) = rest.split_once('@') else {
        return Err(ListenAddressError::NoHost { given, scheme });
    };
    // u16::from_str would take "+8891".
    let port =
        Some(port).filter(|port| port.bytes().all(|octet| octet.is_ascii_digit())).and_then(|port| port.parse().ok());
    let Some(port) = port else {
        return Err(ListenAddressError::Port { given, scheme });
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let address = match family {
        Family::V4 if host == "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        Family::V6 if host == "localhost" => Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        Family::V4 => host.parse().ok().map(IpAddr::V4),
        Family::V6 => host.parse().ok().map(IpAddr::V6),
    };
    match address {
        Some(address) => Ok(SocketAddr::new(address, port)),
        None => Err(ListenAddressError::Host { given, family: family_name }),
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inet(SocketAddr::V4(address)) => write!(f, "inet:{}@{}", address.port(), address.ip()),
            Self::Inet(SocketAddr::V6(address)) => write!(f, "inet6:{}@{}", address.port(), address.ip()),
            Self::Systemd(None) => f.write_str("systemd"),
            Self::Systemd(Some(name)) => write!(f, "systemd:{name}"),
        }
    }
}

impl Serialize for ListenAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::values::parsed(deserializer, "the address of a socket such as \"unix:/run/waxseal/milter.sock\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> ListenAddress {
        text.parse().unwrap()
    }

    #[test]
    fn every_form_is_read_and_written_again() {
        for text in ["unix:/run/a b.sock", "inet:8891@127.0.0.1", "inet6:8891@::1", "systemd", "systemd:milter"] {
            assert_eq!(address(text).to_string(), text);
        }
        assert_eq!(address("local:/x"), address("unix:/x"));
        assert_eq!(address("inet:1@localhost"), address("inet:1@127.0.0.1"));
        assert_eq!(address("inet6:1@[::1]"), address("inet6:1@localhost"));
    }

    #[test]
    fn only_loopback_is_out_of_reach_of_others() {
        for near in ["inet:1@127.9.9.9", "inet6:1@::1", "inet6:1@::ffff:127.0.0.1", "unix:/x"] {
            assert!(!address(near).is_beyond_loopback(), "{near}");
        }
        for far in ["inet:1@0.0.0.0", "inet6:1@::", "inet:1@192.0.2.1"] {
            assert!(address(far).is_beyond_loopback(), "{far}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| text.parse::<ListenAddress>().unwrap_err();
        assert!(matches!(error("/run/x"), ListenAddressError::Form { .. }));
        assert!(matches!(error("tcp:1@::1"), ListenAddressError::Form { .. }));
        assert!(matches!(error("unix:x"), ListenAddressError::RelativePath { .. }));
        assert!(matches!(
            error(&format!("unix:/{}", "x".repeat(107))),
            ListenAddressError::PathTooLong { octets: 108, .. }
        ));
        assert!(matches!(error("inet:8891"), ListenAddressError::NoHost { .. }));
        assert!(matches!(error("inet:+1@127.0.0.1"), ListenAddressError::Port { .. }));
        assert!(matches!(error("inet:65536@127.0.0.1"), ListenAddressError::Port { .. }));
        assert!(matches!(error("inet:1@::1"), ListenAddressError::Host { family: "IPv4", .. }));
        assert!(matches!(error("inet6:1@mail.example"), ListenAddressError::Host { family: "IPv6", .. }));
        assert!(matches!(error("systemd:"), ListenAddressError::NoName { .. }));
    }
}
