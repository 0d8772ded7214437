//! The last hour, in samples ten seconds apart.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::histogram::Buckets;
use super::snapshot::TallyCounts;
use super::tally::Decisions;

/// How often a sample is taken.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(10);

/// How far back samples go.
pub const HOUR: Duration = Duration::from_secs(60 * 60);

/// Samples kept: those of an hour, and the one before.
const SAMPLES: usize = 361;

/// Columns of the chart.
pub const MINUTES: usize = 60;

/// Counts of the last hour.
#[derive(Debug, Default)]
pub struct History(VecDeque<(Instant, TallyCounts)>);

/// What came within some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lately {
    /// How long that was.
    pub within: Duration,
    /// Messages by what was decided.
    pub decisions: Decisions,
    /// How long MTAs waited for our answers, by message.
    pub answers: Buckets,
}

impl History {
    /// Keeps what is counted now, and lets go of what is older than an hour.
    pub fn note(&mut self, now: Instant, counts: TallyCounts) {
        while self.0.len() >= SAMPLES {
            self.0.pop_front();
        }
        self.0.push_back((now, counts));
    }

    /// What came since the youngest sample that is at least as old as `age`, or since the oldest that there is.
    pub fn lately(&self, now: Instant, counts: TallyCounts, age: Duration) -> Lately {
        let is_old_enough = |(at, _): &&(Instant, TallyCounts)| now.saturating_duration_since(*at) >= age;
        let (since, before) = match self.0.iter().rev().find(is_old_enough).or(self.0.front()) {
            Some((at, before)) => (*at, *before),
            None => (now, counts),
        };
        Lately {
            within: now.saturating_duration_since(since),
            decisions: counts.decisions.since(&before.decisions),
            answers: counts.answers.since(&before.answers),
        }
    }

    /// Messages by what was decided in each minute of the last hour, the oldest first; none where nothing is known of it.
    pub fn minutes(&self, now: Instant, counts: TallyCounts) -> [Option<Decisions>; MINUTES] {
        let at = |age: Duration| {
            let moment = now.checked_sub(age)?;
            let (sampled, before) = self.0.iter().rev().find(|(at, _)| *at <= moment)?;
            (moment.saturating_duration_since(*sampled) <= SAMPLE_EVERY * 3).then_some(before.decisions)
        };
        let first = self.0.front().map(|(_, first)| first.decisions);
        let mut minutes = [None; MINUTES];
        let mut upper = Some(counts.decisions);
        for (minute, column) in minutes.iter_mut().rev().enumerate() {
            let lower = at(Duration::from_secs(60) * (minute as u32 + 1));
            // The minute in which we began is not whole, and the last that is known.
            *column = upper.zip(lower.or(first)).map(|(upper, lower)| upper.since(&lower));
            upper = lower;
        }
        minutes
    }
}

impl Lately {
    /// A count in each second.
    pub fn rate(&self, count: u64) -> f64 {
        let seconds = self.within.as_secs_f64();
        if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a beginning to count from")]
mod tests {
    use super::*;
    use crate::observe::tally::Tally;
    use crate::policy::{Action, Decision, Reason};

    #[test]
    fn rates_and_minutes_are_differences_of_samples() {
        let (tally, mut history, begun) = (Tally::default(), History::default(), Instant::now());
        let decision = Decision { action: Action::Sign, reason: Reason::Signed };
        // One message a second for two hours.
        for second in 0..7200_u64 {
            if second % 10 == 0 {
                history.note(begun + Duration::from_secs(second), TallyCounts::of(&tally));
            }
            tally.count(decision);
        }
        let (now, counts) = (begun + Duration::from_secs(7200), TallyCounts::of(&tally));
        assert_eq!(history.0.len(), SAMPLES);
        let minute = history.lately(now, counts, Duration::from_secs(60));
        assert_eq!((minute.within.as_secs(), minute.decisions.total()), (60, 60));
        assert!((minute.rate(minute.decisions.total()) - 1.0).abs() < 1e-9);
        assert_eq!(history.lately(now, counts, HOUR).decisions.total(), 3600);
        let minutes = history.minutes(now, counts);
        assert!(minutes.iter().all(|minute| minute.is_some_and(|minute| minute.total() == 60)), "{minutes:?}");
    }

    #[test]
    fn nothing_is_made_up_for_the_time_before_the_start() {
        let (tally, mut history, begun) = (Tally::default(), History::default(), Instant::now());
        let counts = TallyCounts::of(&tally);
        assert_eq!(history.lately(begun, counts, HOUR).rate(5), 0.0);
        history.note(begun, counts);
        let minutes = history.minutes(begun + Duration::from_secs(90), counts);
        assert_eq!(minutes.iter().filter(|minute| minute.is_some()).count(), 2);
    }
}
