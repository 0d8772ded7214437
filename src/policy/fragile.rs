//! Forms of messages that MTAs change after their milters, and with which signatures break.

use crate::message::Headers;
use crate::names::DomainName;

use super::warning::{Warning, Warnings};

/// The MTA, so far as it changes what it delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mta {
    /// Postfix: splits lines over 998 octets.
    Postfix,
    /// Sendmail: splits lines over 990 octets, and writes addresses anew.
    Sendmail,
    /// It does not say.
    #[default]
    Unknown,
}

impl Mta {
    /// From its macro `v`: Postfix names itself there, Sendmail gives its version alone.
    pub fn of(version: Option<&[u8]>) -> Self {
        match version {
            Some(version) if version.starts_with(b"Postfix") => Self::Postfix,
            Some([b'0'..=b'9', ..]) => Self::Sendmail,
            _ => Self::Unknown,
        }
    }

    /// The longest line that it leaves whole, in octets without its end.
    fn longest_line(self) -> usize {
        match self {
            // smtp_line_length_limit
            Self::Postfix => 998,
            // L= of its mailers
            Self::Sendmail | Self::Unknown => 990,
        }
    }
}

/// What of a header will break.
pub fn fragile_header(headers: &Headers, mta: Mta) -> Warnings {
    let mut warnings = Warnings::default();
    for field in headers.iter() {
        let is_long = || field.raw().split(|octet| *octet == b'\n').any(|line| line.len() > mta.longest_line() + 1);
        warnings.add_if(is_long, Warning::LongLine);
        if mta != Mta::Postfix && has_addresses(field.name()) {
            warnings.add_if(|| is_rewritten(field.value()), Warning::RewrittenAddress);
        }
    }
    warnings
}

/// Whether a signature of that domain is there already.
pub fn is_signed_by(headers: &Headers, domain: &DomainName) -> bool {
    headers.named("DKIM-Signature").any(|field| signing_domain(field.value()).is_some_and(|signer| signer == *domain))
}

/// d=, as far as it can be read.
fn signing_domain(value: &[u8]) -> Option<DomainName> {
    let domain = value.split(|octet| *octet == b';').find_map(|tag| {
        let at = memchr::memchr(b'=', tag)?;
        (tag[..at].trim_ascii() == b"d").then(|| tag[at + 1..].trim_ascii())
    })?;
    DomainName::from_octets(domain).ok()
}

/// Watches a body go by.
#[derive(Debug, Clone, Copy, Default)]
pub struct FragileBody {
    mta: Mta,
    /// Octets of the line under way.
    line: usize,
    has_long_line: bool,
    has_eight_bit: bool,
}

impl FragileBody {
    /// A body on its way through that MTA.
    pub fn new(mta: Mta) -> Self {
        Self { mta, ..Self::default() }
    }

    /// Takes the next octets, cut anywhere.
    pub fn update(&mut self, piece: &[u8]) {
        self.has_eight_bit = self.has_eight_bit || !piece.is_ascii();
        if self.has_long_line {
            return;
        }
        // With its CR, which a long line may lack.
        let longest = self.mta.longest_line() + 1;
        let mut from = 0;
        for at in memchr::memchr_iter(b'\n', piece) {
            self.has_long_line |= self.line + (at - from) > longest;
            (self.line, from) = (0, at + 1);
        }
        self.line += piece.len() - from;
        self.has_long_line |= self.line > longest;
    }

    /// What of it will break. `announced` is whether the client announced octets beyond ASCII.
    pub fn finish(self, announced: Announced) -> Warnings {
        let mut warnings = Warnings::default();
        warnings.add_if(|| self.has_long_line, Warning::LongLine);
        warnings.add_if(|| self.has_eight_bit && announced == Announced::SevenBit, Warning::EightBit);
        warnings
    }
}

/// What the client announced of the body, with MAIL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Announced {
    /// Nothing, or 7BIT.
    #[default]
    SevenBit,
    /// BODY=8BITMIME (RFC 6152), BODY=BINARYMIME (RFC 3030) or SMTPUTF8 (RFC 6531).
    EightBit,
}

impl Announced {
    /// From the parameters of MAIL.
    pub fn of<'p>(parameters: impl IntoIterator<Item = &'p [u8]>) -> Self {
        let announces = |parameter: &[u8]| {
            [&b"BODY=8BITMIME"[..], b"BODY=BINARYMIME", b"SMTPUTF8"]
                .iter()
                .any(|word| parameter.eq_ignore_ascii_case(word))
        };
        if parameters.into_iter().any(announces) { Self::EightBit } else { Self::SevenBit }
    }
}

/// Whether Sendmail takes the field for a list of addresses.
fn has_addresses(name: &[u8]) -> bool {
    const FIELDS: [&[u8]; 9] =
        [b"from", b"sender", b"reply-to", b"to", b"cc", b"resent-from", b"resent-sender", b"resent-to", b"resent-cc"];
    FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field))
}

/// Whether Sendmail writes these addresses otherwise than they stand: a comma without white space behind it, a display
/// name that should be quoted, an address without a domain.
fn is_rewritten(value: &[u8]) -> bool {
    let (mut quoted, mut comments, mut angle) = (false, 0_u32, false);
    // Of the address under way: something at all, an @, a character that wants quotes.
    let (mut anything, mut at, mut unquoted) = (false, false, false);
    let mut octets = value.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        match octet {
            b'\\' => {
                octets.next();
            }
            b'"' if comments == 0 => (quoted, anything) = (!quoted, true),
            _ if quoted => {}
            b'(' => comments = comments.saturating_add(1),
            b')' => comments = comments.saturating_sub(1),
            _ if comments > 0 => {}
            b'<' => {
                if unquoted || at {
                    return true;
                }
                (angle, anything) = (true, true);
            }
            b'>' => angle = false,
            b',' if !angle => {
                if (anything && !at) || !octets.peek().is_some_and(u8::is_ascii_whitespace) {
                    return true;
                }
                (anything, at, unquoted) = (false, false, false);
            }
            // A group; its name is left alone.
            b':' | b';' if !angle => (anything, at, unquoted) = (false, false, false),
            b'@' => (at, anything) = (true, true),
            b'.' | b'\'' | b'[' | b']' if !angle => (unquoted, anything) = (true, true),
            _ if octet.is_ascii_whitespace() => {}
            _ => anything = true,
        }
    }
    anything && !at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Spacing;

    fn headers(fields: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.push(name.as_bytes(), value.as_bytes(), Spacing::AsReceived);
        }
        headers
    }

    fn codes(warnings: Warnings) -> Vec<&'static str> {
        warnings.iter().map(Warning::code).collect()
    }

    #[test]
    fn the_mta_is_known_by_its_version() {
        assert_eq!(Mta::of(Some(b"Postfix 3.7.11")), Mta::Postfix);
        assert_eq!(Mta::of(Some(b"8.17.1.9")), Mta::Sendmail);
        assert_eq!(Mta::of(Some(b"")), Mta::Unknown);
        assert_eq!(Mta::of(None), Mta::Unknown);
    }

    #[test]
    fn forms_that_sendmail_writes_anew_are_known() {
        for (value, rewritten) in [
            (" Joe <joe@example.com>", false),
            (" \"J. R. Rig\" <joe@example.com>", false),
            (" J. R. Rig <joe@example.com>", true),
            (" O'Neill <joe@example.com>", true),
            (" a@example.com, b@example.com", false),
            (" a@example.com,b@example.com", true),
            (" a@example.com,\r\n\tb@example.com", false),
            (" joe.rig@example.com (J. R. Rig)", false),
            (" root", true),
            (" undisclosed-recipients:;", false),
            (" Friends: a@example.com, b@example.com;", false),
            (" <joe.rig@example.com>", false),
            ("", false),
            (" a@b <c@d>", true),
            (" \"unclosed", true),
        ] {
            assert_eq!(is_rewritten(value.as_bytes()), rewritten, "{value}");
        }
        let header = headers(&[("From", " J. Rig <joe@example.com>"), ("Subject", " a,b")]);
        assert_eq!(codes(fragile_header(&header, Mta::Sendmail)), ["rewritten_address"]);
        assert!(fragile_header(&header, Mta::Postfix).is_empty());
    }

    #[test]
    fn long_lines_are_seen_wherever_pieces_are_cut() {
        let long = |length: usize, cut: usize, mta: Mta| {
            let body = format!("short\r\n{}\r\nshort\r\n", "x".repeat(length)).into_bytes();
            let mut watched = FragileBody::new(mta);
            body.chunks(cut).for_each(|piece| watched.update(piece));
            !watched.finish(Announced::EightBit).is_empty()
        };
        for cut in [1, 7, 997, 5000] {
            assert!(!long(998, cut, Mta::Postfix) && long(999, cut, Mta::Postfix), "{cut}");
            assert!(!long(990, cut, Mta::Sendmail) && long(991, cut, Mta::Unknown), "{cut}");
        }
        let header = |length: usize| headers(&[("X", &format!(" a\n {}", "x".repeat(length)))]);
        assert!(fragile_header(&header(997), Mta::Postfix).is_empty());
        assert_eq!(codes(fragile_header(&header(999), Mta::Postfix)), ["long_line"]);
    }

    #[test]
    fn eight_bit_bodies_are_fine_if_they_were_announced() {
        let mut body = FragileBody::new(Mta::Postfix);
        body.update("gr\u{fc}n\r\n".as_bytes());
        let announced = |parameters: &[&[u8]]| Announced::of(parameters.iter().copied());
        assert_eq!(codes(body.finish(announced(&[b"SIZE=1"]))), ["eight_bit"]);
        assert!(body.finish(announced(&[b"SIZE=1", b"body=8bitmime"])).is_empty());
        assert!(body.finish(announced(&[b"SMTPUTF8"])).is_empty());
    }

    #[test]
    fn a_signature_is_known_by_its_domain_however_it_is_folded() {
        let header =
            headers(&[("dkim-signature", " v=1; a=x; bh=d=other;\n\td = Example.COM ; s=y"), ("DKIM-Signature", "d")]);
        let is_signed_by = |domain: &str| is_signed_by(&header, &DomainName::parse(domain).unwrap());
        assert!(is_signed_by("example.com"));
        assert!(!is_signed_by("other"));
    }
}
