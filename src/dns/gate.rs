//! How often one address is asked: a rate, a number at once, and manners towards servers that do not answer.
//!
//! A server that limits the rate of its answers looks dead. So each silence halves the rate, down to a thirty-second,
//! and each answer mends it. One that has not answered many questions in a row is left alone for a while: each of them was
//! asked several times, over UDP and TCP, and slower in the end.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::Semaphore;

use super::Settings;

/// Questions without an answer, one after the other, after which a server is left alone.
const GIVEN_UP_AFTER: u32 = 16;
/// How long it is left alone.
const LEFT_ALONE_FOR: Duration = Duration::from_secs(30);
/// Each step halves the rate.
const SLOWEST: u32 = 5;
/// Gates of idle addresses are forgotten beyond this number.
const MOST_GATES: usize = 16_384;

/// The gates of all addresses.
pub(super) struct Gates {
    gates: Mutex<HashMap<SocketAddr, Arc<Gate>>>,
    quota: Quota,
    in_flight: usize,
}

/// The gate of one address.
pub(super) struct Gate {
    /// One permit for each question that may be under way.
    pub(super) slots: Semaphore,
    /// Held by whoever is next, so that they go in turn.
    pace: tokio::sync::Mutex<()>,
    limiter: DefaultDirectRateLimiter,
    burst: u32,
    slowness: AtomicU32,
    unanswered: AtomicU32,
    left_alone_until: Mutex<Option<Instant>>,
}

impl Gates {
    pub(super) fn new(settings: &Settings) -> Self {
        let rate = settings.queries_per_second;
        // A fiftieth of a second's worth at once, for timers are coarse; at least what the slowest step takes.
        let burst = NonZeroU32::new(rate.get() / 50).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(rate).allow_burst(burst.max(NonZeroU32::MIN.saturating_add((1 << SLOWEST) - 1)));
        Self { gates: Mutex::default(), quota, in_flight: settings.in_flight.get().min(Semaphore::MAX_PERMITS) }
    }

    pub(super) fn of(&self, server: SocketAddr) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if gates.len() >= MOST_GATES {
            gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        }
        let gate = gates.entry(server).or_insert_with(|| {
            Arc::new(Gate {
                slots: Semaphore::new(self.in_flight),
                pace: tokio::sync::Mutex::default(),
                limiter: RateLimiter::direct(self.quota),
                burst: self.quota.burst_size().get(),
                slowness: AtomicU32::new(0),
                unanswered: AtomicU32::new(0),
                left_alone_until: Mutex::default(),
            })
        });
        Arc::clone(gate)
    }
}

impl Gate {
    /// Waits until one more datagram or connection may go out.
    pub(super) async fn turn(&self) {
        let _next = self.pace.lock().await;
        let cells = (1 << self.slowness.load(Ordering::Relaxed).min(SLOWEST)).min(self.burst);
        let cells = NonZeroU32::new(cells).unwrap_or(NonZeroU32::MIN);
        while let Ok(Err(early)) = self.limiter.check_n(cells) {
            let wait = early.wait_time_from(DefaultClock::default().now());
            tokio::time::sleep(wait).await;
        }
    }

    /// Whether it is not to be asked now.
    pub(super) fn is_left_alone(&self, now: Instant) -> bool {
        let until = self.left_alone_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| now < until)
    }

    /// It answered.
    pub(super) fn answered(&self) {
        self.unanswered.store(0, Ordering::Relaxed);
        let _ = self.slowness.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |slowness| slowness.checked_sub(1));
    }

    /// One datagram or connection brought nothing.
    pub(super) fn was_silent(&self) {
        let slower = |slowness: u32| (slowness < SLOWEST).then_some(slowness + 1);
        let _ = self.slowness.fetch_update(Ordering::Relaxed, Ordering::Relaxed, slower);
    }

    /// All attempts at one question brought nothing.
    pub(super) fn gave_up(&self, now: Instant) {
        if self.unanswered.fetch_add(1, Ordering::Relaxed) + 1 >= GIVEN_UP_AFTER {
            self.unanswered.store(0, Ordering::Relaxed);
            let mut until = self.left_alone_until.lock().unwrap_or_else(PoisonError::into_inner);
            *until = now.checked_add(LEFT_ALONE_FOR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(rate: u32) -> Arc<Gate> {
        let queries_per_second = NonZeroU32::new(rate).unwrap();
        let gates = Gates::new(&Settings { queries_per_second, ..Settings::default() });
        gates.of(([127, 0, 0, 1], 53).into())
    }

    /// How long so many turns take.
    async fn turns(gate: &Gate, count: u32) -> Duration {
        let begun = crate::clock::Clock::System.monotonic();
        for _ in 0..count {
            gate.turn().await;
        }
        begun.elapsed()
    }

    #[tokio::test]
    async fn a_silent_server_is_asked_slower_until_it_answers() {
        let gate = gate(1000);
        assert!(turns(&gate, 32).await < Duration::from_millis(60), "at once, as many as the burst allows");
        for _ in 0..SLOWEST {
            gate.was_silent();
        }
        assert!(turns(&gate, 3).await > Duration::from_millis(70), "each takes the place of 32");
        for _ in 0..SLOWEST {
            gate.answered();
        }
        assert!(turns(&gate, 3).await < Duration::from_millis(60));
    }

    #[test]
    fn a_server_that_never_answers_is_left_alone_for_a_while() {
        let (gate, now) = (gate(1000), crate::clock::Clock::System.monotonic());
        for _ in 1..GIVEN_UP_AFTER {
            gate.gave_up(now);
        }
        assert!(!gate.is_left_alone(now));
        gate.gave_up(now);
        assert!(gate.is_left_alone(now));
        assert!(!gate.is_left_alone(now + LEFT_ALONE_FOR));
    }

    #[test]
    fn one_answer_in_between_keeps_a_server_in_use() {
        let (gate, now) = (gate(1000), crate::clock::Clock::System.monotonic());
        for _ in 0..3 * GIVEN_UP_AFTER {
            gate.gave_up(now);
            gate.answered();
        }
        assert!(!gate.is_left_alone(now));
    }
}
