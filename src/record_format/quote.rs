//! Text of a record, quoted for those who read it.

/// A character-string in quotes as zone files have it (RFC 1035 §5.1): `\"`, `\\`, and `\DDD` for what is not printable
/// ASCII.
pub(super) fn quoted(string: &str) -> String {
    format!("\"{}\"", escaped(string))
}

/// All character-strings of a record, quoted, with blanks between them.
pub(super) fn quoted_strings(strings: &[String]) -> String {
    let strings: Vec<_> = strings.iter().map(|string| quoted(string)).collect();
    strings.join(" ")
}

/// The same without the quotes around it.
pub(super) fn escaped(string: &str) -> String {
    let mut text = String::with_capacity(string.len());
    for octet in string.bytes() {
        match octet {
            b'"' | b'\\' => text.extend(['\\', char::from(octet)]),
            b' '..=b'~' => text.push(char::from(octet)),
            other => text.push_str(&format!("\\{other:03}")),
        }
    }
    text
}

/// A string literal of JSON, JavaScript and YAML, in ASCII.
pub(super) fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => literal.extend(['\\', character]),
            ' '..='~' => literal.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    literal.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_quoted_string_is_escaped() {
        assert_eq!(quoted(r#"a"b\c;d"#), r#""a\"b\\c;d""#);
        assert_eq!(quoted("\t\u{7f}é"), r#""\009\127\195\169""#);
        assert_eq!(quoted_strings(&["a b".into(), String::new()]), r#""a b" """#);
    }

    #[test]
    fn literals_are_ascii_and_json() {
        for text in ["a\"b\\c", "\u{7f}\u{0}\n", "é \u{2028} \u{1f600} </script>"] {
            let literal = literal(text);
            assert!(literal.is_ascii() && !literal.contains(|character: char| character.is_control()), "{literal}");
            assert_eq!(serde_json::from_str::<String>(&literal).unwrap(), text);
        }
    }
}
