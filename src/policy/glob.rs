//! Patterns with wildcards.

/// Whether a text fits a pattern in which `*` stands for any octets, also none, and `?` for one.
///
/// Time is bounded by the product of both lengths, memory is none: nothing recurses.
pub(super) fn glob_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where the last `*` stands, and how far the text was when it was met.
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(&octet) if octet == b'?' || octet == text[from] => {
                at += 1;
                from += 1;
            }
            _ => match &mut star {
                // The `*` takes one octet more.
                Some((place, taken)) => {
                    *taken += 1;
                    (at, from) = (*place + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|octet| *octet == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wildcards_stand_for_what_they_say() {
        for (pattern, text, fits) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "abc", true),
            ("?", "", false),
            ("a*c", "abbc", true),
            ("a*c", "abbcd", false),
            ("a*b*c", "aXbXbc", true),
            ("*.example.com", ".example.com", true),
            ("a?c", "abc", true),
            ("*ab", "aab", true),
        ] {
            assert_eq!(glob_matches(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
    }

    /// The definition, by recursion.
    fn by_definition(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|taken| by_definition(rest, &text[taken..])),
            Some((octet, rest)) => match text.split_first() {
                Some((first, after)) => (*octet == b'?' || octet == first) && by_definition(rest, after),
                None => false,
            },
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(
                glob_matches(pattern.as_bytes(), text.as_bytes()),
                by_definition(pattern.as_bytes(), text.as_bytes())
            );
        }
    }
}
