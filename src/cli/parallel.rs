//! Work on many domains with all cores, its results in the order of the domains.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Items under way or waiting for their turn, for each thread: what bounds the memory of a long run.
const AHEAD: usize = 64;

/// How many threads work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Threads {
    /// One a core: they compute.
    OnePerCore,
    /// Several a core: they also wait for answers, and while some do the others compute.
    AlsoWaiting,
}

impl Threads {
    /// Of those who wait, for each core: DNS answers in some 50 ms, about as long as an RSA key takes.
    const WAITING: usize = 4;

    fn count(self) -> usize {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        match self {
            Self::OnePerCore => cores,
            Self::AlsoWaiting => cores * Self::WAITING,
        }
    }
}

/// Does `work` for each item, on all cores, and hands what comes of it to `take`, on this thread and in the order of the
/// items. Ends early, with its error, when `take` fails.
pub(super) fn in_order<T: Sync, R: Send, E>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    take: impl FnMut(&T, R) -> Result<(), E>,
) -> Result<(), E> {
    in_order_on(Threads::OnePerCore, items, work, take)
}

/// The same on so many threads.
pub(super) fn in_order_on<T: Sync, R: Send, E>(
    threads: Threads,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    mut take: impl FnMut(&T, R) -> Result<(), E>,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let is_over = AtomicBool::new(false);
    let threads = threads.count().min(items.len());
    let (leave, leaves) = crossbeam_channel::bounded(AHEAD * threads.max(1));
    while leave.try_send(()).is_ok() {}
    let (sender, results) = crossbeam_channel::unbounded();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, leaves, next, is_over, work) = (sender.clone(), leaves.clone(), &next, &is_over, &work);
            scope.spawn(move || {
                while leaves.recv().is_ok() && !is_over.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    if sender.send((index, work(item))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut due = 0;
        let mut outcome = Ok(());
        'all: for (index, result) in &results {
            waiting.insert(index, result);
            while let Some(result) = waiting.remove(&due) {
                if let Err(error) = take(&items[due], result) {
                    outcome = Err(error);
                    break 'all;
                }
                due += 1;
                let _ = leave.try_send(());
            }
        }
        is_over.store(true, Ordering::Relaxed);
        drop(leave);
        outcome
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..5000).collect();
        let mut seen = Vec::new();
        let work = |item: &usize| {
            if item.is_multiple_of(97) {
                thread::yield_now();
            }
            item * 2
        };
        let taken: Result<(), ()> = in_order(&items, work, |_, result| {
            seen.push(result);
            Ok(())
        });
        assert_eq!(taken, Ok(()));
        assert_eq!(seen, items.iter().map(|item| item * 2).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_ends_it_early() {
        let items: Vec<usize> = (0..100_000).collect();
        let done = AtomicUsize::new(0);
        let work = |_: &usize| done.fetch_add(1, Ordering::Relaxed);
        let taken = in_order(&items, work, |item, _| if *item < 10 { Ok(()) } else { Err(*item) });
        assert_eq!(taken, Err(10));
        assert!(done.into_inner() < 1000);
        assert_eq!(in_order(&[] as &[u8], |_| (), |_, ()| Err(())), Ok(()));
    }
}
