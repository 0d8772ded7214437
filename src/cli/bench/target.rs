//! Where the milter listens.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use socket2::{Domain, SockAddr, Socket, Type};

/// A milter's socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Target {
    /// Reads `unix:/path` (also `local:/path` or `/path`), `inet:port@host` or `inet6:port@host`.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        if text.starts_with('/') {
            return Ok(Self::Unix(text.into()));
        }
        match text.split_once(':') {
            Some(("unix" | "local", path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some((family @ ("inet" | "inet6"), rest)) => {
                let (port, host) = rest.split_once('@').unwrap_or((rest, "localhost"));
                let port: u16 = port.parse().with_context(|| format!("{port:?} in {text:?} is no port"))?;
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let mut addresses = (host, port).to_socket_addrs().with_context(|| format!("cannot resolve {host}"))?;
                let address = addresses.find(|address| address.is_ipv6() == (family == "inet6"));
                address.map(Self::Tcp).with_context(|| format!("{host} has no address of the family {family}"))
            }
            _ => bail!("{text:?} is no socket; write unix:/path, inet:port@host or inet6:port@host"),
        }
    }

    /// Load is for machines of one's own.
    pub(super) fn require_loopback(&self) -> anyhow::Result<()> {
        match self {
            Self::Tcp(address) if !address.ip().is_loopback() => {
                bail!("{self} is not on this machine; give --allow-remote to put it under load all the same")
            }
            _ => Ok(()),
        }
    }

    /// Connects; every wait on the connection is bounded by `timeout`.
    pub(super) fn connect(&self, timeout: Duration) -> std::io::Result<Socket> {
        let (domain, address) = match self {
            Self::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
            Self::Tcp(address) => (Domain::for_address(*address), SockAddr::from(*address)),
        };
        let socket = Socket::new(domain, Type::STREAM, None)?;
        if let Self::Tcp(_) = self {
            socket.set_tcp_nodelay(true)?;
            socket.connect_timeout(&address, timeout)?;
        } else {
            // A Unix socket with a full queue says so at once where connect does not block; wait for it instead.
            socket.set_write_timeout(Some(timeout))?;
            socket.connect(&address)?;
        }
        socket.set_read_timeout(Some(timeout))?;
        socket.set_write_timeout(Some(timeout))?;
        Ok(socket)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) if address.is_ipv4() => write!(f, "inet:{}@{}", address.port(), address.ip()),
            Self::Tcp(address) => write!(f, "inet6:{}@{}", address.port(), address.ip()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_written_as_mtas_write_them() {
        assert_eq!(Target::parse("unix:/run/x").unwrap(), Target::Unix("/run/x".into()));
        assert_eq!(Target::parse("local:/run/x").unwrap(), Target::Unix("/run/x".into()));
        assert_eq!(Target::parse("inet:8891@127.0.0.1").unwrap(), Target::Tcp("127.0.0.1:8891".parse().unwrap()));
        assert_eq!(Target::parse("inet6:8891@::1").unwrap(), Target::Tcp("[::1]:8891".parse().unwrap()));
        assert_eq!(Target::parse("inet6:8891@[::1]").unwrap(), Target::Tcp("[::1]:8891".parse().unwrap()));
        for wrong in ["", "x", "unix:x", "inet:x@127.0.0.1", "inet6:1@127.0.0.1", "tcp:1@127.0.0.1"] {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn other_machines_are_left_alone() {
        assert!(Target::parse("inet:25@192.0.2.1").unwrap().require_loopback().is_err());
        assert!(Target::parse("inet:25@127.0.0.2").unwrap().require_loopback().is_ok());
        assert!(Target::parse("unix:/x").unwrap().require_loopback().is_ok());
    }
}
