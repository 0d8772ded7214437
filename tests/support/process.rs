//! A server process that is stopped when its value is dropped.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::scratch::eventually;

/// A running server, leader of its own process group, its output in a file.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `command` with its output (both streams) going to the file `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let output = File::create(log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { child, log: log.to_owned() }
    }

    /// Waits until `ready` says so; panics with the server's output if it ends before, or after 20 s.
    pub(crate) fn wait_until(&mut self, what: &str, mut ready: impl FnMut() -> bool) {
        let log = self.log.clone();
        eventually(&format!("{what}; see {}", log.display()), Duration::from_secs(20), || {
            if ready() {
                return Some(());
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the server ended with {status} while we waited for {what}:\n{}", self.output());
            }
            None
        });
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it has written so far.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end; panics if it does not come within `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        eventually("the server's end", limit, || self.child.try_wait().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.child);
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            // A moment to end by itself and take its children along, then by force.
            kill_process(group, Signal::TERM).ok();
            for _ in 0..100 {
                if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                    break;
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        kill_process_group(group, Signal::KILL).ok();
        self.child.wait().ok();
        if thread::panicking() {
            let output = self.output();
            let tail: Vec<&str> = output.lines().rev().take(40).collect();
            for line in tail.iter().rev() {
                eprintln!("{}: {line}", self.log.display());
            }
        }
    }
}
