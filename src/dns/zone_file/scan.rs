//! A zone file's octets as entries: the words of one record or directive, with the line on which it begins.

use super::ZoneFileProblem as Problem;

/// One record or directive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) line: usize,
    /// Whether its line begins with white space: its owner is that of the entry before.
    pub(super) is_indented: bool,
    pub(super) words: Vec<Word>,
}

/// One word or quoted string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// As it stands there, escapes included.
    pub(super) raw: Vec<u8>,
    pub(super) is_quoted: bool,
}

impl Word {
    /// The octets that it stands for.
    pub(super) fn octets(&self) -> Result<Vec<u8>, Problem> {
        let mut octets = Vec::with_capacity(self.raw.len());
        let mut rest = self.raw.as_slice();
        while let Some((&first, after)) = rest.split_first() {
            rest = after;
            if first != b'\\' {
                octets.push(first);
                continue;
            }
            match rest {
                [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', after @ ..] => {
                    let value = u32::from(a - b'0') * 100 + u32::from(b - b'0') * 10 + u32::from(c - b'0');
                    octets.push(u8::try_from(value).map_err(|_| Problem::Escape)?);
                    rest = after;
                }
                [b'0'..=b'9', ..] | [] => return Err(Problem::Escape),
                [other, after @ ..] => {
                    octets.push(*other);
                    rest = after;
                }
            }
        }
        Ok(octets)
    }

    /// The word as text, for everything that is no TXT data.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    /// Whether it is this keyword, in any case.
    pub(super) fn is(&self, keyword: &str) -> bool {
        !self.is_quoted && self.raw.eq_ignore_ascii_case(keyword.as_bytes())
    }
}

/// The next entry of `text` from `at` on, which counts lines from 1 at `line`. None at the end.
pub(super) struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
    line: usize,
}

impl<'t> Scanner<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0, line: 1 }
    }

    /// The next entry that has words; an error comes with its line.
    pub(super) fn next_entry(&mut self) -> Result<Option<Entry>, (usize, Problem)> {
        while self.at < self.text.len() {
            let entry = self.entry()?;
            if !entry.words.is_empty() {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// What stands up to the end of the line, or of the line on which the last parenthesis closes.
    fn entry(&mut self) -> Result<Entry, (usize, Problem)> {
        let mut entry = Entry {
            line: self.line,
            is_indented: matches!(self.text.get(self.at), Some(b' ' | b'\t')),
            words: Vec::new(),
        };
        let mut opened_on = Vec::new();
        while let Some(&octet) = self.text.get(self.at) {
            match octet {
                b'\n' => {
                    self.at += 1;
                    self.line += 1;
                    if opened_on.is_empty() {
                        return Ok(entry);
                    }
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                b';' => self.skip_comment(),
                b'(' => {
                    opened_on.push(self.line);
                    self.at += 1;
                }
                b')' => {
                    opened_on.pop().ok_or((self.line, Problem::Parenthesis))?;
                    self.at += 1;
                }
                b'"' => entry.words.push(self.quoted()?),
                _ => entry.words.push(self.word()),
            }
        }
        match opened_on.first() {
            Some(line) => Err((*line, Problem::Parenthesis)),
            None => Ok(entry),
        }
    }

    fn skip_comment(&mut self) {
        let rest = &self.text[self.at..];
        self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    }

    fn quoted(&mut self) -> Result<Word, (usize, Problem)> {
        let start = self.at + 1;
        let mut at = start;
        loop {
            match self.text.get(at) {
                None | Some(b'\n') => return Err((self.line, Problem::OpenQuote)),
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
            }
        }
        self.at = at + 1;
        Ok(Word { raw: self.text[start..at].to_vec(), is_quoted: true })
    }

    fn word(&mut self) -> Word {
        let start = self.at;
        while let Some(&octet) = self.text.get(self.at) {
            match octet {
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')' | b'"' => break,
                b'\\' if self.text.get(self.at + 1).is_some_and(|next| *next != b'\n') => self.at += 2,
                _ => self.at += 1,
            }
        }
        Word { raw: self.text[start..self.at].to_vec(), is_quoted: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<(usize, Vec<String>)> {
        let mut scanner = Scanner::new(text.as_bytes());
        let mut all = Vec::new();
        while let Some(entry) = scanner.next_entry().unwrap() {
            all.push((entry.line, entry.words.iter().map(Word::text).collect()));
        }
        all
    }

    #[test]
    fn parentheses_join_lines_and_semicolons_begin_comments() {
        let text = "; nothing\n\na TXT ( \"b;c\" ; comment )\n  d\n) e\r\nf";
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(entries(text), [(3, words(&["a", "TXT", "b;c", "d", "e"])), (6, words(&["f"]))]);
    }

    #[test]
    fn escapes_are_decimal() {
        let octets = |raw: &str| Word { raw: raw.into(), is_quoted: true }.octets();
        assert_eq!(octets(r#"a\027\;\"\\\255"#).unwrap(), b"a\x1b;\"\\\xff");
        for wrong in ["\\", "\\25", "\\256", "\\1x2"] {
            assert_eq!(octets(wrong), Err(Problem::Escape), "{wrong}");
        }
    }

    #[test]
    fn what_is_left_open_is_named_with_its_line() {
        let error = |text: &str| {
            let mut scanner = Scanner::new(text.as_bytes());
            loop {
                match scanner.next_entry() {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{text:?} has no error"),
                    Err(error) => return error,
                }
            }
        };
        assert_eq!(error("a\nb \"c\n"), (2, Problem::OpenQuote));
        assert_eq!(error("a \"b\\"), (1, Problem::OpenQuote));
        assert_eq!(error("a\nb (\nc\n"), (2, Problem::Parenthesis));
        assert_eq!(error("a )"), (1, Problem::Parenthesis));
    }
}
