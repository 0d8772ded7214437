//! Body hashes (RFC 6376 §3.4.3, §3.4.4, §3.7), made while the body streams, in memory that does not grow with it.
//!
//! ```text
//!             ┌──────────────────────────────────────────────▶ TrailingLines ──▶ SHA-256   simple
//! chunk ──────┤
//!             └──▶ WhiteSpace: drops and replaces octets ─────▶ TrailingLines ──▶ SHA-256   relaxed
//! ```
//!
//! The relaxed form is a local affair: a white space octet goes when white space or CRLF follows it, else it is a
//! space. `WhiteSpace` does that, and keeps at most two octets from one chunk to the next. What then is left to both
//! forms is to leave out empty lines at the end: `TrailingLines` counts line ends until something follows them.
//!
//! Architecture invariant: CRLF is the only line end. A CR or LF alone is an ordinary octet, wherever chunks are cut.

mod white_space;

use self::white_space::WhiteSpace;
use super::backend::Sha256;
use super::canonical::Canonicalization;

/// Hashes a body once for each canonicalization asked for, in chunks cut anywhere.
pub struct BodyHasher {
    octets: u64,
    simple: Option<TrailingLines>,
    relaxed: Option<(WhiteSpace, TrailingLines)>,
}

/// The hashes of one body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyHashes {
    simple: Option<[u8; 32]>,
    relaxed: Option<[u8; 32]>,
}

impl BodyHasher {
    /// A hasher for these canonicalizations; any of them may be named more than once.
    pub fn new(wanted: impl IntoIterator<Item = Canonicalization>) -> Self {
        let mut hasher = Self { octets: 0, simple: None, relaxed: None };
        for canonicalization in wanted {
            match canonicalization {
                Canonicalization::Simple => hasher.simple = Some(TrailingLines::new()),
                Canonicalization::Relaxed => hasher.relaxed = Some((WhiteSpace::default(), TrailingLines::new())),
            }
        }
        hasher
    }

    /// Takes the next octets of the body.
    pub fn update(&mut self, chunk: &[u8]) {
        self.octets += chunk.len() as u64;
        if let Some(lines) = &mut self.simple {
            lines.update(chunk);
        }
        if let Some((white_space, lines)) = &mut self.relaxed {
            white_space.update(chunk, |octets| lines.update(octets));
        }
    }

    /// The body octets seen, before canonicalization.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// The hashes of all that was seen.
    pub fn finish(self) -> BodyHashes {
        BodyHashes {
            // A body that is empty, or of nothing but line ends, is one CRLF (RFC 6376 §3.4.3).
            simple: self.simple.map(|lines| lines.finish(EmptyBody::OneLineEnd)),
            relaxed: self.relaxed.map(|(white_space, mut lines)| {
                lines.update(white_space.finish());
                lines.finish(EmptyBody::Nothing)
            }),
        }
    }
}

impl BodyHashes {
    /// The hash of one canonical form, if it was asked for.
    pub fn of(&self, canonicalization: Canonicalization) -> Option<&[u8; 32]> {
        match canonicalization {
            Canonicalization::Simple => self.simple.as_ref(),
            Canonicalization::Relaxed => self.relaxed.as_ref(),
        }
    }
}

/// Hashes all but the empty lines at the end: line ends are counted, and hashed once something follows them.
struct TrailingLines {
    sha256: Sha256,
    line_ends: u64,
    /// A CR that ended a chunk; the next octet tells whether it is half of a line end.
    carriage_return: bool,
    /// Whether anything but line ends was seen.
    anything: bool,
}

/// Line ends held back are hashed this many at once.
const LINE_ENDS: [[u8; 2]; 64] = [*b"\r\n"; 64];

/// What an empty body is.
#[derive(PartialEq, Eq)]
enum EmptyBody {
    OneLineEnd,
    Nothing,
}

impl TrailingLines {
    fn new() -> Self {
        Self { sha256: Sha256::new(), line_ends: 0, carriage_return: false, anything: false }
    }

    fn update(&mut self, chunk: &[u8]) {
        let Some(first) = chunk.first() else { return };
        let mut chunk = chunk;
        if self.carriage_return {
            self.carriage_return = false;
            if *first == b'\n' {
                self.line_ends += 1;
                chunk = &chunk[1..];
            } else {
                self.hash(b"\r");
            }
        }
        if let Some(rest) = chunk.strip_suffix(b"\r") {
            self.carriage_return = true;
            chunk = rest;
        }
        let content = content_length(chunk);
        if content > 0 {
            self.hash(&chunk[..content]);
        }
        self.line_ends += ((chunk.len() - content) / 2) as u64;
    }

    /// Hashes octets that do not end with a line end, after the line ends held back.
    fn hash(&mut self, content: &[u8]) {
        while self.line_ends > 0 {
            let some = LINE_ENDS.len().min(usize::try_from(self.line_ends).unwrap_or(usize::MAX));
            self.sha256.update(LINE_ENDS[..some].as_flattened());
            self.line_ends -= some as u64;
        }
        self.sha256.update(content);
        self.anything = true;
    }

    fn finish(mut self, empty: EmptyBody) -> [u8; 32] {
        if self.carriage_return {
            self.hash(b"\r");
        }
        if self.anything || empty == EmptyBody::OneLineEnd {
            self.sha256.update(b"\r\n");
        }
        self.sha256.finish()
    }
}

/// The length without the line ends at the end.
fn content_length(chunk: &[u8]) -> usize {
    let mut content = chunk;
    while let Some(rest) = content.strip_suffix(b"\r\n") {
        content = rest;
    }
    content.len()
}

#[cfg(test)]
mod tests;
