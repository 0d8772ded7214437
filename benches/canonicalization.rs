//! Body hashing, canonicalization included: octets a second on one core. Chunks are those of a milter.

use std::hint::black_box;

use divan::Bencher;
use divan::counter::BytesCount;
use waxseal::dkim::backend::Sha256;
use waxseal::dkim::{BodyHasher, Canonicalization};

/// The longest chunk an MTA sends.
const CHUNK: usize = 65_535;
const SIZES: [usize; 2] = [64 * 1024, 5_000_000];

fn main() {
    divan::main();
}

/// Prose in lines of 60 to 76 octets, now and then two spaces after a full stop, paragraphs apart by an empty line.
fn text(size: usize) -> Vec<u8> {
    const WORDS: [&str; 12] =
        ["the", "message", "was", "signed", "and", "sent", "on", "to", "another", "host", "without", "delay"];
    let mut random = Random(7);
    let mut body = Vec::with_capacity(size + 100);
    while body.len() < size {
        for _ in 0..=random.below(8) {
            let start = body.len();
            while body.len() - start < 60 {
                body.extend_from_slice(WORDS[random.below(WORDS.len())].as_bytes());
                body.extend_from_slice(if random.below(40) == 0 { b".  " } else { b" " });
            }
            body.extend_from_slice(b"end\r\n");
        }
        body.extend_from_slice(b"\r\n");
    }
    body.truncate(size);
    body
}

/// Markup indented by tabs and spaces, with blanks at the ends of lines, and blank lines of white space.
fn html(size: usize) -> Vec<u8> {
    let mut random = Random(7);
    let mut body = Vec::with_capacity(size + 200);
    while body.len() < size {
        let depth = random.below(10);
        body.extend(std::iter::repeat_n(if random.below(3) == 0 { b'\t' } else { b' ' }, depth * 2));
        body.extend_from_slice(
            [&b"<td  style=\"padding: 0\">"[..], b"<tr>", b"</table>", b"<p>Some words of text</p>"][random.below(4)],
        );
        match random.below(4) {
            0 => body.extend_from_slice(b"  \r\n"),
            1 => body.extend_from_slice(b"\r\n\r\n\t\t\r\n   \r\n"),
            _ => body.extend_from_slice(b"\r\n"),
        }
    }
    body.truncate(size);
    body
}

/// A generator of the same numbers in every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

fn hash(bencher: Bencher<'_, '_>, body: &[u8], wanted: &[Canonicalization]) {
    bencher.counter(BytesCount::of_slice(body)).bench_local(|| {
        let mut hasher = BodyHasher::new(wanted.iter().copied());
        for chunk in black_box(body).chunks(CHUNK) {
            hasher.update(chunk);
        }
        hasher.finish()
    });
}

#[divan::bench(args = SIZES)]
fn sha256_alone(bencher: Bencher<'_, '_>, size: usize) {
    let body = text(size);
    bencher.counter(BytesCount::of_slice(&body)).bench_local(|| {
        let mut digest = Sha256::new();
        for chunk in black_box(&body).chunks(CHUNK) {
            digest.update(chunk);
        }
        digest.finish()
    });
}

#[divan::bench(args = SIZES)]
fn text_relaxed(bencher: Bencher<'_, '_>, size: usize) {
    hash(bencher, &text(size), &[Canonicalization::Relaxed]);
}

#[divan::bench(args = SIZES)]
fn text_simple(bencher: Bencher<'_, '_>, size: usize) {
    hash(bencher, &text(size), &[Canonicalization::Simple]);
}

#[divan::bench(args = SIZES)]
fn text_both(bencher: Bencher<'_, '_>, size: usize) {
    hash(bencher, &text(size), &[Canonicalization::Relaxed, Canonicalization::Simple]);
}

#[divan::bench(args = SIZES)]
fn html_relaxed(bencher: Bencher<'_, '_>, size: usize) {
    hash(bencher, &html(size), &[Canonicalization::Relaxed]);
}

#[divan::bench(args = SIZES)]
fn html_simple(bencher: Bencher<'_, '_>, size: usize) {
    hash(bencher, &html(size), &[Canonicalization::Simple]);
}
