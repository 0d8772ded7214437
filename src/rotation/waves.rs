//! Many domains: a few at first, then the rest, at a limited rate, until too many fail.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::effect::RefusalKind;
use super::machine::Patrol;
use super::runner::{Ran, RunError, Runner};
use crate::config::Waves;
use crate::lifecycle::Silences;
use crate::names::DomainName;

/// Fewer domains are no wave: they are done all at once, and no share of them halts anything.
const WAVE: usize = 20;

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

/// Too many failed, and the rest was not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{failed} of {finished} domains failed, so {left} were not begun; the next run begins with a few of them again"
)]
pub struct Halt {
    /// How many failed.
    pub failed: usize,
    /// How many were done.
    pub finished: usize,
    /// How many were not begun.
    pub left: usize,
}

/// Works on all domains; each is given to `take` when it is done.
///
/// # Errors
/// [`Halt`] when too many failed; those that had begun are finished.
pub async fn work_through(
    runner: &Arc<Runner>,
    domains: Vec<Wave>,
    waves: &Waves,
    mut take: impl FnMut(Finished),
) -> Result<(), Halt> {
    let total = domains.len();
    let canary = if total > WAVE { waves.canary.of(total) } else { total };
    let mut progress = Progress { finished: 0, failed: 0 };
    let rate = NonZeroU32::try_from(waves.domains_per_second).unwrap_or(NonZeroU32::MAX);
    let mut starts = interval(Duration::from_secs(1) / rate.get());
    // A late start is not made up for by many at once, but for those within a timer's grain.
    starts.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut under_way = JoinSet::new();
    for (index, wave) in domains.into_iter().enumerate() {
        let is_end_of_canary = index == canary;
        while under_way.len() >= waves.concurrency.get() || (is_end_of_canary && !under_way.is_empty()) {
            progress.count(under_way.join_next().await, &mut take);
        }
        let is_judged = is_end_of_canary || progress.finished > WAVE;
        if total > WAVE && is_judged && progress.failed > waves.halt.of(progress.finished) {
            while !under_way.is_empty() {
                progress.count(under_way.join_next().await, &mut take);
            }
            return Err(Halt { failed: progress.failed, finished: progress.finished, left: total - progress.finished });
        }
        starts.tick().await;
        let runner = Arc::clone(runner);
        under_way.spawn(async move {
            let Wave { domain, patrol, silences, audited } = wave;
            let work = runner.run(&domain, patrol, silences, audited);
            let result = timeout(PATIENCE, work)
                .await
                .unwrap_or_else(|_| Err(RunError::Slow { domain: domain.clone(), after: PATIENCE }));
            Finished { domain, patrol, result }
        });
    }
    while !under_way.is_empty() {
        progress.count(under_way.join_next().await, &mut take);
    }
    Ok(())
}

struct Progress {
    finished: usize,
    failed: usize,
}

impl Progress {
    fn count(&mut self, joined: Option<Result<Finished, tokio::task::JoinError>>, take: &mut impl FnMut(Finished)) {
        self.finished += 1;
        match joined {
            Some(Ok(finished)) => {
                self.failed += usize::from(finished.is_failure());
                take(finished);
            }
            // A domain whose work panicked stays due.
            _ => self.failed += 1,
        }
    }
}
