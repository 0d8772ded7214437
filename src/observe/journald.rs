//! The native protocol of systemd-journald: one datagram an entry, one `NAME=value` a line.
//!
//! Field names are ours with `WAXSEAL_` before them, so `journalctl WAXSEAL_QUEUE_ID=4F1B2C` finds a message.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::line::{Line, Value};

const SOCKET: &str = "/run/systemd/journal/socket";

/// A connection to journald.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
    entry: Vec<u8>,
}

impl Journal {
    /// Connects to the machine's journald.
    pub fn connect() -> io::Result<Self> {
        Self::connect_to(Path::new(SOCKET))
    }

    /// Connects to a journald elsewhere.
    pub fn connect_to(socket: &Path) -> io::Result<Self> {
        let journal = UnixDatagram::unbound()?;
        journal.connect(socket)?;
        Ok(Self { socket: journal, entry: Vec::new() })
    }

    /// Sends one entry.
    pub fn send(&mut self, line: &Line) -> io::Result<()> {
        self.entry.clear();
        field(&mut self.entry, "MESSAGE", &line.summary());
        field(&mut self.entry, "PRIORITY", line.priority());
        field(&mut self.entry, "SYSLOG_IDENTIFIER", "waxseald");
        for (name, value) in &line.fields {
            let name = format!("WAXSEAL_{}", name.to_ascii_uppercase());
            match value {
                Value::Text(text) => field(&mut self.entry, &name, text),
                Value::Name(text) => field(&mut self.entry, &name, text),
                Value::Number(number) => field(&mut self.entry, &name, &number.to_string()),
            }
        }
        self.socket.send(&self.entry).map(drop)
    }
}

/// Values with line ends are sent with their length before them, as the protocol asks.
fn field(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn an_entry_arrives_with_its_fields() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let journald = UnixDatagram::bind(&path).unwrap();
        let line = Line {
            at: jiff::Timestamp::UNIX_EPOCH,
            level: Level::WARN,
            message: "key cannot be used".into(),
            fields: vec![("queue_id", Value::Text("4F1B".into())), ("error", Value::Text("a\nb".into()))],
        };
        Journal::connect_to(&path).unwrap().send(&line).unwrap();
        let mut entry = [0; 4096];
        let length = journald.recv(&mut entry).unwrap();
        let entry = String::from_utf8_lossy(&entry[..length]).into_owned();
        assert!(entry.contains("PRIORITY=4\n"), "{entry}");
        assert!(entry.contains("WAXSEAL_QUEUE_ID=4F1B\n"), "{entry}");
        assert!(entry.contains("WAXSEAL_ERROR\n\u{3}\0\0\0\0\0\0\0a\nb\n"), "{entry}");
        assert!(entry.starts_with("MESSAGE=key cannot be used queue_id=4F1B"), "{entry}");
    }
}
