//! A message split into header and body.

use memchr::memchr;

use super::Headers;
use super::headers::{append_with_crlf, colon_of};

/// A whole message, as a file or standard input holds it, ready to be signed or verified.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The header, with CRLF folds.
    pub headers: Headers,
    /// The body, without the empty line before it, with CRLF line ends; whatever else was in it is as it was.
    pub body: Vec<u8>,
}

/// Why octets cannot be read as one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Among CRLF line ends, a line of the header ends with LF alone: MTAs differ about what that means.
    #[error("line {line} of the header ends with LF, others with CRLF; use one of them throughout")]
    BareLineFeed {
        /// Counted from 1.
        line: usize,
    },
}

/// What ends the message's lines, told by the first of them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LineEnds {
    Crlf,
    Unix,
}

impl Message {
    /// Reads a message as received (RFC 5322), leniently: what MTAs accept is accepted.
    ///
    /// - The first line end decides: after CRLF, only CRLF ends lines, and a LF in the body is an ordinary octet; after
    ///   LF, as in a Unix file, every LF is a line end and becomes CRLF.
    /// - The header ends at the empty line, or before the first line that is neither a field nor a continuation, as in
    ///   MTAs; that line is body. A message that begins with white space is all body.
    /// - A first line that begins with `From ` and is no field comes from an mbox file, and is left out: it is an
    ///   envelope, which no MTA sends.
    /// - A last line without a line end is a line.
    ///
    /// # Errors
    ///
    /// When a line of the header ends with LF after the first ended with CRLF.
    pub fn parse(octets: &[u8]) -> Result<Self, MessageError> {
        let line_ends = LineEnds::of(octets);
        let mut headers = Headers::new();
        let mut field_start = None;
        let mut at = 0;
        let mut number = 0;
        let body = loop {
            let Some((line, next)) = line(octets, at, number + 1, line_ends)? else {
                push(&mut headers, field_start, octets, at);
                break at;
            };
            number += 1;
            let continues = field_start.is_some() && matches!(line.first(), Some(b' ' | b'\t'));
            if continues {
                at = next;
                continue;
            }
            push(&mut headers, field_start.take(), octets, at);
            if colon_of(line).is_some() {
                field_start = Some(at);
            } else if line.is_empty() {
                break next;
            } else if number > 1 || !line.starts_with(b"From ") {
                break at;
            }
            at = next;
        };
        let rest = &octets[body..];
        let body = match line_ends {
            LineEnds::Crlf => rest.to_vec(),
            LineEnds::Unix => {
                let mut converted = Vec::with_capacity(rest.len() + rest.len() / 32);
                append_with_crlf(&mut converted, rest);
                converted
            }
        };
        Ok(Self { headers, body })
    }
}

impl LineEnds {
    fn of(octets: &[u8]) -> Self {
        match memchr(b'\n', octets) {
            Some(at) if !octets[..at].ends_with(b"\r") => Self::Unix,
            _ => Self::Crlf,
        }
    }
}

/// The line at a place, without its end, and where the next begins; none at the end of the octets.
fn line(octets: &[u8], at: usize, number: usize, line_ends: LineEnds) -> Result<Option<(&[u8], usize)>, MessageError> {
    let rest = &octets[at..];
    if rest.is_empty() {
        return Ok(None);
    }
    let Some(length) = memchr(b'\n', rest) else {
        return Ok(Some((rest, octets.len())));
    };
    let line = &rest[..length];
    let next = at + length + 1;
    match (line.strip_suffix(b"\r"), line_ends) {
        (Some(line), _) => Ok(Some((line, next))),
        (None, LineEnds::Unix) => Ok(Some((line, next))),
        (None, LineEnds::Crlf) => Err(MessageError::BareLineFeed { line: number }),
    }
}

/// Keeps the field that began at `start`, if one did, and ends before `end`, its line end included.
fn push(headers: &mut Headers, start: Option<usize>, octets: &[u8], end: usize) {
    let Some(start) = start else { return };
    let raw = &octets[start..end];
    let raw = raw.strip_suffix(b"\n").map_or(raw, |raw| raw.strip_suffix(b"\r").unwrap_or(raw));
    // It begins with a name and a colon, and every further line with white space: that is how it was found.
    let pushed = headers.push_raw(raw);
    debug_assert_eq!(pushed, Ok(()));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(octets: &[u8]) -> (Vec<String>, String) {
        let message = Message::parse(octets).unwrap();
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
        (message.headers.iter().map(|field| text(field.raw())).collect(), text(&message.body))
    }

    fn parts(fields: &[&str], body: &str) -> (Vec<String>, String) {
        (fields.iter().map(|field| field.to_string()).collect(), body.to_string())
    }

    #[test]
    fn header_and_body_are_split_at_the_empty_line() {
        assert_eq!(parse(b"A: 1\r\nB : 2\r\n\t3\r\n\r\nbody\r\n"), parts(&["A: 1", "B : 2\r\n\t3"], "body\r\n"));
    }

    #[test]
    fn a_unix_file_gets_crlf() {
        assert_eq!(parse(b"A: 1\n 2\n\nx\ny\r\nz"), parts(&["A: 1\r\n 2"], "x\r\ny\r\nz"));
    }

    #[test]
    fn line_feeds_in_the_body_of_a_crlf_message_are_data() {
        assert_eq!(parse(b"A: 1\r\n\r\nx\ny\rz\r\n"), parts(&["A: 1"], "x\ny\rz\r\n"));
    }

    #[test]
    fn mixed_line_ends_in_the_header_are_refused() {
        let refused = Message::parse(b"A: 1\r\nB: 2\nC: 3\r\n\r\n");
        assert_eq!(refused.unwrap_err(), MessageError::BareLineFeed { line: 2 });
    }

    #[test]
    fn the_first_line_that_is_no_field_begins_the_body() {
        assert_eq!(parse(b"A: 1\r\nno field\r\nB: 2\r\n"), parts(&["A: 1"], "no field\r\nB: 2\r\n"));
        assert_eq!(parse(b" A: 1\r\n\r\nx"), parts(&[], " A: 1\r\n\r\nx"));
    }

    #[test]
    fn a_message_may_end_anywhere() {
        assert_eq!(parse(b""), parts(&[], ""));
        assert_eq!(parse(b"A: 1"), parts(&["A: 1"], ""));
        assert_eq!(parse(b"A: 1\r\n"), parts(&["A: 1"], ""));
        assert_eq!(parse(b"A: 1\r\n 2"), parts(&["A: 1\r\n 2"], ""));
        assert_eq!(parse(b"A: 1\r\n\r\n"), parts(&["A: 1"], ""));
        assert_eq!(parse(b"\r\nbody"), parts(&[], "body"));
    }

    #[test]
    fn lines_of_white_space_inside_a_field_are_folds() {
        assert_eq!(parse(b"A: 1\r\n \r\n 2\r\n\r\n"), parts(&["A: 1\r\n \r\n 2"], ""));
    }

    #[test]
    fn the_envelope_line_of_an_mbox_is_left_out() {
        assert_eq!(parse(b"From a@b Mon Nov 23 16:37:20 2026\nA: 1\n\nx"), parts(&["A: 1"], "x"));
        assert_eq!(parse(b"From : a@b\r\n\r\n"), parts(&["From : a@b"], ""));
        assert_eq!(parse(b"A: 1\r\nFrom a@b\r\n"), parts(&["A: 1"], "From a@b\r\n"));
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused(octets in proptest::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b' '), Just(b':'), Just(b'a'), any::<u8>()], 0..200)) {
            if let Ok(message) = Message::parse(&octets) {
                for field in message.headers.iter() {
                    prop_assert!(!field.name().is_empty());
                    prop_assert!(!field.raw().ends_with(b"\n"));
                }
            }
        }
    }
}
