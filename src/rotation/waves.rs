//! Many domains: a few at first, then the rest, so many at once, until too many fail.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::crew::{Crew, Halt, Limits, Standing};
use super::effect::RefusalKind;
use super::machine::Patrol;
use super::preview::{Preview, preview};
use super::runner::{Ran, RunError, Runner};
use crate::config::Waves;
use crate::config::values::Percent;
use crate::lifecycle::Silences;
use crate::names::DomainName;

/// What a domain may take at most. It is cut off then, and goes on at the next run.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// A domain that is to be worked on.
#[derive(Debug, Clone)]
pub struct Wave {
    /// Which.
    pub domain: DomainName,
    /// How far to look.
    pub patrol: Patrol,
    /// Since when servers are silent.
    pub silences: Silences,
    /// The last revision whose audit lines are written.
    pub audited: Option<u64>,
    /// Whether it failed the last time. Such come last and halt nothing: that they fail again says nothing new.
    pub standing: Standing,
}

/// A domain that was worked on.
#[derive(Debug)]
pub struct Finished {
    /// Which.
    pub domain: DomainName,
    /// How far it was looked.
    pub patrol: Patrol,
    /// What came of it; none: it is not in the store any more.
    pub result: Result<Option<Ran>, RunError>,
}

impl Finished {
    /// Whether it counts as failed: an error, or something that was refused.
    pub fn is_failure(&self) -> bool {
        match &self.result {
            Ok(Some(ran)) => ran.summary.refusals.iter().any(|refusal| refusal.kind != RefusalKind::Unheard),
            Ok(None) => false,
            Err(_) => true,
        }
    }
}

/// What a run over many domains left undone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeftUndone {
    /// Too many failed.
    #[error(transparent)]
    Halted(#[from] Halt),
    /// Shared private keys that no domain binds any more are still there.
    #[error(transparent)]
    NotDestroyed(#[from] RunError),
}

/// Works on all domains; each is given to `take` when it is done.
///
/// # Errors
/// When too many failed (those that had begun are finished), or when shared private keys could not be destroyed.
pub async fn work_through(
    runner: &Arc<Runner>,
    domains: Vec<Wave>,
    waves: &Waves,
    take: impl FnMut(Finished),
) -> Result<(), LeftUndone> {
    let limits = Limits { at_once: waves.concurrency.get(), canary: waves.canary, halt: waves.halt };
    let work = |wave: Wave| {
        let runner = Arc::clone(runner);
        async move {
            let Wave { domain, patrol, silences, audited, .. } = wave;
            let work = runner.work_on(&domain, patrol, silences, audited);
            let result = timeout(PATIENCE, work)
                .await
                .unwrap_or_else(|_| Err(RunError::Slow { domain: domain.clone(), after: PATIENCE }));
            Finished { domain, patrol, result }
        }
    };
    let crew = Crew { limits, work, is_failure: Finished::is_failure };
    let halted = crew.work_through(domains, |wave| wave.standing, take).await;
    // One look at all manifests for all keys together: a key may be shared by all domains of a host.
    runner.destroy_let_go().await?;
    Ok(halted?)
}

/// Looks what a run would do to all domains, without changing anything; each is given to `take` when it is looked at.
pub async fn preview_all(runner: &Arc<Runner>, domains: Vec<Wave>, waves: &Waves, take: impl FnMut(Preview)) {
    /// Nothing halts those who only look.
    const ALL: Percent = Percent(100);
    let limits = Limits { at_once: waves.concurrency.get(), canary: ALL, halt: ALL };
    let work = |wave: Wave| {
        let runner = Arc::clone(runner);
        async move {
            let domain = wave.domain.clone();
            let result = timeout(PATIENCE, preview(&runner, wave))
                .await
                .unwrap_or_else(|_| Err(RunError::Slow { domain: domain.clone(), after: PATIENCE }));
            Preview { domain, result }
        }
    };
    let crew = Crew { limits, work, is_failure: |_: &Preview| false };
    // Cannot be halted, since none fails.
    let _ = crew.work_through(domains, |_| Standing::Well, take).await;
}
