//! What a form sends in the address (application/x-www-form-urlencoded).

/// The longest value that is taken, in octets.
const LONGEST: usize = 512;

/// The value of a field, the first if there are several. Octets that are no UTF-8 are replaced, what is too long is cut.
pub(super) fn value(query: &str, name: &str) -> Option<String> {
    let mut fields = query.split('&').map(|field| field.split_once('=').unwrap_or((field, "")));
    let (_, value) = fields.find(|(given, _)| *given == name)?;
    let mut octets = Vec::with_capacity(value.len().min(LONGEST));
    let mut rest = value.bytes();
    while let Some(octet) = rest.next() {
        if octets.len() >= LONGEST {
            break;
        }
        octets.push(match octet {
            b'+' => b' ',
            b'%' => {
                let digits = rest.clone();
                match escaped(digits) {
                    Some(octet) => {
                        rest.nth(1);
                        octet
                    }
                    None => b'%',
                }
            }
            octet => octet,
        });
    }
    Some(String::from_utf8_lossy(&octets).into_owned())
}

fn escaped(mut digits: impl Iterator<Item = u8>) -> Option<u8> {
    let mut digit = || char::from(digits.next()?).to_digit(16);
    let (high, low) = (digit()?, digit()?);
    u8::try_from(high * 16 + low).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_what_is_broken_stays_as_it_is() {
        for (query, expected) in [
            ("q=example.com", Some("example.com")),
            ("a=1&q=a+b%2Bc&q=2", Some("a b+c")),
            ("q=%3Cscript%3E", Some("<script>")),
            ("q=100%", Some("100%")),
            ("q=%zz%4", Some("%zz%4")),
            ("q=%ff", Some("\u{fffd}")),
            ("q=", Some("")),
            ("q", Some("")),
            ("", None),
            ("p=q", None),
        ] {
            assert_eq!(value(query, "q").as_deref(), expected, "{query}");
        }
        assert_eq!(value(&format!("q={}", "x".repeat(10_000)), "q").unwrap().len(), LONGEST);
    }
}
