use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::Canonicalization::{Relaxed, Simple};
use super::*;

/// Both hashes of a body in chunks.
fn hashes<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> BodyHashes {
    let mut hasher = BodyHasher::new([Simple, Relaxed]);
    for chunk in chunks {
        hasher.update(chunk);
    }
    hasher.finish()
}

fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(octets);
    digest.finish()
}

/// RFC 6376 §3.4.3 and §3.4.4, one line after the other.
fn naive(body: &[u8], how: Canonicalization) -> Vec<u8> {
    let text: String = body.iter().copied().map(char::from).collect();
    let mut lines: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
    if how == Relaxed {
        for line in &mut lines {
            let blanks = line.replace('\t', " ");
            let words: Vec<_> = blanks.split(' ').collect();
            let leading = if blanks.starts_with(' ') { " " } else { "" };
            let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
            *line = if words.is_empty() { String::new() } else { format!("{leading}{}", words.join(" ")) };
        }
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    let canonical: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let empty = if how == Simple { "\r\n" } else { "" };
    let canonical = if canonical.is_empty() { empty.to_owned() } else { canonical };
    canonical.chars().map(|char| char as u8).collect()
}

/// The octets that C escapes stand for.
fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (octet, taken) = match (first, tail) {
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [b'\\', ..]) => (b'\\', 2),
            (b'\\', [b'x', digits @ ..]) => {
                (u8::from_str_radix(std::str::from_utf8(&digits[..2]).unwrap(), 16).unwrap(), 4)
            }
            (b'\\', _) => panic!("unknown escape in {text}"),
            _ => (*first, 1),
        };
        octets.push(octet);
        rest = &rest[taken..];
    }
    octets
}

#[test]
fn the_table_of_bodies_comes_out_in_chunks_of_any_size() {
    let table = include_str!("../../../tests/data/body-canonicalisation.tsv");
    let mut cases = 0;
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let [body, simple, relaxed] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let body = unescape(body);
        for size in [1, 2, 3, 5, 64, 66, body.len().max(1)] {
            let hashes = hashes(body.chunks(size));
            assert_eq!(STANDARD.encode(hashes.of(Simple).unwrap()), simple, "{line}, chunks of {size}");
            assert_eq!(STANDARD.encode(hashes.of(Relaxed).unwrap()), relaxed, "{line}, chunks of {size}");
        }
        assert_eq!(STANDARD.encode(sha256(&naive(&body, Simple))), simple, "{line}: the reference of these tests");
        assert_eq!(STANDARD.encode(sha256(&naive(&body, Relaxed))), relaxed, "{line}: the reference of these tests");
        cases += 1;
    }
    assert_eq!(cases, 25);
}

#[test]
fn only_what_was_asked_for_is_hashed() {
    let mut hasher = BodyHasher::new([Relaxed, Relaxed]);
    hasher.update(b"x");
    hasher.update(b" \r\n");
    assert_eq!(hasher.octets(), 4);
    let hashes = hasher.finish();
    assert_eq!(hashes.of(Simple), None);
    assert_eq!(hashes.of(Relaxed), Some(&sha256(b"x\r\n")));
}

#[test]
fn long_runs_of_lines_and_blanks_are_counted_not_kept() {
    let blank_lines = b" \t \r\n".repeat(13_107);
    let blanks = [b' '; 65_535];
    let mut hasher = BodyHasher::new([Relaxed]);
    hasher.update(b"a");
    for _ in 0..100 {
        hasher.update(&blank_lines);
    }
    for _ in 0..100 {
        hasher.update(&blanks);
    }
    hasher.update(b"b");
    let canonical = [b"a".to_vec(), b"\r\n".repeat(13_107 * 100), b" b\r\n".to_vec()].concat();
    assert_eq!(hasher.finish().of(Relaxed), Some(&sha256(&canonical)));
}

#[test]
fn a_hasher_is_small_for_it_lives_in_every_connection() {
    // ring keeps its state in place, aws-lc-rs most of it on the heap.
    let bound = if cfg!(feature = "aws-lc-rs") { 300 } else { 600 };
    assert!(size_of::<BodyHasher>() < bound, "{}", size_of::<BodyHasher>());
}

/// Bodies of pieces that matter, some longer than a block.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => proptest::sample::select(vec![&b" "[..], b"\t", b"\r", b"\n", b"\r\n", b"a", b"\r\n\r\n", b" \r\n"])
            .prop_map(<[u8]>::to_vec),
        1 => (proptest::sample::select(&b" \tx\n"[..]), 1..200_usize).prop_map(|(octet, count)| vec![octet; count]),
        1 => "[a-z]{1,9}( [a-z]{1,9}){0,40}".prop_map(String::into_bytes),
        1 => "[a-z]{500,2100}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 1..100),
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_chunking_gives_the_hash_of_the_reference(
        body in body(),
        sizes in proptest::collection::vec(prop_oneof![0..4_usize, 0..200_usize], 1..40),
    ) {
        let mut chunks = Vec::new();
        let mut rest = &body[..];
        for size in sizes.into_iter().chain([usize::MAX]) {
            let (chunk, after) = rest.split_at(size.min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        let hashes = hashes(chunks);
        prop_assert_eq!(hashes.of(Simple), Some(&sha256(&naive(&body, Simple))));
        prop_assert_eq!(hashes.of(Relaxed), Some(&sha256(&naive(&body, Relaxed))));
    }
}
