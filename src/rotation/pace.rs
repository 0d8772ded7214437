//! At most so many domains a second begin to ask or change DNS.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Turns at even intervals. What was not used is not made up for.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// So many turns a second.
    pub fn per_second(rate: NonZeroUsize) -> Self {
        let rate = NonZeroU32::try_from(rate).unwrap_or(NonZeroU32::MAX);
        Self { interval: Duration::from_secs(1) / rate.get(), next: Mutex::default() }
    }

    /// Waits for the next turn.
    pub async fn turn(&self) {
        let at = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let at = next.map_or(now, |next| next.max(now));
            *next = Some(at + self.interval);
            at
        };
        sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_come_at_even_intervals_and_none_is_saved_up() {
        let pace = Pace::per_second(NonZeroUsize::new(400).unwrap());
        for _ in 0..2 {
            let begun = Instant::now();
            for _ in 0..=800 {
                pace.turn().await;
            }
            let took = begun.elapsed();
            assert!((Duration::from_secs(2)..Duration::from_millis(2010)).contains(&took), "{took:?}");
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }
}
