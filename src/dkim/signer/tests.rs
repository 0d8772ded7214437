use proptest::prelude::*;

use super::*;
use crate::dkim::body_hash::BodyHasher;
use crate::dkim::canonical::CanonicalizationPair;
use crate::dkim::header_selection::HeaderSelection;
use crate::dkim::key::{KeyKind, PrivateKey, PublicKey};
use crate::dkim::signature::Auid;
use crate::message::{Message, Spacing};
use crate::names::{DomainName, Selector};

const APPENDIX_A: &[u8] = include_bytes!("../../../tests/data/rfc8463-a.eml");
const KEYS: &str = include_str!("../../../tests/data/rfc8463-a.keys");

/// The Ed25519 key of RFC 8463 appendix A.
fn brisbane() -> PrivateKey {
    let seed = KEYS.lines().find_map(|line| line.strip_prefix("# seed of brisbane: ")).unwrap();
    // PKCS#8 version 1 around the seed (RFC 8410 §7).
    let prefix = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let der = [&prefix[..], &STANDARD.decode(seed).unwrap()].concat();
    let armour = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der));
    PrivateKey::from_pem(armour.as_bytes()).unwrap()
}

fn rsa_2048() -> PrivateKey {
    PrivateKey::from_pem(include_bytes!("../../../tests/data/keys/rsa-2048-pkcs8.pem")).unwrap()
}

fn spec(canonicalization: &str) -> SignatureSpec {
    let domain = DomainName::parse("football.example.com").unwrap();
    SignatureSpec {
        auid: Some(Auid::parse("@football.example.com", &domain).unwrap()),
        domain,
        selector: Selector::parse("brisbane").unwrap(),
        canonicalization: canonicalization.parse().unwrap(),
        timestamp: Timestamp::from_second(1_528_637_909).unwrap(),
        expiration: None,
    }
}

/// An awkward header: 8-bit, duplicates, tabs, folds, an empty value, white space before a colon.
fn awkward() -> Headers {
    let mut headers = Headers::new();
    headers.push(b"From", b" J\xf6rg <joe@football.example.com>", Spacing::AsReceived);
    headers.push(b"Subject", b"", Spacing::AsReceived);
    headers.push(b"TO", b"\ta@b.example,\n\t c@d.example \t", Spacing::AsReceived);
    headers.push(b"To", b"x@y.example", Spacing::AsReceived);
    headers.push_raw(b"Date \t:  Fri,\r\n \r\n 11  Jul 2003").unwrap();
    headers
}

/// Checks a signature as a verifier does, by text alone: finds the tags, makes the octets, asks the key.
fn verifies(field: &SignatureField, headers: &Headers, public: &PublicKey) -> bool {
    let value = field.value();
    let tags: Vec<(String, String)> = value
        .split(';')
        .map(|tag| {
            let tag: String = tag.chars().filter(|char| !char.is_ascii_whitespace()).collect();
            let (name, text) = tag.split_once('=').unwrap();
            (name.to_owned(), text.to_owned())
        })
        .collect();
    let tag = |name: &str| tags.iter().find(|tag| tag.0 == name).unwrap().1.as_str();
    let (header_form, _) = tag("c").split_once('/').unwrap();
    let canonical = |raw: &[u8]| -> Vec<u8> {
        if header_form == "simple" {
            return [raw, b"\r\n"].concat();
        }
        let text: String = raw.iter().copied().map(char::from).collect();
        let (name, text) = text.split_once(':').unwrap();
        let text = text.replace("\r\n", "").replace('\t', " ");
        let words: Vec<_> = text.split(' ').filter(|word| !word.is_empty()).collect();
        let line = format!("{}:{}\r\n", name.trim_end().to_ascii_lowercase(), words.join(" "));
        line.chars().map(|char| char as u8).collect()
    };
    let mut left: Vec<_> = headers.iter().map(Some).collect();
    let mut octets = Vec::new();
    for name in tag("h").split(':') {
        let is_next = |field: &Option<crate::message::Field<'_>>| {
            field.is_some_and(|field| field.name().eq_ignore_ascii_case(name.as_bytes()))
        };
        if let Some(at) = left.iter().rposition(is_next) {
            octets.extend(canonical(left[at].take().unwrap().raw()));
        }
    }
    let without_b = &value[..value.rfind("b=").unwrap() + 2];
    octets.extend(canonical(format!("DKIM-Signature:{without_b}").as_bytes()));
    octets.truncate(octets.len() - 2);
    public.verify(&octets, &STANDARD.decode(tag("b")).unwrap()).is_ok()
}

#[test]
fn the_ed25519_signature_of_rfc_8463_appendix_a_comes_out() {
    let message = Message::parse(APPENDIX_A).unwrap();
    let signature = message.headers.named("DKIM-Signature").next().unwrap();
    let value = std::str::from_utf8(signature.value()).unwrap();
    let (before, published) = value.split_at(value.rfind("b=").unwrap() + 2);
    let published: String = published.split_ascii_whitespace().collect();

    let mut octets = Vec::new();
    for name in ["from", "to", "subject", "date", "message-id"] {
        canonical::field(&mut octets, message.headers.named(name).next().unwrap(), Canonicalization::Relaxed);
    }
    octets.extend_from_slice(b"dkim-signature:");
    canonical::relaxed_value(&mut octets, before.as_bytes());
    let made = brisbane().signing_key().unwrap().sign(&octets).unwrap();
    assert_eq!(STANDARD.encode(made), published);

    let mut hasher = BodyHasher::new([Canonicalization::Relaxed]);
    hasher.update(&message.body);
    let body_hash = STANDARD.encode(hasher.finish().of(Canonicalization::Relaxed).unwrap());
    assert!(before.contains(&format!("bh={body_hash};")));
}

#[test]
fn a_relaxed_signature_covers_the_canonical_fields_and_its_own_tags() {
    let headers = awkward();
    let selection = HeaderSelection::default().select(&headers);
    let prepared = prepare(&spec("relaxed/relaxed"), Algorithm::Ed25519Sha256, &selection, &headers, &[0; 32]);
    let expected = [
        &b"from:J\xf6rg <joe@football.example.com>\r\n"[..],
        b"to:x@y.example\r\n",
        b"to:a@b.example, c@d.example\r\n",
        b"subject:\r\n",
        b"date:Fri, 11 Jul 2003\r\n",
        b"dkim-signature:v=1; a=ed25519-sha256; c=relaxed/relaxed; d=football.example.com; s=brisbane; ",
        b"t=1528637909; i=@football.example.com; h=from:from:to:to:to:subject:subject:date: date; ",
        b"bh=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=; b=",
    ]
    .concat();
    assert_eq!(String::from_utf8_lossy(prepared.octets()), String::from_utf8_lossy(&expected));
    assert_eq!(prepared.octets(), expected);
}

#[test]
fn a_simple_signature_covers_the_octets_as_they_stand() {
    let headers = awkward();
    let selection = HeaderSelection::default().select(&headers);
    let prepared = prepare(&spec("simple/simple"), Algorithm::Ed25519Sha256, &selection, &headers, &[0; 32]);
    let octets = prepared.octets().to_vec();
    let field = prepared.sign(&brisbane().signing_key().unwrap()).unwrap();
    let fields = b"From: J\xf6rg <joe@football.example.com>\r\nTo:x@y.example\r\n\
        TO:\ta@b.example,\r\n\t c@d.example \t\r\nSubject:\r\nDate \t:  Fri,\r\n \r\n 11  Jul 2003\r\n";
    let value = field.value();
    let without_b = &value[..value.rfind("b=").unwrap() + 2];
    assert_eq!(octets, [&fields[..], b"DKIM-Signature:", without_b.as_bytes()].concat());
}

#[test]
fn signatures_of_both_algorithms_verify_in_every_canonicalization() {
    let headers = awkward();
    let selection = HeaderSelection::default().select(&headers);
    for key in [rsa_2048(), brisbane(), PrivateKey::generate(KeyKind::Ed25519).unwrap()] {
        let signing_key = key.signing_key().unwrap();
        for canonicalization in ["relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"] {
            let prepared = prepare(&spec(canonicalization), signing_key.algorithm(), &selection, &headers, &[7; 32]);
            let field = prepared.sign(&signing_key).unwrap();
            assert!(verifies(&field, &headers, key.public()), "{canonicalization} {field:?}");
            let mut changed = Headers::new();
            headers.iter().take(4).for_each(|field| changed.push_raw(field.raw()).unwrap());
            changed.push(b"Date", b" today", Spacing::AsReceived);
            assert!(!verifies(&field, &changed, key.public()), "{canonicalization}: the check of these tests");
        }
    }
}

#[test]
fn the_field_is_written_as_documented() {
    let headers = awkward();
    let selection = HeaderSelection::default().select(&headers);
    let spec = SignatureSpec { expiration: Some(Timestamp::from_second(1_528_997_909).unwrap()), ..spec("relaxed") };
    let prepared = prepare(&spec, Algorithm::Ed25519Sha256, &selection, &headers, &[0; 32]);
    let field = prepared.sign(&brisbane().signing_key().unwrap()).unwrap();
    let lines: Vec<_> = field.value().split("\r\n").collect();
    assert_eq!(lines[0], " v=1; a=ed25519-sha256; c=relaxed/simple;");
    assert_eq!(lines[1], "\td=football.example.com; s=brisbane; t=1528637909; x=1528997909;");
    assert_eq!(lines[2], "\ti=@football.example.com; h=from:from:to:to:to:subject:subject:date:");
    assert!(lines[3].starts_with("\tdate; bh="), "{}", lines[3]);
    assert_eq!(field.name(), "DKIM-Signature");
    assert_eq!(field.to_lf().replace('\n', "\r\n"), field.value());
    assert!(!field.to_lf().contains('\r'));
}

#[test]
fn a_key_of_another_algorithm_is_refused() {
    let headers = awkward();
    let selection = HeaderSelection::default().select(&headers);
    let prepared = prepare(&spec("relaxed"), Algorithm::RsaSha256, &selection, &headers, &[0; 32]);
    let refused = prepared.sign(&brisbane().signing_key().unwrap());
    assert!(matches!(refused, Err(SignatureError::Algorithm { .. })));
}

fn label() -> impl Strategy<Value = String> {
    "[a-z0-9]{1,63}"
}

proptest! {
    #[test]
    fn lines_keep_within_78_columns_unless_one_tag_alone_is_longer(
        domain in proptest::collection::vec(label(), 1..4),
        selector in proptest::collection::vec(label(), 1..3),
        names in proptest::collection::vec("[A-Za-z-]{1,100}", 0..40),
        local_part in "[a-z]{0,64}",
        rsa in any::<bool>(),
        form in proptest::sample::select(vec!["relaxed/relaxed", "simple/simple"]),
    ) {
        let mut headers = Headers::new();
        names.iter().for_each(|name| headers.push(name.as_bytes(), b" x", Spacing::AsReceived));
        let selection = HeaderSelection { as_present: vec!["*".into()], ..HeaderSelection::default() }.select(&headers);
        let domain = DomainName::parse(&domain.join(".")).unwrap();
        let auid = Some(Auid::parse(&format!("{local_part}@{domain}"), &domain).unwrap());
        let selector = Selector::parse(&selector.join(".")).unwrap();
        let canonicalization: CanonicalizationPair = form.parse().unwrap();
        let spec = SignatureSpec { domain, selector, auid, canonicalization, ..spec("relaxed") };
        let key = if rsa { rsa_2048() } else { brisbane() };
        let signing_key = key.signing_key().unwrap();
        let prepared = prepare(&spec, signing_key.algorithm(), &selection, &headers, &[0; 32]);
        let field = prepared.sign(&signing_key).unwrap();

        let text = format!("{}:{}", field.name(), field.value());
        for line in text.split("\r\n") {
            let columns = line.len() + 7 * usize::from(line.starts_with('\t'));
            let alone = !line.trim_end().trim_start_matches('\t').contains(' ');
            prop_assert!(columns <= 78 || (alone && !line.contains("b=")), "{columns}: {line}");
            prop_assert!(!line.contains('\r') && !line.contains('\n') && !line.ends_with(' '), "{line:?}");
            prop_assert!(line.starts_with("DKIM-Signature: v=1; ") || line.starts_with('\t'), "{line:?}");
        }
        prop_assert!(verifies(&field, &headers, key.public()));
    }
}
