//! The operator's programs.

use serde::Serialize;

use super::effect::Hook;
use crate::config::Hooks;
use crate::dns::publish::{PublishError, run_program};
use crate::names::{DomainName, Selector};

/// Why a program counts as failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// It could not be run, was killed by a signal, or did not end in time and was killed with its children.
    #[error("the hook {hook} failed")]
    Run {
        /// Its name in the configuration.
        hook: &'static str,
        /// What happened.
        source: PublishError,
    },
    /// It ended with something else than 0.
    #[error("the hook {program} failed with exit code {code}{}{said}", if said.is_empty() { "" } else { ": " })]
    Failed {
        /// Its path.
        program: String,
        /// How it ended.
        code: i32,
        /// The last lines that it wrote to standard error, fit to be shown.
        said: String,
    },
    /// What it is to be told cannot be written down. A defect.
    #[error("what the hook {hook} is told is no JSON")]
    Told {
        /// Its name in the configuration.
        hook: &'static str,
        /// Why not.
        source: serde_json::Error,
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

/// Runs the program of a hook, if there is one. It is told the domain and the selectors on its standard input, and has
/// nothing of our environment: neither secrets nor where they are.
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
    let Some(program) = command.first() else { return Ok(()) };
    let hook = hook.name();
    let told = Told { version: 1, hook, domain, selectors };
    let json = serde_json::to_vec(&told).map_err(|source| HookError::Told { hook, source })?;
    let finished = run_program(command, &json, hooks.timeout).await;
    let finished = finished.map_err(|source| HookError::Run { hook, source })?;
    match finished.code {
        0 => Ok(()),
        code => Err(HookError::Failed { program: program.clone(), code, said: finished.said }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        assert!(error.to_string().ends_with("exit code 7: first / not now"), "{error}");
    }

    #[tokio::test]
    async fn a_hook_that_hangs_is_killed() {
        let scratch = tempfile::tempdir().unwrap();
        let late = scratch.path().join("late");
        // With its children.
        let script = format!("(sleep 2; touch {}) & sleep 60", late.display());
        let error = shell(&script, Duration::from_millis(100)).await.unwrap_err();
        assert!(matches!(error, HookError::Run { source: PublishError::Timeout { .. }, .. }), "{error}");
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(!late.exists());
    }

    #[tokio::test]
    async fn a_hook_has_nothing_of_our_environment() {
        // Cargo sets it, as systemd sets CREDENTIALS_DIRECTORY.
        let script =
            "test -z \"$CARGO_MANIFEST_DIR\" && test \"$(env | cut -d= -f1 | sort | tr '\\n' ' ')\" = 'LANG PATH PWD '";
        shell(script, Duration::from_secs(20)).await.unwrap();
    }

    #[tokio::test]
    async fn a_hook_that_cannot_be_run_has_failed() {
        let pre_publish = vec!["/nonexistent/hook".to_owned()];
        let hooks = Hooks { pre_publish, ..Rotation::default().hooks };
        let domain = DomainName::parse("example.com").unwrap();
        let error = run(&hooks, Hook::PrePublish, &domain, &[]).await.unwrap_err();
        let chain = crate::finding::Chain(&error).to_string();
        assert!(chain.contains("pre_publish") && chain.contains("/nonexistent/hook"), "{chain}");
    }

    #[tokio::test]
    async fn a_hook_that_is_not_configured_is_none() {
        let domain = DomainName::parse("example.com").unwrap();
        run(&Rotation::default().hooks, Hook::PostReady, &domain, &[]).await.unwrap();
    }
}
