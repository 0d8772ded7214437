//! A filter as MTAs write it in their settings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use crate::config::{ListenAddress, Listener};

/// A filter in an MTA's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Milter {
    /// As it is written there.
    pub written: String,
    /// Where that is.
    pub endpoint: Endpoint,
    /// What the MTA does without it, where that is said for this filter alone.
    pub default_action: Option<String>,
}

/// Where an MTA connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket, perhaps relative to a directory of the MTA's.
    Unix(PathBuf),
    /// TCP: a host as it is written, and a port.
    Inet(String, u16),
    /// Neither: nothing that can be connected to.
    Unknown,
}

impl Endpoint {
    /// As Postfix writes it: `unix:path`, `local:path`, `inet:host:port`.
    pub fn of_postfix(text: &str) -> Self {
        match text.split_once(':') {
            Some(("unix" | "local", path)) => Self::Unix(path.into()),
            Some(("inet", rest)) => {
                let Some((host, port)) = rest.rsplit_once(':') else { return Self::Unknown };
                Self::inet(host, port)
            }
            _ => Self::Unknown,
        }
    }

    /// As Sendmail writes it: `unix:path`, `local:path`, `inet:port@host`, `inet6:port@host`, or a path alone.
    pub fn of_sendmail(text: &str) -> Self {
        match text.split_once(':') {
            Some(("unix" | "local", path)) => Self::Unix(path.into()),
            Some(("inet" | "inet6", rest)) => {
                let Some((port, host)) = rest.split_once('@') else { return Self::Unknown };
                Self::inet(host, port)
            }
            _ if text.starts_with('/') => Self::Unix(text.into()),
            _ => Self::Unknown,
        }
    }

    fn inet(host: &str, port: &str) -> Self {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        port.parse().map_or(Self::Unknown, |port| Self::Inet(host.to_owned(), port))
    }

    /// The addresses of the host that need no look-up.
    pub fn addresses(&self) -> Vec<IpAddr> {
        match self {
            Self::Inet(host, _) if host.eq_ignore_ascii_case("localhost") => {
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            }
            Self::Inet(host, _) => host.parse().into_iter().collect(),
            Self::Unix(_) | Self::Unknown => Vec::new(),
        }
    }
}

/// Whether an endpoint is that listener. What systemd passes is known by the name that the units give it.
pub fn is_at(endpoint: &Endpoint, listener: &Listener, queue_directory: Option<&Path>) -> bool {
    match (endpoint, &listener.address) {
        (Endpoint::Unix(path), ListenAddress::Unix(ours)) => {
            let below = queue_directory.map(|queue| queue.join(path.strip_prefix("/").unwrap_or(path)));
            path == ours || below.as_deref() == Some(ours)
        }
        (Endpoint::Inet(_, port), ListenAddress::Inet(ours)) => {
            let is_same = |address: &IpAddr| ours.ip().is_unspecified() || ours.ip().to_canonical() == *address;
            *port == ours.port() && endpoint.addresses().iter().any(is_same)
        }
        (Endpoint::Unix(path), ListenAddress::Systemd(_)) => {
            path.components().any(|part| part.as_os_str() == "waxseal")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_mtas_forms_are_read() {
        let tcp = |host: &str, port| Endpoint::Inet(host.into(), port);
        for (text, expected) in [
            ("inet:127.0.0.1:8892", tcp("127.0.0.1", 8892)),
            ("inet:[::1]:8892", tcp("::1", 8892)),
            ("inet:localhost:8892", tcp("localhost", 8892)),
            ("unix:waxseal/milter.sock", Endpoint::Unix("waxseal/milter.sock".into())),
            ("inet:8892", Endpoint::Unknown),
            ("nonsense", Endpoint::Unknown),
            ("inet:a:99999", Endpoint::Unknown),
        ] {
            assert_eq!(Endpoint::of_postfix(text), expected, "{text}");
        }
        for (text, expected) in [
            ("inet:8892@localhost", tcp("localhost", 8892)),
            ("inet6:8892@[::1]", tcp("::1", 8892)),
            ("local:/run/waxseal/milter.sock", Endpoint::Unix("/run/waxseal/milter.sock".into())),
            ("/run/waxseal/milter.sock", Endpoint::Unix("/run/waxseal/milter.sock".into())),
            ("inet:8892", Endpoint::Unknown),
        ] {
            assert_eq!(Endpoint::of_sendmail(text), expected, "{text}");
        }
    }

    #[test]
    fn an_endpoint_is_matched_with_a_listener() {
        let at = |address: &str, endpoint: &str| {
            let listener = Listener::at(address.parse().unwrap());
            is_at(&Endpoint::of_postfix(endpoint), &listener, Some(Path::new("/var/spool/postfix")))
        };
        assert!(at("inet:8892@127.0.0.1", "inet:localhost:8892"));
        assert!(at("inet:8892@0.0.0.0", "inet:192.0.2.1:8892"));
        assert!(!at("inet:8892@127.0.0.1", "inet:localhost:8891"));
        assert!(!at("inet:8892@127.0.0.1", "inet:192.0.2.1:8892"));
        assert!(at("unix:/run/w.sock", "unix:/run/w.sock"));
        assert!(at("unix:/var/spool/postfix/waxseal/milter.sock", "unix:waxseal/milter.sock"));
        assert!(at("unix:/var/spool/postfix/waxseal/milter.sock", "unix:/waxseal/milter.sock"));
        assert!(!at("unix:/run/w.sock", "unix:/run/other.sock"));
        assert!(at("systemd", "unix:waxseal/milter.sock") && !at("systemd", "unix:opendkim/opendkim.sock"));
    }
}
