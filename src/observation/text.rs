//! Octets from the network, fit to be shown.

/// Octets as DNS tools write them (RFC 1035 §5.1): printable ASCII as it is, a backslash as `\\`, everything else as
/// `\` and three decimal digits. Loses nothing and never reaches a terminal as a command.
pub fn presentation(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for &octet in octets {
        match octet {
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(octet)),
            other => {
                text.push('\\');
                for digit in [other / 100, other / 10 % 10, other % 10] {
                    text.push(char::from(b'0' + digit));
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_printable_is_written_in_digits() {
        assert_eq!(presentation(b"v=DKIM1; p=\\;"), "v=DKIM1; p=\\\\;");
        assert_eq!(presentation(b"\x1b[31m\x00\xff"), "\\027[31m\\000\\255");
    }
}
