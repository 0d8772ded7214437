//! OpenDKIM itself, asked what it does with a message: it is run with its own configuration on a socket of our own, and we
//! play the MTA.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use tempfile::TempDir;

use crate::config::Accounts;
use crate::files::accounts::SystemAccounts;
use crate::import::{Comparison, Sample, Selection, Signature};
use crate::milter::mta::{Answer, Delivery, Envelope, Expect, Message, Mta, Outcome, Step};
use crate::milter::{Client, Offer};

/// Where packages put it.
pub(super) const PROGRAM: &str = "/usr/sbin/opendkim";

/// It reads its tables before it listens.
const START: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);
/// For each of its answers.
const ANSWER: Duration = Duration::from_secs(20);

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct ThroughProgram {
    pub(super) program: PathBuf,
    /// Messages with which it did not do what the model says.
    pub(super) unlike_model: Vec<String>,
    #[serde(flatten)]
    pub(super) comparison: Comparison,
}

/// A running OpenDKIM; stopped when dropped.
pub(super) struct Real {
    child: Child,
    directory: TempDir,
}

impl Real {
    /// Starts it with its own configuration, save that it only signs, and on a socket of ours.
    pub(super) fn start(program: &Path, config: &Path, user: Option<&str>) -> anyhow::Result<Self> {
        let directory = TempDir::new().context("no temporary directory can be made")?;
        let path = directory.path();
        // It gives up root for its own user, who makes the socket there.
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        if rustix::process::geteuid().is_root() {
            let name = user.and_then(|user| user.split([':', '.']).next());
            let owner = name.and_then(|name| SystemAccounts.user(name));
            std::os::unix::fs::chown(path, owner, None)?;
        }
        let own = path.join("opendkim.conf");
        let settings = format!(
            "Include {}\nMode s\nAutoRestart no\nBackground no\nSyslog no\nLogWhy no\nPidFile {}\nSocket local:{}\n",
            config.display(),
            path.join("pid").display(),
            path.join("socket").display()
        );
        fs::write(&own, settings)?;
        fs::set_permissions(&own, fs::Permissions::from_mode(0o644))?;
        let mut command = Command::new(program);
        command.arg("-f").arg("-x").arg(&own).stdin(Stdio::null()).stdout(Stdio::null());
        let log = fs::File::create(path.join("log"))?;
        let child = command.stderr(log).spawn().with_context(|| format!("{} cannot be run", program.display()))?;
        let mut real = Self { child, directory };
        real.wait_until_it_listens()?;
        Ok(real)
    }

    fn wait_until_it_listens(&mut self) -> anyhow::Result<()> {
        let mut waited = Duration::ZERO;
        while waited < START {
            if UnixStream::connect(self.socket()).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read(self.directory.path().join("log")).unwrap_or_default();
                bail!("it ended with {status}: {}", String::from_utf8_lossy(&log).trim());
            }
            thread::sleep(PAUSE);
            waited += PAUSE;
        }
        bail!("it did not listen within {} s", START.as_secs())
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// What it does with a message.
    pub(super) fn select(&self, sample: &Sample) -> anyhow::Result<Selection> {
        let message = message(sample)?;
        let mut connection = Connection::open(&self.socket())?;
        let client = sample.client.unwrap_or([127, 0, 0, 1].into());
        connection.mta.set_macro("j", b"mail.sample.invalid");
        for (name, value) in &sample.macros {
            let name = if name.len() == 1 { name.clone() } else { format!("{{{name}}}") };
            connection.mta.set_macro(&name, value);
        }
        let client = Client::Inet { address: client, port: 40_000 };
        let expect = connection.mta.connect(sample.host.as_bytes(), client, &mut connection.out);
        if connection.go_on(expect)? == GoOn::Accepted {
            return Ok(Selection::Passes);
        }
        let expect = connection.mta.helo(b"client.sample.invalid", &mut connection.out);
        if connection.go_on(expect)? == GoOn::Accepted {
            return Ok(Selection::Passes);
        }
        let bracketed = |address: &String| format!("<{address}>").into_bytes();
        let envelope = Envelope {
            sender: bracketed(&sample.sender),
            recipients: sample.recipients.iter().map(bracketed).collect(),
            queue_id: b"SAMPLE".to_vec(),
        };
        connection.deliver(&envelope, &message)
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn message(sample: &Sample) -> anyhow::Result<Message> {
    let mut octets = Vec::new();
    for field in sample.headers.iter() {
        octets.extend_from_slice(field.raw().trim_ascii_end());
        octets.extend_from_slice(b"\r\n");
    }
    octets.extend_from_slice(b"\r\nA sample.\r\n");
    Message::parse(&octets).with_context(|| format!("{} is no message", sample.name))
}

/// What an answer before the message means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GoOn {
    Continue,
    Accepted,
}

struct Connection {
    stream: UnixStream,
    mta: Mta,
    out: Vec<u8>,
    input: Vec<u8>,
}

impl Connection {
    fn open(socket: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        let mut connection = Self { stream, mta: Mta::new(Offer::POSTFIX), out: Vec::new(), input: Vec::new() };
        connection.mta.negotiate(&mut connection.out);
        connection.flush()?;
        loop {
            if let Some(consumed) = connection.mta.negotiated(&connection.input)? {
                connection.input.drain(..consumed);
                return Ok(connection);
            }
            connection.read()?;
        }
    }

    fn go_on(&mut self, expect: Expect) -> anyhow::Result<GoOn> {
        if expect == Expect::Nothing {
            return Ok(GoOn::Continue);
        }
        self.flush()?;
        loop {
            if let Some((consumed, answer)) = Answer::parse(&self.input)? {
                let went = match answer {
                    Answer::Continue => Some(GoOn::Continue),
                    Answer::Accept => Some(GoOn::Accepted),
                    _ => None,
                };
                self.input.drain(..consumed);
                return went.context("it refused the connection");
            }
            self.read()?;
        }
    }

    fn deliver(&mut self, envelope: &Envelope, message: &Message) -> anyhow::Result<Selection> {
        let mut delivery = Delivery::new();
        let mut signatures = Vec::new();
        loop {
            match delivery.step(&mut self.mta, envelope, message, &mut self.out) {
                Step::Flush => self.flush()?,
                Step::Await => {
                    self.flush()?;
                    self.answers(&mut delivery, &mut signatures)?;
                }
                Step::Finished(outcome) => {
                    return Ok(match outcome {
                        Outcome::Deferred(_) => Selection::Defers,
                        _ if signatures.is_empty() => Selection::Passes,
                        _ => Selection::Signs(signatures),
                    });
                }
            }
        }
    }

    /// Reads answers up to a final one; keeps signatures.
    fn answers(&mut self, delivery: &mut Delivery, signatures: &mut Vec<Signature>) -> anyhow::Result<()> {
        loop {
            while let Some((consumed, answer)) = Answer::parse(&self.input)? {
                delivery.answered(&answer)?;
                if let Answer::InsertHeader { name, value, .. } | Answer::AddHeader { name, value } = answer
                    && name.eq_ignore_ascii_case(b"DKIM-Signature")
                {
                    signatures.extend(signature(value));
                }
                let is_final = answer.is_final();
                self.input.drain(..consumed);
                if is_final {
                    return Ok(());
                }
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> anyhow::Result<()> {
        let mut scratch = [0; 4096];
        match self.stream.read(&mut scratch)? {
            0 => bail!("it closed the connection"),
            read => self.input.extend_from_slice(&scratch[..read]),
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }
}

/// d=, s= and i= of a signature's field.
fn signature(value: &[u8]) -> Option<Signature> {
    let text: String = String::from_utf8_lossy(value).split_whitespace().collect();
    let tag = |name: &str| text.split(';').find_map(|tag| tag.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned);
    Some(Signature { domain: tag("d")?, selector: tag("s")?, identity: tag("i") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_known_by_its_tags_however_it_is_folded() {
        let found = signature(b"v=1; a=rsa-sha256; c=relaxed/simple;\n\td=example.com; s=mail; i=@exam\n ple.com; b=x");
        let expected =
            Signature { domain: "example.com".into(), selector: "mail".into(), identity: Some("@example.com".into()) };
        assert_eq!(found, Some(expected));
        assert_eq!(signature(b"v=1; d=example.com"), None);
    }
}
