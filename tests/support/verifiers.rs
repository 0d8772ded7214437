//! Other people's verifiers, each asked what it thinks of every signature of every message.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::dialogue::{Dialogue, Verdict};
use super::process::Server;
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

/// dkimpy, which asks the DNS of this machine (/etc/resolv.conf) for the keys.
pub(crate) fn dkimpy_in_dns(messages: &[PathBuf]) -> Vec<Vec<Signature>> {
    let script = tools::support_file("verify_in_dns.py");
    let output = tools::run(Command::new(tools::own("venv/bin/python")).arg(script).args(messages));
    parsed("verify_in_dns.py", &String::from_utf8_lossy(&output.stdout), messages.len())
}

/// Mail::DKIM: Debian 12's knows no Ed25519.
pub(crate) fn mail_dkim(messages: &[PathBuf], records: &str) -> Vec<Vec<Signature>> {
    tools::installed(&["/usr/share/perl5/Mail/DKIM/Verifier.pm"], "libmail-dkim-perl");
    with_script(&tools::installed(&["/usr/bin/perl"], "perl"), "verify.pl", messages, records)
}

/// OpenDKIM: both algorithms, but only the first and the last signature of a message show in its answer. It is asked as
/// a milter: its test mode does not keep the white space after the colon, which simple canonicalisation needs.
pub(crate) fn opendkim(messages: &[PathBuf], records: &str) -> Vec<Vec<Signature>> {
    let scratch = Scratch::new("opendkim-verify");
    let socket = scratch.join("socket");
    let configuration = scratch.write(
        "opendkim.conf",
        format!(
            "Mode v\nSyslog no\nBackground no\nTestPublicKeys {}\nSocket local:{}\n",
            scratch.write("records", records).display(),
            socket.display()
        ),
    );
    let program = tools::installed(&["/usr/sbin/opendkim"], "opendkim");
    let mut daemon =
        Server::start(Command::new(program).arg("-f").arg("-x").arg(configuration), &scratch.join("opendkim.log"));
    daemon.wait_until("OpenDKIM to listen", || socket.exists());
    messages
        .iter()
        .map(|path| {
            let octets = fs::read(path).unwrap();
            let header_end = memchr::memmem::find(&octets, b"\r\n\r\n").unwrap();
            let header = std::str::from_utf8(&octets[..header_end]).unwrap();
            let fields = fields_as_milters_see_them(header);
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            // Not from this machine: that would be mail to sign.
            let mut dialogue = Dialogue::open_from(&socket, "203.0.113.5");
            dialogue.mail("VERIFY").unwrap();
            match dialogue.content("VERIFY", &fields, &octets[header_end + 4..]).unwrap() {
                Verdict::Signed(inserted) => inserted.iter().flat_map(|field| results(field)).collect(),
                other => panic!("OpenDKIM says nothing of {}: {other:?}", path.display()),
            }
        })
        .collect()
}

fn with_script(interpreter: &Path, script: &str, messages: &[PathBuf], records: &str) -> Vec<Vec<Signature>> {
    let scratch = Scratch::new("verify");
    let records = scratch.write("records", records);
    let output = tools::run(Command::new(interpreter).arg(tools::support_file(script)).arg(&records).args(messages));
    parsed(script, &String::from_utf8_lossy(&output.stdout), messages.len())
}

/// What the scripts print.
fn parsed(script: &str, printed: &str, messages: usize) -> Vec<Vec<Signature>> {
    let mut results = vec![Vec::new(); messages];
    for line in printed.lines() {
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

/// Names and values, the white space after the colon kept, folds as LF.
fn fields_as_milters_see_them(header: &str) -> Vec<(&str, String)> {
    let mut fields: Vec<(&str, String)> = Vec::new();
    for line in header.split("\r\n") {
        match fields.last_mut() {
            Some((_, value)) if line.starts_with([' ', '\t']) => {
                value.push('\n');
                value.push_str(line);
            }
            _ => {
                let (name, value) = line.split_once(':').unwrap();
                fields.push((name, value.to_owned()));
            }
        }
    }
    fields
}

/// The `dkim=` results of an Authentication-Results field.
fn results(field: &str) -> Vec<Signature> {
    field
        .split(';')
        .filter_map(|result| result.trim().strip_prefix("dkim="))
        .map(|result| {
            let property = |name: &str| {
                let value = result.split_ascii_whitespace().find_map(|word| word.strip_prefix(name));
                value.unwrap_or("?").to_owned()
            };
            Signature {
                selector: property("header.s="),
                algorithm: property("header.a="),
                outcome: if result.starts_with("pass") { Outcome::Pass } else { Outcome::Fail(result.to_owned()) },
            }
        })
        .collect()
}
