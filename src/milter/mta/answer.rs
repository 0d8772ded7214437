//! The filter's answers, read as strictly as Postfix reads them.

use crate::milter::negotiation::Agreement;

/// What a filter may say, at most, in octets: one more than any filter sends.
const MAX_ANSWER: u32 = 1 << 20;

/// One answer or modification of the filter, as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Go on; at end of message: deliver.
    Continue,
    /// Deliver, no more of this message.
    Accept,
    /// Drop the message.
    Discard,
    /// 5xx.
    Reject,
    /// 4xx.
    TempFail,
    /// A reply of the filter's own, `%` still doubled.
    Code(&'a [u8]),
    /// No more of this command.
    Skip,
    /// 421 and close.
    Shutdown,
    /// Wait longer.
    Progress,
    /// Hold the message.
    Quarantine(&'a [u8]),
    /// Append a header field.
    AddHeader {
        /// The name.
        name: &'a [u8],
        /// The value.
        value: &'a [u8],
    },
    /// Insert a header field.
    InsertHeader {
        /// How many fields stand above it.
        index: u32,
        /// The name.
        name: &'a [u8],
        /// The value.
        value: &'a [u8],
    },
    /// Change or delete a header field.
    ChangeHeader {
        /// Which of this name, counted from 1.
        index: u32,
        /// The name.
        name: &'a [u8],
        /// The value; empty to delete.
        value: &'a [u8],
    },
    /// The new body, or a piece of it.
    ReplaceBody(&'a [u8]),
    /// Another recipient, with parameters or none.
    AddRecipient(&'a [u8]),
    /// A recipient less.
    DeleteRecipient(&'a [u8]),
    /// Another envelope sender.
    ChangeSender(&'a [u8]),
}

/// Why Postfix would drop the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// A length of 0, or beyond all reason.
    #[error("the filter announced a reply of {length} octets")]
    Length {
        /// The length.
        length: u32,
    },
    /// A reply that does not fit here or at all.
    #[error("the filter sent the reply 0x{octet:02x} ({:?}), which does not fit here", char::from(*octet))]
    Unexpected {
        /// The reply's octet.
        octet: u8,
    },
    /// A modification in answer to another command than end of message.
    #[error("the filter changed the message before its end")]
    NotEndOfMessage,
    /// A payload too short, too long or not terminated.
    #[error("the filter's reply 0x{octet:02x} ({:?}) is malformed", char::from(*octet))]
    Malformed {
        /// The reply's octet.
        octet: u8,
    },
    /// The filter wants what it was not offered.
    #[error("the filter asked for more than it was offered: {agreement:?}")]
    NotOffered {
        /// What it asked for.
        agreement: Agreement,
    },
}

impl<'a> Answer<'a> {
    /// Reads one answer from the beginning of `input`: the octets it had and the answer, or none if it has not arrived
    /// whole.
    pub fn parse(input: &'a [u8]) -> Result<Option<(usize, Self)>, AnswerError> {
        let Some(AnswerFrame { consumed, octet, payload }) = take_frame(input)? else { return Ok(None) };
        let malformed = AnswerError::Malformed { octet };
        let answer = match octet {
            b'c' | b'a' | b'd' | b'r' | b't' | b's' | b'4' | b'p' => {
                if !payload.is_empty() {
                    return Err(malformed);
                }
                match octet {
                    b'c' => Self::Continue,
                    b'a' => Self::Accept,
                    b'd' => Self::Discard,
                    b'r' => Self::Reject,
                    b't' => Self::TempFail,
                    b's' => Self::Skip,
                    b'4' => Self::Shutdown,
                    _ => Self::Progress,
                }
            }
            b'y' => match only_string(payload) {
                Some(text) if is_reply_text(text) => Self::Code(text),
                _ => return Err(malformed),
            },
            b'q' => Self::Quarantine(only_string(payload).ok_or(malformed)?),
            b'h' => {
                let (name, value) = name_and_value(payload).ok_or(malformed)?;
                Self::AddHeader { name, value }
            }
            b'i' | b'm' => {
                let (index, rest) = payload.split_first_chunk::<4>().ok_or(malformed)?;
                let (name, value) = name_and_value(rest).ok_or(malformed)?;
                let index = u32::from_be_bytes(*index);
                match octet {
                    b'i' => Self::InsertHeader { index, name, value },
                    _ => Self::ChangeHeader { index, name, value },
                }
            }
            b'b' => Self::ReplaceBody(payload),
            b'+' | b'2' => Self::AddRecipient(payload),
            b'-' => Self::DeleteRecipient(only_string(payload).ok_or(malformed)?),
            b'e' => Self::ChangeSender(payload),
            octet => return Err(AnswerError::Unexpected { octet }),
        };
        Ok(Some((consumed, answer)))
    }

    /// Whether the MTA waits no longer after it.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Continue
                | Self::Accept
                | Self::Discard
                | Self::Reject
                | Self::TempFail
                | Self::Code(_)
                | Self::Skip
                | Self::Shutdown
        )
    }
}

/// A frame from the filter.
pub(super) struct AnswerFrame<'a> {
    /// How much of the input it takes, in octets.
    pub(super) consumed: usize,
    pub(super) octet: u8,
    pub(super) payload: &'a [u8],
}

/// The first frame of `input`; none if it has not arrived whole.
pub(super) fn take_frame(input: &[u8]) -> Result<Option<AnswerFrame<'_>>, AnswerError> {
    let Some((length, rest)) = input.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length);
    if length == 0 || length > MAX_ANSWER {
        return Err(AnswerError::Length { length });
    }
    let Some((&octet, payload)) = rest.get(..length as usize).and_then(<[u8]>::split_first) else { return Ok(None) };
    Ok(Some(AnswerFrame { consumed: 4 + length as usize, octet, payload }))
}

/// A payload that is one string and nothing else.
fn only_string(payload: &[u8]) -> Option<&[u8]> {
    let (last, string) = payload.split_last()?;
    (*last == 0 && memchr::memchr(0, string).is_none()).then_some(string)
}

fn name_and_value(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(0, payload)?;
    Some((&payload[..end], only_string(&payload[end + 1..])?))
}

/// Every line with the same 4xx or 5xx.
fn is_reply_text(text: &[u8]) -> bool {
    let is_code = |line: &[u8]| {
        matches!(line, [b'4' | b'5', b'0'..=b'9', b'0'..=b'9', b' ' | b'-', ..]) && line[..3] == text[..3]
    };
    text.split(|&octet| octet == b'\n').all(is_code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::milter::frame;

    fn parse(octet: u8, payload: &[u8]) -> Result<Option<(usize, Answer<'static>)>, AnswerError> {
        let mut out = Vec::new();
        frame::append(&mut out, octet, &[payload]);
        Answer::parse(out.leak())
    }

    #[test]
    fn lengths_are_checked_to_the_octet() {
        assert_eq!(parse(b'c', b""), Ok(Some((5, Answer::Continue))));
        for octet in *b"cadrts4p" {
            assert_eq!(parse(octet, b"\0"), Err(AnswerError::Malformed { octet }));
        }
        for (octet, payload) in [
            (b'y', &b"451 x"[..]),
            (b'y', b"451 x\0\0"),
            (b'y', b"x\0"),
            (b'h', b"a\0b"),
            (b'i', b"\0\0\0"),
            (b'q', b""),
        ] {
            assert_eq!(parse(octet, payload), Err(AnswerError::Malformed { octet }), "{payload:?}");
        }
        assert_eq!(
            parse(b'y', b"451-4.7.1 a\r\n451 4.7.1 b\0").unwrap().unwrap().1,
            Answer::Code(b"451-4.7.1 a\r\n451 4.7.1 b")
        );
    }

    #[test]
    fn an_answer_that_has_not_arrived_whole_is_waited_for() {
        assert_eq!(Answer::parse(b""), Ok(None));
        assert_eq!(Answer::parse(b"\0\0\0\x01"), Ok(None));
        assert_eq!(Answer::parse(b"\0\0\0\x03h"), Ok(None));
        assert_eq!(Answer::parse(&[0; 4]), Err(AnswerError::Length { length: 0 }));
        assert!(Answer::parse(b"HTTP/1.1").is_err());
    }
}
