//! Names as text and back (RFC 1035 §5.1, RFC 4343). hickory writes `\DDD` in octal and does not read it again.

use hickory_resolver::proto::rr::Name;

/// A name in lower case without the final dot. A dot or backslash within a label is written with a backslash before it, what
/// is not printable as `\` and three decimal digits.
pub(super) fn plain(name: &Name) -> String {
    let mut text = String::with_capacity(name.len());
    for (number, label) in name.iter().enumerate() {
        if number > 0 {
            text.push('.');
        }
        for octet in label {
            match octet {
                b'.' | b'\\' => text.extend(['\\', char::from(*octet)]),
                b'!'..=b'~' => text.push(char::from(octet.to_ascii_lowercase())),
                other => text.push_str(&format!("\\{other:03}")),
            }
        }
    }
    text
}

/// The complete name that a text stands for; none if no DNS name can hold it.
pub(super) fn absolute(text: &str) -> Option<Name> {
    let mut labels = vec![Vec::new()];
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let label = labels.last_mut()?;
        match (first, rest) {
            (b'.', []) => {}
            (b'.', _) => labels.push(Vec::new()),
            (b'\\', [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', after @ ..]) => {
                let value = u32::from(a - b'0') * 100 + u32::from(b - b'0') * 10 + u32::from(c - b'0');
                label.push(u8::try_from(value).ok()?);
                rest = after;
            }
            (b'\\', [other, after @ ..]) => {
                label.push(*other);
                rest = after;
            }
            (b'\\', []) => return None,
            (other, _) => label.push(*other),
        }
    }
    if labels.iter().any(|label| label.is_empty() || label.len() > 63) {
        return None;
    }
    let mut name = Name::from_labels(labels.iter().map(Vec::as_slice)).ok()?;
    name.set_fqdn(true);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_to_the_octet() {
        for text in ["s._domainkey.example.test", "\\027[31m\\255.a\\.b.c\\\\d", "com"] {
            assert_eq!(plain(&absolute(text).unwrap()), text);
        }
        assert_eq!(plain(&absolute("EXAMPLE.Test.").unwrap()), "example.test");
        assert_eq!(plain(&Name::root()), "");
    }

    #[test]
    fn what_no_name_can_hold_is_none() {
        let long = format!("{}.test", "a".repeat(64));
        for text in ["", ".", "a..b", "\\", "a\\256", long.as_str(), &"abcdefgh.".repeat(29)] {
            assert_eq!(absolute(text), None, "{text}");
        }
    }
}
