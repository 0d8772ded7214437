use std::sync::Arc;

use super::*;
use crate::dkim::{Algorithm, KeyKind, PrivateKey};
use crate::keystore::ActiveKey;
use crate::names::Selector;

/// A key of example.com with that selector.
fn key(selector: &str) -> SignedBy {
    let key = PrivateKey::generate(KeyKind::Ed25519).unwrap().signing_key().unwrap();
    let (selector, algorithm) = (Selector::parse(selector).unwrap(), Algorithm::Ed25519Sha256);
    (DomainName::parse("example.com").unwrap(), ActiveKey { selector, algorithm, key: Arc::new(key) })
}

fn header(fields: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in fields {
        headers.push(name.as_bytes(), value.as_bytes(), Spacing::AsReceived);
    }
    headers
}

const BY_S1: &str = "v=1; a=ed25519-sha256; c=relaxed/simple; d=example.com; s=s1; h=from; bh=AAAA; b=AAAA";

/// A signature of s1 on top of the message, judged so.
fn seen(index: u32, body_hash: Check, key: Check) -> Seen {
    let signature = signatures(&header(&[("DKIM-Signature", BY_S1)])).remove(0);
    Seen { other: Other { index, is_fresh: true, signature }, body_hash, key }
}

fn resolved(part: Part, proven: bool, seen: &[Seen], changes: HeaderChanges) -> (bool, Vec<u32>) {
    let resolution = resolve(part, &[key("s1")], &[proven], seen, changes, SignAgain::No);
    (resolution.inserted[0], resolution.removed)
}

use Check::{Right, Unknown, Wrong};
use HeaderChanges::{AddAndChange, AddOnly};

#[test]
fn a_message_ends_with_one_valid_signature_whatever_is_there() {
    let cases = [
        (&[] as &[Seen], (true, vec![])),
        (&[seen(1, Right, Right)], (true, vec![1])),
        // Broken before it came to us: it harms nobody, and ours is needed.
        (&[seen(1, Wrong, Unknown)], (true, vec![])),
        (&[seen(1, Right, Right), seen(2, Wrong, Unknown), seen(3, Right, Wrong)], (true, vec![3, 1])),
        // Of the beginning of the body: our key made it, and so it is as good as ours.
        (&[seen(1, Unknown, Right)], (false, vec![])),
        (&[seen(1, Unknown, Wrong)], (true, vec![])),
        (&[seen(1, Unknown, Unknown)], (true, vec![])),
    ];
    for (number, (seen, expected)) in cases.into_iter().enumerate() {
        assert_eq!(resolved(Part::Successor, true, seen, AddAndChange), expected, "case {number}");
    }
}

#[test]
fn what_cannot_be_taken_away_is_left_as_it_is() {
    assert_eq!(resolved(Part::Successor, true, &[seen(1, Right, Right)], AddOnly), (false, vec![]));
    assert_eq!(resolved(Part::Successor, true, &[seen(1, Wrong, Unknown)], AddOnly), (true, vec![]));
    assert_eq!(resolved(Part::Successor, true, &[], AddOnly), (true, vec![]));
}

#[test]
fn a_key_that_the_other_signer_does_not_have_takes_nobodys_place_until_it_is_proven() {
    let foreign = [seen(1, Right, Wrong)];
    assert_eq!(resolved(Part::Successor, false, &foreign, AddAndChange), (false, vec![]));
    assert_eq!(resolved(Part::Successor, true, &foreign, AddAndChange), (true, vec![1]));
    let (own, proven) = ([key("s1")], ProvenKeys::default());
    assert_eq!(proven.with(&own, &foreign), [false]);
    assert_eq!(proven.with(&own, &[seen(1, Right, Right)]), [true]);
    assert_eq!(proven.with(&own, &foreign), [true], "remembered");
    assert_eq!(proven.with(&[key("s1")], &foreign), [false], "of another key of that name nothing is known");
}

#[test]
fn in_shadow_nothing_is_done_and_alone_nothing_is_doubled() {
    let genuine = [seen(1, Right, Right)];
    assert_eq!(resolved(Part::Shadow, true, &genuine, AddAndChange), (false, vec![]));
    assert_eq!(resolved(Part::Shadow, true, &[], AddAndChange), (false, vec![]));
    assert_eq!(resolved(Part::Signer, false, &genuine, AddAndChange), (false, vec![]));
    assert_eq!(resolved(Part::Signer, false, &[seen(1, Right, Wrong)], AddAndChange), (true, vec![]));
    let again = resolve(Part::Signer, &[key("s1")], &[false], &genuine, AddOnly, SignAgain::Yes);
    assert_eq!((again.inserted, again.removed), (vec![true], vec![]));
}

#[test]
fn only_what_stands_above_all_received_fields_was_made_just_before_us() {
    let other = BY_S1.replace("example.com", "example.net");
    let headers = header(&[
        ("DKIM-Signature", BY_S1),
        ("X-Other", ""),
        ("dkim-signature", &other),
        ("Received", "x"),
        ("DKIM-Signature", &other),
        ("From", "a@example.com"),
    ]);
    let others = Others::of(&headers);
    let found: Vec<_> = others.0.iter().map(|other| (other.index, other.is_fresh)).collect();
    assert_eq!(found, [(1, true), (2, true), (3, false)]);
    assert_eq!(others.fresh_domains().len(), 2);
    let domains = HashSet::from([DomainName::parse("example.com").unwrap()]);
    assert_eq!(Others::of(&headers).for_part(Part::Signer, &domains).0.len(), 1);
    assert_eq!(Others::of(&headers).for_part(Part::Shadow, &domains).0.len(), 2);
    let many: Vec<_> = std::iter::repeat_n(("DKIM-Signature", BY_S1), 100).collect();
    assert_eq!(Others::of(&header(&many)).0.len(), MAX_SIGNATURES);
}

#[test]
fn explanations_are_bounded_however_much_there_is_to_explain() {
    let signature = signatures(&header(&[("DKIM-Signature", BY_S1)])).remove(0).unwrap();
    let differences: Vec<Difference> = (0..100)
        .map(|_| Difference {
            record: Some((signature.domain.clone(), signature.selector.clone())),
            what: comparison::What::FieldsAdded(vec!["\u{fc}".repeat(300)]),
        })
        .collect();
    let mut fields = Vec::new();
    Beside { differences }.append_to(&mut fields);
    assert_eq!(fields[0], ("differences", Value::Text("fields_added".into())));
    let Value::Text(text) = &fields[1].1 else { panic!("{fields:?}") };
    assert!(text.len() <= LONGEST_EXPLANATION && text.len() > LONGEST_EXPLANATION - 4);
}
