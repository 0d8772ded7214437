//! The mailboxes of an address field, read strictly: they decide in whose name a message is signed.

mod scanner;

use std::borrow::Cow;

use self::scanner::{Scanner, Token, TokenKind};

/// More mailboxes than this in one field are refused, so that a field of commas cannot cost much memory.
const MAILBOXES: usize = 1000;

/// The address of one mailbox (RFC 5322 §3.4.1), without its display name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox<'a> {
    /// What stands before the `@`: quotes and backslashes that only quote are removed, folds are white space. ASCII or
    /// UTF-8 (RFC 6532), case as written.
    pub local_part: Cow<'a, [u8]>,
    /// What stands after the `@`: labels with single dots between them, ASCII or UTF-8, case as written. Whether it is a
    /// name that DNS can hold is not looked at here.
    pub domain: Cow<'a, [u8]>,
}

/// Why a list of mailboxes cannot be read in exactly one way. Places are octets from the value's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// No mailbox at all, as in an empty field or an empty group.
    #[error("the field holds no address")]
    NoMailbox,
    /// More mailboxes than anyone needs.
    #[error("the field holds more than {MAILBOXES} addresses")]
    TooMany,
    /// A control character, or a CR or LF that is no fold.
    #[error("the control character 0x{octet:02x} at octet {at} of the address field")]
    Control {
        /// The character.
        octet: u8,
        /// Its place.
        at: usize,
    },
    /// A character that must be quoted where it stands.
    #[error("the character {:?} at octet {at} of the address field must be quoted", char::from(*.octet))]
    Unquoted {
        /// The character.
        octet: u8,
        /// Its place.
        at: usize,
    },
    /// A comment without its closing parenthesis.
    #[error("the comment at octet {at} of the address field is not closed")]
    UnclosedComment {
        /// Its place.
        at: usize,
    },
    /// Comments within comments beyond reason.
    #[error("comments are nested too deeply at octet {at} of the address field")]
    CommentDepth {
        /// The place of the innermost.
        at: usize,
    },
    /// A quoted string without its closing quote.
    #[error("the quoted string at octet {at} of the address field is not closed")]
    UnclosedQuote {
        /// Its place.
        at: usize,
    },
    /// `<` without `>`.
    #[error("the address at octet {at} lacks its closing angle bracket")]
    UnclosedAngle {
        /// The place of `<`.
        at: usize,
    },
    /// A group (RFC 5322 §3.4) without its semicolon.
    #[error("the group at octet {at} of the address field is not closed")]
    UnclosedGroup {
        /// The place of its colon.
        at: usize,
    },
    /// A group within a group, or one without a name.
    #[error("the colon at octet {at} of the address field begins no group")]
    StrayColon {
        /// Its place.
        at: usize,
    },
    /// A domain literal such as `[192.0.2.1]` (RFC 5322 §3.4.1): well-formed maybe, but nobody can sign for it.
    #[error("the address has a domain literal at octet {at}, which no signature can name")]
    DomainLiteral {
        /// The place of `[`.
        at: usize,
    },
    /// Words with no address after them, as in a display name with an unquoted comma.
    #[error("the words at octet {at} of the address field are no address: there is no @")]
    NoAddress {
        /// Their place.
        at: usize,
    },
    /// Nothing before the `@`.
    #[error("the local part before octet {at} of the address field is empty")]
    EmptyLocalPart {
        /// The place of `@`.
        at: usize,
    },
    /// Nothing after the `@`, or a quoted string.
    #[error("a domain is expected at octet {at} of the address field")]
    NoDomain {
        /// The place.
        at: usize,
    },
    /// A dot at the beginning or end of a local part or a domain, or two dots in a row.
    #[error("the dot at octet {at} of the address field has no word on one of its sides")]
    Dot {
        /// The place.
        at: usize,
    },
    /// White space or a comment within a local part or within a domain (RFC 5322 §4.4): programs differ about it.
    #[error("white space, a comment or a quote splits the address at octet {at}")]
    Split {
        /// The place of what follows.
        at: usize,
    },
    /// A second `@`.
    #[error("a second @ stands at octet {at} of the address")]
    SecondAt {
        /// Its place.
        at: usize,
    },
    /// Something other than a comma follows an address.
    #[error("something other than a comma follows the address at octet {at}")]
    AfterAddress {
        /// The place.
        at: usize,
    },
    /// An address that is neither ASCII nor UTF-8 (RFC 6532).
    #[error("the address at octet {at} is not UTF-8")]
    NotUtf8 {
        /// Its place.
        at: usize,
    },
}

/// Every mailbox in the value of a From or Sender field, those in groups (RFC 6854) included; at least one.
///
/// RFC 5322 §3.4 with UTF-8 (RFC 6532). Of the obsolete forms (§4.4) those are read that have one meaning only: routes,
/// empty elements of a list, dots in display names, and white space and comments around `@`. Display names may hold any
/// 8-bit octets. The value is as [`Field::value`](super::Field::value) gives it. Time is linear, memory bounded.
///
/// # Errors
///
/// When the value could be read in two ways, or in none.
pub fn parse_mailboxes(value: &[u8]) -> Result<Vec<Mailbox<'_>>, AddressError> {
    let mut scanner = Scanner::new(value);
    let mut mailboxes = Vec::new();
    let mut group = None;
    loop {
        let words = Words::read(&mut scanner)?;
        let end = match words.end.kind {
            TokenKind::At => {
                let local_part = words.local_part(value)?;
                let (domain, end) = domain(&mut scanner)?;
                mailboxes.push(Mailbox { local_part, domain });
                end
            }
            TokenKind::Special(b'<') => {
                mailboxes.push(angle_address(&mut scanner, words.end.start)?);
                scanner.next()?
            }
            TokenKind::Special(b':') => {
                if group.is_some() || words.first.is_none() {
                    return Err(AddressError::StrayColon { at: words.end.start });
                }
                group = Some(words.end.start);
                continue;
            }
            _ => {
                if let Some(at) = words.first {
                    return Err(AddressError::NoAddress { at });
                }
                words.end
            }
        };
        if mailboxes.len() > MAILBOXES {
            return Err(AddressError::TooMany);
        }
        let end = if end.kind == TokenKind::Special(b';') && group.take().is_some() { scanner.next()? } else { end };
        match (end.kind, group) {
            (TokenKind::Special(b','), _) => {}
            (TokenKind::End, Some(at)) => return Err(AddressError::UnclosedGroup { at }),
            (TokenKind::End, None) if mailboxes.is_empty() => return Err(AddressError::NoMailbox),
            (TokenKind::End, None) => return Ok(mailboxes),
            _ => return Err(misplaced(end)),
        }
    }
}

/// Words and dots, up to the first token that is neither: a display name, a local part, a group's name, or nothing.
struct Words<'a> {
    first: Option<usize>,
    end: Token<'a>,
}

impl<'a> Words<'a> {
    fn read(scanner: &mut Scanner<'a>) -> Result<Self, AddressError> {
        let mut first = None;
        loop {
            let token = scanner.next()?;
            match token.kind {
                TokenKind::Atom | TokenKind::Quoted(_) | TokenKind::Dot => first = first.or(Some(token.start)),
                _ => return Ok(Self { first, end: token }),
            }
        }
    }

    /// These words, before an `@`, as a local part: words with single dots between them and nothing else.
    fn local_part(&self, value: &'a [u8]) -> Result<Cow<'a, [u8]>, AddressError> {
        let Some(start) = self.first else {
            return Err(AddressError::EmptyLocalPart { at: self.end.start });
        };
        let mut scanner = Scanner::between(value, start, self.end.start);
        let mut unquoted: Option<Vec<u8>> = None;
        let mut word_before = false;
        let mut end = start;
        loop {
            let token = scanner.next()?;
            if token.kind == TokenKind::End {
                break;
            }
            let is_word = token.kind != TokenKind::Dot;
            if token.spaced || (is_word && word_before) {
                return Err(AddressError::Split { at: token.start });
            }
            if !is_word && !word_before {
                return Err(AddressError::Dot { at: token.start });
            }
            match token.kind {
                TokenKind::Quoted(content) => {
                    scanner::unquote(content, unquoted.get_or_insert_with(|| value[start..token.start].to_vec()));
                }
                _ => {
                    if let Some(unquoted) = &mut unquoted {
                        unquoted.extend_from_slice(token.octets);
                    }
                }
            }
            word_before = is_word;
            end = token.start + token.octets.len();
        }
        if !word_before {
            return Err(AddressError::Dot { at: end - 1 });
        }
        let local_part = unquoted.map_or(Cow::Borrowed(&value[start..end]), Cow::Owned);
        check_utf8(&local_part, start)?;
        Ok(local_part)
    }
}

/// What stands between angle brackets, the closing one included: a route (RFC 5322 §4.4), which says nothing today, and
/// the address.
fn angle_address<'a>(scanner: &mut Scanner<'a>, open: usize) -> Result<Mailbox<'a>, AddressError> {
    let mut words = Words::read(scanner)?;
    if words.end.kind == TokenKind::At && words.first.is_none() {
        words = after_route(scanner, open)?;
    }
    match words.end.kind {
        TokenKind::At => {}
        TokenKind::End => return Err(AddressError::UnclosedAngle { at: open }),
        TokenKind::Special(b'>') => return Err(AddressError::NoAddress { at: words.first.unwrap_or(open) }),
        _ => return Err(misplaced(words.end)),
    }
    let local_part = words.local_part(scanner.octets())?;
    let (domain, end) = domain(scanner)?;
    match end.kind {
        TokenKind::Special(b'>') => Ok(Mailbox { local_part, domain }),
        TokenKind::End => Err(AddressError::UnclosedAngle { at: open }),
        _ => Err(misplaced(end)),
    }
}

/// Passes over the rest of a route whose first `@` has been read, `@a,@b:`, and reads the words after it.
fn after_route<'a>(scanner: &mut Scanner<'a>, open: usize) -> Result<Words<'a>, AddressError> {
    loop {
        let (_, end) = domain(scanner)?;
        match end.kind {
            TokenKind::Special(b':') => return Words::read(scanner),
            TokenKind::Special(b',') => {}
            // `<@a>`: not a route but an address without its local part.
            TokenKind::Special(b'>') => return Err(AddressError::EmptyLocalPart { at: open + 1 }),
            TokenKind::End => return Err(AddressError::UnclosedAngle { at: open }),
            _ => return Err(misplaced(end)),
        }
        let at = scanner.next()?;
        if at.kind != TokenKind::At {
            return Err(misplaced(at));
        }
    }
}

/// A domain of labels with single dots between them, and the token that follows it.
fn domain<'a>(scanner: &mut Scanner<'a>) -> Result<(Cow<'a, [u8]>, Token<'a>), AddressError> {
    let mut token = scanner.next()?;
    match token.kind {
        TokenKind::Atom => {}
        TokenKind::Dot => return Err(AddressError::Dot { at: token.start }),
        TokenKind::Special(b'[') => return Err(AddressError::DomainLiteral { at: token.start }),
        TokenKind::At => return Err(AddressError::SecondAt { at: token.start }),
        _ => return Err(AddressError::NoDomain { at: token.start }),
    }
    let start = token.start;
    loop {
        let end = token.start + token.octets.len();
        let next = scanner.next()?;
        if next.kind != TokenKind::Dot {
            let domain = &scanner.octets()[start..end];
            check_utf8(domain, start)?;
            return Ok((Cow::Borrowed(domain), next));
        }
        token = scanner.next()?;
        match token.kind {
            TokenKind::Atom if next.spaced || token.spaced => return Err(AddressError::Split { at: token.start }),
            TokenKind::Atom => {}
            _ => return Err(AddressError::Dot { at: next.start }),
        }
    }
}

/// The error for a token after an address that cannot stand there.
fn misplaced(token: Token<'_>) -> AddressError {
    match token.kind {
        TokenKind::At => AddressError::SecondAt { at: token.start },
        TokenKind::Special(octet @ (b'[' | b']')) => AddressError::Unquoted { octet, at: token.start },
        _ => AddressError::AfterAddress { at: token.start },
    }
}

fn check_utf8(octets: &[u8], at: usize) -> Result<(), AddressError> {
    std::str::from_utf8(octets).map(|_| ()).map_err(|_| AddressError::NotUtf8 { at })
}

#[cfg(test)]
mod tests;
