//! What arrived, held against what was sent: intact, or changed in exactly the documented way.

use std::fs;

use super::messages::{Breaks, Change, Difference, Message, Mta};
use super::scratch::Scratch;
use super::sink::{Received, Sink};
use super::smtp_client::{SmtpClient, Transfer};
use super::verifiers::{Outcome, Signature, dkimpy};

/// One message of the set that has come out at the other end.
pub(crate) struct Delivery<'a> {
    pub(crate) message: &'a Message,
    pub(crate) received: Received,
}

/// How the header was canonicalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    Relaxed,
    Simple,
}

/// The recipient by whose local part a message is known again at the sink.
pub(crate) fn recipient(message: &Message) -> String {
    format!("{}@sink.test", message.name)
}

/// Sends each message in a connection of its own. Where its last line has no end, by BDAT, if the MTA takes that:
/// Sendmail does not.
pub(crate) fn send_all(mta: Mta, port: u16, messages: &[Message]) {
    for message in messages {
        let needs_bdat = mta == Mta::Postfix && !message.octets.ends_with(b"\r\n");
        let transfer = if needs_bdat { Transfer::Bdat } else { Transfer::Data };
        let mut client = SmtpClient::connect(port);
        let reply = client.send(message.sender, &recipient(message), &message.octets, transfer);
        assert!(reply.is_positive(), "{}: {reply:?}", message.name);
    }
}

/// What the sink has for these messages, known again by their recipients.
pub(crate) fn deliveries<'a>(sink: &Sink, messages: &'a [Message]) -> Vec<Delivery<'a>> {
    let received = |message: &Message| {
        let mut received = sink.sent_to(message.name);
        assert_eq!(received.len(), 1, "{} came {} times", message.name, received.len());
        received.remove(0)
    };
    messages.iter().map(|message| Delivery { message, received: received(message) }).collect()
}

/// DKIM-Signature fields in a message's header.
pub(crate) fn signatures_in(octets: &[u8]) -> usize {
    let header_end = memchr::memmem::find(octets, b"\r\n\r\n").unwrap_or(octets.len());
    let header = String::from_utf8_lossy(&octets[..header_end]).to_ascii_lowercase();
    header.lines().filter(|line| line.starts_with("dkim-signature:")).count()
}

/// A message as a local program hands it in: lines end with LF.
pub(crate) fn with_unix_line_ends(octets: &[u8]) -> Vec<u8> {
    replaced(octets, b"\r\n", b"\n").unwrap_or_else(|| octets.to_vec())
}

/// Holds every delivery against its message: the octets must be those sent, but for the documented changes and what
/// stands above them; every signature must pass in dkimpy, or, where a documented change breaks it, fail as delivered
/// and pass once that change alone is undone. Returns every complaint at once, and how many signatures passed.
pub(crate) fn judge(deliveries: &[Delivery<'_>], mta: Mta, header: Header, records: &str, signatures: usize) -> usize {
    let scratch = Scratch::new("judge");
    let mut complaints = Vec::new();
    let mut undone = Vec::new();
    for (number, Delivery { message, received }) in deliveries.iter().enumerate() {
        let restored = restore(message, mta, &received.octets).unwrap_or_else(|complaint| {
            complaints.push(format!("{}: {complaint}", message.name));
            received.octets.clone()
        });
        if !ends_with_sent(&restored, message) {
            complaints.push(format!(
                "{}: delivered with an undocumented change:\n{}",
                message.name,
                first_difference(&restored, &message.octets)
            ));
        }
        fs::write(scratch.join(&format!("{number}.delivered")), &received.octets).unwrap();
        fs::write(scratch.join(&format!("{number}.undone")), &restored).unwrap();
        undone.push(restored != received.octets);
    }
    let paths = |kind: &str| (0..deliveries.len()).map(|n| scratch.join(&format!("{n}.{kind}"))).collect::<Vec<_>>();
    let as_delivered = dkimpy(&paths("delivered"), records);
    let as_undone = dkimpy(&paths("undone"), records);
    let mut passed = 0;
    for (number, Delivery { message, .. }) in deliveries.iter().enumerate() {
        let breaking: Vec<&str> =
            message.changes_by(mta).filter(|change| is_breaking(change, header)).map(|change| change.reason).collect();
        let name = message.name;
        let (delivered, undone) = (&as_delivered[number], &as_undone[number]);
        if delivered.len() != signatures {
            complaints.push(format!("{name}: {} signatures instead of {signatures}", delivered.len()));
        }
        if breaking.is_empty() {
            passed += delivered.iter().filter(|signature| signature.outcome == Outcome::Pass).count();
            complaints.extend(delivered.iter().filter_map(|signature| not_passed(name, signature)));
        } else {
            complaints.extend(delivered.iter().filter(|signature| signature.outcome == Outcome::Pass).map(
                |signature| format!("{name}: {} passes although it should not: {breaking:?}", signature.selector),
            ));
            complaints.extend(undone.iter().filter_map(|signature| {
                not_passed(name, signature).map(|complaint| format!("{complaint}, with these undone: {breaking:?}"))
            }));
        }
    }
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
    passed
}

fn is_breaking(change: &Change, header: Header) -> bool {
    match change.breaks {
        Breaks::Nothing => false,
        Breaks::SimpleHeader => header == Header::Simple,
        Breaks::Everything => true,
    }
}

fn not_passed(name: &str, signature: &Signature) -> Option<String> {
    (signature.outcome != Outcome::Pass)
        .then(|| format!("{name}: {} {} {:?}", signature.algorithm, signature.selector, signature.outcome))
}

/// Undoes the documented changes; each must be there.
fn restore(message: &Message, mta: Mta, delivered: &[u8]) -> Result<Vec<u8>, String> {
    let mut octets = delivered.to_vec();
    for change in message.changes_by(mta) {
        let undone = match &change.difference {
            Difference::Replaced { sent, delivered } => replaced(&octets, delivered, sent),
            Difference::FieldAdded(field) => without_field(&octets, field),
        };
        octets = undone.ok_or_else(|| format!("the documented change did not happen: {}", change.reason))?;
    }
    Ok(octets)
}

/// With every `from` replaced by `to`; `None` if there is none.
fn replaced(octets: &[u8], from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    let mut found = false;
    while let Some(at) = memchr::memmem::find(rest, from) {
        found = true;
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    found.then_some(out)
}

/// Without the last field of this name (one line, any case); `None` if there is none.
fn without_field(octets: &[u8], field: &str) -> Option<Vec<u8>> {
    let header_end = memchr::memmem::find(octets, b"\r\n\r\n")? + 2;
    let wanted = format!("{field}:");
    let (mut start, mut found) = (0, None);
    for line in octets[..header_end].split_inclusive(|&octet| octet == b'\n') {
        if line.get(..wanted.len()).is_some_and(|name| name.eq_ignore_ascii_case(wanted.as_bytes())) {
            found = Some((start, start + line.len()));
        }
        start += line.len();
    }
    let (start, end) = found?;
    Some([&octets[..start], &octets[end..]].concat())
}

/// Whether `octets` is the message with fields of the way added on top, and nothing else.
fn ends_with_sent(octets: &[u8], message: &Message) -> bool {
    as_transported(octets).ends_with(&as_transported(&message.octets))
}

/// The message as SMTP can carry it: with an end of its last line, and with the empty line after the header.
fn as_transported(octets: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    if !octets.ends_with(b"\n") {
        octets.extend_from_slice(b"\r\n");
    }
    if memchr::memmem::find(&octets, b"\r\n\r\n").is_none() {
        octets.extend_from_slice(b"\r\n");
    }
    octets
}

/// Where the two part, counted from the end, with what surrounds it.
fn first_difference(delivered: &[u8], sent: &[u8]) -> String {
    let sent = as_transported(sent);
    let common = delivered.iter().rev().zip(sent.iter().rev()).take_while(|(a, b)| a == b).count();
    let around = |octets: &[u8]| {
        let at = octets.len() - common.min(octets.len());
        octets[at.saturating_sub(300)..(at + 60).min(octets.len())].escape_ascii().to_string()
    };
    format!("  sent      …{}\n  delivered …{}", around(&sent), around(delivered))
}
