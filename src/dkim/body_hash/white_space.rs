//! The white space of relaxed bodies (RFC 6376 §3.4.4 a): none at the ends of lines, elsewhere one space for each run.
//!
//! Whether an octet stays is told by the two octets after it, so blocks are looked at as a whole, in loops without
//! branches that the compiler turns into vector instructions. Blocks that stay as they are are handed on where they
//! stand in the chunk; others are rewritten in a small buffer, which is handed on when it is full.

/// Octets looked at together.
const BLOCK: usize = 64;
/// Octets of a block that are copied at once where all of them stay.
const GROUP: usize = 8;
/// A block and the octets that tell what becomes of its last ones.
const WINDOW: usize = BLOCK + 2;
/// Unchanged runs of this length are hashed where they are; shorter ones are cheaper to copy.
const LONG_RUN: usize = 512;
/// Rewritten octets are collected up to here. It lies on the stack, for the time of one update.
const BUFFER: usize = 2048;

/// What the end of the last chunk left open: the next octets tell whether it stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum WhiteSpace {
    /// Nothing.
    #[default]
    Nothing,
    /// A run of white space.
    Run,
    /// A run of white space and a CR.
    RunAndCarriageReturn,
}

impl WhiteSpace {
    /// Takes the next chunk and gives its relaxed form in pieces, as far as it is known.
    pub(super) fn update(&mut self, chunk: &[u8], mut out: impl FnMut(&[u8])) {
        let Some(resolved) = self.resolve(chunk) else { return };
        out(resolved);
        let (decided, held) = Self::hold(chunk);
        *self = held;
        rewrite(decided, &mut out);
    }

    /// What is left open when nothing follows: white space at the end of a body goes, a CR stays.
    pub(super) fn finish(self) -> &'static [u8] {
        match self {
            Self::Nothing | Self::Run => b"",
            Self::RunAndCarriageReturn => b" \r",
        }
    }

    /// What becomes of the octets held back, now that `chunk` follows them; none when that does not tell yet.
    fn resolve(&mut self, chunk: &[u8]) -> Option<&'static [u8]> {
        match (*self, chunk) {
            (_, []) => None,
            (Self::Run, [b'\r']) => {
                *self = Self::RunAndCarriageReturn;
                None
            }
            (Self::Nothing, _) | (Self::Run, [b' ' | b'\t', ..] | [b'\r', b'\n', ..]) => Some(b""),
            (Self::Run, _) => Some(b" "),
            (Self::RunAndCarriageReturn, [b'\n', ..]) => Some(b"\r"),
            (Self::RunAndCarriageReturn, _) => Some(b" \r"),
        }
    }

    /// Splits off what the octets of `chunk` do not decide: white space at its end, with or without a CR.
    fn hold(chunk: &[u8]) -> (&[u8], Self) {
        let before = chunk.strip_suffix(b"\r").unwrap_or(chunk);
        let end = before.iter().rposition(|octet| !is_white_space(*octet)).map_or(0, |last| last + 1);
        match (end < before.len(), before.len() < chunk.len()) {
            (false, _) => (chunk, Self::Nothing),
            (true, false) => (&chunk[..end], Self::Run),
            (true, true) => (&chunk[..end], Self::RunAndCarriageReturn),
        }
    }
}

/// Gives the relaxed form of octets that decide all their white space: none at the end, nor before a last CR.
fn rewrite(octets: &[u8], out: &mut impl FnMut(&[u8])) {
    let mut buffer = Buffer { octets: [0; BUFFER], length: 0 };
    let mut unchanged = 0;
    let mut at = 0;
    while let Some(window) = octets[at..].first_chunk::<WINDOW>() {
        if !stays(window) {
            buffer.copy(&octets[unchanged..at], out);
            buffer.squeeze(window, BLOCK, out);
            unchanged = at + BLOCK;
        }
        at += BLOCK;
    }
    while at < octets.len() {
        let rest = &octets[at..];
        let mut window = [0; WINDOW];
        let shown = rest.len().min(WINDOW);
        window[..shown].copy_from_slice(&rest[..shown]);
        if !stays(&window) {
            buffer.copy(&octets[unchanged..at], out);
            buffer.squeeze(&window, rest.len().min(BLOCK), out);
            unchanged = octets.len().min(at + BLOCK);
        }
        at += BLOCK;
    }
    if buffer.length > 0 {
        buffer.copy(&octets[unchanged..], out);
        buffer.flush(out);
    } else if unchanged < octets.len() {
        out(&octets[unchanged..]);
    }
}

/// Whether nothing in a block needs a change. Says no too often for white space before a CR that ends no line.
fn stays(window: &[u8; WINDOW]) -> bool {
    let mut changes = 0;
    for at in 0..BLOCK {
        let (octet, next) = (window[at], window[at + 1]);
        changes |=
            u8::from(octet == b'\t') | u8::from(is_white_space(octet) & (is_white_space(next) | (next == b'\r')));
    }
    changes == 0
}

/// Octets on their way to the hash.
struct Buffer {
    octets: [u8; BUFFER],
    length: usize,
}

impl Buffer {
    /// Takes octets that stay as they are.
    fn copy(&mut self, octets: &[u8], out: &mut impl FnMut(&[u8])) {
        if self.length + octets.len() > BUFFER || octets.len() >= LONG_RUN {
            self.flush(out);
        }
        if octets.len() >= LONG_RUN {
            out(octets);
            return;
        }
        self.octets[self.length..][..octets.len()].copy_from_slice(octets);
        self.length += octets.len();
    }

    /// Takes what stays of the first `length` octets of a block; those after them must be no white space.
    fn squeeze(&mut self, window: &[u8; WINDOW], length: usize, out: &mut impl FnMut(&[u8])) {
        if self.length + BLOCK > BUFFER {
            self.flush(out);
        }
        let mut octets = [0; BLOCK];
        let mut kept = [0; BLOCK];
        for at in 0..BLOCK {
            let (octet, next, third) = (window[at], window[at + 1], window[at + 2]);
            let goes = is_white_space(octet) & (is_white_space(next) | ((next == b'\r') & (third == b'\n')));
            octets[at] = if octet == b'\t' { b' ' } else { octet };
            kept[at] = u8::from(!goes);
        }
        let Some(room) = self.octets[self.length..].first_chunk_mut::<BLOCK>() else { return };
        let mut written = 0;
        for (octets, kept) in octets.as_chunks::<GROUP>().0.iter().zip(kept.as_chunks::<GROUP>().0) {
            if *kept == [1; GROUP] {
                room[written..written + GROUP].copy_from_slice(octets);
                written += GROUP;
                continue;
            }
            for (octet, kept) in octets.iter().zip(kept) {
                // Never beyond what was read: the mask only tells the compiler so.
                room[written % BLOCK] = *octet;
                written += usize::from(*kept);
            }
        }
        self.length += written - (BLOCK - length);
    }

    fn flush(&mut self, out: &mut impl FnMut(&[u8])) {
        if self.length > 0 {
            out(&self.octets[..self.length]);
            self.length = 0;
        }
    }
}

fn is_white_space(octet: u8) -> bool {
    (octet == b' ') | (octet == b'\t')
}
