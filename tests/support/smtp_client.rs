//! An SMTP client that sends exactly the octets it is given.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A server's reply, all lines.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn is_positive(&self) -> bool {
        (200..400).contains(&self.code)
    }
}

/// How the message's octets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// DATA, dots doubled; a last line without its end gets one, as the protocol demands.
    Data,
    /// BDAT (RFC 3030), the octets as they are.
    Bdat,
}

/// One connection to an MTA.
pub(crate) struct SmtpClient {
    stream: BufReader<TcpStream>,
}

impl SmtpClient {
    /// Connects and says EHLO.
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut client = Self { stream: BufReader::new(stream) };
        let greeting = client.reply();
        assert_eq!(greeting.code, 220, "{greeting:?}");
        client.expect("EHLO client.example.test");
        client
    }

    /// Sends one command line and reads its reply.
    pub(crate) fn command(&mut self, line: &str) -> Reply {
        self.write(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    /// The same, for a command that must succeed.
    pub(crate) fn expect(&mut self, line: &str) -> Reply {
        let reply = self.command(line);
        assert!(reply.is_positive(), "{line}: {reply:?}");
        reply
    }

    /// One transaction; the last reply, or the first negative one.
    pub(crate) fn send(&mut self, sender: &str, recipient: &str, message: &[u8], how: Transfer) -> Reply {
        let utf8 = if sender.is_ascii() && recipient.is_ascii() { "" } else { " SMTPUTF8" };
        self.send_with(sender, recipient, &format!(" BODY=8BITMIME{utf8}"), message, how)
    }

    /// The same with these MAIL parameters.
    pub(crate) fn send_with(
        &mut self,
        sender: &str,
        recipient: &str,
        parameters: &str,
        message: &[u8],
        how: Transfer,
    ) -> Reply {
        for line in [format!("MAIL FROM:<{sender}>{parameters}"), format!("RCPT TO:<{recipient}>")] {
            let reply = self.command(&line);
            if !reply.is_positive() {
                return reply;
            }
        }
        match how {
            Transfer::Data => {
                let reply = self.command("DATA");
                if reply.code != 354 {
                    return reply;
                }
                self.write(&dot_stuffed(message));
                self.reply()
            }
            Transfer::Bdat => {
                self.write(format!("BDAT {} LAST\r\n", message.len()).as_bytes());
                self.write(message);
                self.reply()
            }
        }
    }

    /// Octets as they are.
    pub(crate) fn write(&mut self, octets: &[u8]) {
        self.stream.get_mut().write_all(octets).unwrap();
    }

    /// Reads one reply; code 0 if the server has gone.
    pub(crate) fn reply(&mut self) -> Reply {
        let mut text = String::new();
        loop {
            let mut line = Vec::new();
            self.stream.read_until(b'\n', &mut line).unwrap();
            let line = String::from_utf8_lossy(&line).into_owned();
            text.push_str(&line);
            if line.is_empty() {
                return Reply { code: 0, text };
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Reply { code: line.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0), text };
            }
        }
    }
}

/// The octets after DATA: dots at the start of lines doubled (RFC 5321 §4.5.2), and the end of data.
fn dot_stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + message.len() / 64 + 8);
    let mut at_line_start = true;
    for &octet in message {
        if at_line_start && octet == b'.' {
            out.push(b'.');
        }
        out.push(octet);
        at_line_start = octet == b'\n';
    }
    if !at_line_start {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}
