//! The header of one message: fields with their exact octets.

use memchr::memchr;

/// The header of one message, exactly as received, in one buffer.
///
/// Fields stand in the order of the message, top to bottom. Folds are CRLF and white space, whatever they came as.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    octets: Vec<u8>,
    fields: Vec<Span>,
}

/// Where one field stands in the buffer.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    colon: usize,
    end: usize,
}

/// What became of the white space between a field's colon and its value on the way here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// The value is given with it, as it stood in the message.
    AsReceived,
    /// One space was taken away. Whether there was one is not told (it mostly was), so one is assumed.
    OneSpaceRemoved,
}

/// One header field, borrowed from its [`Headers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    raw: &'a [u8],
    colon: usize,
}

/// Why octets are no header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// No name of printable ASCII with a colon after it (RFC 5322 §2.2).
    #[error("a header field must begin with a name of printable ASCII and a colon")]
    NoName,
    /// A line end without white space after it: that would be the next field.
    #[error("the header field has a line end at octet {at} without white space after it")]
    Unfolded {
        /// Octets from the field's beginning.
        at: usize,
    },
}

impl Headers {
    /// A header without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all fields and keeps the memory for the next message.
    pub fn clear(&mut self) {
        self.octets.clear();
        self.fields.clear();
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// The octets held: names, colons, values and folds of all fields.
    pub fn octets(&self) -> usize {
        self.octets.len()
    }

    /// Appends a field as a milter is shown it: the name without colon, the value with whatever follows the colon.
    ///
    /// A fold that came as LF becomes CRLF, as it stands on the wire; one that came as CRLF stays. Everything else is
    /// kept as it is, also what no standard allows.
    pub fn push(&mut self, name: &[u8], value: &[u8], spacing: Spacing) {
        let start = self.octets.len();
        self.octets.extend_from_slice(name);
        let colon = self.octets.len() - start;
        self.octets.push(b':');
        if spacing == Spacing::OneSpaceRemoved {
            self.octets.push(b' ');
        }
        append_with_crlf(&mut self.octets, value);
        self.fields.push(Span { start, colon, end: self.octets.len() });
    }

    /// Appends a whole field as it stands in a message (`Subject : x\r\n y`), without its final line end.
    ///
    /// White space before the colon (RFC 5322 §4.5) is kept. Folds that come as LF become CRLF.
    ///
    /// # Errors
    ///
    /// When it does not begin with a name and a colon, or holds a line end that is no fold. Nothing is appended then.
    pub fn push_raw(&mut self, raw: &[u8]) -> Result<(), FieldError> {
        let colon = colon_of(raw).ok_or(FieldError::NoName)?;
        let mut from = 0;
        while let Some(at) = memchr(b'\n', &raw[from..]).map(|at| from + at) {
            if !matches!(raw.get(at + 1), Some(b' ' | b'\t')) {
                return Err(FieldError::Unfolded { at });
            }
            from = at + 1;
        }
        let start = self.octets.len();
        append_with_crlf(&mut self.octets, raw);
        self.fields.push(Span { start, colon, end: self.octets.len() });
        Ok(())
    }

    /// All fields, top to bottom.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Field<'_>> + ExactSizeIterator {
        self.fields.iter().map(|&span| self.at(span))
    }

    /// The field at a place, counted from 0 at the top.
    pub fn field(&self, index: usize) -> Option<Field<'_>> {
        self.fields.get(index).map(|&span| self.at(span))
    }

    /// The fields of one name, upper and lower case being the same, top to bottom.
    pub fn named<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = Field<'a>> {
        self.iter().filter(move |field| field.name().eq_ignore_ascii_case(name.as_bytes()))
    }

    /// How many fields have this name.
    pub fn count(&self, name: &str) -> usize {
        self.named(name).count()
    }

    fn at(&self, span: Span) -> Field<'_> {
        Field { raw: &self.octets[span.start..span.end], colon: span.colon }
    }
}

impl<'a> Field<'a> {
    /// The whole field: name, colon, value, with CRLF folds and without the final CRLF.
    pub fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// The name as written, without white space before the colon.
    pub fn name(self) -> &'a [u8] {
        trim_end(&self.raw[..self.colon])
    }

    /// Everything after the colon.
    pub fn value(self) -> &'a [u8] {
        &self.raw[self.colon + 1..]
    }
}

/// The place of the colon that ends a field's name, if the octets begin with a name (RFC 5322 §3.6.8, §4.5).
pub(super) fn colon_of(line: &[u8]) -> Option<usize> {
    let colon = memchr(b':', line)?;
    let name = trim_end(&line[..colon]);
    (!name.is_empty() && name.iter().all(u8::is_ascii_graphic)).then_some(colon)
}

/// Appends octets, every LF that has no CR before it as CRLF.
pub(super) fn append_with_crlf(out: &mut Vec<u8>, octets: &[u8]) {
    let mut rest = octets;
    while let Some(at) = memchr(b'\n', rest) {
        let line = &rest[..at];
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        out.extend_from_slice(b"\r\n");
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

fn trim_end(octets: &[u8]) -> &[u8] {
    let end = octets.iter().rposition(|octet| !matches!(octet, b' ' | b'\t'));
    &octets[..end.map_or(0, |last| last + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pushed_field_keeps_its_octets_and_gets_crlf_folds() {
        let mut headers = Headers::new();
        headers.push(b"Subject", b" a\n\tb\r\n c \xff", Spacing::AsReceived);
        headers.push(b"X-Empty", b"", Spacing::AsReceived);
        let field = headers.field(0).unwrap();
        assert_eq!(field.raw(), b"Subject: a\r\n\tb\r\n c \xff");
        assert_eq!(field.value(), b" a\r\n\tb\r\n c \xff");
        assert_eq!(headers.field(1).unwrap().raw(), b"X-Empty:");
        assert_eq!(headers.octets(), 28);
        assert!(headers.field(2).is_none());
    }

    #[test]
    fn a_space_that_the_mta_took_away_is_put_back() {
        let mut headers = Headers::new();
        headers.push(b"To", b"x@example.com", Spacing::OneSpaceRemoved);
        assert_eq!(headers.field(0).unwrap().raw(), b"To: x@example.com");
    }

    #[test]
    fn white_space_before_the_colon_belongs_to_the_field_but_not_to_its_name() {
        let mut headers = Headers::new();
        headers.push_raw(b"Subject \t: x\r\n y").unwrap();
        let field = headers.field(0).unwrap();
        assert_eq!(field.name(), b"Subject");
        assert_eq!(field.value(), b" x\r\n y");
        assert_eq!(field.raw(), b"Subject \t: x\r\n y");
    }

    #[test]
    fn octets_that_are_no_field_are_refused_and_leave_no_trace() {
        let mut headers = Headers::new();
        for raw in [&b""[..], b"Subject", b": x", b" : x", b"Sub ject: x", b"S\xc3\xbc: x", b"a\0: x"] {
            assert_eq!(headers.push_raw(raw), Err(FieldError::NoName));
        }
        assert_eq!(headers.push_raw(b"A: x\r\nB: y"), Err(FieldError::Unfolded { at: 5 }));
        assert_eq!(headers.push_raw(b"A: x\r\n"), Err(FieldError::Unfolded { at: 5 }));
        assert!(headers.is_empty());
        assert_eq!(headers.octets(), 0);
    }

    #[test]
    fn fields_are_found_by_name_in_any_case_and_from_both_ends() {
        let mut headers = Headers::new();
        for value in [&b" 1"[..], b" 2", b" 3"] {
            headers.push(b"Received", value, Spacing::AsReceived);
        }
        headers.push(b"RECEIVED", b" 4", Spacing::AsReceived);
        headers.push(b"Received-SPF", b" x", Spacing::AsReceived);
        assert_eq!(headers.count("received"), 4);
        let bottom_up: Vec<_> = headers.named("Received").rev().map(|field| field.value()[1]).collect();
        assert_eq!(bottom_up, b"4321");
    }

    #[test]
    fn clearing_keeps_the_memory() {
        let mut headers = Headers::new();
        headers.push(b"A", &[b'x'; 1000], Spacing::AsReceived);
        headers.clear();
        assert_eq!((headers.len(), headers.octets()), (0, 0));
        assert!(headers.octets.capacity() >= 1000);
    }
}
