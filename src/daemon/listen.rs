//! Listening sockets: made, taken over from systemd, and taken away at the end.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::stream::Acceptor;
use crate::config::{ListenAddress, Listener, Listeners};

/// Connections that may wait to be accepted; the kernel lowers it to net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Why a socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Somebody listens there.
    #[error("{address}: another process listens there; stop it, or choose another socket")]
    InUse {
        /// The socket.
        address: ListenAddress,
    },
    /// The path is taken by something that is no socket.
    #[error("{}: exists and is no socket; remove it, or choose another path", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// TCP that other machines can reach, open to all of them.
    #[error(
        "{address}: can be reached from other machines, and whoever connects could have mail signed; \
         make it a [[listener]] of the configuration with allow = [\"192.0.2.0/24\"] for the MTAs' networks, or listen \
         at localhost"
    )]
    OpenToAll {
        /// The socket.
        address: ListenAddress,
    },
    /// systemd passed no such socket.
    #[error("{address}: systemd passed no such socket; start waxseald by its .socket unit, or name a path")]
    NotPassed {
        /// The setting.
        address: ListenAddress,
    },
    /// systemd passed a socket that cannot be used.
    #[error("the socket passed by systemd as {name:?} is no listening stream socket")]
    UnfitSocket {
        /// Its FileDescriptorName=.
        name: String,
    },
    /// The directory of a Unix socket is missing.
    #[error(
        "{address}: the directory of the socket is missing; make it and give it to the daemon's user, or let systemd \
         do so (RuntimeDirectory= of the unit)"
    )]
    NoDirectory {
        /// The socket.
        address: ListenAddress,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon's user may not listen there.
    #[error("{address}: user id {uid} may not listen there; {}", permission_remedy(.address))]
    PermissionDenied {
        /// The socket.
        address: ListenAddress,
        /// Who we are.
        uid: u32,
        /// What the system said.
        source: io::Error,
    },
    /// A Unix socket cannot be given to its owner and group.
    #[error(
        "{address}: user id {uid} cannot give the socket to the owner or group of this [[listener]]; make the daemon's \
         user a member of the group (usermod -aG), and leave owner unset unless the daemon runs as root"
    )]
    Ownership {
        /// The socket.
        address: ListenAddress,
        /// Who we are.
        uid: u32,
        /// What the system said.
        source: io::Error,
    },
    /// The system refuses.
    #[error("{address}: cannot listen there")]
    Io {
        /// The socket.
        address: ListenAddress,
        /// What it said.
        source: io::Error,
    },
}

impl ListenError {
    /// What the system said, sorted by what an administrator would do about it.
    fn io(address: &ListenAddress, source: io::Error) -> Self {
        let address = address.clone();
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::NotFound => Self::NoDirectory { address, source },
            io::ErrorKind::PermissionDenied => {
                Self::PermissionDenied { address, uid: rustix::process::geteuid().as_raw(), source }
            }
            _ => Self::Io { address, source },
        }
    }

    /// Whether the configuration or the command line asks for what never works.
    pub(super) fn is_configuration(&self) -> bool {
        matches!(self, Self::OpenToAll { .. })
    }
}

fn permission_remedy(address: &ListenAddress) -> &'static str {
    match address {
        ListenAddress::Unix(_) => "give the socket's directory to the daemon's user, or choose another path",
        _ => "choose a port above 1023, such as 8891",
    }
}

/// An open socket with what is known of those who connect to it.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) acceptor: Acceptor,
    pub(super) listener: Listener,
    /// A socket file of ours, to be removed at the end.
    _file: Option<SocketFile>,
}

/// Opens all sockets, or none.
pub(super) fn open(listeners: &Listeners) -> Result<Vec<Listening>, ListenError> {
    let mut passed = Passed::take();
    let named = match listeners {
        Listeners::Named(named) => named.clone(),
        Listeners::PassedOr(fallback) if passed.is_empty() => vec![fallback.clone()],
        Listeners::PassedOr(fallback) => {
            vec![Listener { address: ListenAddress::Systemd(None), ..fallback.clone() }]
        }
    };
    let mut open = Vec::new();
    for listener in named {
        match &listener.address {
            ListenAddress::Systemd(name) => open.extend(passed.adopt(name.as_deref(), &listener)?),
            _ => open.push(open_one(&listener)?),
        }
    }
    Ok(open)
}

/// Opens one socket that systemd did not pass.
pub(super) fn open_one(listener: &Listener) -> Result<Listening, ListenError> {
    match &listener.address {
        ListenAddress::Unix(path) => open_unix(path, listener),
        ListenAddress::Inet(address) => open_tcp(*address, listener),
        ListenAddress::Systemd(_) => Err(ListenError::NotPassed { address: listener.address.clone() }),
    }
}

pub(super) fn open_unix(path: &Path, listener: &Listener) -> Result<Listening, ListenError> {
    let io = |source| ListenError::io(&listener.address, source);
    remove_stale(path, listener)?;
    // Nobody may connect before the mode is right: the socket is made under another name and moved into place. The name
    // is short, for the system bounds its length, and may be left from a process that was killed here.
    let temporary = path.with_file_name(format!(".{}", rustix::process::getpid().as_raw_nonzero()));
    remove_stale(&temporary, listener)?;
    let socket = UnixListener::bind(&temporary).map_err(io)?;
    let file = SocketFile::made(temporary).map_err(io)?;
    let permissions = &listener.permissions;
    fs::set_permissions(&file.path, fs::Permissions::from_mode(permissions.mode)).map_err(io)?;
    if permissions.owner.is_some() || permissions.group.is_some() {
        chown(&file.path, permissions.owner, permissions.group).map_err(|source| ListenError::Ownership {
            address: listener.address.clone(),
            uid: rustix::process::geteuid().as_raw(),
            source,
        })?;
    }
    rustix::net::listen(&socket, BACKLOG).map_err(|error| io(error.into()))?;
    let file = file.move_to(path).map_err(io)?;
    socket.set_nonblocking(true).map_err(io)?;
    let acceptor = tokio::net::UnixListener::from_std(socket).map(Acceptor::Unix).map_err(io)?;
    Ok(Listening { acceptor, listener: listener.clone(), _file: Some(file) })
}

/// Removes a socket file that nobody listens on any more.
fn remove_stale(path: &Path, listener: &Listener) -> Result<(), ListenError> {
    let io = |source| ListenError::io(&listener.address, source);
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(error)),
    };
    if !found.file_type().is_socket() {
        return Err(ListenError::NotASocket { path: path.to_owned() });
    }
    match try_connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(io),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Somebody listens, or is too busy to answer, or we may not know: leave it alone.
        Ok(_) | Err(_) => Err(ListenError::InUse { address: listener.address.clone() }),
    }
}

/// Connects without waiting: where somebody listens and takes no connections, their queue may be full for ever.
fn try_connect(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

fn open_tcp(address: SocketAddr, listener: &Listener) -> Result<Listening, ListenError> {
    if listener.lacks_allow_list() {
        return Err(ListenError::OpenToAll { address: listener.address.clone() });
    }
    let socket = || -> io::Result<tokio::net::TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(address.ip() != IpAddr::from([0_u16; 8]))?;
        }
        // Old connections in TIME-WAIT must not stop a restart; a second daemon is refused all the same.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(socket.into())
    };
    match socket() {
        Ok(socket) => Ok(Listening { acceptor: Acceptor::Tcp(socket), listener: listener.clone(), _file: None }),
        Err(source) => Err(ListenError::io(&listener.address, source)),
    }
}

/// The sockets passed by systemd (sd_listen_fds(3)), by their names.
struct Passed {
    names: Vec<String>,
    sockets: ListenFd,
}

impl Passed {
    fn take() -> Self {
        Self { names: super::notify::passed_socket_names(), sockets: ListenFd::from_env() }
    }

    fn is_empty(&self) -> bool {
        self.sockets.len() == 0
    }

    /// Takes those of a name, or all that are left.
    fn adopt(&mut self, name: Option<&str>, listener: &Listener) -> Result<Vec<Listening>, ListenError> {
        let mut adopted = Vec::new();
        for at in 0..self.sockets.len() {
            let given = self.names.get(at).map(String::as_str).unwrap_or_default();
            if name.is_some_and(|name| name != given) {
                continue;
            }
            let io = |source| ListenError::io(&listener.address, source);
            let unfit = || ListenError::UnfitSocket { name: given.to_owned() };
            // Logs name the socket itself, if it has a name.
            let (acceptor, address) = if let Ok(socket) = self.sockets.take_unix_listener(at) {
                let Some(socket) = socket else { continue };
                is_listening(&socket).then_some(()).ok_or_else(unfit)?;
                let path = socket.local_addr().map_err(io)?.as_pathname().map(Path::to_owned);
                socket.set_nonblocking(true).map_err(io)?;
                let acceptor = Acceptor::Unix(tokio::net::UnixListener::from_std(socket).map_err(io)?);
                (acceptor, path.map_or_else(|| listener.address.clone(), ListenAddress::Unix))
            } else if let Ok(socket) = self.sockets.take_tcp_listener(at) {
                let Some(socket) = socket else { continue };
                is_listening(&socket).then_some(()).ok_or_else(unfit)?;
                let address = ListenAddress::Inet(socket.local_addr().map_err(io)?);
                if address.is_beyond_loopback() && listener.allow.is_empty() {
                    return Err(ListenError::OpenToAll { address });
                }
                socket.set_nonblocking(true).map_err(io)?;
                (Acceptor::Tcp(tokio::net::TcpListener::from_std(socket).map_err(io)?), address)
            } else {
                return Err(unfit());
            };
            let listener = Listener { address, ..listener.clone() };
            adopted.push(Listening { acceptor, listener, _file: None });
        }
        if adopted.is_empty() {
            return Err(ListenError::NotPassed { address: listener.address.clone() });
        }
        Ok(adopted)
    }
}

/// Whether a socket takes connections; one that systemd passes with Accept=yes is a connection itself.
fn is_listening(socket: impl AsFd) -> bool {
    rustix::net::sockopt::socket_acceptconn(socket).unwrap_or(false)
}

/// The file of a Unix socket; removed when dropped, if it is still the one we made.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn made(path: PathBuf) -> io::Result<Self> {
        let found = fs::symlink_metadata(&path)?;
        Ok(Self { path, identity: (found.dev(), found.ino()) })
    }

    fn move_to(mut self, path: &Path) -> io::Result<Self> {
        fs::rename(&self.path, path)?;
        self.path = path.to_owned();
        Ok(self)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if is_ours {
            // At the end of the process there is nobody left to tell.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_connection_is_no_listening_socket() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("milter.sock");
        let listener = UnixListener::bind(&path).unwrap();
        assert!(is_listening(&listener));
        let (client, _) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(!is_listening(&client));
    }

    #[test]
    fn a_socket_whose_listener_takes_nothing_is_in_use() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("milter.sock");
        let busy = UnixListener::bind(&path).unwrap();
        rustix::net::listen(&busy, 0).unwrap();
        // Until its queue is full.
        let waiting: Vec<_> = std::iter::repeat_with(|| {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.connect(&SockAddr::unix(&path).unwrap()).map(|()| socket)
        })
        .map_while(Result::ok)
        .collect();
        assert!(!waiting.is_empty());
        let (told, verdict) = mpsc::channel();
        thread::spawn(move || {
            let listener = Listener::at(ListenAddress::Unix(path.clone()));
            told.send(remove_stale(&path, &listener)).unwrap();
        });
        let verdict = verdict.recv_timeout(Duration::from_secs(10)).expect("it waits for a place in the queue");
        assert!(matches!(verdict, Err(ListenError::InUse { .. })), "{verdict:?}");
    }
}
