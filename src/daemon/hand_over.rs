//! Listening sockets, handed over to a daemon that is started while this one runs.
//!
//! ```text
//! old: listens at [daemon] hand_over        new: finds somebody there
//!            addresses + SCM_RIGHTS ───────▶ adopts those of its configuration, opens the rest
//!                                   ◀─────── "taken"
//! gives up its socket files, "yours" ──────▶ ready; waits at hand_over itself
//! keeps its connections until they end, or timeouts.drain
//! ```
//!
//! No connection is refused and none is dropped in between: both have the same sockets for a moment, and one of them accepts. A
//! new daemon that fails before "taken" changes nothing. Both ends must run as the same user, or the other one as root.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

use super::listen::SocketFile;

/// The most sockets that are handed over; the kernel passes 253 at once.
const MAX_SOCKETS: usize = 64;

/// Room for the addresses of so many, in octets.
const MAX_ADDRESSES: usize = 16 << 10;

/// For each step of the other side. The new one opens its other sockets meanwhile, which takes no time.
const STEP: Duration = Duration::from_secs(10);

const TAKEN: &[u8; 6] = b"taken\n";
const YOURS: &[u8; 6] = b"yours\n";

/// Why sockets were not handed over.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandOverError {
    #[error("the other process at the hand-over socket runs as user id {uid}")]
    Stranger { uid: u32 },
    #[error("{sockets} sockets came with {addresses} addresses")]
    Uneven { sockets: usize, addresses: usize },
    #[error("the other process said something else than was expected")]
    Unexpected,
    #[error("the hand-over socket cannot be used")]
    Io(#[from] io::Error),
}

/// Sockets that an older daemon offers.
#[derive(Debug)]
pub(super) struct Offered {
    from: UnixStream,
    sockets: Vec<(String, OwnedFd)>,
}

impl Offered {
    /// What a daemon that waits at `path` offers; none if nobody does.
    pub(super) fn ask(path: &Path) -> Result<Option<Self>, HandOverError> {
        let from = match UnixStream::connect(path) {
            Ok(from) => from,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        prepare(&from)?;
        Ok(Some(Self { sockets: receive(&from)?, from }))
    }

    /// Takes the socket of an address, if it is among them.
    pub(super) fn take(&mut self, address: &str) -> Option<OwnedFd> {
        let at = self.sockets.iter().position(|(offered, _)| offered == address)?;
        Some(self.sockets.swap_remove(at).1)
    }

    /// Tells the old daemon that all is ours now. What was not taken is closed.
    pub(super) fn confirm(mut self) -> Result<(), HandOverError> {
        self.from.write_all(TAKEN)?;
        expect(&mut self.from, YOURS)
    }
}

/// Waits for a newer daemon.
#[derive(Debug)]
pub(super) struct Waiting {
    listener: tokio::net::UnixListener,
    file: SocketFile,
    sockets: Vec<(String, OwnedFd)>,
    given_away: Arc<AtomicBool>,
}

impl Waiting {
    /// Waits at `path`, which only its own user can connect to, with these sockets. `given_away` is set when another has them.
    pub(super) fn at(path: PathBuf, sockets: Vec<(String, OwnedFd)>, given_away: Arc<AtomicBool>) -> io::Result<Self> {
        // Whoever listened there has gone, or has just handed over and removed it.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = tokio::net::UnixListener::bind(&path)?;
        let file = SocketFile::made(path)?;
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, file, sockets, given_away })
    }

    /// Returns when a newer daemon has the sockets.
    pub(super) async fn given(mut self) {
        loop {
            let from = match self.listener.accept().await {
                Ok((from, _)) => from,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "nobody can ask for a hand-over");
                    tokio::time::sleep(STEP).await;
                    continue;
                }
            };
            let exchange = tokio::task::spawn_blocking(move || {
                let outcome = self.offer(from);
                (self, outcome)
            });
            // It does not panic, and the runtime ends after us.
            let Ok((waiting, outcome)) = exchange.await else { return std::future::pending().await };
            self = waiting;
            match outcome {
                Ok(()) => return,
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the sockets were not handed over; this daemon goes on"
                ),
            }
        }
    }

    fn offer(&self, to: tokio::net::UnixStream) -> Result<(), HandOverError> {
        let mut to = to.into_std()?;
        to.set_nonblocking(false)?;
        prepare(&to)?;
        send(&to, &self.sockets)?;
        expect(&mut to, TAKEN)?;
        self.given_away.store(true, Ordering::Relaxed);
        self.file.let_go();
        // It is theirs now, whether or not they hear it.
        if let Err(error) = to.write_all(YOURS) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the new daemon was not told that it has the sockets"
            );
        }
        Ok(())
    }
}

/// Bounds every wait, and looks who is there.
fn prepare(stream: &UnixStream) -> Result<(), HandOverError> {
    stream.set_read_timeout(Some(STEP))?;
    stream.set_write_timeout(Some(STEP))?;
    let other = rustix::net::sockopt::socket_peercred(stream).map_err(io::Error::from)?.uid;
    if other.is_root() || other == rustix::process::geteuid() {
        Ok(())
    } else {
        Err(HandOverError::Stranger { uid: other.as_raw() })
    }
}

fn expect(stream: &mut UnixStream, word: &[u8; 6]) -> Result<(), HandOverError> {
    let mut said = [0; 6];
    stream.read_exact(&mut said)?;
    if said == *word { Ok(()) } else { Err(HandOverError::Unexpected) }
}

fn send(to: &UnixStream, sockets: &[(String, OwnedFd)]) -> Result<(), HandOverError> {
    let sockets = &sockets[..sockets.len().min(MAX_SOCKETS)];
    let addresses: String = sockets.iter().map(|(address, _)| format!("{address}\n")).collect();
    let descriptors: Vec<_> = sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = sendmsg(to, &[IoSlice::new(addresses.as_bytes())], &mut control, SendFlags::NOSIGNAL);
    let sent = sent.map_err(io::Error::from)?;
    if sent == addresses.len() { Ok(()) } else { Err(io::Error::from(io::ErrorKind::WriteZero).into()) }
}

fn receive(from: &UnixStream) -> Result<Vec<(String, OwnedFd)>, HandOverError> {
    let mut addresses = vec![0; MAX_ADDRESSES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(from, &mut [IoSliceMut::new(&mut addresses)], &mut control, RecvFlags::CMSG_CLOEXEC);
    let message = message.map_err(io::Error::from)?;
    let mut sockets = Vec::new();
    for received in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = received {
            sockets.extend(descriptors);
        }
    }
    let Ok(addresses) = std::str::from_utf8(&addresses[..message.bytes]) else { return Err(HandOverError::Unexpected) };
    let addresses: Vec<String> = addresses.lines().map(str::to_owned).collect();
    if addresses.len() != sockets.len() {
        return Err(HandOverError::Uneven { sockets: sockets.len(), addresses: addresses.len() });
    }
    Ok(addresses.into_iter().zip(sockets).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn sockets_are_handed_over_and_only_when_they_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (path, milter) = (folder.path().join("hand-over"), folder.path().join("milter"));
        assert!(Offered::ask(&path).unwrap().is_none());
        let listener = UnixListener::bind(&milter).unwrap();
        let given_away = Arc::new(AtomicBool::new(false));
        let sockets = vec![("unix:/milter".to_owned(), OwnedFd::from(listener))];
        let waiting = Waiting::at(path.clone(), sockets, Arc::clone(&given_away)).unwrap();
        let given = tokio::spawn(waiting.given());
        // One that dies meanwhile changes nothing.
        let asked = path.clone();
        let offered = tokio::task::spawn_blocking(move || Offered::ask(&asked).unwrap().unwrap()).await.unwrap();
        drop(offered);
        assert!(!given_away.load(Ordering::Relaxed) && !given.is_finished());
        let asked = path.clone();
        let adopted = tokio::task::spawn_blocking(move || {
            let mut offered = Offered::ask(&asked).unwrap().unwrap();
            assert!(offered.take("unix:/other").is_none());
            let adopted = offered.take("unix:/milter").unwrap();
            offered.confirm().unwrap();
            adopted
        });
        let adopted = UnixListener::from(adopted.await.unwrap());
        given.await.unwrap();
        assert!(given_away.load(Ordering::Relaxed) && !path.exists());
        let _client = UnixStream::connect(&milter).unwrap();
        adopted.accept().unwrap();
    }
}
