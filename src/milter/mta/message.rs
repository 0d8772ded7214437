//! A message as an MTA holds it, and what modifications make of it.

use std::sync::Arc;

use super::answer::Answer;
use crate::milter::reply::ValueSpacing;

/// A message in an MTA's queue. Cloning copies the header only.
#[derive(Debug, Clone)]
pub struct Message {
    fields: Vec<Field>,
    body: Arc<[u8]>,
    /// What ReplaceBody has brought so far.
    new_body: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
struct Field {
    name: Vec<u8>,
    /// What follows the colon, lines joined by LF.
    value: Vec<u8>,
    origin: Origin,
}

/// Who made a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The message, or a filter.
    Message,
    /// The MTA, which does not show it to filters.
    Mta,
}

/// What is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A line of the header is neither a field nor the continuation of one.
    #[error("line {line} of the message is no header field")]
    NotAField {
        /// Counted from 1.
        line: usize,
    },
}

impl Message {
    /// Reads a message with CRLF line ends: fields, an empty line, the body. Without an empty line it has no body.
    pub fn parse(octets: &[u8]) -> Result<Self, MessageError> {
        let mut fields: Vec<Field> = Vec::new();
        let mut rest = octets;
        let mut line = 0;
        while !rest.is_empty() {
            line += 1;
            let end = memchr::memmem::find(rest, b"\r\n").unwrap_or(rest.len());
            let this = &rest[..end];
            rest = rest.get(end + 2..).unwrap_or_default();
            if this.is_empty() {
                break;
            }
            match (this[0], fields.last_mut()) {
                (b' ' | b'\t', Some(field)) => {
                    field.value.push(b'\n');
                    field.value.extend_from_slice(this);
                }
                _ => fields.push(Field::parse(this).ok_or(MessageError::NotAField { line })?),
            }
        }
        Ok(Self { fields, body: rest.into(), new_body: None })
    }

    /// Puts the MTA's own Received field on top, which filters do not see but insertions are counted by.
    pub fn push_received(&mut self, value: &[u8]) {
        self.fields.insert(0, Field { name: b"Received".into(), value: value.into(), origin: Origin::Mta });
    }

    /// The fields that filters are shown: names, and values with lines joined by LF.
    pub fn shown(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields
            .iter()
            .filter(|field| field.origin == Origin::Message)
            .map(|field| (field.name.as_slice(), field.value.as_slice()))
    }

    /// The body, CRLF line ends.
    pub fn body(&self) -> &[u8] {
        self.new_body.as_deref().unwrap_or(&self.body)
    }

    /// Applies a modification as Postfix does; other answers, and those for the envelope, change nothing.
    pub fn apply(&mut self, answer: &Answer<'_>, spacing: ValueSpacing) {
        match *answer {
            Answer::AddHeader { name, value } => self.fields.push(Field::new(name, value, spacing)),
            Answer::InsertHeader { index, name, value } => {
                let at = self.fields.len().min(index as usize);
                self.fields.insert(at, Field::new(name, value, spacing));
            }
            Answer::ChangeHeader { index, name, value } => self.change(index, name, value, spacing),
            Answer::ReplaceBody(piece) => self.new_body.get_or_insert_default().extend_from_slice(piece),
            _ => {}
        }
    }

    /// The message as it will be delivered.
    pub fn octets(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(self.body().len() + 4096);
        for field in &self.fields {
            octets.extend_from_slice(&field.name);
            octets.push(b':');
            for (index, line) in field.value.split(|&octet| octet == b'\n').enumerate() {
                if index > 0 {
                    octets.extend_from_slice(b"\r\n");
                }
                octets.extend_from_slice(line);
            }
            octets.extend_from_slice(b"\r\n");
        }
        octets.extend_from_slice(b"\r\n");
        octets.extend_from_slice(self.body());
        octets
    }

    fn change(&mut self, index: u32, name: &[u8], value: &[u8], spacing: ValueSpacing) {
        let occurrence = index.max(1) as usize - 1;
        let found = self
            .fields
            .iter()
            .enumerate()
            .filter(|(_, field)| field.origin == Origin::Message && field.name.eq_ignore_ascii_case(name))
            .nth(occurrence)
            .map(|(at, _)| at);
        match (found, value) {
            (Some(at), []) => drop(self.fields.remove(at)),
            (Some(at), _) => self.fields[at] = Field::new(name, value, spacing),
            (None, []) => {}
            (None, _) => self.fields.push(Field::new(name, value, spacing)),
        }
    }
}

impl Field {
    /// A line `Name: value`. White space before the colon is not kept.
    fn parse(line: &[u8]) -> Option<Self> {
        let colon = memchr::memchr(b':', line)?;
        let name = line[..colon].trim_ascii_end();
        let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
        is_name.then(|| Self { name: name.into(), value: line[colon + 1..].into(), origin: Origin::Message })
    }

    /// A field as a filter gives it.
    fn new(name: &[u8], value: &[u8], spacing: ValueSpacing) -> Self {
        let value = match spacing {
            ValueSpacing::AsReceived => value.into(),
            ValueSpacing::OneSpaceRemoved => [b" ", value].concat(),
        };
        Self { name: name.into(), value, origin: Origin::Message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"A: 1\r\nSubject: x\r\n\ty\r\na:2\r\n\r\nbody\r\n";

    #[test]
    fn a_message_comes_out_as_it_went_in() {
        let message = Message::parse(TEXT).unwrap();
        assert_eq!(message.octets(), TEXT);
        assert_eq!(message.body(), b"body\r\n");
        assert_eq!(message.shown().nth(1), Some((&b"Subject"[..], &b" x\n\ty"[..])));
        assert_eq!(Message::parse(b"A: 1\r\n\r\n").unwrap().body(), b"");
        assert_eq!(Message::parse(b"A: 1\r\nB\r\n").unwrap_err(), MessageError::NotAField { line: 2 });
    }

    #[test]
    fn insertions_count_the_received_field_and_changes_do_not() {
        let mut message = Message::parse(TEXT).unwrap();
        message.push_received(b" from me");
        let spacing = ValueSpacing::AsReceived;
        message.apply(&Answer::InsertHeader { index: 0, name: b"Top", value: b" t\n\tu" }, spacing);
        message.apply(&Answer::InsertHeader { index: 99, name: b"End", value: b" e" }, spacing);
        message.apply(&Answer::ChangeHeader { index: 2, name: b"a", value: b" 3" }, spacing);
        message.apply(&Answer::ChangeHeader { index: 1, name: b"Received", value: b"" }, spacing);
        message.apply(&Answer::ChangeHeader { index: 1, name: b"subject", value: b"" }, spacing);
        message.apply(&Answer::AddHeader { name: b"Z", value: b"z" }, ValueSpacing::OneSpaceRemoved);
        let expected: &[u8] = b"Top: t\r\n\tu\r\nReceived: from me\r\nA: 1\r\na: 3\r\nEnd: e\r\nZ: z\r\n\r\nbody\r\n";
        assert_eq!(message.octets(), expected);
    }
}
