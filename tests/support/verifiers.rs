//! Other people's verifiers, each asked what it thinks of every signature of every message.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::scratch::Scratch;
use super::tools;

/// One signature as a verifier sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) selector: String,
    pub(crate) algorithm: String,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Pass,
    Fail(String),
    /// The verifier does not know the algorithm.
    Unsupported(String),
}

/// dkimpy: both algorithms. One list a message, in the order of its fields.
pub(crate) fn dkimpy(messages: &[PathBuf], records: &str) -> Vec<Vec<Signature>> {
    with_script(&tools::own("venv/bin/python"), "verify.py", messages, records)
}

/// Mail::DKIM: Debian 12's knows no Ed25519.
pub(crate) fn mail_dkim(messages: &[PathBuf], records: &str) -> Vec<Vec<Signature>> {
    tools::installed(&["/usr/share/perl5/Mail/DKIM/Verifier.pm"], "libmail-dkim-perl");
    with_script(&tools::installed(&["/usr/bin/perl"], "perl"), "verify.pl", messages, records)
}

/// OpenDKIM: both algorithms, but only the first and the last signature of a message show in its answer.
pub(crate) fn opendkim(messages: &[PathBuf], records: &str) -> Vec<Vec<Signature>> {
    let scratch = Scratch::new("opendkim-verify");
    let keys = scratch.write("records", records);
    let configuration =
        scratch.write("opendkim.conf", format!("Mode v\nSyslog no\nTestPublicKeys {}\n", keys.display()));
    let program = tools::installed(&["/usr/sbin/opendkim"], "opendkim");
    messages
        .iter()
        .map(|message| {
            let output =
                tools::run(Command::new(&program).arg("-x").arg(&configuration).arg("-t").arg(message).arg("-vv"));
            results_of_test_mode(&String::from_utf8_lossy(&output.stdout))
        })
        .collect()
}

/// The message with only its `index`th DKIM-Signature; for verifiers that look at some of them only. The others are
/// in nobody's h=.
pub(crate) fn without_other_signatures(message: &[u8], index: usize) -> Vec<u8> {
    let header_end = memchr::memmem::find(message, b"\r\n\r\n").map_or(message.len(), |at| at + 2);
    let (mut out, mut seen, mut skipping) = (Vec::with_capacity(message.len()), 0, false);
    for line in message[..header_end].split_inclusive(|&octet| octet == b'\n') {
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            skipping = false;
            if line.get(..15).is_some_and(|name| name.eq_ignore_ascii_case(b"DKIM-Signature:")) {
                skipping = seen != index;
                seen += 1;
            }
        }
        if !skipping {
            out.extend_from_slice(line);
        }
    }
    out.extend_from_slice(&message[header_end..]);
    out
}

fn with_script(interpreter: &Path, script: &str, messages: &[PathBuf], records: &str) -> Vec<Vec<Signature>> {
    let scratch = Scratch::new("verify");
    let records = scratch.write("records", records);
    let output = tools::run(Command::new(interpreter).arg(tools::support_file(script)).arg(&records).args(messages));
    let mut results = vec![Vec::new(); messages.len()];
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let [number, selector, algorithm, outcome, reason] = columns[..] else { panic!("{script} said {line:?}") };
        results[number.parse::<usize>().unwrap()].push(Signature {
            selector: selector.to_owned(),
            algorithm: algorithm.to_owned(),
            outcome: match outcome {
                "pass" => Outcome::Pass,
                "unsupported" => Outcome::Unsupported(reason.to_owned()),
                _ => Outcome::Fail(reason.to_owned()),
            },
        });
    }
    results
}

/// The `dkim=` results of the Authentication-Results field that `opendkim -t` would insert.
fn results_of_test_mode(output: &str) -> Vec<Signature> {
    let Some((_, field)) = output.split_once("hname='Authentication-Results' hvalue='") else { return Vec::new() };
    field
        .split(';')
        .filter_map(|result| result.trim().strip_prefix("dkim="))
        .map(|result| {
            let property = |name: &str| {
                let value = result.split_ascii_whitespace().find_map(|word| word.strip_prefix(name));
                value.unwrap_or("?").trim_end_matches('\'').to_owned()
            };
            Signature {
                selector: property("header.s="),
                algorithm: property("header.a="),
                outcome: if result.starts_with("pass") { Outcome::Pass } else { Outcome::Fail(result.to_owned()) },
            }
        })
        .collect()
}

/// Reads the records of a `TestPublicKeys` file.
pub(crate) fn records_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
