//! Who works when: so many at once, a few at first, and no more when too many fail.
//!
//! One that takes long gives its place to the next after a while and goes on beside them, so that slow ones hold up no
//! others.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::values::Percent;

/// Fewer are no wave: they are done all at once, and no share of them halts anything.
const WAVE: usize = 20;

/// After this, work gives its place away and goes on without.
const HOLDS_A_PLACE_FOR: Duration = Duration::from_secs(5);

/// So many times as many as have a place may be under way.
const MOST_WITHOUT: usize = 8;

/// How long the last of the first few are waited for. Daemons have a minute to acknowledge an emergency.
const CANARY_PATIENCE: Duration = Duration::from_secs(120);

/// What was known before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It went well the last time, or was never worked on.
    Well,
    /// It failed the last time.
    Failed,
}

/// How many at once, and when to halt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) at_once: usize,
    pub(super) canary: Percent,
    pub(super) halt: Percent,
}

/// Too many failed, and the rest was not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{failed} of {finished} domains failed or were stuck, so {left} were not begun; the next run begins with a few of them again"
)]
pub struct Halt {
    /// How many had failed, or took far too long, without those that failed the last time.
    pub failed: usize,
    /// Out of how many, by then.
    pub finished: usize,
    /// How many were not begun.
    pub left: usize,
}

/// Those who work, and how.
pub(super) struct Crew<W, F> {
    pub(super) limits: Limits,
    pub(super) work: W,
    pub(super) is_failure: F,
}

impl<W, F> Crew<W, F> {
    /// Works on all items, those that failed the last time after the others; what comes of each is given to `take`.
    ///
    /// # Errors
    /// [`Halt`] when too many fail of those that went well the last time; what had begun is finished.
    pub(super) async fn work_through<I, T, Working>(
        &self,
        items: Vec<I>,
        standing: impl Fn(&I) -> Standing,
        take: impl FnMut(T),
    ) -> Result<(), Halt>
    where
        W: Fn(I) -> Working,
        Working: Future<Output = T> + Send + 'static,
        T: Send + 'static,
        F: Fn(&T) -> bool,
    {
        let (well, failed): (VecDeque<I>, VecDeque<I>) =
            items.into_iter().partition(|item| standing(item) == Standing::Well);
        let wave = well.len();
        let canary = if wave > WAVE { self.limits.canary.of(wave) } else { wave };
        let mut left = wave + failed.len();
        let slots = Arc::new(Semaphore::new(self.limits.at_once.clamp(1, Semaphore::MAX_PERMITS)));
        let mut under_way =
            UnderWay { working: JoinSet::new(), finished: 0, failed: 0, is_failure: &self.is_failure, take };
        let all = well.into_iter().map(|item| (Standing::Well, item));
        let all = all.chain(failed.into_iter().map(|item| (Standing::Failed, item)));
        for (index, (standing, item)) in all.enumerate() {
            let slot = under_way.slot(&slots, self.limits.at_once.saturating_mul(MOST_WITHOUT)).await;
            if wave > WAVE {
                let verdict = if index == canary { under_way.canary().await } else { under_way.so_far() };
                if let Some(Verdict { failed, of }) = verdict
                    && failed > self.limits.halt.of(of)
                {
                    while under_way.join().await {}
                    return Err(Halt { failed, finished: of, left });
                }
            }
            left -= 1;
            let work = (self.work)(item);
            under_way.working.spawn(async move { (standing, in_slot(slot, work).await) });
        }
        while under_way.join().await {}
        Ok(())
    }
}

/// Gives the slot back when it is done, or when it takes long.
async fn in_slot<T>(slot: Option<OwnedSemaphorePermit>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    match timeout(HOLDS_A_PLACE_FOR, &mut work).await {
        Ok(done) => done,
        Err(_) => {
            drop(slot);
            work.await
        }
    }
}

/// So many of so many failed.
struct Verdict {
    failed: usize,
    of: usize,
}

/// Those who are at work, and what came of the others.
struct UnderWay<'a, T, F, Take> {
    working: JoinSet<(Standing, T)>,
    finished: usize,
    failed: usize,
    is_failure: &'a F,
    take: Take,
}

impl<T: Send + 'static, F: Fn(&T) -> bool, Take: FnMut(T)> UnderWay<'_, T, F, Take> {
    /// A place for one more, as soon as there is one.
    async fn slot(&mut self, slots: &Arc<Semaphore>, most: usize) -> Option<OwnedSemaphorePermit> {
        loop {
            let is_room = self.working.len() < most;
            tokio::select! {
                biased;
                Some(joined) = self.working.join_next() => self.count(joined),
                slot = Arc::clone(slots).acquire_owned(), if is_room => return slot.ok(),
            }
        }
    }

    /// How the first few went. One that still works after all patience counts as failed.
    async fn canary(&mut self) -> Option<Verdict> {
        let deadline = Instant::now() + CANARY_PATIENCE;
        while let Ok(true) = timeout_at(deadline, self.join()).await {}
        let slow = self.working.len();
        Some(Verdict { failed: self.failed + slow, of: self.finished + slow })
    }

    /// How it goes, when enough are done to tell.
    fn so_far(&self) -> Option<Verdict> {
        (self.finished > WAVE).then_some(Verdict { failed: self.failed, of: self.finished })
    }

    /// Waits for one; whether there was one.
    async fn join(&mut self) -> bool {
        let Some(joined) = self.working.join_next().await else { return false };
        self.count(joined);
        true
    }

    fn count(&mut self, joined: Result<(Standing, T), JoinError>) {
        // One whose work panicked stays due.
        let (is_judged, is_failure) = match &joined {
            Ok((standing, done)) => (*standing == Standing::Well, (self.is_failure)(done)),
            Err(_) => (true, true),
        };
        self.finished += usize::from(is_judged);
        self.failed += usize::from(is_judged && is_failure);
        if let Ok((_, done)) = joined {
            (self.take)(done);
        }
    }
}

#[cfg(test)]
mod tests;
