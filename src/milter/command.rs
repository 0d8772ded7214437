//! Commands: what the MTA says.

use std::net::IpAddr;

/// A command of the MTA, by its octet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CommandKind {
    /// SMFIC_OPTNEG: versions and options, first in every connection.
    Negotiation = b'O',
    /// SMFIC_MACRO: macros for the command that follows; never answered.
    Macros = b'D',
    /// SMFIC_CONNECT: an SMTP client has connected.
    Connect = b'C',
    /// SMFIC_HELO: HELO or EHLO.
    Helo = b'H',
    /// SMFIC_MAIL: a transaction begins.
    Mail = b'M',
    /// SMFIC_RCPT: one recipient.
    Recipient = b'R',
    /// SMFIC_DATA: the recipients are complete.
    Data = b'T',
    /// SMFIC_HEADER: one header field.
    Header = b'L',
    /// SMFIC_EOH: the header is complete.
    EndOfHeader = b'N',
    /// SMFIC_BODY: a piece of the body.
    Body = b'B',
    /// SMFIC_BODYEOB: the message is complete.
    EndOfMessage = b'E',
    /// SMFIC_ABORT: forget the message; never answered.
    Abort = b'A',
    /// SMFIC_UNKNOWN: an SMTP command the MTA does not know.
    Unknown = b'U',
    /// SMFIC_QUIT: the connection ends; never answered.
    Quit = b'Q',
    /// SMFIC_QUIT_NC: the SMTP session ends, another follows; never answered.
    QuitNewConnection = b'K',
}

/// What cannot be taken as a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// There is no telling whether it wants a reply.
    #[error("the MTA sent the unknown command 0x{octet:02x} ({:?})", char::from(*octet))]
    UnknownCommand {
        /// The command octet.
        octet: u8,
    },
    /// The payload is not what the command wants.
    #[error("the MTA's command {:?} cannot be read: {problem}", char::from(*command as u8))]
    Malformed {
        /// The command.
        command: CommandKind,
        /// What is wrong.
        problem: &'static str,
    },
}

/// What the MTA told, in terms of mail. Octets are as the MTA sent them: without an encoding, but never with a NUL
/// (bodies excepted).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// Versions and options are agreed; the answer is in the output.
    Negotiated,
    /// An SMTP session begins. Whatever was known of another one is over.
    Connect {
        /// The client's verified name, or its address in brackets.
        host: &'a [u8],
        /// The client's address.
        client: Client<'a>,
    },
    /// HELO or EHLO. Ends a message in progress.
    Helo {
        /// The argument.
        name: &'a [u8],
    },
    /// A message begins. Ends another one in progress. Wants a reply.
    Mail {
        /// The envelope sender as the client wrote it, with angle brackets or (not over SMTP) without; `<>` or empty for
        /// the null sender.
        sender: &'a [u8],
        /// ESMTP parameters such as `SIZE=100`.
        parameters: Parameters<'a>,
    },
    /// A recipient, which may still be rejected by others. Not sent if the MTA can be asked not to.
    Recipient {
        /// As the client wrote it.
        recipient: &'a [u8],
        /// ESMTP parameters such as `NOTIFY=NEVER`.
        parameters: Parameters<'a>,
    },
    /// The recipients are complete. Not sent if the MTA can be asked not to.
    Data,
    /// A header field.
    Header {
        /// The name, without white space before the colon.
        name: &'a [u8],
        /// What follows the colon, lines joined by LF; see [`super::Session::value_spacing`].
        value: &'a [u8],
    },
    /// The header is complete; given once for every message that gets so far. Wants a reply.
    EndOfHeader,
    /// A piece of the body, cut anywhere. Never empty.
    Body(&'a [u8]),
    /// The message is complete. Wants modifications, if any, and a reply.
    EndOfMessage,
    /// The message in progress is given up.
    Abort,
    /// An SMTP command that the MTA does not know. Not sent if the MTA can be asked not to.
    Unknown(&'a [u8]),
    /// The MTA is done; close.
    Quit,
    /// This SMTP session is over, another follows with Connect.
    QuitNewConnection,
}

/// Where the SMTP client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client<'a> {
    /// IPv4 or IPv6. IPv4 in IPv6 (RFC 4291 §2.5.5.2) is given as IPv4.
    Inet {
        /// The address.
        address: IpAddr,
        /// The port; 0 if the MTA does not know it.
        port: u16,
    },
    /// A Unix socket.
    Local {
        /// Its path, perhaps empty.
        path: &'a [u8],
    },
    /// Not known, or nothing that can be read as an address.
    Unknown,
}

/// The ESMTP parameters of MAIL or RCPT (RFC 5321 §4.1.1.11), each `KEYWORD` or `KEYWORD=value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parameters<'a>(&'a [u8]);

impl<'a> Iterator for Parameters<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (parameter, rest) = split_string(self.0)?;
        self.0 = rest;
        Some(parameter)
    }
}

impl CommandKind {
    /// The command with this octet.
    pub fn of(octet: u8) -> Result<Self, CommandError> {
        Ok(match octet {
            b'O' => Self::Negotiation,
            b'D' => Self::Macros,
            b'C' => Self::Connect,
            b'H' => Self::Helo,
            b'M' => Self::Mail,
            b'R' => Self::Recipient,
            b'T' => Self::Data,
            b'L' => Self::Header,
            b'N' => Self::EndOfHeader,
            b'B' => Self::Body,
            b'E' => Self::EndOfMessage,
            b'A' => Self::Abort,
            b'U' => Self::Unknown,
            b'Q' => Self::Quit,
            b'K' => Self::QuitNewConnection,
            octet => return Err(CommandError::UnknownCommand { octet }),
        })
    }

    /// Whether the payload is body, which is given in pieces as it arrives.
    pub(super) fn is_streamed(self) -> bool {
        matches!(self, Self::Body | Self::EndOfMessage)
    }
}

impl<'a> Event<'a> {
    /// Reads a command's payload. Strings may lack their last NUL, and commands without a payload may have one; an MTA
    /// that is wrong there can still be understood.
    pub(super) fn parse(command: CommandKind, payload: &'a [u8]) -> Result<Self, CommandError> {
        let malformed = |problem| CommandError::Malformed { command, problem };
        Ok(match command {
            // Read by the session, since its answer depends on the options.
            CommandKind::Negotiation | CommandKind::Macros => Self::Negotiated,
            CommandKind::Connect => {
                let end = memchr::memchr(0, payload).ok_or(malformed("the host name is not terminated"))?;
                Self::Connect { host: &payload[..end], client: Client::parse(&payload[end + 1..]) }
            }
            CommandKind::Helo => Self::Helo { name: split_string(payload).unwrap_or_default().0 },
            CommandKind::Mail => {
                let (sender, rest) = split_string(payload).ok_or(malformed("the sender is missing"))?;
                Self::Mail { sender, parameters: Parameters(rest) }
            }
            CommandKind::Recipient => {
                let (recipient, rest) = split_string(payload).ok_or(malformed("the recipient is missing"))?;
                Self::Recipient { recipient, parameters: Parameters(rest) }
            }
            CommandKind::Data => Self::Data,
            CommandKind::Header => {
                let end = memchr::memchr(0, payload).ok_or(malformed("the field name is not terminated"))?;
                let (value, rest) = split_string(&payload[end + 1..]).unwrap_or_default();
                if end == 0 {
                    return Err(malformed("the field name is empty"));
                }
                if !rest.is_empty() {
                    return Err(malformed("the field's value holds a NUL"));
                }
                Self::Header { name: &payload[..end], value }
            }
            CommandKind::EndOfHeader => Self::EndOfHeader,
            CommandKind::Body => Self::Body(payload),
            CommandKind::EndOfMessage => Self::EndOfMessage,
            CommandKind::Abort => Self::Abort,
            CommandKind::Unknown => Self::Unknown(split_string(payload).unwrap_or_default().0),
            CommandKind::Quit => Self::Quit,
            CommandKind::QuitNewConnection => Self::QuitNewConnection,
        })
    }
}

impl<'a> Client<'a> {
    /// Reads what follows the host name of CONNECT: the family, the port, the address.
    fn parse(octets: &'a [u8]) -> Self {
        let Some((&family, rest)) = octets.split_first() else { return Self::Unknown };
        let Some((port, rest)) = rest.split_first_chunk::<2>() else { return Self::Unknown };
        let (address, _) = split_string(rest).unwrap_or_default();
        match family {
            b'L' => Self::Local { path: address },
            b'4' | b'6' => match parse_address(address) {
                Some(address) => Self::Inet { address, port: u16::from_be_bytes(*port) },
                None => Self::Unknown,
            },
            _ => Self::Unknown,
        }
    }
}

/// An address as Postfix (`::1`) or Sendmail (`IPv6:0:0:0:0:0:0:0:1`) writes it, without a zone.
fn parse_address(octets: &[u8]) -> Option<IpAddr> {
    const TAG: &[u8] = b"IPv6:";
    let octets = match octets.split_at_checked(TAG.len()) {
        Some((tag, rest)) if tag.eq_ignore_ascii_case(TAG) => rest,
        _ => octets,
    };
    let text = std::str::from_utf8(octets).ok()?;
    let text = text.split_once('%').map_or(text, |(address, _zone)| address);
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// The string at the beginning and what follows its NUL; none if nothing is left.
fn split_string(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    if octets.is_empty() {
        return None;
    }
    Some(match memchr::memchr(0, octets) {
        Some(end) => (&octets[..end], &octets[end + 1..]),
        None => (octets, &[]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(payload: &[u8]) -> Client<'_> {
        match Event::parse(CommandKind::Connect, payload).unwrap() {
            Event::Connect { host, client } => {
                assert_eq!(host, b"h");
                client
            }
            other => panic!("{other:?}"),
        }
    }

    fn inet(address: &str, port: u16) -> Client<'static> {
        Client::Inet { address: address.parse().unwrap(), port }
    }

    #[test]
    fn clients_of_every_family_are_read() {
        assert_eq!(client(b"h\x004\x00\x19192.0.2.1\0"), inet("192.0.2.1", 25));
        assert_eq!(client(b"h\x006\x30\x39::1\0"), inet("::1", 12345));
        assert_eq!(client(b"h\x006\0\0IPv6:0:0:0:0:0:0:0:1\0"), inet("::1", 0));
        assert_eq!(client(b"h\x006\0\0ipV6:2001:db8::1\0"), inet("2001:db8::1", 0));
        assert_eq!(client(b"h\x006\0\0fe80::1%eth0\0"), inet("fe80::1", 0));
        assert_eq!(client(b"h\x006\0\0::ffff:192.0.2.1\0"), inet("192.0.2.1", 0));
        assert_eq!(client(b"h\0L\0\0/run/x\0"), Client::Local { path: b"/run/x" });
        assert_eq!(client(b"h\0U"), Client::Unknown);
    }

    #[test]
    fn an_address_that_cannot_be_read_is_unknown() {
        for payload in
            [&b"h\0"[..], b"h\x004", b"h\x004\0", b"h\x004\0\0", b"h\x004\0\0\xff\xfe\0", b"h\x006\0\0IPv6:\0", b"h\0?"]
        {
            assert_eq!(client(payload), Client::Unknown, "{payload:?}");
        }
        assert_eq!(client(b"h\x004\0\x01127.0.0.1"), inet("127.0.0.1", 1));
        assert!(Event::parse(CommandKind::Connect, b"host").is_err());
    }

    #[test]
    fn senders_come_with_their_parameters() {
        let Ok(Event::Mail { sender, parameters }) = Event::parse(CommandKind::Mail, b"<a@b>\0SIZE=100\0SMTPUTF8\0")
        else {
            panic!()
        };
        assert_eq!(sender, b"<a@b>");
        assert_eq!(parameters.collect::<Vec<_>>(), [&b"SIZE=100"[..], b"SMTPUTF8"]);
        for (payload, expected) in [(&b"a@b\0"[..], &b"a@b"[..]), (b"<>\0", b"<>"), (b"\0", b""), (b"a@b", b"a@b")] {
            let Ok(Event::Mail { sender, parameters }) = Event::parse(CommandKind::Mail, payload) else { panic!() };
            assert_eq!(sender, expected);
            assert_eq!(parameters.count(), 0);
        }
        assert!(Event::parse(CommandKind::Mail, b"").is_err());
    }

    #[test]
    fn header_values_are_left_as_they_are() {
        for value in [&b" x"[..], b"x", b" a\n\tb", b"", b" ", &[0x80, 0xff], &[b'y'; 60_000]] {
            let payload = [b"Subject\0", value, b"\0"].concat();
            assert_eq!(Event::parse(CommandKind::Header, &payload), Ok(Event::Header { name: b"Subject", value }));
        }
        assert!(Event::parse(CommandKind::Header, b"Subject").is_err());
        assert!(Event::parse(CommandKind::Header, b"\0x\0").is_err());
        assert!(Event::parse(CommandKind::Header, b"a\0x\0y\0").is_err());
        assert_eq!(Event::parse(CommandKind::Header, b"a\0x"), Ok(Event::Header { name: b"a", value: b"x" }));
    }
}
