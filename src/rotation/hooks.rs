//! The operator's programs.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::effect::Hook;
use crate::config::Hooks;
use crate::names::{DomainName, Selector};

/// Why a program counts as failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// It could not be run, or not be told what it is about.
    #[error("the hook {program} cannot be run")]
    Run {
        /// Its path.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ended with something else than 0.
    #[error("the hook {program} failed: {status}{}{message}", if message.is_empty() { "" } else { ": " })]
    Failed {
        /// Its path.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The last line that it wrote to standard error, fit to be shown.
        message: String,
    },
    /// It took too long, and was killed.
    #[error("the hook {program} did not end within {} s and was killed", after.as_secs_f64())]
    Timeout {
        /// Its path.
        program: String,
        /// How long it had.
        after: Duration,
    },
}

impl Hook {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::PrePublish => "pre_publish",
            Self::PostReady => "post_ready",
            Self::PostActivate => "post_activate",
            Self::PreWithdraw => "pre_withdraw",
        }
    }
}

/// What a program is told, as JSON on its standard input.
#[derive(Debug, Serialize)]
struct Told<'a> {
    version: u32,
    hook: &'static str,
    domain: &'a DomainName,
    selectors: &'a [Selector],
}

/// Runs the program of a hook, if there is one. It is told the domain and the selectors on its standard input.
///
/// # Errors
/// If it cannot be run, fails or takes too long.
pub(super) async fn run(
    hooks: &Hooks,
    hook: Hook,
    domain: &DomainName,
    selectors: &[Selector],
) -> Result<(), HookError> {
    let command = match hook {
        Hook::PrePublish => &hooks.pre_publish,
        Hook::PostReady => &hooks.post_ready,
        Hook::PostActivate => &hooks.post_activate,
        Hook::PreWithdraw => &hooks.pre_withdraw,
    };
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let failed = |source| HookError::Run { program: program.clone(), source };
    let told = Told { version: 1, hook: hook.name(), domain, selectors };
    let json = serde_json::to_vec(&told).map_err(|error| failed(error.into()))?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    let work = async {
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(&json).await {
                // It need not read what it is told.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                other => other?,
            }
        }
        child.wait_with_output().await
    };
    let output = match tokio::time::timeout(hooks.timeout, work).await {
        Ok(output) => output.map_err(failed)?,
        Err(_) => return Err(HookError::Timeout { program: program.clone(), after: hooks.timeout }),
    };
    if output.status.success() {
        return Ok(());
    }
    let last = output.stderr.split(|octet| *octet == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
    let message = crate::observation::presentation(&last[..last.len().min(500)]);
    Err(HookError::Failed { program: program.clone(), status: output.status, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Rotation;

    async fn shell(script: &str, timeout: Duration) -> Result<(), HookError> {
        let pre_publish = vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()];
        let hooks = Hooks { pre_publish, timeout, ..Rotation::default().hooks };
        let domain = DomainName::parse("example.com").unwrap();
        run(&hooks, Hook::PrePublish, &domain, &[Selector::parse("s1").unwrap()]).await
    }

    #[tokio::test]
    async fn a_hook_is_told_what_it_is_about_and_may_refuse() {
        let limit = Duration::from_secs(20);
        shell("grep -q '\"hook\":\"pre_publish\",\"domain\":\"example.com\",\"selectors\":\\[\"s1\"\\]'", limit)
            .await
            .unwrap();
        shell("exit 0", limit).await.unwrap();
        let error = shell("echo first >&2; echo 'not now' >&2; exit 7", limit).await.unwrap_err();
        assert!(error.to_string().ends_with("exit status: 7: not now"), "{error}");
    }

    #[tokio::test]
    async fn a_hook_that_hangs_is_killed() {
        let error = shell("exec sleep 60", Duration::from_millis(100)).await.unwrap_err();
        assert!(matches!(error, HookError::Timeout { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_hook_that_is_not_configured_is_none() {
        let domain = DomainName::parse("example.com").unwrap();
        run(&Rotation::default().hooks, Hook::PostReady, &domain, &[]).await.unwrap();
    }
}
