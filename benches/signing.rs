//! What a signature costs: the key's work alone, ours alone, and both for a message of 2 KB.

use std::hint::black_box;

use divan::Bencher;
use jiff::Timestamp;
use waxseal::dkim::key::{KeyKind, PrivateKey, SigningKey};
use waxseal::dkim::{BodyHasher, Canonicalization, HeaderSelection, Prepared, SignatureSpec, signer};
use waxseal::message::{Headers, Spacing};
use waxseal::names::{DomainName, Selector};

fn main() {
    divan::main();
}

/// The header that MTAs show for an ordinary message: 12 fields.
const FIELDS: [(&str, &str); 12] = [
    ("Received", " from client.example.com (client.example.com [192.0.2.1])\n\tby mail.example.com with ESMTPSA"),
    ("From", " Joe SixPack <joe@example.com>"),
    ("To", " Suzie Q <suzie@shopping.example.net>, Someone Else <else@example.org>"),
    ("Cc", " Third Person <third@example.org>"),
    ("Subject", " Is dinner ready?"),
    ("Date", " Fri, 11 Jul 2003 21:00:37 -0700 (PDT)"),
    ("Message-ID", " <20030712040037.46341.5F8J@example.com>"),
    ("In-Reply-To", " <20030712040037.46341.5F8I@example.net>"),
    ("MIME-Version", " 1.0"),
    ("Content-Type", " text/plain; charset=utf-8; format=flowed"),
    ("Content-Transfer-Encoding", " 8bit"),
    ("User-Agent", " Some Mail Program 1.0"),
];

struct Work {
    headers: Headers,
    selection: HeaderSelection,
    spec: SignatureSpec,
    body: Vec<u8>,
}

impl Work {
    fn new() -> Self {
        let mut headers = Headers::new();
        for (name, value) in FIELDS {
            headers.push(name.as_bytes(), value.as_bytes(), Spacing::AsReceived);
        }
        let name = |result: Result<DomainName, _>| result.unwrap_or_else(|_| unreachable!("a valid name"));
        Self {
            headers,
            selection: HeaderSelection::default(),
            spec: SignatureSpec {
                domain: name(DomainName::parse("example.com")),
                selector: Selector::parse("20261123r").unwrap_or_else(|_| unreachable!("a valid selector")),
                auid: None,
                canonicalization: Default::default(),
                timestamp: Timestamp::UNIX_EPOCH,
                expiration: None,
            },
            body: b"An ordinary line of text in a message of two kilobytes.\r\n".repeat(36),
        }
    }

    /// Everything but the key's work.
    fn prepare(&self, key: &SigningKey) -> Prepared {
        let mut hasher = BodyHasher::new([Canonicalization::Relaxed]);
        hasher.update(black_box(&self.body));
        let hashes = hasher.finish();
        let body_hash = hashes.of(Canonicalization::Relaxed).unwrap_or(&[0; 32]);
        let selected = self.selection.select(black_box(&self.headers));
        signer::prepare(&self.spec, key.algorithm(), &selected, &self.headers, body_hash)
    }
}

fn key(kind: KeyKind) -> SigningKey {
    match PrivateKey::generate(kind).and_then(|key| key.signing_key()) {
        Ok(key) => key,
        Err(error) => panic!("no key to measure with: {error}"),
    }
}

fn kinds() -> [KeyKind; 2] {
    [KeyKind::Rsa { bits: 2048 }, KeyKind::Ed25519]
}

#[divan::bench(args = kinds())]
fn key_alone(bencher: Bencher<'_, '_>, kind: KeyKind) {
    let key = key(kind);
    let octets = Work::new().prepare(&key).octets().to_vec();
    bencher.bench_local(|| key.sign(black_box(&octets)));
}

#[divan::bench]
fn headers_alone(bencher: Bencher<'_, '_>) {
    let work = Work::new();
    let algorithm = key(KeyKind::Ed25519).algorithm();
    bencher.bench_local(|| {
        let selected = work.selection.select(black_box(&work.headers));
        signer::prepare(&work.spec, algorithm, &selected, &work.headers, &[0; 32])
    });
}

#[divan::bench(args = kinds())]
fn message_of_2_kb(bencher: Bencher<'_, '_>, kind: KeyKind) {
    let (key, work) = (key(kind), Work::new());
    bencher.bench_local(|| work.prepare(&key).sign(&key));
}
