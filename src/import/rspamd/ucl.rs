//! UCL, the language of rspamd's configuration: as much of it as stands in files of modules.

use std::path::Path;

use crate::finding::Place;

/// Objects within objects; more is no configuration.
const DEPTH: usize = 32;

/// Something with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) kind: Kind,
    pub(super) place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Object(Vec<Entry>),
    List(Vec<Value>),
    /// Texts, numbers and Booleans alike.
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// A key in lower case.
    Pair(String, Value),
    /// `.include(try=true) "path"` and the like: the name, what is in parentheses, and what follows.
    Macro(String, String, Value),
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(super) struct SyntaxError {
    pub(super) place: Place,
    what: &'static str,
}

/// Reads a file's text.
pub(super) fn parse(text: &str, path: &Path) -> Result<Vec<Entry>, SyntaxError> {
    let mut parser = Parser { text, at: 0, line: 1, path };
    parser.entries(0)
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    path: &'t Path,
}

impl Parser<'_> {
    fn place(&self) -> Place {
        Place::Line { path: self.path.to_owned(), line: self.line, column: 1 }
    }

    fn fail<T>(&self, what: &'static str) -> Result<T, SyntaxError> {
        Err(SyntaxError { place: self.place(), what })
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += letter.len_utf8();
        self.line += usize::from(letter == '\n');
        Some(letter)
    }

    fn take(&mut self, letter: char) -> bool {
        let is_there = self.peek() == Some(letter);
        if is_there {
            self.next();
        }
        is_there
    }

    /// Takes letters as long as they fit.
    fn while_fits(&mut self, fits: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(letter) = self.peek().filter(|letter| fits(*letter)) {
            taken.push(letter);
            self.next();
        }
        taken
    }

    /// Blanks and comments, also such as hold comments.
    fn skip(&mut self, blanks: impl Fn(char) -> bool) -> Result<(), SyntaxError> {
        loop {
            let rest = self.rest();
            if rest.starts_with('#') {
                self.while_fits(|letter| letter != '\n');
            } else if rest.starts_with("/*") {
                let mut depth = 0_usize;
                loop {
                    if self.rest().starts_with("/*") {
                        depth += 1;
                        self.next();
                    } else if self.rest().starts_with("*/") {
                        depth -= 1;
                        self.next();
                    }
                    if self.next().is_none() {
                        return self.fail("a comment does not end");
                    }
                    if depth == 0 {
                        break;
                    }
                }
            } else if self.peek().is_some_and(&blanks) {
                self.next();
            } else {
                return Ok(());
            }
        }
    }

    /// The inside of an object, or of the file.
    fn entries(&mut self, depth: usize) -> Result<Vec<Entry>, SyntaxError> {
        if depth > DEPTH {
            return self.fail("objects are too deep within objects");
        }
        let mut entries = Vec::new();
        loop {
            self.skip(|letter| letter.is_whitespace() || letter == ';' || letter == ',')?;
            match self.peek() {
                None if depth == 0 => return Ok(entries),
                None => return self.fail("an object does not end"),
                Some('}') if depth > 0 => {
                    self.next();
                    return Ok(entries);
                }
                // A whole file may stand in braces.
                Some('{') if depth == 0 && entries.is_empty() => {
                    self.next();
                    entries = self.entries(1)?;
                }
                Some('.') => entries.push(self.instruction()?),
                Some(_) => entries.push(self.pair(depth)?),
            }
        }
    }

    fn instruction(&mut self) -> Result<Entry, SyntaxError> {
        self.next();
        let name = self.while_fits(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        self.skip(|letter| letter == ' ' || letter == '\t')?;
        let mut options = String::new();
        if self.take('(') {
            options = self.while_fits(|letter| letter != ')' && letter != '\n');
            if !self.take(')') {
                return self.fail("a parenthesis does not end");
            }
        }
        self.skip(|letter| letter == ' ' || letter == '\t')?;
        let value = self.scalar()?;
        Ok(Entry::Macro(name.to_ascii_lowercase(), options, value))
    }

    fn pair(&mut self, depth: usize) -> Result<Entry, SyntaxError> {
        let place = self.place();
        let key = self.key()?;
        self.skip(|letter| letter == ' ' || letter == '\t')?;
        let is_named = self.take('=') || self.take(':');
        self.skip(char::is_whitespace)?;
        if is_named || matches!(self.peek(), Some('{' | '[')) {
            return Ok(Entry::Pair(key, self.value(depth)?));
        }
        // `key name { ... }` is an object in an object, `key value` a value.
        let (at, line) = (self.at, self.line);
        if !matches!(self.peek(), Some('<'))
            && let Ok(name) = self.key()
        {
            self.skip(char::is_whitespace)?;
            if self.peek() == Some('{') {
                let inner = self.value(depth + 1)?;
                let kind = Kind::Object(vec![Entry::Pair(name, inner)]);
                return Ok(Entry::Pair(key, Value { kind, place }));
            }
        }
        (self.at, self.line) = (at, line);
        Ok(Entry::Pair(key, self.value(depth)?))
    }

    fn key(&mut self) -> Result<String, SyntaxError> {
        let key = match self.peek() {
            Some('"' | '\'') => self.quoted()?,
            _ => self.while_fits(|letter| !letter.is_whitespace() && !"=:{}[];,#\"'".contains(letter)),
        };
        if key.is_empty() { self.fail("a name should stand here") } else { Ok(key.to_lowercase()) }
    }

    fn value(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        if depth > DEPTH {
            return self.fail("objects are too deep within objects");
        }
        let place = self.place();
        let kind = match self.peek() {
            Some('{') => {
                self.next();
                Kind::Object(self.entries(depth + 1)?)
            }
            Some('[') => {
                self.next();
                let mut items = Vec::new();
                loop {
                    self.skip(|letter| letter.is_whitespace() || letter == ',' || letter == ';')?;
                    match self.peek() {
                        None => return self.fail("a list does not end"),
                        Some(']') => break,
                        Some(_) => items.push(self.value(depth + 1)?),
                    }
                }
                self.next();
                Kind::List(items)
            }
            _ => return self.scalar(),
        };
        Ok(Value { kind, place })
    }

    fn scalar(&mut self) -> Result<Value, SyntaxError> {
        let place = self.place();
        let text = match self.peek() {
            Some('"' | '\'') => self.quoted()?,
            _ if self.rest().starts_with("<<") => self.lines()?,
            _ => {
                let text = self.while_fits(|letter| !";,}]\n#".contains(letter));
                if text.trim().is_empty() {
                    return self.fail("a value should stand here");
                }
                text.trim().to_owned()
            }
        };
        Ok(Value { kind: Kind::Text(text), place })
    }

    fn quoted(&mut self) -> Result<String, SyntaxError> {
        let Some(quote) = self.next() else { return self.fail("a quotation mark should stand here") };
        let mut text = String::new();
        loop {
            match self.next() {
                None => return self.fail("a quoted text does not end"),
                Some(letter) if letter == quote => return Ok(text),
                Some('\\') if quote == '"' => match self.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(letter) => text.push(letter),
                    None => return self.fail("a quoted text does not end"),
                },
                Some('\\') if self.peek() == Some(quote) => text.extend(self.next()),
                Some(letter) => text.push(letter),
            }
        }
    }

    /// `<<EOD`, lines, and `EOD` on a line of its own.
    fn lines(&mut self) -> Result<String, SyntaxError> {
        self.next();
        self.next();
        let end = self.while_fits(|letter| letter.is_ascii_uppercase());
        self.while_fits(|letter| letter != '\n');
        self.next();
        let mut text = String::new();
        while !end.is_empty() && self.peek().is_some() {
            let line = self.while_fits(|letter| letter != '\n');
            if line.trim_end_matches([';', ' ', '\r']) == end {
                return Ok(text);
            }
            self.next();
            text.push_str(&line);
            text.push('\n');
        }
        self.fail("a text of several lines does not end")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(entries: &[Entry]) -> String {
        let one = |entry: &Entry| match entry {
            Entry::Pair(key, value) => format!("{key}={}", of(value)),
            Entry::Macro(name, options, value) => format!(".{name}({options}){}", of(value)),
        };
        entries.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    fn of(value: &Value) -> String {
        match &value.kind {
            Kind::Object(entries) => format!("{{{}}}", shown(entries)),
            Kind::List(items) => format!("[{}]", items.iter().map(of).collect::<Vec<_>>().join("|")),
            Kind::Text(text) => format!("<{text}>"),
        }
    }

    #[test]
    fn what_people_write_is_read() {
        for (text, expected) in [
            ("a = 1;\nB: \"x y\"\nc yes", "a=<1> b=<x y> c=<yes>"),
            ("# all\na = b # rest\n/* x /* y */ z */ c = 'd\\n';", "a=<b> c=<d\\n>"),
            ("domain { example.com { path = \"/k\"; selector = s } }", "domain={example.com={path=</k> selector=<s>}}"),
            ("domain \"Example.NET\" { selector: s; }", "domain={example.net={selector=<s>}}"),
            ("l = [a, \"b\", {c = d}]", "l=[<a>|<b>|{c=<d>}]"),
            (".include(try=true,priority=1) \"$X/y\"\na=b", ".include(try=true,priority=1)<$X/y> a=<b>"),
            ("s = <<EOD\nreturn 1 }\nEOD\na = b", "s=<return 1 }\n> a=<b>"),
            ("{ a = b }", "a=<b>"),
            ("", ""),
        ] {
            assert_eq!(shown(&parse(text, Path::new("x")).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error_with_its_line_and_never_more() {
        for (text, line) in [
            ("a = b\nc = {", 2),
            ("x = \"", 1),
            ("\n\n= 3", 3),
            ("a = [b", 1),
            ("/* ", 1),
            ("a = <<EOD\nb", 2),
            ("}", 1),
        ] {
            let Place::Line { line: found, .. } = parse(text, Path::new("x")).unwrap_err().place else { panic!() };
            assert_eq!(found, line, "{text}");
        }
        let deep = "a {".repeat(10_000);
        assert!(parse(&deep, Path::new("x")).is_err());
        assert!(parse(&"[".repeat(100_000), Path::new("x")).is_err());
        assert!(parse(&format!("a = {}", "[".repeat(100_000)), Path::new("x")).is_err());
    }
}
