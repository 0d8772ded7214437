//! Other people's verifiers that stay: one process for many messages, records asked of a resolver.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::tools;
use super::verifiers::{Outcome, Signature};

/// A verifier that waits for messages.
pub(crate) struct Verifying {
    child: Child,
    messages: Option<ChildStdin>,
    results: BufReader<ChildStdout>,
}

impl Verifying {
    /// dkimpy: both algorithms.
    pub(crate) fn dkimpy(resolver: SocketAddr) -> Self {
        Self::start(Command::new(tools::own("venv/bin/python")).arg(tools::support_file("verify_all.py")), resolver)
    }

    /// Mail::DKIM: Debian 12's knows no Ed25519.
    pub(crate) fn mail_dkim(resolver: SocketAddr) -> Self {
        tools::installed(&["/usr/share/perl5/Mail/DKIM/Verifier.pm"], "libmail-dkim-perl");
        let perl = tools::installed(&["/usr/bin/perl"], "perl");
        Self::start(Command::new(perl).arg(tools::support_file("verify_all.pl")), resolver)
    }

    fn start(command: &mut Command, resolver: SocketAddr) -> Self {
        let command = command.arg(resolver.ip().to_string()).arg(resolver.port().to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let messages = child.stdin.take();
        let results = BufReader::new(child.stdout.take().unwrap());
        Self { child, messages, results }
    }

    /// What it thinks of a message's signatures, in the order of its fields.
    pub(crate) fn verify(&mut self, message: &[u8]) -> Vec<Signature> {
        self.ask("*", message)
    }

    /// What it thinks of the signature with this selector.
    pub(crate) fn verify_one(&mut self, message: &[u8], selector: &str) -> Vec<Signature> {
        self.ask(selector, message)
    }

    fn ask(&mut self, selector: &str, message: &[u8]) -> Vec<Signature> {
        let to = self.messages.as_mut().unwrap();
        to.write_all(format!("{selector} {}\n", message.len()).as_bytes()).unwrap();
        to.write_all(message).unwrap();
        to.flush().unwrap();
        let mut signatures = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.results.read_line(&mut line).unwrap() > 0, "the verifier ended");
            let line = line.trim_end_matches('\n');
            if line == "." {
                return signatures;
            }
            let columns: Vec<&str> = line.split('\t').collect();
            let [selector, algorithm, outcome, reason] = columns[..] else { panic!("the verifier said {line:?}") };
            signatures.push(Signature {
                selector: selector.to_owned(),
                algorithm: algorithm.to_owned(),
                outcome: match outcome {
                    "pass" => Outcome::Pass,
                    "unsupported" => Outcome::Unsupported(reason.to_owned()),
                    _ => Outcome::Fail(reason.to_owned()),
                },
            });
        }
    }
}

impl Drop for Verifying {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.messages.take());
        self.child.wait().ok();
    }
}
