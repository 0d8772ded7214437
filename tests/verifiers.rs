//! Signatures over the message set, in all canonicalisations, as other people's verifiers see them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program"
)]

mod support;

use std::path::PathBuf;

use support::*;

const CANONICALIZATIONS: [&str; 4] = ["relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"];

/// The set as `waxseal sign` signs it.
struct Signed {
    names: Vec<&'static str>,
    paths: Vec<PathBuf>,
    records: String,
    _scratch: Scratch,
}

/// Signs the set, a bare CR or LF excepted: a message of a file has only one kind of line end.
fn sign_all(canonicalization: &str) -> Signed {
    let scratch = Scratch::new("verifiers");
    let installation = Installation::new(&scratch);
    installation.configure(&format!("[signing]\ncanonicalization = \"{canonicalization}\"\n"));
    let (mut names, mut paths) = (Vec::new(), Vec::new());
    for message in message_set().into_iter().filter(|message| !message.name.starts_with("bare-")) {
        let signed = installation.sign(&message.octets);
        // Only what is missing at the end is added: the last line's end, and the header's.
        let ended = [&message.octets, b"\r\n".as_slice()].concat();
        let is_ended = message.octets.ends_with(b"\r\n") && message.name != "header-only";
        let expected = if is_ended { &message.octets } else { &ended };
        assert!(signed.ends_with(expected), "{}: signing changed the message", message.name);
        names.push(message.name);
        paths.push(scratch.write(&format!("{}.eml", message.name), signed));
    }
    Signed { names, paths, records: installation.records().to_owned(), _scratch: scratch }
}

/// Every complaint about signatures that are not as they should be.
fn complaints(signed: &Signed, results: &[Vec<Signature>], is_right: impl Fn(&Signature) -> bool) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, signatures) in signed.names.iter().zip(results) {
        let mut algorithms: Vec<&str> = signatures.iter().map(|signature| signature.algorithm.as_str()).collect();
        algorithms.sort_unstable();
        if algorithms != ["ed25519-sha256", "rsa-sha256"] {
            complaints.push(format!("{name}: signed with {algorithms:?}"));
        }
        complaints.extend(signatures.iter().filter(|signature| !is_right(signature)).map(|s| format!("{name}: {s:?}")));
    }
    complaints
}

#[test]
#[ignore = "needs dkimpy; tests/run-all installs it"]
fn every_signature_verifies_in_dkimpy() {
    for canonicalization in CANONICALIZATIONS {
        let signed = sign_all(canonicalization);
        let results = dkimpy(&signed.paths, &signed.records);
        let complaints = complaints(&signed, &results, |signature| signature.outcome == Outcome::Pass);
        assert!(complaints.is_empty(), "{canonicalization}:\n{}", complaints.join("\n"));
    }
}

#[test]
#[ignore = "needs Mail::DKIM; tests/run-all installs it"]
fn every_rsa_signature_verifies_in_mail_dkim_which_knows_no_ed25519() {
    for canonicalization in CANONICALIZATIONS {
        let signed = sign_all(canonicalization);
        let results = mail_dkim(&signed.paths, &signed.records);
        let complaints = complaints(&signed, &results, |signature| match signature.algorithm.as_str() {
            "ed25519-sha256" => matches!(signature.outcome, Outcome::Unsupported(_) | Outcome::Pass),
            _ => signature.outcome == Outcome::Pass,
        });
        assert!(complaints.is_empty(), "{canonicalization}:\n{}", complaints.join("\n"));
    }
}

#[test]
#[ignore = "needs OpenDKIM; tests/run-all installs it"]
fn every_signature_verifies_in_opendkim() {
    for canonicalization in CANONICALIZATIONS {
        let signed = sign_all(canonicalization);
        let results = opendkim(&signed.paths, &signed.records);
        let complaints = complaints(&signed, &results, |signature| signature.outcome == Outcome::Pass);
        assert!(complaints.is_empty(), "{canonicalization}:\n{}", complaints.join("\n"));
    }
}

#[test]
#[ignore = "needs dkimpy, Mail::DKIM and OpenDKIM; tests/run-all installs them"]
fn a_changed_message_fails_in_all_of_them() {
    let scratch = Scratch::new("verifiers");
    let installation = Installation::new(&scratch);
    let signed = String::from_utf8(installation.sign(&message_set()[0].octets)).unwrap();
    let changed = [
        signed.replace("this is plain text", "this is plain test"),
        signed.replace("Subject: Plain", "Subject: Pain"),
        // Oversigned: a second one may not be added.
        signed.replace("Subject: Plain", "Subject: Other\r\nSubject: Plain"),
    ];
    let paths: Vec<PathBuf> =
        (0..).zip(&changed).map(|(number, message)| scratch.write(&format!("{number}.eml"), message)).collect();
    for (verifier, results) in [
        ("dkimpy", dkimpy(&paths, installation.records())),
        ("Mail::DKIM", mail_dkim(&paths, installation.records())),
        ("OpenDKIM", opendkim(&paths, installation.records())),
    ] {
        for (message, signatures) in changed.iter().zip(results) {
            assert_ne!(*message, signed);
            assert_eq!(signatures.len(), 2, "{verifier}");
            assert!(signatures.iter().all(|signature| signature.outcome != Outcome::Pass), "{verifier}: {message}");
        }
    }
}

#[test]
fn check_message_tells_a_good_message_from_a_changed_one() {
    let scratch = Scratch::new("verifiers");
    let installation = Installation::new(&scratch);
    let signed = installation.sign(&message_set()[0].octets);
    let records = scratch.write("records", installation.records());
    let check =
        |message: &[u8]| with_input(installation.command("check-message").arg("--records").arg(&records), message);
    let good = check(&signed);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stdout));
    let bad = check(&String::from_utf8(signed).unwrap().replace("plain text", "plain test").into_bytes());
    assert_eq!(bad.status.code(), Some(1), "{}", String::from_utf8_lossy(&bad.stdout));
}
