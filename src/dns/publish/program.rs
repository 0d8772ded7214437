//! Programs of the administrator's, run for a bounded time with nothing of our environment.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::PublishError;
use super::error::ProgramProblem;
use crate::observation::presentation;

/// What is read of each of its outputs, in octets; the rest is thrown away.
const MOST_OUTPUT: u64 = 16 << 10;

/// A program that has ended by itself.
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    /// What it said last, fit to be shown.
    pub(crate) said: String,
}

/// Runs a program and its arguments to the end. When the time is over, it and the children in its process group are killed.
pub(crate) async fn run(command: &[String], input: &[u8], timeout: Duration) -> Result<Finished, PublishError> {
    let Some((program, arguments)) = command.split_first() else {
        let problem = ProgramProblem::Start(std::io::ErrorKind::NotFound.into());
        return Err(PublishError::Program { program: String::new(), problem, said: String::new() });
    };
    let failed = |problem, said| PublishError::Program { program: program.clone(), problem, said };
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let child = child.map_err(|error| failed(ProgramProblem::Start(error), String::new()))?;
    let mut group = Group::of(child);
    let Ok(finished) = tokio::time::timeout(timeout, group.finish(input)).await else {
        return Err(PublishError::Timeout { server: program.clone(), after: timeout });
    };
    let (status, stdout, stderr) = finished.map_err(|error| failed(ProgramProblem::Wait(error), String::new()))?;
    let said = last_words(&stderr);
    match status.code() {
        Some(code) => Ok(Finished { code, stdout, said }),
        None => Err(failed(ProgramProblem::Killed, said)),
    }
}

/// A program and its children, which end with this value, unless the program has ended by itself.
struct Group {
    child: Child,
    group: Option<Pid>,
}

impl Group {
    fn of(child: Child) -> Self {
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap_or(0)));
        Self { child, group }
    }

    async fn finish(&mut self, input: &[u8]) -> std::io::Result<(std::process::ExitStatus, Vec<u8>, Vec<u8>)> {
        let (stdin, stdout, stderr) = (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take());
        let write = async {
            if let Some(mut stdin) = stdin {
                // A program need not read what it is told.
                let _ = stdin.write_all(input).await;
            }
        };
        let ((), stdout, stderr, status) = tokio::join!(write, read(stdout), read(stderr), self.child.wait());
        // Its number may be another's from now on.
        self.group = None;
        Ok((status?, stdout, stderr))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

async fn read(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> Vec<u8> {
    let mut output = Vec::new();
    let Some(pipe) = pipe else { return output };
    let mut limited = pipe.take(MOST_OUTPUT);
    let _ = limited.read_to_end(&mut output).await;
    let _ = tokio::io::copy(&mut limited.into_inner(), &mut tokio::io::sink()).await;
    output
}

/// The last lines of what a program said.
fn last_words(stderr: &[u8]) -> String {
    let lines: Vec<&[u8]> = stderr.trim_ascii().split(|octet| *octet == b'\n').collect();
    let last = &lines[lines.len().saturating_sub(3)..];
    let shown: Vec<String> = last.iter().map(|line| presentation(&line[..line.len().min(300)])).collect();
    shown.join(" / ")
}
