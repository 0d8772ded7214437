//! The lines of maps: a pattern or a login, and what is said of it.
//!
//! ```text
//! # customers                                   a comment
//! example.com                                   signed as the rule says
//! *.example.com      example.com                signed by example.com
//! joe@example.net    s1._domainkey.example.net  joe@example.net
//! bounces@example.net  -                        never signed
//! $include more.map                             relative to this file's directory
//! ```

use std::path::Path;

use super::pattern::{PatternError, normalise};
use super::rule::{Identity, IdentityError, Signer, SignerError};

/// The longest line, in octets.
const LONGEST: usize = 8 << 10;

/// Who signs on a line that says nobody does.
pub(super) const NOBODY: &str = "-";

/// Where maps come from.
pub trait MapSource {
    /// Hands over every line of a map and of the maps it includes, in their order, each with its file and its number; a
    /// line that includes another map is handed over too, before the lines of that map. Returns whether all could be
    /// read: what could not has been said elsewhere.
    fn read(&mut self, path: &Path, take: &mut dyn FnMut(&Path, usize, &str)) -> bool;
}

/// Why a line cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MapLineError {
    /// The pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// Who signs.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// i=
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Longer than a line can be.
    #[error("the line is {length} octets long; at most {LONGEST} are read")]
    TooLong {
        /// Octets.
        length: usize,
    },
    /// Words that mean nothing where they stand.
    #[error("{word:?} is one word too many")]
    Surplus {
        /// The first of them.
        word: String,
    },
    /// Nothing is said of a login.
    #[error("nothing stands behind the login {login:?}; name the authors it may write as, such as \"example.com\"")]
    NothingAllowed {
        /// The login.
        login: String,
    },
    /// No path behind `$include`.
    #[error("$include needs the path of a file")]
    Include,
}

/// The words of a line, without its comment; none for a line that says nothing.
fn words(line: &str) -> Result<Option<(&str, impl Iterator<Item = &str>)>, MapLineError> {
    if line.len() > LONGEST {
        return Err(MapLineError::TooLong { length: line.len() });
    }
    let mut words = line.split_ascii_whitespace().take_while(|word| !word.starts_with('#'));
    let first = words.next();
    Ok(first.map(|first| (first, words)))
}

/// The path that a line includes, as it stands there.
pub fn included(line: &str) -> Option<&str> {
    let line = line.trim_ascii();
    let keyword = line.get(.."$include".len()).filter(|word| word.eq_ignore_ascii_case("$include"))?;
    let rest = line.get(keyword.len()..)?;
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then(|| rest.trim_ascii())
}

/// A line of a map of authors, taken apart and checked.
pub(super) struct AuthorLine {
    pub(super) local_part: String,
    pub(super) domain: String,
    /// What stands behind the pattern, with single blanks.
    pub(super) value: String,
}

/// Reads a line of `from_maps`.
pub(super) fn author_line(line: &str) -> Result<Option<AuthorLine>, MapLineError> {
    if let Some(path) = included(line) {
        return if path.is_empty() { Err(MapLineError::Include) } else { Ok(None) };
    }
    let Some((pattern, mut words)) = words(line)? else { return Ok(None) };
    let (local_part, domain) = normalise(pattern)?;
    let mut value = String::new();
    if let Some(signers) = words.next() {
        if signers != NOBODY {
            signers.split(',').try_for_each(|signer| signer.parse::<Signer>().map(|_| ()))?;
        }
        value.push_str(signers);
        if let Some(identity) = words.next() {
            identity.parse::<Identity>()?;
            value.push(' ');
            value.push_str(identity);
        }
    }
    if let Some(word) = words.next() {
        return Err(MapLineError::Surplus { word: word.into() });
    }
    Ok(Some(AuthorLine { local_part: local_part.into_owned(), domain: domain.into_owned(), value }))
}

/// Who signs, and as whom, as a line says that [`author_line`] has taken.
pub(super) fn author_value(value: &[u8]) -> (Vec<Signer>, Option<Identity>) {
    let value = std::str::from_utf8(value).unwrap_or_default();
    let (signers, identity) =
        value.split_once(' ').map_or((value, None), |(signers, identity)| (signers, Some(identity)));
    let signers = signers.split(',').filter_map(|signer| signer.parse().ok()).collect();
    (signers, identity.and_then(|identity| identity.parse().ok()))
}

/// Reads a line of `to_maps`.
pub(super) fn recipient_line(line: &str) -> Result<Option<(String, String)>, MapLineError> {
    let Some(AuthorLine { local_part, domain, value }) = author_line(line)? else { return Ok(None) };
    match value.split(' ').next() {
        None | Some("") => Ok(Some((local_part, domain))),
        Some(word) => Err(MapLineError::Surplus { word: word.into() }),
    }
}

/// Reads a line of `login_maps`: the login in lower case, and the patterns with single blanks between them.
pub(super) fn login_line(line: &str) -> Result<Option<(String, String)>, MapLineError> {
    if let Some(path) = included(line) {
        return if path.is_empty() { Err(MapLineError::Include) } else { Ok(None) };
    }
    let Some((login, words)) = words(line)? else { return Ok(None) };
    let mut patterns = Vec::new();
    for pattern in words.flat_map(|word| word.split(',')).filter(|pattern| !pattern.is_empty()) {
        let (local_part, domain) = normalise(pattern)?;
        patterns.push(format!("{local_part}@{domain}"));
    }
    if patterns.is_empty() {
        return Err(MapLineError::NothingAllowed { login: login.into() });
    }
    Ok(Some((login.to_ascii_lowercase(), patterns.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn author(line: &str) -> Option<String> {
        author_line(line).unwrap().map(|line| format!("{}@{} [{}]", line.local_part, line.domain, line.value))
    }

    #[test]
    fn a_line_has_a_pattern_signers_and_an_identity() {
        assert_eq!(author("  Example.com"), Some("*@example.com []".into()));
        assert_eq!(
            author("joe@example.com\ta.example,b.example  author # why"),
            Some("joe@example.com [a.example,b.example author]".into())
        );
        assert_eq!(author("bounces@example.com -"), Some("bounces@example.com [-]".into()));
        for nothing in ["", "   ", "# comment", "\t#x", "$include other", "$INCLUDE\tother"] {
            assert_eq!(author(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_line_that_cannot_be_understood_says_why() {
        let error = |line: &str| author_line(line).err().unwrap().to_string();
        assert!(error("exa$mple.com").contains("octet"));
        assert!(error("a.example b c d").contains("i="));
        assert!(error("a.example b @b d").contains("\"d\" is one word too many"));
        assert!(error("a.example b,,c").contains("signing domain"));
        assert!(error("$include").contains("path"));
        assert!(error(&"a ".repeat(5000)).contains("10000"));
        assert!(recipient_line("a.example b.example").is_err());
    }

    #[test]
    fn what_is_written_of_an_author_is_read_again() {
        let line = author_line("example.com s._domainkey.a.example,b.example joe@b.example").unwrap().unwrap();
        let (signers, identity) = author_value(line.value.as_bytes());
        let signers: Vec<String> = signers.iter().map(Signer::to_string).collect();
        assert_eq!(signers, ["s._domainkey.a.example", "b.example"]);
        assert_eq!(identity, Some(Identity::Fixed("joe@b.example".into())));
        assert_eq!(author_value(b""), (vec![], None));
    }

    #[test]
    fn a_login_has_patterns() {
        let line = login_line("Joe  example.com,*.Example.net ann@example.org").unwrap();
        assert_eq!(line, Some(("joe".into(), "*@example.com *@*.example.net ann@example.org".into())));
        assert!(login_line("joe").is_err());
        assert_eq!(login_line("# joe").unwrap(), None);
    }
}
