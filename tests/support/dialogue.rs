//! The MTA's side of the milter protocol, spoken octet by octet: it shares no code with the daemon.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// What the offers of MTAs since Sendmail 8.14 and Postfix 2.6 hold.
pub(crate) const ACTIONS: u32 = 0x1ff;
pub(crate) const PROTOCOL: u32 = 0x1f_ffff;

/// One frame: length, command, payload.
pub(crate) fn frame(command: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 1).unwrap();
    [&length.to_be_bytes(), [command].as_slice(), payload].concat()
}

/// The first frame of an MTA.
pub(crate) fn offer(version: u32, actions: u32, protocol: u32) -> Vec<u8> {
    frame(b'O', &[version.to_be_bytes(), actions.to_be_bytes(), protocol.to_be_bytes()].concat())
}

/// CONNECT from an IPv4 address.
pub(crate) fn connect(address: &str) -> Vec<u8> {
    frame(b'C', format!("[{address}]\04\0\x19{address}\0").as_bytes())
}

/// Macros for a command.
pub(crate) fn macros(command: u8, values: &[(&str, &str)]) -> Vec<u8> {
    let mut payload = vec![command];
    for (name, value) in values {
        payload.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
    }
    frame(b'D', &payload)
}

/// One header field; the value as it stands after the colon.
pub(crate) fn header(name: &str, value: &str) -> Vec<u8> {
    frame(b'L', format!("{name}\0{value}\0").as_bytes())
}

/// How the daemon left a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Accepted, with these fields to insert at the top, or to delete (`delete NAME INDEX`), in the order of the frames.
    Signed(Vec<String>),
    Passed,
    /// A temporary failure, with its text.
    Deferred(String),
    /// A permanent failure, with its text.
    Refused(String),
}

/// One connection to the daemon.
pub(crate) struct Dialogue {
    stream: UnixStream,
    input: Vec<u8>,
    version: u32,
    /// What the daemon asked for (SMFIP_*).
    protocol: u32,
}

impl Dialogue {
    /// Connects and says nothing.
    pub(crate) fn silent(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream, input: Vec::new(), version: 0, protocol: 0 }
    }

    /// Connects, negotiates, and says who the client is: one on loopback.
    pub(crate) fn open(socket: &Path) -> Self {
        Self::open_from(socket, "127.0.0.1")
    }

    pub(crate) fn open_from(socket: &Path, client: &str) -> Self {
        let mut dialogue = Self::silent(socket);
        dialogue.negotiate(6, ACTIONS, PROTOCOL).expect("the daemon closed at the negotiation");
        dialogue.step(&connect(client), 0x1, 0x1000).unwrap();
        dialogue.step(&frame(b'H', b"client.test\0"), 0x2, 0x2000).unwrap();
        dialogue
    }

    /// Offers, and returns version, actions and protocol of the answer; `None` if the daemon closed instead.
    pub(crate) fn negotiate(&mut self, version: u32, actions: u32, protocol: u32) -> Option<[u32; 3]> {
        self.raw(&offer(version, actions, protocol));
        let (command, payload) = self.reply()?;
        assert_eq!(command, b'O');
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        self.version = number(0);
        self.protocol = number(8);
        Some([number(0), number(4), number(8)])
    }

    /// Writes octets as they are; whether the daemon took them.
    pub(crate) fn raw(&mut self, octets: &[u8]) -> bool {
        self.stream.write_all(octets).is_ok()
    }

    /// The next reply; `None` if the daemon has closed the connection. Panics after 20 s without either.
    pub(crate) fn reply(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(length) = self.input.first_chunk::<4>() {
                let end = 4 + usize::try_from(u32::from_be_bytes(*length)).unwrap();
                if self.input.len() >= end {
                    let rest = self.input.split_off(end);
                    let whole = std::mem::replace(&mut self.input, rest);
                    return Some((whole[4], whole[5..].to_vec()));
                }
            }
            let mut buffer = [0; 8192];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => self.input.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!(
                    "the daemon neither answers nor closes (version {}, steps {:#x}): {error}",
                    self.version, self.protocol
                ),
            }
        }
    }

    /// Reads whatever the daemon still says, until it closes the connection; panics if it does neither.
    pub(crate) fn wait_for_close(&mut self) {
        while self.reply().is_some() {}
    }

    /// Sends a command unless the daemon does not want it, and reads the reply unless it promised none.
    /// `None` if the daemon closed the connection.
    fn step(&mut self, command: &[u8], unwanted: u32, no_reply: u32) -> Option<u8> {
        if self.protocol & unwanted != 0 {
            return Some(b'c');
        }
        if !self.raw(command) {
            return None;
        }
        if self.protocol & no_reply != 0 {
            return Some(b'c');
        }
        let (reply, payload) = self.reply()?;
        assert!(b"catrdys".contains(&reply), "unexpected reply {reply} {:?}", payload.escape_ascii().to_string());
        Some(reply)
    }

    /// Begins a message. `None` if the daemon closed the connection instead.
    pub(crate) fn mail(&mut self, queue_id: &str) -> Option<u8> {
        self.raw(&macros(b'M', &[("i", queue_id), ("{mail_addr}", "ada@example.test")]));
        self.step(&frame(b'M', b"<ada@example.test>\0"), 0x4, 0x4000)
    }

    /// The rest of a message begun with [`Self::mail`]. `None` if the daemon closed the connection.
    pub(crate) fn content(&mut self, queue_id: &str, fields: &[(&str, &str)], body: &[u8]) -> Option<Verdict> {
        self.content_to("<bob@sink.test>", queue_id, fields, body)
    }

    /// The same to that recipient.
    pub(crate) fn content_to(
        &mut self,
        recipient: &str,
        queue_id: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Verdict> {
        self.step(&frame(b'R', format!("{recipient}\0").as_bytes()), 0x8, 0x8000)?;
        if self.version >= 4 {
            self.step(&frame(b'T', b""), 0x200, 0x1_0000)?;
        }
        for (name, value) in fields {
            self.raw(&macros(b'L', &[("i", queue_id)]));
            if let Some(verdict) = ended(self.step(&header(name, value), 0x20, 0x80)?) {
                return Some(verdict);
            }
        }
        self.raw(&macros(b'N', &[("i", queue_id)]));
        if self.protocol & 0x40 == 0 {
            self.raw(&frame(b'N', b""));
            if self.protocol & 0x4_0000 == 0 {
                let (reply, payload) = self.reply()?;
                if reply != b'c' {
                    return Some(verdict(reply, &payload, Vec::new()));
                }
            }
        }
        for chunk in body.chunks(65535) {
            if self.step(&frame(b'B', chunk), 0x10, 0x8_0000)? == b's' {
                break;
            }
        }
        self.raw(&macros(b'E', &[("i", queue_id)]));
        if !self.raw(&frame(b'E', b"")) {
            return None;
        }
        self.end_of_message()
    }

    /// The answer to `E`.
    pub(crate) fn end_of_message(&mut self) -> Option<Verdict> {
        let mut inserted = Vec::new();
        loop {
            let (reply, payload) = self.reply()?;
            match reply {
                b'i' => {
                    let field: Vec<&[u8]> = payload[4..].split(|&octet| octet == 0).collect();
                    let [name, value, b""] = field[..] else { panic!("malformed insertion") };
                    inserted.push(format!("{}:{}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
                }
                b'm' => {
                    let index = u32::from_be_bytes(payload[..4].try_into().unwrap());
                    let [name, b"", b""] = payload[4..].split(|&octet| octet == 0).collect::<Vec<_>>()[..] else {
                        panic!("no deletion")
                    };
                    inserted.push(format!("delete {} {index}", String::from_utf8_lossy(name)));
                }
                b'p' => {}
                _ => return Some(verdict(reply, &payload, inserted)),
            }
        }
    }

    /// A whole message. Panics if the daemon closes the connection.
    pub(crate) fn message(&mut self, queue_id: &str) -> Verdict {
        self.mail(queue_id).expect("the daemon closed the connection at MAIL");
        self.content(queue_id, &FIELDS, b"Hello.\r\n").expect("the daemon closed the connection within the message")
    }

    /// Says QUIT.
    pub(crate) fn quit(mut self) {
        self.raw(&frame(b'Q', b""));
    }
}

/// The header of a message to be signed.
pub(crate) const FIELDS: [(&str, &str); 4] = [
    ("From", " Ada <ada@example.test>"),
    ("To", " bob@sink.test"),
    ("Subject", " one\n\ttwo"),
    ("Date", " Mon, 23 Nov 2026 10:00:00 +0000"),
];

/// The same message, all its frames after the negotiation, as an MTA sends it to a daemon that wants every step but
/// replies to few.
pub(crate) fn whole_message(queue_id: &str) -> Vec<u8> {
    let mut octets = macros(b'M', &[("i", queue_id)]);
    octets.extend(frame(b'M', b"<ada@example.test>\0"));
    octets.extend(frame(b'R', b"<bob@sink.test>\0"));
    octets.extend(frame(b'T', b""));
    for (name, value) in FIELDS {
        octets.extend(macros(b'L', &[("i", queue_id)]));
        octets.extend(header(name, value));
    }
    octets.extend(macros(b'N', &[]));
    octets.extend(frame(b'N', b""));
    octets.extend(frame(b'B', b"Hello.\r\n"));
    octets.extend(macros(b'E', &[("i", queue_id)]));
    octets.extend(frame(b'E', b""));
    octets
}

fn ended(reply: u8) -> Option<Verdict> {
    (reply != b'c').then(|| verdict(reply, b"", Vec::new()))
}

fn verdict(reply: u8, payload: &[u8], inserted: Vec<String>) -> Verdict {
    let text = String::from_utf8_lossy(payload.strip_suffix(b"\0").unwrap_or(payload)).into_owned();
    match reply {
        b'c' | b'a' if inserted.is_empty() => Verdict::Passed,
        b'c' | b'a' => Verdict::Signed(inserted),
        b't' => Verdict::Deferred(text),
        b'y' if text.starts_with('4') => Verdict::Deferred(text),
        b'r' | b'y' => Verdict::Refused(text),
        _ => panic!("unexpected final reply {:?} {text}", char::from(reply)),
    }
}
