//! Replies: what the filter says. Postfix checks their lengths to the octet.

use super::frame::{self, MAX_SENT_PAYLOAD};
use super::negotiation::Actions;

/// The longest line of a reply text that libmilter lets pass, in octets.
const MAX_TEXT_LINE: usize = 980;

/// The most lines of a reply text that libmilter lets pass.
const MAX_TEXT_LINES: usize = 32;

/// An answer to a command, or a modification ahead of the answer to end of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply<'a> {
    /// Go on; at end of message: deliver.
    Continue,
    /// Deliver, without showing more of this message.
    Accept,
    /// Take the message and drop it.
    Discard,
    /// Refuse with the MTA's own 5xx.
    Reject,
    /// Defer with the MTA's own 4xx.
    TempFail,
    /// Refuse or defer with a code and text of ours.
    Code {
        /// 400 to 599.
        code: u16,
        /// An enhanced code (RFC 3463) of the same class, such as `4.7.1`; may be empty.
        enhanced: &'a str,
        /// For people; lines end with LF. At most 32 lines of 980 octets, the rest is cut.
        text: &'a str,
    },
    /// Not final: more time is needed.
    Progress,
    /// Modification: hold the message.
    Quarantine {
        /// For people.
        reason: &'a str,
    },
    /// Modification: append a header field. Sendmail puts it before the first of the same name.
    AddHeader {
        /// The name.
        name: &'a str,
        /// What shall follow the colon; lines end with LF or CRLF, and those after the first begin with a blank.
        value: &'a [u8],
    },
    /// Modification: insert a header field.
    InsertHeader {
        /// How many fields stand above it, the MTA's own counted. 0 and 1 mean the same to all MTAs.
        index: u32,
        /// The name.
        name: &'a str,
        /// What shall follow the colon; lines end with LF or CRLF, and those after the first begin with a blank.
        value: &'a [u8],
    },
    /// Modification: change a header field, or delete it. Delete from the last to the first.
    ChangeHeader {
        /// Which of the fields of this name, counted from 1 at the top.
        index: u32,
        /// The name.
        name: &'a str,
        /// What shall follow the colon; empty to delete.
        value: &'a [u8],
    },
}

/// Whether values of header fields keep the white space after the colon (SMFIP_HDR_LEADSPC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueSpacing {
    /// Values are as they stand in the message.
    AsReceived,
    /// The MTA takes one space away from what it shows and puts one before what it is given.
    OneSpaceRemoved,
}

/// Why a reply was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// The MTA expects none; one more would put both sides out of step.
    #[error("the MTA expects no reply now")]
    NotDue,
    /// Modifications fit only at end of message.
    #[error("a message can be changed at its end only")]
    NotEndOfMessage,
    /// The MTA was not asked for it, or does not allow it.
    #[error("the MTA does not allow this change of a message")]
    NotNegotiated,
    /// A reply code that is no refusal.
    #[error("reply code {code} is not one of 400 to 599 with an enhanced code of the same class")]
    Code {
        /// The code.
        code: u16,
    },
    /// A name that no header field can have.
    #[error("a header field to be added has a name that is empty or not printable")]
    FieldName,
    /// A value that would damage the header.
    #[error("the value of a header field to be added holds a NUL, a bare CR, or a line that begins without a blank")]
    FieldValue,
    /// More than a frame can take.
    #[error("a reply of {octets} octets is too long; at most {MAX_SENT_PAYLOAD} can be sent")]
    TooLong {
        /// Its payload, in octets.
        octets: usize,
    },
}

impl Reply<'_> {
    /// Whether the MTA goes on waiting after it.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Progress) && !self.is_modification()
    }

    /// Whether it changes the message.
    pub fn is_modification(&self) -> bool {
        matches!(
            self,
            Self::Quarantine { .. } | Self::AddHeader { .. } | Self::InsertHeader { .. } | Self::ChangeHeader { .. }
        )
    }

    /// What the MTA must have allowed for it.
    pub(super) fn needed_action(&self) -> Actions {
        match self {
            Self::Quarantine { .. } => Actions::QUARANTINE,
            Self::AddHeader { .. } | Self::InsertHeader { .. } => Actions::ADD_HEADERS,
            Self::ChangeHeader { .. } => Actions::CHANGE_HEADERS,
            _ => Actions::default(),
        }
    }

    /// Appends the reply's frame; nothing if it cannot be sent.
    pub(super) fn append(&self, spacing: ValueSpacing, out: &mut Vec<u8>) -> Result<(), ReplyError> {
        match *self {
            Self::Continue => frame::append(out, b'c', &[]),
            Self::Accept => frame::append(out, b'a', &[]),
            Self::Discard => frame::append(out, b'd', &[]),
            Self::Reject => frame::append(out, b'r', &[]),
            Self::TempFail => frame::append(out, b't', &[]),
            Self::Progress => frame::append(out, b'p', &[]),
            Self::Code { code, enhanced, text } => {
                check_code(code, enhanced)?;
                frame::append_with(out, b'y', |out| append_text(code, enhanced, text, out));
            }
            Self::Quarantine { reason } => {
                frame::append_with(out, b'q', |out| {
                    out.extend(reason.chars().take(MAX_TEXT_LINE).map(clean));
                    out.push(0);
                });
            }
            Self::AddHeader { name, value } => append_field(b'h', None, name, value, spacing, out)?,
            Self::InsertHeader { index, name, value } => append_field(b'i', Some(index), name, value, spacing, out)?,
            Self::ChangeHeader { index, name, value } => append_field(b'm', Some(index), name, value, spacing, out)?,
        }
        Ok(())
    }
}

fn check_code(code: u16, enhanced: &str) -> Result<(), ReplyError> {
    let class = match code {
        400..=499 => b'4',
        500..=599 => b'5',
        _ => return Err(ReplyError::Code { code }),
    };
    let mut parts = enhanced.split('.');
    let is_number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|octet| octet.is_ascii_digit());
    let well_formed = enhanced.is_empty()
        || parts.next().is_some_and(|part| part.as_bytes() == [class])
            && parts.next().is_some_and(is_number)
            && parts.next().is_some_and(is_number)
            && parts.next().is_none();
    if well_formed { Ok(()) } else { Err(ReplyError::Code { code }) }
}

/// `451-4.7.1 one CRLF 451 4.7.1 two NUL`. `%` is doubled: Sendmail takes the text as a format and turns the whole reply
/// into a 5xx over a single one; Postfix makes one of two.
fn append_text(code: u16, enhanced: &str, text: &str, out: &mut Vec<u8>) {
    let mut lines = text.lines().take(MAX_TEXT_LINES).peekable();
    loop {
        let line = lines.next().unwrap_or_default();
        let is_last = lines.peek().is_none();
        out.extend_from_slice(code.to_string().as_bytes());
        out.push(if is_last { b' ' } else { b'-' });
        out.extend_from_slice(enhanced.as_bytes());
        if !enhanced.is_empty() {
            out.push(b' ');
        }
        let end = out.len() + MAX_TEXT_LINE - "451 4.999.999 ".len();
        for octet in line.chars().map(clean) {
            if out.len() + 1 >= end {
                break;
            }
            out.extend(std::iter::repeat_n(octet, if octet == b'%' { 2 } else { 1 }));
        }
        if is_last {
            out.push(0);
            return;
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// What may stand in an SMTP reply (RFC 5321 §4.2): printable ASCII.
fn clean(character: char) -> u8 {
    if matches!(character, ' '..='~') { character as u8 } else { b'?' }
}

fn append_field(
    command: u8,
    index: Option<u32>,
    name: &str,
    value: &[u8],
    spacing: ValueSpacing,
    out: &mut Vec<u8>,
) -> Result<(), ReplyError> {
    // RFC 5322 §2.2: printable, without a colon.
    if name.is_empty() || !name.bytes().all(|octet| octet.is_ascii_graphic() && octet != b':') {
        return Err(ReplyError::FieldName);
    }
    let start = out.len();
    let mut written = Ok(());
    frame::append_with(out, command, |out| {
        if let Some(index) = index {
            out.extend_from_slice(&index.to_be_bytes());
        }
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        written = append_value(value, spacing, out);
        out.push(0);
    });
    let octets = out.len() - start - frame::OVERHEAD;
    if octets > MAX_SENT_PAYLOAD {
        written = Err(ReplyError::TooLong { octets });
    }
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Whatever was agreed, the field becomes `Name:` and `value`, with a space between where `value` has none.
fn append_value(value: &[u8], spacing: ValueSpacing, out: &mut Vec<u8>) -> Result<(), ReplyError> {
    let value = match (spacing, value) {
        // Empty is for ChangeHeader to delete.
        (_, []) => value,
        (ValueSpacing::OneSpaceRemoved, [b' ', rest @ ..]) => rest,
        (ValueSpacing::AsReceived, [first, ..]) if *first != b' ' => {
            out.push(b' ');
            value
        }
        _ => value,
    };
    let mut rest = value;
    while let Some(at) = memchr::memchr3(0, b'\r', b'\n', rest) {
        out.extend_from_slice(&rest[..at]);
        // MTAs emit CR CR LF for a CR LF.
        let after = match &rest[at..] {
            [b'\r', b'\n', after @ ..] | [b'\n', after @ ..] => after,
            _ => return Err(ReplyError::FieldValue),
        };
        if !matches!(after.first(), Some(b' ' | b'\t')) {
            return Err(ReplyError::FieldValue);
        }
        out.push(b'\n');
        rest = after;
    }
    out.extend_from_slice(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(reply: Reply<'_>, spacing: ValueSpacing) -> Result<Vec<u8>, ReplyError> {
        let mut out = Vec::new();
        let result = reply.append(spacing, &mut out);
        if result.is_err() {
            assert!(out.is_empty());
        }
        result.map(|()| {
            assert_eq!(out[..4], u32::to_be_bytes(out.len() as u32 - 4));
            out.split_off(4)
        })
    }

    fn code(code: u16, enhanced: &str, text: &str) -> Result<Vec<u8>, ReplyError> {
        payload(Reply::Code { code, enhanced, text }, ValueSpacing::AsReceived)
    }

    #[test]
    fn replies_without_payload_are_five_octets_long() {
        for (reply, octet) in [
            (Reply::Continue, b'c'),
            (Reply::Accept, b'a'),
            (Reply::Discard, b'd'),
            (Reply::Reject, b'r'),
            (Reply::TempFail, b't'),
            (Reply::Progress, b'p'),
        ] {
            assert_eq!(payload(reply, ValueSpacing::AsReceived), Ok(vec![octet]));
        }
    }

    #[test]
    fn reply_texts_double_percent_signs_and_end_with_one_nul() {
        assert_eq!(code(451, "4.7.1", "100% busy").unwrap(), b"y451 4.7.1 100%% busy\0");
        assert_eq!(code(550, "", "no").unwrap(), b"y550 no\0");
        assert_eq!(code(451, "4.3.2", "a\nb\n").unwrap(), b"y451-4.3.2 a\r\n451 4.3.2 b\0");
        assert_eq!(code(451, "4.3.2", "").unwrap(), b"y451 4.3.2 \0");
        assert_eq!(code(451, "", "a\r\0b\u{fc}").unwrap(), b"y451 a??b?\0");
    }

    #[test]
    fn reply_codes_of_the_wrong_class_are_refused() {
        for (number, enhanced) in
            [(250, ""), (399, ""), (600, ""), (451, "5.7.1"), (451, "4.7"), (451, "4.7.1.1"), (451, "4.x.1")]
        {
            assert_eq!(code(number, enhanced, "x"), Err(ReplyError::Code { code: number }), "{number} {enhanced}");
        }
    }

    #[test]
    fn long_texts_are_cut_to_what_libmilter_allows() {
        let text = format!("{}\n", "%".repeat(2000)).repeat(50);
        let payload = code(451, "4.3.2", &text).unwrap();
        let lines: Vec<_> = payload[1..].split(|&octet| octet == b'\n').collect();
        assert_eq!(lines.len(), MAX_TEXT_LINES);
        for line in lines {
            assert!(line.len() <= MAX_TEXT_LINE);
            assert_eq!(line.iter().filter(|&&octet| octet == b'%').count() % 2, 0);
        }
    }

    #[test]
    fn inserted_values_begin_with_a_space_if_the_mta_adds_none() {
        let reply = |value| Reply::InsertHeader { index: 0, name: "X", value };
        for value in [&b" v=1;\r\n\tb=x"[..], b"v=1;\r\n\tb=x", b" v=1;\n\tb=x"] {
            assert_eq!(payload(reply(value), ValueSpacing::AsReceived).unwrap(), b"i\0\0\0\0X\0 v=1;\n\tb=x\0");
            assert_eq!(payload(reply(value), ValueSpacing::OneSpaceRemoved).unwrap(), b"i\0\0\0\0X\0v=1;\n\tb=x\0");
        }
        let change = Reply::ChangeHeader { index: 2, name: "X", value: b"" };
        assert_eq!(payload(change, ValueSpacing::AsReceived).unwrap(), b"m\0\0\0\x02X\0\0");
        let add = Reply::AddHeader { name: "X", value: b"y" };
        assert_eq!(payload(add, ValueSpacing::AsReceived).unwrap(), b"hX\0 y\0");
    }

    #[test]
    fn a_field_that_would_damage_the_header_is_refused() {
        for value in [&b"a\0b"[..], b"a\rb", b"a\nb", b"a\n", b"a\r\n", b"a\r\r\n b"] {
            let reply = Reply::AddHeader { name: "X", value };
            assert_eq!(payload(reply, ValueSpacing::AsReceived), Err(ReplyError::FieldValue), "{value:?}");
        }
        for name in ["", "a b", "a:", "a\n", "\u{fc}"] {
            let reply = Reply::AddHeader { name, value: b"x" };
            assert_eq!(payload(reply, ValueSpacing::AsReceived), Err(ReplyError::FieldName), "{name:?}");
        }
        let reply = Reply::AddHeader { name: "X", value: &[b'x'; 65_535] };
        assert!(matches!(payload(reply, ValueSpacing::AsReceived), Err(ReplyError::TooLong { .. })));
    }
}
