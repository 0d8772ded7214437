//! Our own programs, run as an administrator runs them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde::Deserialize;

use super::messages::DOMAINS;
use super::process::Server;
use super::scratch::{Scratch, eventually};
use super::tools;

/// A configuration and a key store with active RSA and Ed25519 keys for the message set's domains.
pub(crate) struct Installation {
    folder: PathBuf,
    records: String,
}

/// One line of the daemon's log about one message.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LogLine {
    pub(crate) event: String,
    #[serde(default)]
    pub(crate) queue_id: String,
    #[serde(default)]
    pub(crate) decision: String,
    #[serde(default)]
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) d: String,
    #[serde(default)]
    pub(crate) s: String,
    #[serde(default)]
    pub(crate) a: String,
    #[serde(default)]
    pub(crate) bytes: u64,
}

#[derive(Deserialize)]
struct Record {
    name: String,
    value: String,
}

impl Installation {
    /// Makes one in `scratch`, with `waxseal init` and `waxseal activate`.
    pub(crate) fn new(scratch: &Scratch) -> Self {
        let folder = scratch.join("waxseal");
        tools::run(cli().arg("init").arg("--dir").arg(&folder).arg("--yes").args(DOMAINS));
        let mut installation = Self { folder, records: String::new() };
        tools::run(installation.command("activate").arg("--yes").args(DOMAINS));
        let printed = tools::run(installation.command("record").args(DOMAINS).args(["--format", "json"]));
        let records: Vec<Record> = serde_json::from_slice(&printed.stdout).unwrap();
        installation.records = records.iter().map(|record| format!("{} {}\n", record.name, record.value)).collect();
        installation.configure("");
        installation
    }

    /// The records to verify against, one a line: name, blank, value.
    pub(crate) fn records(&self) -> &str {
        &self.records
    }

    /// The configuration file's path.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.folder.join("waxseal.toml")
    }

    /// Writes the configuration: the tests' own basis and `settings`, whole tables of TOML.
    pub(crate) fn configure(&self, settings: &str) {
        // Not the system's: tests run beside one another.
        self.configure_with_control(&format!("[control]\nsocket = \"control.sock\"\n{settings}"));
    }

    /// The same where `settings` say of `[control]` what is to be said.
    pub(crate) fn configure_with_control(&self, settings: &str) {
        let basis = "version = 1\n[keys]\nstore = \"keys\"\n[log]\nformat = \"json\"\ntarget = \"stderr\"\n";
        self.write_configuration(&format!("{basis}{settings}"));
    }

    /// Replaces the configuration by this text, in one step.
    pub(crate) fn write_configuration(&self, text: &str) {
        let new = self.folder.join("new.toml");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.configuration()).unwrap();
    }

    /// `waxseal --config … SUBCOMMAND`.
    pub(crate) fn command(&self, subcommand: &str) -> Command {
        let mut command = cli();
        command.arg("--config").arg(self.configuration()).arg(subcommand);
        command
    }

    /// Signs a message with `waxseal sign`; the signed message.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let output = with_input(&mut self.command("sign"), message);
        assert!(output.status.success(), "waxseal sign: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Starts the daemon on a Unix socket in `scratch` that every user may connect to.
    pub(crate) fn start(&self, scratch: &Scratch) -> Daemon {
        self.start_listening(scratch, "")
    }

    /// The same with more settings.
    pub(crate) fn start_listening(&self, scratch: &Scratch, settings: &str) -> Daemon {
        let socket = scratch.join("milter.sock");
        let listener = format!("[[listener]]\nsocket = \"unix:{}\"\nmode = \"0666\"\n", socket.display());
        self.configure(&format!("{listener}{settings}"));
        let mut server = Server::start(
            Command::new(env!("CARGO_BIN_EXE_waxseald")).arg("--config").arg(self.configuration()),
            &scratch.join("waxseald.log"),
        );
        server.wait_until("waxseald to listen", || socket.exists());
        Daemon { server, socket, listener }
    }
}

/// A running `waxseald`.
pub(crate) struct Daemon {
    pub(crate) server: Server,
    socket: PathBuf,
    listener: String,
}

impl Daemon {
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The `[[listener]]` it was started with, for configurations that replace the first.
    pub(crate) fn listener(&self) -> &str {
        &self.listener
    }

    /// The lines about messages so far.
    pub(crate) fn messages(&self) -> Vec<LogLine> {
        let lines = self.server.output();
        let parsed = lines.lines().filter_map(|line| serde_json::from_str::<LogLine>(line).ok());
        parsed.filter(|line| line.event == "message").collect()
    }

    /// The line about the message with this queue id; waits for it.
    pub(crate) fn message(&self, queue_id: &str) -> LogLine {
        eventually(&format!("the log line of {queue_id}"), Duration::from_secs(5), || {
            self.messages().into_iter().find(|line| line.queue_id == queue_id)
        })
    }

    /// Waits until the log has this text `count` times.
    pub(crate) fn wait_for_log(&self, text: &str, count: usize) {
        eventually(&format!("{text:?} {count} times in the daemon's log"), Duration::from_secs(10), || {
            (self.server.output().matches(text).count() >= count).then_some(())
        });
    }

    /// A figure of /proc/PID/status in KB.
    pub(crate) fn kilobytes(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub(crate) fn reload(&self) {
        self.server.signal(Signal::HUP);
    }

    pub(crate) fn terminate(&self) {
        self.server.signal(Signal::TERM);
    }
}

/// The key management program, without colours.
fn cli() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
    command.arg("--color").arg("never");
    command
}

/// Runs a command with this input.
pub(crate) fn with_input(command: &mut Command, input: &[u8]) -> std::process::Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        // Beside reading, for an input larger than a pipe.
        scope.spawn(move || stdin.write_all(input).ok());
        child.wait_with_output().unwrap()
    })
}
