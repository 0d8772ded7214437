//! `waxseal bench milter` as the load, and what it says.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

use crate::support::Daemon;

/// A load that runs.
pub(crate) struct Bench(Child);

/// What came of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Figures {
    pub(crate) messages: u64,
    pub(crate) signed: u64,
    pub(crate) unsigned: u64,
    pub(crate) deferred: u64,
    pub(crate) refused: u64,
    pub(crate) discarded: u64,
    pub(crate) lost: u64,
    pub(crate) offered_per_second: f64,
    pub(crate) signed_per_second: f64,
    pub(crate) signed_message: Option<Percentiles>,
    pub(crate) deferred_message: Option<Percentiles>,
    pub(crate) whole_message: Option<Percentiles>,
    pub(crate) late: Option<Percentiles>,
    pub(crate) process: Option<Process>,
    pub(crate) first_problem: Option<String>,
    pub(crate) first_reply: Option<String>,
}

/// In microseconds.
#[derive(Debug, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// In octets.
#[derive(Debug, Deserialize)]
pub(crate) struct Process {
    pub(crate) resident_before: u64,
    pub(crate) resident_peak: u64,
}

impl Bench {
    /// Begins a load of mail from an author with keys.
    pub(crate) fn start(socket: &Path, arguments: &str) -> Self {
        Self::start_by(&[], socket, arguments)
    }

    /// The same, by a program with arguments that becomes the load tool.
    pub(crate) fn start_by(program: &[&str], socket: &Path, arguments: &str) -> Self {
        let words = [program, &[env!("CARGO_BIN_EXE_waxseal")]].concat();
        let child = Command::new(words[0])
            .args(&words[1..])
            .args(["bench", "milter", "--format", "json", "--from", "ada@example.test", "--connect"])
            .arg(format!("unix:{}", socket.display()))
            .args(arguments.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Its figures, at its end.
    pub(crate) fn finish(self) -> Figures {
        let output = self.0.wait_with_output().unwrap();
        serde_json::from_slice(&output.stdout).expect("the load tool has figures")
    }

    /// Kills it.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Figures {
    /// Every message of ours was signed or deferred.
    pub(crate) fn assert_accounted(&self) {
        assert_eq!((self.lost, self.unsigned, self.refused, self.discarded), (0, 0, 0, 0), "{self:#?}");
        assert_eq!(self.signed + self.deferred, self.messages, "{self:#?}");
        assert!(self.signed > 0, "{self:#?}");
    }

    /// Every message passed.
    pub(crate) fn assert_passed(&self) {
        assert_eq!((self.unsigned, self.lost), (self.messages, 0), "{self:#?}");
    }
}

/// The daemon's own count, one line a message.
pub(crate) fn counted(daemon: &Daemon, decision: &str) -> u64 {
    let lines = daemon.messages();
    u64::try_from(lines.iter().filter(|line| line.decision == decision).count()).unwrap()
}
