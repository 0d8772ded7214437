use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::dkim::body_hash::BodyHasher;
use crate::dkim::canonical::{Canonicalization, CanonicalizationPair};
use crate::dkim::header_selection::HeaderSelection;
use crate::dkim::key::{Algorithm, KeyError, KeyKind, PrivateKey};
use crate::dkim::key_record::{KeyRecord, KeyRecordError};
use crate::dkim::signature::{Auid, SignatureSpec};
use crate::dkim::signer;
use crate::dkim::tag_list::TagListError;
use crate::message::{Headers, Message, Spacing};
use crate::names::{DomainName, Selector};

const RFC_8463: &[u8] = include_bytes!("../../../tests/data/rfc8463-a.eml");
const RFC_8463_KEYS: &str = include_str!("../../../tests/data/rfc8463-a.keys");
const KEY_1024: &[u8] = include_bytes!("../../../tests/data/keys/rsa-1024-pkcs1.pem");

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

/// The records of RFC 8463 appendix A.
fn rfc_8463_records(name: &str) -> Published {
    let find = |line: &str| line.strip_prefix(name).map(|record| record.trim().as_bytes().to_vec());
    Published::Records(RFC_8463_KEYS.lines().filter_map(find).collect())
}

fn rfc_8463_outcomes(change: impl Fn(&str) -> String) -> Vec<Outcome> {
    let changed = change(std::str::from_utf8(RFC_8463).unwrap());
    let message = Message::parse(changed.as_bytes()).unwrap();
    let verified = verify(&message.headers, &message.body, rfc_8463_records, now());
    verified.into_iter().map(|verification| verification.outcome).collect()
}

/// A message and the key that signs it.
struct Case {
    headers: Headers,
    body: Vec<u8>,
    spec: SignatureSpec,
    key: PrivateKey,
}

impl Case {
    fn new(kind: KeyKind) -> Self {
        Self::with_key(PrivateKey::generate(kind).unwrap())
    }

    fn with_key(key: PrivateKey) -> Self {
        let mut headers = Headers::new();
        for (name, value) in [
            ("Received", " from a by b"),
            ("From", " Joe <joe@example.com>"),
            ("To", " a@example.net,\r\n\t b@example.net "),
            ("Subject", "  two   blanks\t"),
        ] {
            headers.push(name.as_bytes(), value.as_bytes(), Spacing::AsReceived);
        }
        let spec = SignatureSpec {
            domain: DomainName::parse("example.com").unwrap(),
            selector: Selector::parse("s1").unwrap(),
            auid: None,
            canonicalization: CanonicalizationPair::default(),
            timestamp: now(),
            expiration: None,
        };
        Self { headers, body: b"Hello  \r\n world\t!\r\n \r\n\r\n".to_vec(), spec, key }
    }

    /// The header with the signature above.
    fn signed(&self) -> Headers {
        let mut hasher = BodyHasher::new([self.spec.canonicalization.body]);
        hasher.update(&self.body);
        let hashes = hasher.finish();
        let hash = hashes.of(self.spec.canonicalization.body).unwrap();
        let selection = HeaderSelection::default().select(&self.headers);
        let signing = self.key.signing_key().unwrap();
        let prepared = signer::prepare(&self.spec, signing.algorithm(), &selection, &self.headers, hash);
        let field = prepared.sign(&signing).unwrap();
        let mut signed = Headers::new();
        signed.push(field.name().as_bytes(), field.value().as_bytes(), Spacing::AsReceived);
        for field in self.headers.iter() {
            signed.push_raw(field.raw()).unwrap();
        }
        signed
    }

    fn record(&self) -> String {
        KeyRecord::of(self.key.public()).to_string()
    }

    fn verify(&self, headers: &Headers, records: &[&str]) -> Verification {
        let published = |name: &str| {
            assert_eq!(name, "s1._domainkey.example.com");
            Published::Records(records.iter().map(|record| record.as_bytes().to_vec()).collect())
        };
        let mut verified = verify(headers, &self.body, published, now());
        assert_eq!(verified.len(), 1);
        verified.remove(0)
    }

    fn outcome(&self, record: &str) -> Outcome {
        self.verify(&self.signed(), &[record]).outcome
    }
}

/// A header whose signature field has its text changed.
fn with_field(headers: &Headers, change: impl Fn(&str) -> String) -> Headers {
    let mut changed = Headers::new();
    for field in headers.iter() {
        let raw = String::from_utf8(field.raw().to_vec()).unwrap();
        let raw = if raw.starts_with("DKIM-Signature") { change(&raw) } else { raw };
        changed.push_raw(raw.as_bytes()).unwrap();
    }
    changed
}

fn parse_error(tags: &str) -> InvalidSignature {
    let mut headers = Headers::new();
    headers.push(b"DKIM-Signature", tags.as_bytes(), Spacing::AsReceived);
    signatures(&headers).remove(0).unwrap_err()
}

const TAGS: &str = " v=1; a=rsa-sha256; d=example.com; s=s1; h=from:to; bh=QUJD; b=QUJD";

#[test]
fn both_signatures_of_rfc_8463_appendix_a_pass() {
    assert_eq!(rfc_8463_outcomes(str::to_owned), [Outcome::Pass, Outcome::Pass]);
}

#[test]
fn white_space_that_relaxed_ignores_may_change() {
    let changed = |message: &str| {
        message.replace("Subject: Is dinner", "SUBJECT :  Is  dinner").replace("game.  Are", "game. Are")
    };
    assert_eq!(rfc_8463_outcomes(changed), [Outcome::Pass, Outcome::Pass]);
}

#[test]
fn a_changed_body_or_header_fails() {
    let body = rfc_8463_outcomes(|message| message.replace("lost", "won"));
    assert_eq!(body, vec![Outcome::Fail(FailReason::BodyHash); 2]);
    for (from, to) in [
        ("Joe SixPack <joe@football", "Joe SixPack <jim@football"),
        ("Is dinner ready?", "Is dinner ready!"),
        ("q=dns/txt; s=", "q=dns/txt ; s="),
        ("From: Joe", "From: Eve <eve@example.com>\r\nFrom: Joe"),
    ] {
        let outcomes = rfc_8463_outcomes(|message| message.replace(from, to));
        // h= names From twice, so an added one counts.
        assert_eq!(outcomes, vec![Outcome::Fail(FailReason::Signature); 2], "{from} -> {to}");
    }
}

#[test]
fn what_is_signed_here_passes() {
    for kind in [KeyKind::default(), KeyKind::Ed25519] {
        for pair in ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"] {
            let mut case = Case::new(kind);
            case.spec.canonicalization = pair.parse().unwrap();
            case.spec.expiration = Some(now() + SignedDuration::from_hours(1));
            case.spec.auid = Some(Auid::parse("joe=x@mail.example.com", &case.spec.domain).unwrap());
            let verified = case.verify(&case.signed(), &[&case.record()]);
            assert_eq!(verified.outcome, Outcome::Pass, "{kind} {pair}");
            assert_eq!(verified.key.unwrap(), *case.key.public());
            let signature = verified.signature.unwrap();
            assert_eq!(signature.auid, "joe=x@mail.example.com");
            assert_eq!(signature.algorithm, kind.algorithm());
            assert_eq!(signature.canonicalization, case.spec.canonicalization);
            assert_eq!((signature.timestamp, signature.expiration), (Some(now()), case.spec.expiration));
        }
    }
}

#[test]
fn keys_of_1024_bits_verify_and_their_bits_are_told() {
    let case = Case::with_key(PrivateKey::from_pem(KEY_1024).unwrap());
    let verified = case.verify(&case.signed(), &[&case.record()]);
    assert_eq!(verified.outcome, Outcome::Pass);
    assert_eq!(verified.key.unwrap().bits(), 1024);
}

#[test]
fn the_simple_form_covers_the_signature_field_to_the_octet() {
    let mut case = Case::new(KeyKind::Ed25519);
    case.spec.canonicalization =
        CanonicalizationPair { header: Canonicalization::Simple, body: Canonicalization::Simple };
    let record = case.record();
    let folded = with_field(&case.signed(), |raw| raw.replace("; s=", ";  s="));
    assert_eq!(case.verify(&folded, &[&record]).outcome, Outcome::Fail(FailReason::Signature));
    let spaced = with_field(&case.signed(), |raw| raw.replace(" b=", " b= \r\n\t"));
    assert_eq!(case.verify(&spaced, &[&record]).outcome, Outcome::Pass);
}

#[test]
fn an_expired_signature_fails() {
    let mut case = Case::new(KeyKind::Ed25519);
    let at = now() - SignedDuration::from_secs(1);
    case.spec.timestamp = now() - SignedDuration::from_hours(1);
    case.spec.expiration = Some(at);
    assert_eq!(case.outcome(&case.record()), Outcome::Fail(FailReason::Expired { at }));
}

#[test]
fn another_key_fails() {
    let case = Case::new(KeyKind::Ed25519);
    let other = Case::new(KeyKind::Ed25519);
    assert_eq!(case.outcome(&other.record()), Outcome::Fail(FailReason::Signature));
}

#[test]
fn what_the_record_says_is_obeyed() {
    let mut case = Case::new(KeyKind::Ed25519);
    let record = case.record();
    let with = |tag: &str| record.replace("k=ed25519;", &format!("k=ed25519; {tag};"));
    let perm_error = |record: &str| match case.outcome(record) {
        Outcome::PermError(error) => error,
        other => panic!("{record}: {other:?}"),
    };
    assert_eq!(perm_error("v=DKIM1; k=ed25519; p="), PermError::Revoked);
    assert!(matches!(perm_error(&record.replace("ed25519", "rsa")), PermError::KeyType { .. }));
    assert_eq!(perm_error(&with("h=sha1")), PermError::HashAlgorithm);
    assert_eq!(perm_error(&with("s=tlsrpt")), PermError::ServiceType);
    assert_eq!(perm_error("v=DKIM1; k=ed25519; p=QUJD"), PermError::Key(KeyError::Der));
    assert_eq!(perm_error("v=DKIM1"), PermError::Record(KeyRecordError::NoPublicKey));
    assert_eq!(case.outcome(&with("h=sha1:sha256; s=email; t=s")), Outcome::Pass);
    assert!(case.verify(&case.signed(), &[&with("t=y")]).is_testing);
    case.spec.auid = Some(Auid::parse("@mail.example.com", &case.spec.domain).unwrap());
    assert_eq!(case.outcome(&with("t=s")), Outcome::PermError(PermError::AuidNotDomain));
}

#[test]
fn no_record_several_records_and_no_answer_are_told_apart() {
    let case = Case::new(KeyKind::Ed25519);
    let (headers, record) = (case.signed(), case.record());
    assert_eq!(case.verify(&headers, &[]).outcome, Outcome::PermError(PermError::NoRecord));
    let several = case.verify(&headers, &[&record, &record]).outcome;
    assert_eq!(several, Outcome::PermError(PermError::SeveralRecords { count: 2 }));
    let unavailable = verify(&headers, &case.body, |_| Published::Unavailable, now());
    assert_eq!(unavailable[0].outcome, Outcome::TempError);
    assert_eq!(unavailable[0].outcome.as_str(), "temperror");
}

#[test]
fn short_rsa_keys_and_sha1_are_refused() {
    let case = Case::new(KeyKind::default());
    let short = "v=DKIM1; k=rsa; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4WGeKLs1Pt8Qu\
                 KUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ==";
    assert_eq!(case.outcome(short), Outcome::PermError(PermError::Key(KeyError::RsaSize { bits: 512 })));
    assert_eq!(parse_error(&TAGS.replace("sha256", "sha1")), InvalidSignature::Sha1);
}

#[test]
fn only_the_beginning_of_a_body_may_be_signed() {
    let case = Case::new(KeyKind::Ed25519);
    let sign = |length: &str| {
        // Signs anew what the signer has no way to say.
        let headers = with_field(&case.signed(), |raw| raw.replace("a=", &format!("l={length}; a=")));
        let mut signature = signatures(&headers).remove(0).unwrap();
        signature.place = 0;
        let octets = check::signed_octets(&signature, &headers);
        let anew = case.key.signing_key().unwrap().sign(&octets).unwrap();
        with_field(&headers, |raw| {
            let at = raw.rfind("b=").unwrap();
            format!("{}b={}", &raw[..at], base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &anew))
        })
    };
    let canonical = b"Hello\r\n world !\r\n";
    let whole = sign(&canonical.len().to_string());
    assert_eq!(case.verify(&whole, &[&case.record()]).outcome, Outcome::Pass);
    let longer = Case {
        body: [canonical.as_slice(), b"more\r\n"].concat(),
        ..Case::with_key(PrivateKey::from_pem(case.key.to_pem().as_bytes()).unwrap())
    };
    assert_eq!(longer.verify(&whole, &[&case.record()]).outcome, Outcome::Pass);
    let short = sign("1000");
    assert_eq!(case.verify(&short, &[&case.record()]).outcome, Outcome::Fail(FailReason::BodyTooShort));
    assert_eq!(case.verify(&sign("3"), &[&case.record()]).outcome, Outcome::Fail(FailReason::BodyHash));
}

#[test]
fn more_signatures_than_are_sensible_are_not_looked_at() {
    let case = Case::new(KeyKind::Ed25519);
    let signed = case.signed();
    let mut many = Headers::new();
    for _ in 0..MAX_SIGNATURES {
        many.push_raw(signed.field(0).unwrap().raw()).unwrap();
    }
    for field in signed.iter() {
        many.push_raw(field.raw()).unwrap();
    }
    let record = case.record();
    let verified = verify(&many, &case.body, |_| Published::Records(vec![record.clone().into_bytes()]), now());
    assert!(verified[..MAX_SIGNATURES].iter().all(|verification| verification.outcome == Outcome::Pass));
    assert_eq!(verified[MAX_SIGNATURES].outcome, Outcome::PermError(PermError::TooManySignatures));
}

#[test]
fn what_is_no_signature_is_told() {
    assert!(matches!(parse_error(" v=1; v=1"), InvalidSignature::Syntax(TagListError::Duplicate { .. })));
    for tag in ["v", "a", "b", "bh", "d", "h", "s"] {
        let tags: Vec<_> = TAGS.split("; ").filter(|spec| spec.trim().split('=').next() != Some(tag)).collect();
        assert_eq!(parse_error(&tags.join("; ")), InvalidSignature::Missing { tag });
    }
    assert_eq!(parse_error(&TAGS.replace("v=1", "v=2")), InvalidSignature::Version);
    assert_eq!(parse_error(&TAGS.replace("rsa-sha256", "dsa-sha256")), InvalidSignature::Algorithm);
    assert_eq!(parse_error(&format!("{TAGS}; c=nowsp")), InvalidSignature::Canonicalization);
    assert_eq!(parse_error(&TAGS.replace("h=from:to", "h=to:subject")), InvalidSignature::FromNotSigned);
    assert_eq!(parse_error(&format!("{TAGS}; q=http")), InvalidSignature::QueryMethod);
    assert!(matches!(parse_error(&TAGS.replace("d=example.com", "d=exam ple.com")), InvalidSignature::Domain(_)));
    assert!(matches!(parse_error(&TAGS.replace("s=s1", "s=-")), InvalidSignature::Selector(_)));
    assert_eq!(parse_error(&format!("{TAGS}; i=joe")), InvalidSignature::Auid);
    assert!(matches!(parse_error(&format!("{TAGS}; i=@notexample.com")), InvalidSignature::AuidOutside { .. }));
    assert_eq!(parse_error(&format!("{TAGS}; x=soon")), InvalidSignature::Number { tag: "x" });
    assert_eq!(parse_error(&format!("{TAGS}; l=-1")), InvalidSignature::Number { tag: "l" });
    assert_eq!(parse_error(&format!("{TAGS}; t=10; x=9")), InvalidSignature::ExpiresBeforeTimestamp);
}

#[test]
fn a_signature_says_what_its_tags_say() {
    let mut headers = Headers::new();
    let tags = format!("{TAGS}; c=relaxed; l=7; i=J=6Fe@Mail.Example.COM; x=99999999999999");
    headers.push(b"dkim-SIGNATURE", tags.as_bytes(), Spacing::AsReceived);
    let signature = signatures(&headers).remove(0).unwrap();
    assert_eq!(signature.canonicalization.to_string(), "relaxed/simple");
    assert_eq!(signature.body_length, Some(7));
    assert_eq!(signature.auid.to_ascii_lowercase(), "joe@mail.example.com");
    assert_eq!(signature.expiration, Some(Timestamp::MAX));
    assert_eq!(signature.record_name(), "s1._domainkey.example.com");
    assert_eq!((signature.algorithm, signature.signature.as_slice()), (Algorithm::RsaSha256, b"ABC".as_slice()));
}

#[test]
fn arbitrary_signature_fields_do_not_panic() {
    proptest::proptest!(|(value in "( |\r\n |;|=|:|[vabdhsicltxq]|from|[0-9a-z.@/+]){0,60}")| {
        let mut headers = Headers::new();
        headers.push(b"DKIM-Signature", value.as_bytes(), Spacing::AsReceived);
        let _ = verify(&headers, b"", |_| Published::Records(vec![value.clone().into_bytes()]), now());
    });
}
