//! Bodies of which only the beginning is signed (l=, RFC 6376 §3.5).

use memchr::memmem;

use crate::dkim::backend::sha256;
use crate::dkim::canonical::Canonicalization;

/// The hash of the first `length` octets of a body's canonical form; none if it has fewer.
pub(super) fn hash_beginning(body: &[u8], how: Canonicalization, length: u64) -> Option<[u8; 32]> {
    let canonical = canonical_body(body, how);
    let length = usize::try_from(length).ok()?;
    Some(sha256(canonical.get(..length)?))
}

/// The canonical form of a whole body (RFC 6376 §3.4.3, §3.4.4). For a whole hash [`BodyHasher`] needs no such copy.
///
/// [`BodyHasher`]: crate::dkim::body_hash::BodyHasher
fn canonical_body(body: &[u8], how: Canonicalization) -> Vec<u8> {
    let mut canonical = Vec::with_capacity(body.len() + 2);
    let mut end = 0;
    let mut rest = body;
    while !rest.is_empty() {
        let (line, after) = match memmem::find(rest, b"\r\n") {
            Some(at) => (&rest[..at], &rest[at + 2..]),
            None => (rest, &[][..]),
        };
        let start = canonical.len();
        match how {
            Canonicalization::Simple => canonical.extend_from_slice(line),
            Canonicalization::Relaxed => relax(&mut canonical, line),
        }
        let is_empty = canonical.len() == start;
        canonical.extend_from_slice(b"\r\n");
        if !is_empty {
            end = canonical.len();
        }
        rest = after;
    }
    canonical.truncate(end);
    if canonical.is_empty() && how == Canonicalization::Simple {
        canonical.extend_from_slice(b"\r\n");
    }
    canonical
}

/// Each run of white space becomes one space; at the end of the line it goes.
fn relax(canonical: &mut Vec<u8>, line: &[u8]) {
    let mut space = false;
    for &octet in line {
        if matches!(octet, b' ' | b'\t') {
            space = true;
            continue;
        }
        if space {
            canonical.push(b' ');
            space = false;
        }
        canonical.push(octet);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dkim::body_hash::BodyHasher;

    proptest! {
        #[test]
        fn the_whole_canonical_form_hashes_as_the_streaming_hasher_does(body in "(\r|\n|\r\n| |\t|a){0,40}") {
            for how in [Canonicalization::Simple, Canonicalization::Relaxed] {
                let mut hasher = BodyHasher::new([how]);
                hasher.update(body.as_bytes());
                let whole = sha256(&canonical_body(body.as_bytes(), how));
                let streamed = hasher.finish();
                prop_assert_eq!(streamed.of(how), Some(&whole));
            }
        }
    }

    #[test]
    fn a_length_beyond_the_body_has_no_hash() {
        let body = b"a \r\n\r\n";
        assert_eq!(hash_beginning(body, Canonicalization::Relaxed, 3), Some(sha256(b"a\r\n")));
        assert_eq!(hash_beginning(body, Canonicalization::Relaxed, 4), None);
        assert_eq!(hash_beginning(body, Canonicalization::Simple, 0), Some(sha256(b"")));
    }
}
