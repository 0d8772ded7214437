//! Frames: four octets of length (big-endian; of the command and its payload), one octet of command, the payload.

use std::ops::Range;

use super::command::{CommandError, CommandKind};

/// The longest payload that either side may send without having negotiated more, in octets.
pub const MAX_SENT_PAYLOAD: usize = 65_535;

/// Octets before the payload.
pub(super) const OVERHEAD: usize = 5;

/// A partial frame's buffer up to this size is kept for the next one, in octets.
const KEPT_CAPACITY: usize = 1024;

/// What no frame can begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A length of 0 leaves no room for the command.
    #[error("a frame of length 0 came; its command is missing")]
    Empty,
    /// Longer than any MTA sends.
    #[error("a frame of {length} octets was announced; at most {limit} are taken")]
    TooLong {
        /// The length announced.
        length: u32,
        /// The limit, command octet included.
        limit: u32,
        /// The four octets of the length, which may betray another protocol.
        octets: [u8; 4],
    },
    /// A command that no MTA sends.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// Appends a frame whose payload is `parts` one after another.
pub(super) fn append(out: &mut Vec<u8>, command: u8, parts: &[&[u8]]) {
    let payload: usize = parts.iter().map(|part| part.len()).sum();
    // Callers keep payloads below MAX_SENT_PAYLOAD.
    let length = u32::try_from(payload + 1).unwrap_or(u32::MAX);
    out.reserve(OVERHEAD + payload);
    out.extend_from_slice(&length.to_be_bytes());
    out.push(command);
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Appends a frame whose payload `write` appends.
pub(super) fn append_with(out: &mut Vec<u8>, command: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, command]);
    write(out);
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Finds frames in octets that arrive in any pieces.
///
/// A frame that lies whole in the input is not copied; one that is cut is collected. The payloads of BODY and of end of
/// message, which may hold a last piece of body, are never collected.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    partial: Vec<u8>,
    /// A body that has begun.
    stream: Option<Stream>,
    handed_out: HandedOut,
}

/// The payload of a BODY or end of message under way.
#[derive(Debug, Clone, Copy)]
struct Stream {
    command: CommandKind,
    /// Octets still to come.
    left: u32,
    /// Octets at the head of the input that were taken before, see [`FrameReader::hold_back`].
    held_back: u32,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum HandedOut {
    #[default]
    No,
    /// `partial` holds a whole frame that the caller has seen.
    Yes,
}

/// What comes next in the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Located {
    /// All the input is taken; more is needed.
    NeedMore,
    /// A whole frame.
    Frame(CommandKind, Source),
    /// A BODY or end of message begins.
    StreamBegins(CommandKind),
    /// A piece of body, in the input.
    Piece(Range<usize>),
    /// The last piece of a BODY, which is complete with it.
    LastPiece(Range<usize>),
    /// The BODY or end of message is complete.
    StreamEnds(CommandKind),
}

/// Where a frame's payload stands.
#[derive(Debug, PartialEq, Eq, Clone)]
pub(super) enum Source {
    /// In the input.
    Input(Range<usize>),
    /// In the reader's own buffer.
    Collected,
}

impl FrameReader {
    /// Looks for the next thing in `input` from `at` on, which it moves past what was taken.
    pub(super) fn next(&mut self, input: &[u8], at: &mut usize, limit: u32) -> Result<Located, FrameError> {
        self.release(KEPT_CAPACITY);
        if let Some(stream) = self.stream {
            return Ok(self.stream_on(stream, input, at));
        }
        let rest = &input[*at..];
        if self.partial.is_empty() {
            if let Some((command, length)) = parse_start(rest, limit)? {
                if command.is_streamed() {
                    self.stream = Some(Stream { command, left: length - 1, held_back: 0 });
                    *at += OVERHEAD;
                    return Ok(Located::StreamBegins(command));
                }
                let whole = 4 + length as usize;
                if rest.len() >= whole {
                    let payload = *at + OVERHEAD..*at + whole;
                    *at += whole;
                    return Ok(Located::Frame(command, Source::Input(payload)));
                }
            }
            if rest.is_empty() {
                return Ok(Located::NeedMore);
            }
        }
        self.collect(input, at, limit)
    }

    /// The payload of a frame just found.
    pub(super) fn payload<'a>(&'a self, input: &'a [u8], source: &Source) -> &'a [u8] {
        match source {
            Source::Input(range) => &input[range.clone()],
            Source::Collected => self.partial.get(OVERHEAD..).unwrap_or_default(),
        }
    }

    /// Whether nothing of a frame has arrived.
    pub(super) fn is_between_frames(&self) -> bool {
        self.stream.is_none() && (self.partial.is_empty() || self.handed_out == HandedOut::Yes)
    }

    /// Drops a frame that was handed out, and the buffer with it if it holds more than `keep` octets.
    pub(super) fn release(&mut self, keep: usize) {
        if self.handed_out == HandedOut::Yes {
            self.handed_out = HandedOut::No;
            self.partial.clear();
        }
        if self.partial.is_empty() && self.partial.capacity() > keep {
            self.partial = Vec::new();
        }
    }

    /// The size of its buffer, in octets.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.partial.capacity()
    }

    /// Leaves the last octet in the input for the next call, which passes over it: there is more to be told of the stream
    /// under way, and a caller may stop where its input is used up.
    pub(super) fn hold_back(&mut self, at: &mut usize) {
        if let Some(stream) = &mut self.stream {
            stream.held_back = 1;
            *at -= 1;
        }
    }

    fn stream_on(&mut self, Stream { command, left, held_back }: Stream, input: &[u8], at: &mut usize) -> Located {
        let rest = input.len() - *at;
        if held_back as usize > rest {
            return Located::NeedMore;
        }
        *at += held_back as usize;
        if left == 0 {
            self.stream = None;
            return Located::StreamEnds(command);
        }
        let piece = (rest - held_back as usize).min(left as usize);
        // `piece` is at most `left`, hence fits.
        let left = left - piece as u32;
        self.stream = Some(Stream { command, left, held_back: 0 });
        if piece == 0 {
            return Located::NeedMore;
        }
        let range = *at..*at + piece;
        *at = range.end;
        if left > 0 {
            return Located::Piece(range);
        }
        if command == CommandKind::Body {
            self.stream = None;
            return Located::LastPiece(range);
        }
        self.hold_back(at);
        Located::Piece(range)
    }

    /// Goes on with a frame that is cut.
    fn collect(&mut self, input: &[u8], at: &mut usize, limit: u32) -> Result<Located, FrameError> {
        if self.partial.len() < OVERHEAD {
            self.take(OVERHEAD, input, at);
        }
        let Some((command, length)) = parse_start(&self.partial, limit)? else { return Ok(Located::NeedMore) };
        if command.is_streamed() {
            self.partial.clear();
            self.stream = Some(Stream { command, left: length - 1, held_back: 0 });
            return Ok(Located::StreamBegins(command));
        }
        let whole = 4 + length as usize;
        self.take(whole, input, at);
        if self.partial.len() < whole {
            return Ok(Located::NeedMore);
        }
        self.handed_out = HandedOut::Yes;
        Ok(Located::Frame(command, Source::Collected))
    }

    /// Fills the buffer up to `whole` octets with what there is. It never holds more than has arrived, twice over.
    fn take(&mut self, whole: usize, input: &[u8], at: &mut usize) {
        let rest = &input[*at..];
        let taken = whole.saturating_sub(self.partial.len()).min(rest.len());
        self.partial.extend_from_slice(&rest[..taken]);
        *at += taken;
    }
}

/// The command and length with which `octets` begin; none if they are too few to tell.
fn parse_start(octets: &[u8], limit: u32) -> Result<Option<(CommandKind, u32)>, FrameError> {
    let Some((&octets_of_length, rest)) = octets.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(octets_of_length);
    if length == 0 {
        return Err(FrameError::Empty);
    }
    if length > limit {
        return Err(FrameError::TooLong { length, limit, octets: octets_of_length });
    }
    let Some(&command) = rest.first() else { return Ok(None) };
    Ok(Some((CommandKind::of(command)?, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u32 = 1 << 20;

    #[test]
    fn a_whole_frame_is_not_copied() {
        let mut reader = FrameReader::default();
        let input = b"\0\0\0\x04Hab\0\0\0\0\x01A";
        let mut at = 0;
        assert_eq!(reader.next(input, &mut at, LIMIT), Ok(Located::Frame(CommandKind::Helo, Source::Input(5..8))));
        assert_eq!(reader.next(input, &mut at, LIMIT), Ok(Located::Frame(CommandKind::Abort, Source::Input(13..13))));
        assert_eq!(reader.next(input, &mut at, LIMIT), Ok(Located::NeedMore));
        assert_eq!(reader.partial.capacity(), 0);
    }

    #[test]
    fn a_cut_frame_is_collected_octet_by_octet() {
        let mut reader = FrameReader::default();
        for (index, octet) in b"\0\0\0\x04Hab\0".iter().enumerate() {
            let mut at = 0;
            let located = reader.next(std::slice::from_ref(octet), &mut at, LIMIT);
            assert_eq!(at, 1);
            if index < 7 {
                assert_eq!(located, Ok(Located::NeedMore));
            } else {
                assert_eq!(located, Ok(Located::Frame(CommandKind::Helo, Source::Collected)));
                assert_eq!(reader.payload(&[], &Source::Collected), b"ab\0");
            }
        }
        assert!(reader.is_between_frames());
    }

    #[test]
    fn an_announced_length_reserves_nothing() {
        let mut reader = FrameReader::default();
        let mut at = 0;
        assert_eq!(reader.next(b"\0\x0f\xff\xffLx", &mut at, LIMIT), Ok(Located::NeedMore));
        assert!(reader.partial.capacity() < 64);
    }

    #[test]
    fn lengths_are_refused_as_soon_as_they_are_known() {
        let mut at = 0;
        assert_eq!(FrameReader::default().next(&[0; 4], &mut at, LIMIT), Err(FrameError::Empty));
        assert!(matches!(
            FrameReader::default().next(&[0xff; 4], &mut at, LIMIT),
            Err(FrameError::TooLong { length: u32::MAX, .. })
        ));
        assert!(matches!(FrameReader::default().next(b"\0\0\0\x01z", &mut at, LIMIT), Err(FrameError::Command(_))));
    }
}
