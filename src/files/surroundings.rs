//! Looks at what the daemon would open at its start, and leaves it as it was.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::Access;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::{Config, ListenAddress, Listener, Listeners, Permissions};
use crate::finding::{Finding, Place, Severity};

/// What stands in the way of the listeners: directories that are missing, cannot be written to or would not please
/// Sendmail, sockets left behind, ports in use. The key store judges itself when it is opened.
///
/// Connects to Unix sockets that exist, to learn whether somebody listens, and closes at once. Sockets passed by systemd
/// are not looked for. What may be written is judged for the user who asks.
pub fn listeners(config: &Config) -> Vec<Finding> {
    let listeners = match &config.listeners {
        Listeners::PassedOr(listener) => std::slice::from_ref(listener),
        Listeners::Named(listeners) => listeners.as_slice(),
    };
    let mut findings = Vec::new();
    for Listener { address, permissions, .. } in listeners.iter().chain(&config.http.listener) {
        match address {
            ListenAddress::Unix(path) => {
                unix(path, &mut findings);
                findings.extend(ungivable(path, permissions));
            }
            ListenAddress::Inet(socket) => {
                if let Err(error) = bind(*socket) {
                    findings.push(unbindable(address, &error));
                }
            }
            ListenAddress::Systemd(_) => {}
        }
    }
    findings
}

/// Whether the user who asks could not give the socket to its owner and group: chown(2) takes root, or membership.
fn ungivable(path: &Path, permissions: &Permissions) -> Option<Finding> {
    let user = rustix::process::geteuid();
    if user.is_root() {
        return None;
    }
    let groups = rustix::process::getgroups().unwrap_or_default();
    let is_member =
        |group| rustix::process::getegid().as_raw() == group || groups.iter().any(|own| own.as_raw() == group);
    let (evidence, remedy) = if permissions.owner.is_some_and(|owner| owner != user.as_raw()) {
        ("the socket's owner is to be another user", "leave owner unset, unless the daemon runs as root")
    } else if permissions.group.is_some_and(|group| !is_member(group)) {
        (
            "the socket's group is one that the user who runs this check is no member of",
            "check as the daemon's user, or make that user a member: usermod -aG GROUP USER",
        )
    } else {
        return None;
    };
    let evidence = format!("{evidence}; the user with id {} cannot give it away", user.as_raw());
    Some(at(path, "socket.ownership", Severity::Warning, evidence, remedy))
}

fn unix(path: &Path, findings: &mut Vec<Finding>) {
    let directory = path.parent().unwrap_or(Path::new("/"));
    match std::fs::metadata(directory) {
        Err(error) => {
            let evidence = format!("the directory of the socket cannot be used: {error}");
            let remedy = "create it; RuntimeDirectory=waxseal in the unit makes /run/waxseal";
            findings.push(at(directory, "socket.directory", Severity::Error, evidence, remedy));
            return;
        }
        Ok(metadata) if !metadata.is_dir() => {
            let evidence = "the directory of the socket is no directory".to_owned();
            findings.push(at(directory, "socket.directory", Severity::Error, evidence, "give the socket another path"));
            return;
        }
        Ok(_) => {}
    }
    if rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let user = rustix::process::geteuid().as_raw();
        let evidence = format!("no socket can be made here by the user with id {user}, who runs this check");
        let remedy = "check as the daemon's user, or give the directory to it";
        findings.push(at(directory, "socket.directory_write", Severity::Warning, evidence, remedy));
    }
    for ancestor in directory.ancestors() {
        let Ok(metadata) = std::fs::metadata(ancestor) else {
            continue;
        };
        if metadata.mode() & 0o022 != 0 {
            let mode = metadata.permissions().mode() & 0o7777;
            let evidence = format!(
                "mode {mode:04o}: Sendmail refuses sockets below a directory that group or others may write to"
            );
            let remedy = "put the socket below /run/waxseal, with mode 0755; Postfix does not mind";
            findings.push(at(ancestor, "socket.directory_mode", Severity::Warning, evidence, remedy));
        }
    }
    existing(path, findings);
}

/// What stands at the socket's path already.
fn existing(path: &Path, findings: &mut Vec<Finding>) {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return;
    };
    if !metadata.file_type().is_socket() {
        let evidence =
            "there is a file of another kind where the socket should be, and it will not be replaced".to_owned();
        findings.push(at(path, "socket.not_a_socket", Severity::Error, evidence, "move it away"));
        return;
    }
    let (evidence, remedy) = match connect(path) {
        Ok(()) => ("somebody listens here already", "if it is not waxseald, give the socket another path"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            ("nobody listens at this socket any more; the daemon will replace it", "")
        }
        // Listening, and its backlog is full.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => ("somebody listens here already, and is busy", ""),
        Err(error) => {
            let evidence = format!("cannot tell whether somebody listens here: {error}");
            findings.push(at(path, "socket.unknown", Severity::Warning, evidence, "check as the daemon's user"));
            return;
        }
    };
    findings.push(at(path, "socket.exists", Severity::Info, evidence.to_owned(), remedy));
}

fn connect(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// Takes the address as the daemon would, and gives it back without having listened.
fn bind(address: std::net::SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())
}

fn unbindable(address: &ListenAddress, error: &io::Error) -> Finding {
    let (severity, evidence, remedy) = match error.kind() {
        io::ErrorKind::AddrInUse => {
            (Severity::Info, "somebody listens here already".to_owned(), "if it is not waxseald, choose another port")
        }
        io::ErrorKind::AddrNotAvailable => {
            (Severity::Error, "this machine does not have that address".to_owned(), "give one of its own, or localhost")
        }
        io::ErrorKind::PermissionDenied => {
            (Severity::Error, "this user may not listen here".to_owned(), "choose a port above 1023, such as 8891")
        }
        _ => (Severity::Error, format!("cannot listen here: {error}"), ""),
    };
    Finding::new("socket.address", severity, Place::Subject { subject: address.to_string() }, evidence, remedy)
}

fn at(path: &Path, rule: &'static str, severity: Severity, evidence: String, remedy: &str) -> Finding {
    Finding::new(rule, severity, Place::Path { path: path.to_owned() }, evidence, remedy)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn rules(path: &Path) -> Vec<&'static str> {
        let mut findings = Vec::new();
        unix(path, &mut findings);
        let own = |finding: &Finding| matches!(&finding.place, Place::Path { path: at } if at.starts_with(path.parent().unwrap()));
        findings.into_iter().filter(own).map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_socket_is_told_from_one_left_behind_and_from_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("milter.sock");
        assert!(rules(&path).is_empty());
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(rules(&path), ["socket.exists"]);
        drop(listener);
        assert_eq!(rules(&path), ["socket.exists"]);
        assert!(path.exists());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        assert_eq!(rules(&path), ["socket.not_a_socket"]);
    }

    #[test]
    fn a_directory_that_sendmail_refuses_is_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o775)).unwrap();
        assert_eq!(rules(&directory.path().join("milter.sock")), ["socket.directory_mode"]);
        assert_eq!(rules(&directory.path().join("missing/milter.sock")), ["socket.directory"]);
    }

    #[test]
    fn an_address_of_another_machine_cannot_be_taken() {
        let error = bind("192.0.2.1:8891".parse().unwrap()).unwrap_err();
        let finding = unbindable(&"inet:8891@192.0.2.1".parse().unwrap(), &error);
        assert_eq!(finding.severity, Severity::Error, "{finding}");
        assert!(bind("127.0.0.1:0".parse().unwrap()).is_ok());
    }
}
