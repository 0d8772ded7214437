//! Asks the running daemon over its control socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::ControlSocket;
use crate::control::{Answer, Ask, LONGEST_ANSWER, LONGEST_REQUEST, Refusal, Request, Response, VERSION, VersionOf};

/// How long the daemon may take for each step of an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum AskError {
    /// It has none.
    #[error("the configuration switches the control socket off; set socket in [control], and restart the daemon")]
    Off,
    /// Nobody listens.
    #[error(
        "no daemon answers at {}; is waxseald running, and may you connect (group of the socket)?",
        .path.display()
    )]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It listens and says nothing.
    #[error("the daemon at {} did not answer within {} s; see its log", .path.display(), PATIENCE.as_secs())]
    Silent {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// More than a daemon takes.
    #[error("the question is longer than the daemon takes ({LONGEST_REQUEST} octets); ask without --live")]
    TooLong,
    /// What it says is no answer.
    #[error("what answers at {} is no waxseald, or one of another release", .path.display())]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        source: Option<serde_json::Error>,
    },
    /// It is of another release.
    #[error(
        "the daemon speaks version {theirs} of the control protocol, this waxseal version {VERSION}; use the waxseal of its release"
    )]
    Version {
        /// Its version.
        theirs: u32,
    },
    /// What is asked makes no sense to it.
    #[error("{text}")]
    Unfit {
        /// In its words, made plain.
        text: String,
    },
    /// It refuses.
    #[error("the daemon refuses: {text}")]
    Refused {
        /// In its words, made plain.
        text: String,
    },
    /// The question cannot be written.
    #[error("the question cannot be put in words")]
    Unwritable(#[from] serde_json::Error),
}

/// Asks, and waits for the answer.
///
/// # Errors
/// When there is none within [`PATIENCE`].
pub(super) fn ask(socket: &ControlSocket, ask: Ask) -> Result<Answer, AskError> {
    let path = match socket {
        ControlSocket::Off => return Err(AskError::Off),
        ControlSocket::At(path) => path,
    };
    let mut request = serde_json::to_vec(&Request::from(ask))?;
    if request.len() >= LONGEST_REQUEST {
        return Err(AskError::TooLong);
    }
    request.push(b'\n');
    let silent = |source| AskError::Silent { path: path.clone(), source };
    let mut stream = connect(path).map_err(|source| AskError::Connect { path: path.clone(), source })?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(silent)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(silent)?;
    stream.write_all(&request).map_err(silent)?;
    let mut line = Vec::new();
    BufReader::new(stream.take(LONGEST_ANSWER as u64)).read_until(b'\n', &mut line).map_err(silent)?;
    understand(path, &line)
}

fn understand(path: &Path, line: &[u8]) -> Result<Answer, AskError> {
    let none = |source| AskError::NoAnswer { path: path.to_owned(), source };
    if !line.ends_with(b"\n") {
        return Err(none(None));
    }
    let VersionOf { version: theirs } = serde_json::from_slice(line).map_err(|error| none(Some(error)))?;
    if theirs != VERSION {
        return Err(AskError::Version { theirs });
    }
    match serde_json::from_slice(line).map_err(|error| none(Some(error)))? {
        Response { answer: Answer::Refused { refusal, text }, .. } => {
            let text = crate::report::safe::line(&text).into_owned();
            Err(if refusal == Refusal::Unfit { AskError::Unfit { text } } else { AskError::Refused { text } })
        }
        Response { answer, .. } => Ok(answer),
    }
}

/// Connects within [`PATIENCE`]: where nobody takes connections, their queue may be full for ever.
fn connect(path: &Path) -> std::io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // The time a Unix socket waits for a place in the queue is that of its writes (unix(7)).
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_answer_is_said_to_be_none() {
        let path = Path::new("/run/waxseal/control.sock");
        assert!(matches!(understand(path, b""), Err(AskError::NoAnswer { .. })));
        assert!(matches!(understand(path, b"220 ready\r\n"), Err(AskError::NoAnswer { .. })));
        assert!(matches!(understand(path, b"{\"version\":1,\"answer\":\"moon\"}\n"), Err(AskError::NoAnswer { .. })));
        assert!(matches!(understand(path, b"{\"version\":2,\"answer\":7}\n"), Err(AskError::Version { theirs: 2 })));
        let refused = b"{\"version\":1,\"answer\":\"refused\",\"refusal\":\"new\",\"text\":\"no \\u001b[31m\"}\n";
        let Err(AskError::Refused { text }) = understand(path, refused) else { panic!("not refused") };
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
