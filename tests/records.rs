//! Key records as we judge them, beside what other people's readers take: `opendkim-testkey`, dkimpy and mail-auth.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use support::*;
use waxseal::check::{KeySubject, Subject, Wishes, judge};
use waxseal::dkim::{KeyMaterial, KeyRecord, PrivateKey, PublicKey};
use waxseal::finding::{Finding, Severity};
use waxseal::names::{DomainName, Selector};
use waxseal::observation::{
    ChainEnd, Code, Dmarc, Hop, Observation, Outcome as Seen, Recursive, RecursiveAnswer, Response,
    Server as NameServer, ServerAnswer, Truncation, Txt,
};

const RSA: &str = include_str!("data/keys/rsa-2048-pkcs8.pem");
const RSA_1024: &str = include_str!("data/keys/rsa-1024-pkcs1.pem");

/// RFC 8463 appendix A.2.
const ED25519: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// Who differs from us, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reader {
    OpenDkim,
    Dkimpy,
    MailAuth,
}

use Reader::{Dkimpy, MailAuth, OpenDkim};

struct Row {
    name: &'static str,
    /// The record's strings.
    strings: Vec<Vec<u8>>,
    /// Our findings, errors and warnings; with an error we reject.
    ours: &'static [&'static str],
    /// Readers that take what we reject with an error, or reject what we take.
    others: &'static [Reader],
    /// Why they do.
    why: &'static str,
}

fn row(
    name: &'static str,
    record: impl AsRef<[u8]>,
    ours: &'static [&'static str],
    others: &'static [Reader],
    why: &'static str,
) -> Row {
    Row { name, strings: cut(record.as_ref()), ours, others, why }
}

/// As strings of 255 octets; an empty one for nothing.
fn cut(record: &[u8]) -> Vec<Vec<u8>> {
    match record {
        [] => vec![Vec::new()],
        octets => octets.chunks(255).map(<[u8]>::to_vec).collect(),
    }
}

/// The records, and what is known of the differences.
fn rows() -> Vec<Row> {
    let key = public(RSA);
    let ours = KeyRecord::of(&key).to_string();
    let p = STANDARD.encode(key.octets());
    let with = |tags: &str| format!("v=DKIM1; k=rsa; {tags}; p={p}");
    let KeyMaterial::Rsa { modulus, exponent, .. } = KeyMaterial::of(key.octets()) else { panic!() };
    let record = |key: &[u8]| format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(key));
    let wrapped = [
        [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0].as_slice(),
        &STANDARD.decode(ED25519).unwrap(),
    ]
    .concat();
    vec![
        row("as we publish it", &ours, &[], &[], ""),
        row("p= alone", format!("p={p}"), &[], &[], ""),
        row("a semicolon at the end", format!("{ours};"), &[], &[], ""),
        row("white space in p=", ours.replace("MIIB", "MI \t IB"), &[], &[], ""),
        row("Ed25519", format!("v=DKIM1; k=ed25519; p={ED25519}"), &[], &[], ""),
        row(
            "Ed25519 without padding",
            format!("k=ed25519; p={}", &ED25519[..43]),
            &["S04"],
            &[Dkimpy],
            "PyNaCl wants the padding that RFC 6376 §2.10 leaves optional",
        ),
        row("RSA of 1024 bits", KeyRecord::of(&public(RSA_1024)).to_string(), &["K02"], &[], ""),
        row(
            "v= is not first",
            format!("k=rsa; v=DKIM1; p={p}"),
            &["S01"],
            &[OpenDkim, Dkimpy, MailAuth],
            "they read tags in any order; RFC 6376 §3.6.1 wants v= first",
        ),
        row(
            "v= in lower case",
            ours.replace("DKIM1", "dkim1"),
            &["S01"],
            &[MailAuth],
            "it compares the version without regard to case",
        ),
        row("another version", ours.replace("DKIM1", "DKIM2"), &["S01"], &[], ""),
        row("an SPF record", "v=spf1 include:_spf.example.com -all", &["S01"], &[], ""),
        row("an empty record", "", &["S12"], &[], ""),
        row(
            "two p=",
            format!("{ours}; p={p}"),
            &["S02"],
            &[OpenDkim, MailAuth],
            "they take one of two equal tags; RFC 6376 §3.2 makes the list invalid",
        ),
        row("no p=", "v=DKIM1; k=rsa", &["S03"], &[], ""),
        row("an empty p=", "v=DKIM1; k=rsa; p=", &[], &[], ""),
        row(
            "PEM lines",
            ours.replace("MIIB", "-----BEGIN PUBLIC KEY-----MIIB"),
            &["S04"],
            &[OpenDkim],
            "its base64 skips letters that it does not know",
        ),
        row(
            "base64url",
            ours.replace('+', "-").replace('/', "_"),
            &["S04"],
            &[OpenDkim],
            "its base64 skips letters that it does not know",
        ),
        row("backslashes", ours.replace(';', "\\;"), &["S06"], &[], ""),
        row("quotes", format!("\"{ours}\""), &["S06"], &[], ""),
        row("curly quotes", format!("\u{201c}{ours}\u{201d}"), &["S06"], &[], ""),
        row("the first 255 octets", &ours[..255], &["S07"], &[MailAuth], "it looks into the key only when it verifies"),
        row("no semicolon after k=", ours.replace("rsa; p", "rsap"), &["S08"], &[], ""),
        row("a note with spaces", with("n=our first key"), &["S09"], &[], ""),
        row("a note with an equals sign", with("n=a=b"), &["S09"], &[], ""),
        row("a note that looks like p=", with("n=was p=QUJD before"), &["S09"], &[], ""),
        row("a tag of somebody's own", with("made=2026"), &[], &[], ""),
        row("an empty g=", with("g="), &["S11"], &[], ""),
        row("g= with a star", with("g=*"), &["S11"], &[], ""),
        row(
            "two semicolons",
            ours.replacen(';', ";;", 1),
            &["S12"],
            &[MailAuth],
            "it skips what it cannot read; RFC 6376 §3.2 allows no empty tag",
        ),
        row(
            "a part without an equals sign",
            format!("{ours}; rsa"),
            &["S12"],
            &[MailAuth],
            "it skips what it cannot read",
        ),
        row(
            "a control character",
            with("x=\u{1}"),
            &["S12"],
            &[Dkimpy, MailAuth],
            "they take any octet in a value; RFC 6376 §3.2 allows printable ones",
        ),
        row(
            "RSA of 512 bits",
            record(&spki(&odd(64), exponent)),
            &["K01"],
            &[OpenDkim, MailAuth],
            "they count the bits only when they verify",
        ),
        row("RSA of 8192 bits", record(&spki(&odd(1024), exponent)), &["K03"], &[], ""),
        row("an exponent of 3", record(&spki(modulus, &[3])), &["K04"], &[], ""),
        row(
            "an even exponent",
            record(&spki(modulus, &[1, 0, 0])),
            &["K04"],
            &[OpenDkim, Dkimpy, MailAuth],
            "nobody else looks at the numbers before verifying",
        ),
        row(
            "an exponent of 1",
            record(&spki(modulus, &[1])),
            &["K04"],
            &[OpenDkim, Dkimpy, MailAuth],
            "nobody else looks at the numbers before verifying",
        ),
        row(
            "a modulus with a small factor",
            record(&spki(&[0xff; 256], exponent)),
            &["K05"],
            &[OpenDkim, Dkimpy, MailAuth],
            "nobody else looks for weak moduli",
        ),
        row(
            "Ed25519 with its wrapping",
            format!("k=ed25519; p={}", STANDARD.encode(&wrapped)),
            &["K06"],
            &[OpenDkim, MailAuth],
            "they look into the key only when they verify",
        ),
        row("RSA without its wrapping", record(&bare(modulus, exponent)), &["K07"], &[], ""),
        row(
            "Ed25519 without k=",
            format!("v=DKIM1; p={ED25519}"),
            &["K08"],
            &[OpenDkim, MailAuth],
            "they look into the key only when they verify",
        ),
        row(
            "RSA with k=ed25519",
            ours.replace("k=rsa", "k=ed25519"),
            &["K08"],
            &[OpenDkim, MailAuth],
            "they look into the key only when they verify",
        ),
        row("another k=", ours.replace("k=rsa", "k=dilithium"), &["K08"], &[], ""),
        row(
            "k= in upper case",
            ours.replace("k=rsa", "k=RSA"),
            &[],
            &[Dkimpy],
            "it compares with regard to case; by RFC 5234 §2.3 the literal has none",
        ),
        row(
            "no key",
            "v=DKIM1; k=rsa; p=QUJDREVG",
            &["K08"],
            &[OpenDkim, MailAuth],
            "they look into the key only when they verify",
        ),
        row(
            "h= without sha256",
            with("h=sha1"),
            &["P01"],
            &[OpenDkim, Dkimpy, MailAuth],
            "whether h= fits is known only with a signature; some never look",
        ),
        row("h= with sha1", with("h=sha1:sha256"), &["P01"], &[], ""),
        row("s= without e-mail", with("s=tlsrpt"), &["P02"], &[Dkimpy, MailAuth], "they do not enforce s="),
        row("t=y", with("t=y"), &["P03"], &[], ""),
    ]
}

fn public(pem: &str) -> PublicKey {
    PrivateKey::from_pem(pem.as_bytes()).unwrap().public().clone()
}

/// An odd number of so many octets without small factors.
fn odd(octets: usize) -> Vec<u8> {
    let remainder =
        |number: &[u8], divisor: u64| number.iter().fold(0, |rest, octet| (rest * 256 + u64::from(*octet)) % divisor);
    let mut number = vec![0xab; octets];
    number[0] = 0xc5;
    loop {
        if (2..1000).all(|factor| remainder(&number, factor) != 0) {
            return number;
        }
        let last = number.iter_mut().rev().take(2).rev().fold(0u16, |low, octet| low << 8 | u16::from(*octet)) + 1;
        number.truncate(octets - 2);
        number.extend(last.to_be_bytes());
    }
}

fn spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let algorithm = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    let key = [&[0], bare(modulus, exponent).as_slice()].concat();
    element(0x30, &[algorithm.as_slice(), &element(3, &key)].concat())
}

fn bare(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let sign: &[u8] = if number[0] > 0x7f { &[0] } else { &[] };
        element(2, &[sign, number].concat())
    };
    element(0x30, &[integer(modulus), integer(exponent)].concat())
}

fn element(tag: u8, value: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(value.len()).unwrap().to_be_bytes();
    let head = match value.len() {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [head.as_slice(), value].concat()
}

/// What we say of a record, its errors and warnings, when we hold no key.
fn judged(strings: &[Vec<u8>]) -> Vec<Finding> {
    let server = NameServer { name: "ns.example.com".into(), address: SocketAddr::from(([127, 0, 0, 1], 53)) };
    let response = Response {
        code: Code::NoError,
        authoritative: true,
        truncation: Truncation::None,
        txt: vec![Txt { strings: strings.to_vec(), ttl: 3600 }],
        cname: None,
        soa: None,
        signatures: Vec::new(),
        unchecked: None,
        took: Duration::ZERO,
    };
    let name = "s._domainkey.example.com";
    let answers = vec![ServerAnswer { server, outcome: Seen::Answered(Box::new(response)) }];
    let key = KeySubject {
        selector: Selector::parse("s").unwrap(),
        held: None,
        observation: Observation {
            record_name: name.into(),
            at: jiff::Timestamp::UNIX_EPOCH,
            hops: vec![Hop { name: name.into(), zone: None, zone_unknown: None, answers }],
            chain: ChainEnd::Complete,
            wildcard: None,
            recursive: Recursive { resolver: String::new(), answer: RecursiveAnswer::NotAsked },
        },
    };
    let subject = Subject {
        domain: DomainName::parse("example.com").unwrap(),
        keys: vec![key],
        dmarc: Dmarc::Unknown,
        signs_subdomains: false,
        auid: None,
    };
    let mut judgement = judge(&subject, &Wishes::default(), jiff::Timestamp::UNIX_EPOCH);
    judgement.keys.remove(0).findings
}

/// Whether signatures can verify with it: no error, and not revoked.
fn we_read(strings: &[Vec<u8>]) -> Taken {
    let findings = judged(strings);
    match findings.iter().find(|finding| finding.severity == Severity::Error || finding.rule == "P05") {
        Some(finding) => Err(format!("{}: {}", finding.rule, finding.evidence)),
        None => Ok(()),
    }
}

fn mail_auth_reads(record: &[u8]) -> Taken {
    DomainKey::parse(record).map(|_| ()).map_err(|error| error.to_string())
}

/// Rows where a reader differs from us otherwise than is known.
fn complaints(rows: &[Row], reader: Reader, taken: &[Taken]) -> String {
    assert_eq!(rows.len(), taken.len());
    let mut complaints = String::new();
    for (row, theirs) in rows.iter().zip(taken) {
        let ours = we_read(&row.strings);
        if (ours.is_ok() != theirs.is_ok()) != row.others.contains(&reader) {
            let _ = writeln!(complaints, "{}: {reader:?} says {theirs:?}, we {ours:?}", row.name);
        }
    }
    complaints
}

#[test]
fn our_findings_are_those_of_the_table() {
    for row in rows() {
        let findings = judged(&row.strings);
        let found: BTreeSet<_> =
            findings.iter().filter(|one| one.severity > Severity::Info).map(|one| one.rule).collect();
        assert_eq!(found, row.ours.iter().copied().collect(), "{}: {findings:#?}", row.name);
        assert_eq!(row.others.is_empty(), row.why.is_empty(), "{}: a difference has a reason, and only that", row.name);
    }
}

#[test]
fn mail_auth_takes_what_we_take_or_it_is_known_why_not() {
    let rows = rows();
    let taken: Vec<Taken> = rows.iter().map(|row| mail_auth_reads(&row.strings.concat())).collect();
    let complaints = complaints(&rows, MailAuth, &taken);
    assert!(complaints.is_empty(), "\n{complaints}");
}

#[test]
#[ignore = "needs dkimpy; tests/run-all installs it"]
fn dkimpy_takes_what_we_take_or_it_is_known_why_not() {
    let rows = rows();
    let records: Vec<Vec<u8>> = rows.iter().map(|row| row.strings.concat()).collect();
    let complaints = complaints(&rows, Dkimpy, &dkimpy_reads(&records));
    assert!(complaints.is_empty(), "\n{complaints}");
}

#[test]
#[ignore = "needs OpenDKIM's tools and BIND; tests/run-all installs them"]
fn opendkim_takes_what_we_take_or_it_is_known_why_not() {
    let rows = rows();
    let records: Vec<_> = rows.iter().map(|row| row.strings.clone()).collect();
    let complaints = complaints(&rows, OpenDkim, &opendkim_reads(&records, None));
    assert!(complaints.is_empty(), "\n{complaints}");
}

#[test]
#[ignore = "needs OpenDKIM's tools and BIND; tests/run-all installs them"]
fn opendkim_finds_our_private_key_in_our_record_and_no_other() {
    let key = public(RSA);
    let KeyMaterial::Rsa { modulus, exponent, .. } = KeyMaterial::of(key.octets()) else { panic!() };
    let record = |octets: &[u8]| cut(format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(octets)).as_bytes());
    let records = [record(key.octets()), record(&spki(&odd(256), &[1, 0, 1])), record(&bare(modulus, exponent))];
    let taken = opendkim_reads(&records, Some(RSA));
    assert_eq!(taken[0], Ok(()));
    assert!(taken[1].as_ref().is_err_and(|why| why.contains("do not match")), "{:?}", taken[1]);
    // K07: it looks for a SubjectPublicKeyInfo only.
    assert!(taken[2].as_ref().is_err_and(|why| why.contains("do not match")), "{:?}", taken[2]);
}
