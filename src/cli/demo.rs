//! `waxseal demo`.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use super::generate::KeyArgs;
use super::output::{FAINT, STRONG};
use super::{Exit, activate, check_message};
use crate::clock::Clock;
use crate::config::ListenAddress;
use crate::keystore::{Access, Directory, KeyStore};
use crate::manifest::{Choice, RetirementWaits};
use crate::message::Message;
use crate::milter::mta::{self, Answer, Delivery, Envelope, Mta, Outcome, Step};
use crate::milter::{Client, Offer};
use crate::names::DomainName;
use crate::record_format::{PublishedRecord, write_bind};

const DOMAIN: &str = "demo.example";

const MESSAGE: &str = "From: Demo <demo@demo.example>\r\n\
                       To: you@example.net\r\n\
                       Subject: A message to be signed\r\n\
                       Date: Mon, 23 Nov 2026 12:00:00 +0000\r\n\
                       Message-ID: <1@demo.example>\r\n\
                       \r\n\
                       If you can read this, it arrived.\r\n";

/// How long the daemon may take to listen, and to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Show everything at once: keys, a running daemon, a message signed and verified
///
/// Works in a new temporary directory and on a Unix socket in it; nothing else is touched, and nothing is left behind.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    keys: KeyArgs,

    /// Keep the directory, to look at it.
    #[arg(long)]
    keep: bool,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let mut directory = tempfile::Builder::new().prefix("waxseal-demo-").tempdir().with_context(|| {
        let scratch = std::env::temp_dir();
        format!("no directory can be made in {}; TMPDIR names another place", scratch.display())
    })?;
    directory.disable_cleanup(args.keep);
    let dir = directory.path();
    let domain = DomainName::parse(DOMAIN)?;
    let socket = dir.join("milter.sock");
    let listen: ListenAddress =
        format!("unix:{}", socket.display()).parse().context("let TMPDIR name a shorter path")?;

    heading(out, 1, "A key store, and keys for the domain")?;
    let store = Directory::create(&dir.join("keys"), Access::OneUser)?;
    let records = args.keys.make(&store, &domain)?;
    let manifest = store.manifest(&domain)?.context("the domain just made is not in the store")?;
    let activation = manifest.activate(Choice::Newest, RetirementWaits::default(), Clock::System.now())?;
    activate::commit(&store, &activation)?;
    for record in &records {
        writeln!(out, "  {}  {}", record.algorithm, record.selector)?;
    }

    heading(out, 2, "What you would publish in DNS")?;
    write_bind(out, &records)?;

    heading(out, 3, "waxseald, listening")?;
    let config = dir.join("waxseal.toml");
    let text =
        format!("version = 1\n\n[[listener]]\nsocket = \"{listen}\"\nmode = \"0600\"\n[control]\nsocket = \"off\"\n");
    fs::write(&config, text).with_context(|| format!("{} cannot be written", config.display()))?;
    let mut daemon = Daemon::start(&config, &dir.join("waxseald.log"))?;
    let connection = daemon.connect(&socket)?;
    writeln!(out, "  {FAINT}waxseald --config {}{FAINT:#}", config.display())?;

    heading(out, 4, "A message through the milter, as Postfix would hand it over")?;
    let signed = deliver(connection)?;
    out.write_all(String::from_utf8_lossy(&signed).replace("\r\n", "\n").as_bytes())?;
    let log = daemon.stop()?;
    writeln!(out, "\n{FAINT}{}{FAINT:#}", log.lines().find(|line| line.contains("queue_id=")).unwrap_or(log.trim()))?;

    heading(out, 5, "The signatures, verified against these records")?;
    let message = Message::parse(&signed)?;
    let value = |record: &PublishedRecord| Some(vec![record.value.clone().into_bytes()]);
    let records = records.iter().map(|record| (record.name.clone(), value(record))).collect();
    let verified = check_message::verify(&message, &records);
    check_message::write_text(out, &verified)?;
    let exit = check_message::exit(&verified);

    heading(out, 6, "What to type next, for a domain of yours")?;
    writeln!(out, "  waxseal init example.com             keys, configuration, the lines for Postfix and Sendmail")?;
    writeln!(out, "  waxseal --help                       everything else")?;
    if args.keep {
        writeln!(out, "\nkept: {}", dir.display())?;
    }
    Ok(exit)
}

fn heading(out: &mut dyn Write, number: u8, text: &str) -> std::io::Result<()> {
    writeln!(out, "\n{STRONG}{number}. {text}{STRONG:#}\n")
}

/// A running waxseald; killed when dropped.
struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts the waxseald that stands beside this program, else the one on the path.
    fn start(config: &Path, log: &Path) -> anyhow::Result<Self> {
        let beside = std::env::current_exe().ok().map(|waxseal| waxseal.with_file_name("waxseald"));
        let program = beside.filter(|path| path.exists()).unwrap_or_else(|| "waxseald".into());
        let lines = fs::File::create(log).with_context(|| format!("{} cannot be written", log.display()))?;
        let child = Command::new(&program)
            .arg("--config")
            .arg(config)
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::null())
            .stderr(lines)
            .spawn()
            .with_context(|| {
                format!(
                    "{} cannot be started; put it beside waxseal, or build both with: cargo build --release",
                    program.display()
                )
            })?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Connects as soon as it listens.
    fn connect(&mut self, socket: &Path) -> anyhow::Result<UnixStream> {
        let clock = Clock::System;
        let began = clock.monotonic();
        loop {
            match UnixStream::connect(socket) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE))?;
                    stream.set_write_timeout(Some(PATIENCE))?;
                    return Ok(stream);
                }
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {}
                Err(error) => return Err(error).with_context(|| format!("{}", socket.display())),
            }
            if self.child.try_wait()?.is_some() {
                bail!("waxseald did not start: {}", fs::read_to_string(&self.log)?.trim());
            }
            if clock.monotonic().saturating_duration_since(began) > PATIENCE {
                bail!("waxseald does not listen at {}", socket.display());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Lets it drain; its log.
    fn stop(mut self) -> anyhow::Result<String> {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        self.child.wait()?;
        Ok(fs::read_to_string(&self.log)?)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Ended already, or to be ended now; there is nothing to do about a failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Plays the MTA: the message as it would be delivered.
fn deliver(mut stream: UnixStream) -> anyhow::Result<Vec<u8>> {
    let mut mta = Mta::new(Offer::POSTFIX);
    mta.set_macro("{daemon_name}", b"ORIGINATING");
    let mut message = mta::Message::parse(MESSAGE.as_bytes())?;
    let envelope = Envelope {
        sender: b"<demo@demo.example>".to_vec(),
        recipients: vec![b"<you@example.net>".to_vec()],
        queue_id: b"4Demo1".to_vec(),
    };
    let (mut sent, mut received) = (Vec::new(), Vec::new());

    mta.negotiate(&mut sent);
    stream.write_all(&sent)?;
    loop {
        if let Some(octets) = mta.negotiated(&received)? {
            received.drain(..octets);
            break;
        }
        receive(&mut stream, &mut received)?;
    }
    sent.clear();
    let client = Client::Inet { address: Ipv4Addr::LOCALHOST.into(), port: 40_000 };
    let mut expected = [mta.connect(b"localhost", client, &mut sent), mta.helo(b"localhost", &mut sent)]
        .into_iter()
        .filter(|expect| *expect == mta::Expect::Reply)
        .count();
    stream.write_all(&sent)?;
    let mut delivery = Delivery::new();
    loop {
        while expected > 0 {
            let Some((octets, answer)) = Answer::parse(&received)? else {
                receive(&mut stream, &mut received)?;
                continue;
            };
            expected -= usize::from(answer.is_final());
            received.drain(..octets);
        }
        sent.clear();
        let step = delivery.step(&mut mta, &envelope, &message, &mut sent);
        stream.write_all(&sent)?;
        match step {
            Step::Flush => {}
            Step::Finished(Outcome::Accepted) => return Ok(message.octets()),
            Step::Finished(outcome) => bail!("the daemon did not accept the message: {outcome:?}"),
            Step::Await => loop {
                let Some((octets, answer)) = Answer::parse(&received)? else {
                    receive(&mut stream, &mut received)?;
                    continue;
                };
                message.apply(&answer, mta.value_spacing());
                delivery.answered(&answer)?;
                let is_final = answer.is_final();
                received.drain(..octets);
                if is_final {
                    break;
                }
            },
        }
    }
}

fn receive(stream: &mut UnixStream, received: &mut Vec<u8>) -> anyhow::Result<()> {
    let mut piece = [0; 4096];
    let octets = stream.read(&mut piece).context("the daemon does not answer")?;
    anyhow::ensure!(octets > 0, "the daemon closed the connection");
    received.extend_from_slice(&piece[..octets]);
    Ok(())
}
