//! Connects to the daemon as an MTA would.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Part, found};
use crate::config::{Config, ListenAddress, Listeners};
use crate::doctor::postfix::Postfix;
use crate::doctor::sendmail::Sendmail;
use crate::doctor::{Endpoint, Milter, Rule};
use crate::files::accounts;
use crate::finding::{Finding, Place};
use crate::milter::Offer;
use crate::milter::mta::Mta;

/// A daemon of this machine answers within milliseconds; MTAs wait for 30 s.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether the daemon answers at each of its listeners.
pub(super) fn daemon(config: &Config) -> Part {
    let listeners = match &config.listeners {
        Listeners::PassedOr(listener) => std::slice::from_ref(listener),
        Listeners::Named(listeners) => listeners.as_slice(),
    };
    let mut findings = Vec::new();
    let mut answering = Vec::new();
    for listener in listeners {
        let answered = match &listener.address {
            ListenAddress::Unix(path) => over_unix(path),
            ListenAddress::Inet(address) => over_tcp(reachable(*address)),
            ListenAddress::Systemd(_) => continue,
        };
        match answered {
            Ok(()) => answering.push(listener.label().into_owned()),
            Err(error) => {
                let place = Place::Subject { subject: listener.address.to_string() };
                let remedy = "systemctl status waxseald; its log says why it does not run";
                findings.push(found(Rule::DaemonVersion, place, error.to_string(), remedy));
            }
        }
    }
    let about = match &answering[..] {
        [] => "does not answer".to_owned(),
        names => format!("answers at {}", names.join(", ")),
    };
    Part::new(
        "daemon",
        if listeners.iter().all(is_passed) { "listens where systemd says".into() } else { about },
        findings,
    )
}

fn is_passed(listener: &crate::config::Listener) -> bool {
    matches!(listener.address, ListenAddress::Systemd(_))
}

/// Whether Postfix reaches the daemon at what its settings name.
pub(super) fn postfix(postfix: &Postfix, config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let queue = postfix.queue_directory();
    for (milter, is_chrooted) in postfix.ours(config) {
        let path = match &milter.endpoint {
            Endpoint::Unix(path) if is_chrooted => Some(queue.join(path.strip_prefix("/").unwrap_or(path))),
            // Services run in the queue directory, chrooted or not.
            Endpoint::Unix(path) => Some(queue.join(path)),
            _ => None,
        };
        let place = Place::Path { path: postfix.directory.join("main.cf") };
        if is_chrooted && path.as_ref().is_some_and(|path| !path.exists()) && milter_is_absolute(&milter) {
            // That is a finding of its own.
            continue;
        }
        if let Err(error) = connect(&milter, path.as_deref()) {
            let evidence = format!("{}: {error}", milter.written);
            let remedy = "systemctl status waxseald; is its [[listener]] where main.cf says?";
            findings.push(found(Rule::PostfixSocket, place, evidence, remedy));
        } else if let Some(path) = path
            && let Some(evidence) = closed_to(postfix.owner(), &path)
        {
            let remedy = format!("usermod -aG GROUP {}, with the socket's group, and restart Postfix", postfix.owner());
            findings.push(found(Rule::PostfixSocket, place, evidence, remedy));
        }
    }
    findings
}

/// The same for Sendmail, which connects as root.
pub(super) fn sendmail(sendmail: &Sendmail, config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for milter in sendmail.ours(config) {
        let path = match &milter.endpoint {
            Endpoint::Unix(path) => Some(path.clone()),
            _ => None,
        };
        if let Err(error) = connect(&milter, path.as_deref()) {
            let place = Place::Path { path: sendmail.path.clone() };
            let remedy = "systemctl status waxseald; is its [[listener]] where sendmail.cf says?";
            findings.push(found(Rule::SendmailSocket, place, format!("{}: {error}", milter.written), remedy));
        }
    }
    findings
}

fn milter_is_absolute(milter: &Milter) -> bool {
    matches!(&milter.endpoint, Endpoint::Unix(path) if path.is_absolute())
}

fn connect(milter: &Milter, path: Option<&Path>) -> io::Result<()> {
    match (&milter.endpoint, path) {
        (Endpoint::Unix(_), Some(path)) => over_unix(path),
        (Endpoint::Inet(_, port), _) => {
            let mut last = Err(io::Error::other("its host is no address"));
            for address in milter.endpoint.addresses() {
                last = over_tcp(SocketAddr::new(address, *port));
                if last.is_ok() {
                    break;
                }
            }
            last
        }
        _ => Err(io::Error::other("it is no address of a milter")),
    }
}

fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => address,
        _ => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port()),
    }
}

fn over_unix(path: &Path) -> io::Result<()> {
    let stream = UnixStream::connect(path).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    negotiate(stream)
}

fn over_tcp(address: SocketAddr) -> io::Result<()> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    negotiate(stream)
}

/// Says what Postfix says first, and reads the answer.
fn negotiate(mut stream: impl Read + Write) -> io::Result<()> {
    let mut mta = Mta::new(Offer::POSTFIX);
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    mta.negotiate(&mut sent);
    stream.write_all(&sent)?;
    while mta.negotiated(&received).map_err(io::Error::other)?.is_none() {
        let mut piece = [0; 512];
        let octets = stream.read(&mut piece).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => io::Error::other("it does not answer"),
            _ => error,
        })?;
        if octets == 0 {
            return Err(io::Error::other("it closes the connection"));
        }
        received.extend_from_slice(&piece[..octets]);
    }
    sent.clear();
    mta.quit(&mut sent);
    stream.write_all(&sent)
}

/// Why a user cannot connect to a socket, if so.
fn closed_to(user: &str, path: &Path) -> Option<String> {
    let mut upwards: Vec<PathBuf> = path.ancestors().map(Path::to_owned).collect();
    upwards.reverse();
    for part in &upwards {
        let metadata = std::fs::metadata(part).ok()?;
        // Connecting takes writing (unix(7)); directories are passed through.
        let wanted = if part == path { 0o2 } else { 0o1 };
        let mode = metadata.permissions().mode();
        let has = |shift: u32| mode >> shift & wanted != 0;
        let may = match accounts::belongs(user, metadata.uid(), metadata.gid())? {
            accounts::Belonging::Owner => has(6),
            accounts::Belonging::Group => has(3),
            accounts::Belonging::Other => has(0),
        };
        if !may {
            let (mode, group) = (mode & 0o777, accounts::group_name(metadata.gid()));
            let group = group.unwrap_or_else(|| metadata.gid().to_string());
            return Some(format!(
                "{} has mode {mode:04o} and group {group}, of which {user} is no member",
                part.display()
            ));
        }
    }
    None
}
