//! The words of an address field (RFC 5322 §3.2), one at a time.

use super::AddressError;

/// Comments within comments are read this deep. A counter does it, so depth costs nothing; nobody means more.
const COMMENT_DEPTH: usize = 32;

/// Splits a value into tokens, in one pass, passing over white space, folds and comments.
pub(super) struct Scanner<'a> {
    octets: &'a [u8],
    at: usize,
}

/// One word or special character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// What it is.
    pub(super) kind: TokenKind<'a>,
    /// Where it begins.
    pub(super) start: usize,
    /// All of it, as written.
    pub(super) octets: &'a [u8],
    /// Whether white space or a comment stands before it.
    pub(super) spaced: bool,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind<'a> {
    /// Octets that need no quotes (RFC 5322 §3.2.3), 8-bit ones included (RFC 6532 §3.2).
    Atom,
    /// A quoted string (§3.2.4): what stands between its quotes, as written.
    Quoted(&'a [u8]),
    /// `.`
    Dot,
    /// `@`
    At,
    /// Any other special character: `<>,;:[`
    Special(u8),
    /// Nothing more.
    End,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        Self { octets, at: 0 }
    }

    /// A scanner of a part, in which places are those of the whole.
    pub(super) fn between(octets: &'a [u8], start: usize, end: usize) -> Self {
        Self { octets: &octets[..end], at: start }
    }

    /// All octets, scanned and not.
    pub(super) fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// The next token; at the end, [`TokenKind::End`] again and again.
    pub(super) fn next(&mut self) -> Result<Token<'a>, AddressError> {
        let before = self.at;
        self.skip_comments_and_folds()?;
        let start = self.at;
        let spaced = start != before;
        let kind = match self.octets.get(start) {
            None => TokenKind::End,
            Some(b'"') => TokenKind::Quoted(self.quoted_string()?),
            Some(&octet) if is_atom_text(octet) => {
                let rest = &self.octets[start..];
                self.at += rest.iter().position(|&octet| !is_atom_text(octet)).unwrap_or(rest.len());
                TokenKind::Atom
            }
            Some(&octet) => {
                self.at += 1;
                match octet {
                    b'.' => TokenKind::Dot,
                    b'@' => TokenKind::At,
                    b'<' | b'>' | b',' | b';' | b':' | b'[' => TokenKind::Special(octet),
                    b')' | b']' | b'\\' => return Err(AddressError::Unquoted { octet, at: start }),
                    _ => return Err(AddressError::Control { octet, at: start }),
                }
            }
        };
        Ok(Token { kind, start, octets: &self.octets[start..self.at], spaced })
    }

    /// CFWS (RFC 5322 §3.2.2), and folds of white space only (§4.2).
    fn skip_comments_and_folds(&mut self) -> Result<(), AddressError> {
        loop {
            match self.octets.get(self.at) {
                Some(b' ' | b'\t') => self.at += 1,
                Some(b'\r' | b'\n') => self.fold()?,
                Some(b'(') => self.comment()?,
                _ => return Ok(()),
            }
        }
    }

    /// CRLF and the white space octet that makes it a fold.
    fn fold(&mut self) -> Result<(), AddressError> {
        match self.octets[self.at..] {
            [b'\r', b'\n', b' ' | b'\t', ..] => {
                self.at += 3;
                Ok(())
            }
            [octet, ..] => Err(AddressError::Control { octet, at: self.at }),
            [] => Ok(()),
        }
    }

    fn comment(&mut self) -> Result<(), AddressError> {
        let open = self.at;
        let mut depth = 0;
        loop {
            match self.octets.get(self.at) {
                None => return Err(AddressError::UnclosedComment { at: open }),
                Some(b'(') if depth == COMMENT_DEPTH => return Err(AddressError::CommentDepth { at: self.at }),
                Some(b'(') => depth += 1,
                Some(b')') if depth == 1 => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b')') => depth -= 1,
                _ => {
                    self.text(AddressError::UnclosedComment { at: open })?;
                    continue;
                }
            }
            self.at += 1;
        }
    }

    /// A quoted string; what stands between its quotes.
    fn quoted_string(&mut self) -> Result<&'a [u8], AddressError> {
        let open = self.at;
        self.at += 1;
        loop {
            match self.octets.get(self.at) {
                None => return Err(AddressError::UnclosedQuote { at: open }),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.octets[open + 1..self.at - 1]);
                }
                _ => self.text(AddressError::UnclosedQuote { at: open })?,
            }
        }
    }

    /// One octet, quoted pair or fold of a comment or quoted string.
    fn text(&mut self, unclosed: AddressError) -> Result<(), AddressError> {
        let pair = self.octets[self.at] == b'\\';
        let at = self.at + usize::from(pair);
        match self.octets.get(at) {
            None => return Err(unclosed),
            Some(b'\r' | b'\n') if !pair => return self.fold(),
            Some(&octet) if octet.is_ascii_control() && octet != b'\t' => {
                return Err(AddressError::Control { octet, at });
            }
            Some(_) => self.at = at + 1,
        }
        Ok(())
    }
}

/// Appends what the content of a quoted string stands for: without backslashes that quote and without CRLF of folds.
pub(super) fn unquote(content: &[u8], out: &mut Vec<u8>) {
    let mut octets = content.iter();
    while let Some(&octet) = octets.next() {
        match octet {
            b'\\' => out.extend(octets.next()),
            b'\r' | b'\n' => {}
            _ => out.push(octet),
        }
    }
}

fn is_atom_text(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet >= 0x80 || b"!#$%&'*+-/=?^_`{|}~".contains(&octet)
}
