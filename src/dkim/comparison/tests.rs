use super::*;
use crate::dkim::verifier::signatures;
use crate::message::{Headers, Spacing};

const PLAIN: &str = "v=1; a=rsa-sha256; c=relaxed/simple; d=example.com; s=s1; t=1700000000; h=from:from:to:subject; \
                     bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA";

/// The signature `PLAIN` with these replacements.
fn signature(changes: &[(&str, &str)]) -> Result<ParsedSignature, InvalidSignature> {
    let mut text = PLAIN.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let mut headers = Headers::new();
    headers.push(b"DKIM-Signature", text.as_bytes(), Spacing::AsReceived);
    signatures(&headers).remove(0)
}

/// The differences between ours and theirs, as they are logged.
fn differences(ours: &[&[(&str, &str)]], theirs: &[&[(&str, &str)]]) -> Vec<String> {
    let ours: Vec<ParsedSignature> = ours.iter().map(|changes| signature(changes).unwrap()).collect();
    let theirs: Vec<_> = theirs.iter().map(|changes| signature(changes)).collect();
    let seen: Vec<Theirs<'_>> = theirs
        .iter()
        .map(|signature| Theirs { signature: signature.as_ref(), body_hash: Check::Right, key: Check::Unknown })
        .collect();
    shown(&compare(&ours, &seen))
}

fn shown(differences: &[Difference]) -> Vec<String> {
    differences.iter().map(ToString::to_string).collect()
}

#[test]
fn what_a_receiver_cannot_tell_apart_does_not_differ() {
    let other =
        [("t=1700000000", "t=1700000009"), ("from:from:to:subject", "Subject:To:From:From"), ("b=AAAA", "b=BBBB")];
    assert_eq!(differences(&[&[]], &[&other]), [""; 0]);
    let cases = [("d=example.com", "d=Example.COM"), ("c=relaxed/simple; ", "c=relaxed; i=@example.com; ")];
    assert_eq!(differences(&[&[]], &[&cases]), [""; 0]);
}

#[test]
fn each_difference_is_explained() {
    let of = |ours: (&str, &str), theirs: (&str, &str)| differences(&[&[ours]], &[&[theirs]]);
    let same = ("v=1", "v=1");
    let at = "s1._domainkey.example.com";
    assert_eq!(of(same, ("s=s1", "s=s2")), ["s2._domainkey.example.com: ours is s=s1"]);
    assert_eq!(of(("d=", "d=a."), same), [format!("{at}: ours is d=a.example.com")]);
    assert_eq!(of(same, ("a=rsa-sha256", "a=ed25519-sha256")), [format!("{at}: a=ed25519-sha256, ours rsa-sha256")]);
    assert_eq!(
        of(same, ("relaxed/simple", "simple/relaxed")),
        [format!("{at}: c=simple/relaxed, ours relaxed/simple")]
    );
    assert_eq!(of(same, ("subject", "subject:date")), [format!("{at}: our h= lacks date")]);
    assert_eq!(of(same, ("from:from", "from")), [format!("{at}: our h= has from besides")]);
    assert_eq!(of(same, ("; h=", "; l=12; h=")), [format!("{at}: l=12, ours is of the whole body")]);
    assert_eq!(
        of(("; h=", "; i=@a.example.com; h="), ("; h=", "; i=joe@example.com; h=")),
        [format!("{at}: i=joe@example.com, ours @a.example.com")]
    );
    assert_eq!(of(("; h=", "; x=1700000100; h="), same), [format!("{at}: valid without end, ours 100 s")]);
    assert_eq!(
        of(same, ("rsa-sha256", "rsa-sha1")),
        ["the signature uses rsa-sha1, which is no longer accepted", &format!("{at}: only we sign")]
    );
    assert_eq!(differences(&[], &[&[]]), [format!("{at}: only the other signs")]);
}

#[test]
fn what_was_found_out_about_body_and_key_is_told() {
    let (ours, theirs) = (signature(&[]).unwrap(), signature(&[]));
    let seen = [Theirs { signature: theirs.as_ref(), body_hash: Check::Wrong, key: Check::Wrong }];
    assert_eq!(
        shown(&compare(&[ours], &seen)),
        [
            "s1._domainkey.example.com: our key of this selector did not make it",
            "s1._domainkey.example.com: its bh= is not of this body"
        ]
    );
}

#[test]
fn each_signature_is_held_against_the_one_most_like_it() {
    let rsa: &[(&str, &str)] = &[("s=s1", "s=r")];
    let ed: &[(&str, &str)] = &[("s=s1", "s=e"), ("rsa-sha256", "ed25519-sha256")];
    let provider: &[(&str, &str)] = &[("d=example.com", "d=mail.example.net")];
    assert_eq!(differences(&[rsa, ed, provider], &[provider, ed, rsa]), [""; 0]);
    assert_eq!(differences(&[rsa, ed], &[rsa]), ["e._domainkey.example.com: only we sign"]);
    // The other signer's two of one selector: one has no counterpart.
    assert_eq!(differences(&[rsa], &[rsa, rsa]), ["r._domainkey.example.com: only the other signs"]);
    // Of an old selector, beside one of a provider.
    assert_eq!(
        differences(&[rsa], &[provider, ed]),
        [
            "e._domainkey.example.com: ours is s=r",
            "e._domainkey.example.com: a=ed25519-sha256, ours rsa-sha256",
            "s1._domainkey.mail.example.net: only the other signs"
        ]
    );
}
