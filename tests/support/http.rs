//! Requests over HTTP, as written, and their answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::scratch::eventually;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Where a server is.
#[derive(Clone, Debug)]
pub(crate) enum Site {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Site {
    /// On loopback.
    pub(crate) fn at_port(port: u16) -> Self {
        Self::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// GET; panics if there is no answer.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "")
    }

    /// A request with these lines in its header, each with its line end.
    pub(crate) fn request(&self, method: &str, path: &str, lines: &str) -> Answer {
        let host = if lines.to_ascii_lowercase().contains("host:") { "" } else { "Host: localhost\r\n" };
        let request = format!("{method} {path} HTTP/1.1\r\n{host}{lines}\r\n");
        self.raw(request.as_bytes()).unwrap_or_else(|| panic!("{method} {path}: no answer"))
    }

    /// Octets as they are; none if the server closes without an answer, or is not there.
    pub(crate) fn raw(&self, request: &[u8]) -> Option<Answer> {
        let mut stream = self.connect()?;
        // Who is refused early may not be listened to until the end.
        let _ = stream.write_all(request);
        let mut octets = Vec::new();
        let _ = stream.read_to_end(&mut octets);
        let text = String::from_utf8_lossy(&octets).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
    }

    /// A connection.
    pub(crate) fn connect(&self) -> Option<Box<dyn Stream>> {
        Some(match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).ok()?;
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                Box::new(stream)
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).ok()?;
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                Box::new(stream)
            }
        })
    }

    /// Waits until the server answers.
    pub(crate) fn wait(&self) {
        eventually(&format!("{self:?} to answer"), LIMIT, || {
            self.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").map(drop)
        });
    }

    /// The value of a series of `/metrics`, as it stands there: name and labels.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        value(&self.get("/metrics").body, series)
    }

    /// Waits until a series has this value.
    pub(crate) fn wait_for_metric(&self, series: &str, expected: f64) {
        eventually(&format!("{series} to be {expected}"), LIMIT, || {
            (self.metric(series) == Some(expected)).then_some(())
        });
    }
}

/// The value of a series in an export.
pub(crate) fn value(export: &str, series: &str) -> Option<f64> {
    export.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// A connection over TCP or a Unix socket.
pub(crate) trait Stream: Read + Write {}

impl Stream for TcpStream {}
impl Stream for UnixStream {}

impl Answer {
    /// The value of a field of the header, by its name in lower case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}
