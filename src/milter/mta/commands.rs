//! Commands as Postfix writes them: macros before each, nothing that the filter does not want.

use std::net::IpAddr;

use super::answer::{AnswerError, AnswerFrame, take_frame};
use crate::milter::command::{Client, CommandKind};
use crate::milter::frame::{self, MAX_SENT_PAYLOAD};
use crate::milter::macros::Stage;
use crate::milter::negotiation::{Agreement, Offer, Steps};
use crate::milter::reply::ValueSpacing;

/// Postfix's lists (milter_connect_macros and so on), in the order of [`Stage::ALL`].
const POSTFIX_LISTS: [&str; 7] = [
    "j {daemon_name} {daemon_addr} v _",
    "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}",
    "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}",
    "i {rcpt_addr} {rcpt_host} {rcpt_mailer}",
    "i",
    "i",
    "i",
];

/// What the filter will do with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a reply that is not awaited puts both sides out of step"]
pub enum Expect {
    /// It answers.
    Reply,
    /// It does not, or the command was not sent.
    Nothing,
}

/// One connection to a filter, from the MTA's side. Writes to buffers; the caller sends and receives.
#[derive(Debug, Clone)]
pub struct Mta {
    offer: Offer,
    agreement: Option<Agreement>,
    /// The names of the macros for each stage, in the order of [`Stage::ALL`].
    lists: [Vec<String>; 7],
    macros: Vec<(String, Vec<u8>)>,
}

impl Mta {
    /// An MTA that offers this, with Postfix's macros.
    pub fn new(offer: Offer) -> Self {
        Self { offer, agreement: None, lists: POSTFIX_LISTS.map(names), macros: Vec::new() }
    }

    /// Gives a macro a value, from the next command on. Names longer than a letter stand in braces.
    pub fn set_macro(&mut self, name: &str, value: &[u8]) {
        match self.macros.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.macros.push((name.into(), value.into())),
        }
    }

    /// Takes a macro's value away.
    pub fn clear_macro(&mut self, name: &str) {
        self.macros.retain(|(other, _)| other != name);
    }

    /// Writes the offer. The filter answers, see [`Mta::negotiated`].
    pub fn negotiate(&self, out: &mut Vec<u8>) {
        frame::append(out, CommandKind::Negotiation as u8, &[&self.offer.octets()]);
    }

    /// Reads the filter's answer to the offer from the beginning of `input`: how many octets it had, or none if it has
    /// not arrived whole.
    pub fn negotiated(&mut self, input: &[u8]) -> Result<Option<usize>, AnswerError> {
        let Some(AnswerFrame { consumed, octet, payload }) = take_frame(input)? else { return Ok(None) };
        if octet != b'O' {
            return Err(AnswerError::Unexpected { octet });
        }
        let (agreement, mut lists) = Agreement::parse(payload).ok_or(AnswerError::Malformed { octet })?;
        let excess = agreement.actions.bits() & !self.offer.actions.bits();
        if !(2..=self.offer.version).contains(&agreement.version) || excess != 0 {
            return Err(AnswerError::NotOffered { agreement });
        }
        while let Some((number, rest)) = lists.split_first_chunk::<4>() {
            let end = memchr::memchr(0, rest).ok_or(AnswerError::Malformed { octet })?;
            let number = u32::from_be_bytes(*number);
            let stage = Stage::ALL.into_iter().find(|stage| stage.number() == number);
            let stage = stage.ok_or(AnswerError::Malformed { octet })?;
            // Postfix takes an empty list for none.
            if end > 0 {
                self.lists[stage as usize] = names(&String::from_utf8_lossy(&rest[..end]));
            }
            lists = &rest[end + 1..];
        }
        self.agreement = Some(agreement);
        Ok(Some(consumed))
    }

    /// What was agreed; none before [`Mta::negotiated`].
    pub fn agreement(&self) -> Option<&Agreement> {
        self.agreement.as_ref()
    }

    /// Whether values of header fields keep the white space after the colon.
    pub fn value_spacing(&self) -> ValueSpacing {
        if self.agreed(Steps::HEADER_LEADING_SPACE) { ValueSpacing::AsReceived } else { ValueSpacing::OneSpaceRemoved }
    }

    /// An SMTP client has connected.
    pub fn connect(&self, host: &[u8], client: Client<'_>, out: &mut Vec<u8>) -> Expect {
        self.command(CommandKind::Connect, out, |out| {
            out.extend_from_slice(host);
            out.push(0);
            append_client(client, out);
        })
    }

    /// HELO or EHLO.
    pub fn helo(&self, name: &[u8], out: &mut Vec<u8>) -> Expect {
        self.command(CommandKind::Helo, out, |out| append_string(name, out))
    }

    /// A message begins.
    pub fn mail(&self, sender: &[u8], parameters: &[&[u8]], out: &mut Vec<u8>) -> Expect {
        self.command(CommandKind::Mail, out, |out| {
            append_string(sender, out);
            parameters.iter().for_each(|parameter| append_string(parameter, out));
        })
    }

    /// A recipient.
    pub fn recipient(&self, recipient: &[u8], parameters: &[&[u8]], out: &mut Vec<u8>) -> Expect {
        self.command(CommandKind::Recipient, out, |out| {
            append_string(recipient, out);
            parameters.iter().for_each(|parameter| append_string(parameter, out));
        })
    }

    /// The recipients are complete.
    pub fn data(&self, out: &mut Vec<u8>) -> Expect {
        self.command(CommandKind::Data, out, |_| {})
    }

    /// A header field; `value` is what follows the colon, lines joined by LF.
    pub fn header(&self, name: &[u8], value: &[u8], out: &mut Vec<u8>) -> Expect {
        let value = match self.value_spacing() {
            ValueSpacing::AsReceived => value,
            ValueSpacing::OneSpaceRemoved => value.strip_prefix(b" ").unwrap_or(value),
        };
        self.command(CommandKind::Header, out, |out| {
            append_string(name, out);
            append_string(value, out);
        })
    }

    /// The header is complete.
    pub fn end_of_header(&self, out: &mut Vec<u8>) -> Expect {
        self.command(CommandKind::EndOfHeader, out, |_| {})
    }

    /// A piece of the body, at most 65535 octets of `body`; gives what is left of it.
    pub fn body<'a>(&self, body: &'a [u8], out: &mut Vec<u8>) -> (Expect, &'a [u8]) {
        let (piece, rest) = body.split_at(body.len().min(MAX_SENT_PAYLOAD));
        (self.command(CommandKind::Body, out, |out| out.extend_from_slice(piece)), rest)
    }

    /// The message is complete.
    pub fn end_of_message(&self, out: &mut Vec<u8>) -> Expect {
        self.command(CommandKind::EndOfMessage, out, |_| {})
    }

    /// An SMTP command that is not known.
    pub fn unknown(&self, line: &[u8], out: &mut Vec<u8>) -> Expect {
        self.command(CommandKind::Unknown, out, |out| append_string(line, out))
    }

    /// The message is forgotten. Postfix sends it after delivered messages too.
    pub fn abort(&self, out: &mut Vec<u8>) {
        frame::append(out, CommandKind::Abort as u8, &[]);
    }

    /// The connection ends.
    pub fn quit(&self, out: &mut Vec<u8>) {
        frame::append(out, CommandKind::Quit as u8, &[]);
    }

    /// The SMTP session ends, another follows.
    pub fn quit_new_connection(&self, out: &mut Vec<u8>) {
        frame::append(out, CommandKind::QuitNewConnection as u8, &[]);
    }

    /// Writes the macros, then the command unless the filter does not want it or the version does not know it.
    fn command(&self, command: CommandKind, out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) -> Expect {
        let version = self.agreement.map_or(0, |agreement| agreement.version);
        if version < first_version(command) {
            return Expect::Nothing;
        }
        if let Some(stage) = Stage::of(command) {
            frame::append_with(out, CommandKind::Macros as u8, |out| {
                out.push(command as u8);
                for name in &self.lists[stage as usize] {
                    if let Some((_, value)) = self.macros.iter().find(|(other, _)| other == name) {
                        append_string(name.as_bytes(), out);
                        append_string(value, out);
                    }
                }
            });
        }
        let (unwanted, unanswered) = switches(command);
        if self.agreed(unwanted) {
            return Expect::Nothing;
        }
        frame::append_with(out, command as u8, payload);
        if self.agreed(unanswered) { Expect::Nothing } else { Expect::Reply }
    }

    /// Whether any of these steps was agreed.
    fn agreed(&self, steps: Steps) -> bool {
        self.agreement.is_some_and(|agreement| agreement.steps & steps != Steps::default())
    }
}

/// The version of the protocol that brought the command.
fn first_version(command: CommandKind) -> u32 {
    match command {
        CommandKind::Unknown => 3,
        CommandKind::Data => 4,
        _ => 2,
    }
}

/// The steps with which a filter says that it does not want a command, and that it will not answer it.
fn switches(command: CommandKind) -> (Steps, Steps) {
    let none = Steps::default();
    match command {
        CommandKind::Connect => (Steps::from_bits(0x1), Steps::NO_REPLY_CONNECT),
        CommandKind::Helo => (Steps::NO_HELO, Steps::NO_REPLY_HELO),
        CommandKind::Mail => (Steps::from_bits(0x4), Steps::NO_REPLY_MAIL),
        CommandKind::Recipient => (Steps::NO_RECIPIENT, Steps::NO_REPLY_RECIPIENT),
        CommandKind::Data => (Steps::NO_DATA, Steps::NO_REPLY_DATA),
        CommandKind::Header => (Steps::from_bits(0x20), Steps::NO_REPLY_HEADER),
        CommandKind::EndOfHeader => (Steps::from_bits(0x40), Steps::NO_REPLY_END_OF_HEADER),
        CommandKind::Body => (Steps::from_bits(0x10), Steps::NO_REPLY_BODY),
        CommandKind::Unknown => (Steps::NO_UNKNOWN, Steps::NO_REPLY_UNKNOWN),
        _ => (none, none),
    }
}

/// The names of a symbol list.
fn names(list: &str) -> Vec<String> {
    list.split([' ', ',', '\t']).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn append_string(octets: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(octets);
    out.push(0);
}

/// As Postfix writes it: IPv6 addresses without a tag.
fn append_client(client: Client<'_>, out: &mut Vec<u8>) {
    match client {
        Client::Inet { address, port } => {
            out.push(if matches!(address, IpAddr::V4(_)) { b'4' } else { b'6' });
            out.extend_from_slice(&port.to_be_bytes());
            append_string(address.to_string().as_bytes(), out);
        }
        Client::Local { path } => {
            out.extend_from_slice(b"L\0\0");
            append_string(path, out);
        }
        Client::Unknown => out.push(b'U'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(steps: u32, lists: &[u8]) -> Mta {
        let mut mta = Mta::new(Offer::POSTFIX);
        let agreement = Agreement { version: 6, actions: Offer::POSTFIX.actions, steps: Steps::from_bits(steps) };
        let mut answer = Vec::new();
        agreement.append(None, &mut answer);
        answer.extend_from_slice(lists);
        let length = answer.len() as u32 - 4;
        answer[..4].copy_from_slice(&length.to_be_bytes());
        assert_eq!(mta.negotiated(&answer).unwrap(), Some(answer.len()));
        mta
    }

    #[test]
    fn macros_go_before_every_command_also_unwanted_ones() {
        let mut mta = agreed(0x2, b"\0\0\0\x06{x} i\0");
        mta.set_macro("i", b"4XY");
        let mut out = Vec::new();
        assert_eq!(mta.helo(b"me", &mut out), Expect::Nothing);
        assert_eq!(out, b"\0\0\0\x02DH");
        out.clear();
        assert_eq!(mta.header(b"a", b" b", &mut out), Expect::Reply);
        assert_eq!(out, b"\0\0\0\x08DLi\x004XY\0\0\0\0\x05La\0b\0");
    }

    #[test]
    fn bodies_go_in_full_chunks() {
        let mta = agreed(0x8_0000, b"");
        let body = vec![b'x'; MAX_SENT_PAYLOAD + 10];
        let mut out = Vec::new();
        let (expect, rest) = mta.body(&body, &mut out);
        assert_eq!((expect, rest.len()), (Expect::Nothing, 10));
        assert!(out.len() > MAX_SENT_PAYLOAD);
    }

    #[test]
    fn an_answer_beyond_the_offer_is_refused() {
        let mut mta = Mta::new(Offer { version: 4, ..Offer::POSTFIX });
        let agreement = Agreement { version: 6, actions: Offer::POSTFIX.actions, steps: Steps::default() };
        let mut answer = Vec::new();
        agreement.append(None, &mut answer);
        assert!(matches!(mta.negotiated(&answer), Err(AnswerError::NotOffered { .. })));
        assert!(matches!(mta.negotiated(b"\0\0\0\x01c"), Err(AnswerError::Unexpected { octet: b'c' })));
    }
}
