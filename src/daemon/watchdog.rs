//! Tells systemd's watchdog that we live, as long as we do what we are for.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::interval;

use super::connection::Phase;
use super::notify;
use crate::filter::Filter;

/// How often we look for each time that systemd looks.
const LOOKS: u32 = 3;

/// Says so while the runtime runs this task and the signing threads take messages from their queue, if there are any. A runtime
/// or signing threads that hang end it, and systemd starts the daemon again. Ends at once where systemd has no watchdog.
pub(super) async fn tell<S>(filter: Arc<Filter<S>>, phases: watch::Receiver<Phase>) {
    let Some(within) = notify::watchdog() else { return };
    let mut looks = interval(within / LOOKS);
    let mut taken_before = None;
    loop {
        looks.tick().await;
        if *phases.borrow() == Phase::Ending {
            return;
        }
        let taken = filter.pool.taken();
        if gets_on(filter.pool.waiting(), taken, taken_before) {
            notify::alive();
        } else {
            tracing::error!(waiting = filter.pool.waiting(), "the signing threads take nothing from their queue");
        }
        taken_before = Some(taken);
    }
}

/// Whether the signing threads have nothing to do, or have done something since the last look.
fn gets_on(waiting: usize, taken: u64, taken_before: Option<u64>) -> bool {
    waiting == 0 || taken_before != Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_of_which_nothing_was_taken_since_the_last_look_is_no_progress() {
        assert!(gets_on(0, 7, Some(7)));
        assert!(gets_on(3, 8, Some(7)));
        assert!(gets_on(3, 7, None));
        assert!(!gets_on(3, 7, Some(7)));
    }
}
