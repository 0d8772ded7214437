//! Time as it really passes in the simulation, and the clocks of a host, which may tell otherwise.

use std::ops::{Add, Sub};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A minute.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
/// An hour.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// A day.
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// 2026-01-01T00:00:00Z, when every simulated world begins.
const BEGINNING: i64 = 1_767_225_600;

/// A point in true time: whole seconds since the world began. Nobody in the world can see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Moment(pub u64);

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.as_secs()))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span.as_secs()))
    }
}

impl Sub for Moment {
    type Output = Duration;

    /// Nothing if `earlier` is later.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

/// A host's clocks: a wall clock that can be wrong, and the time since boot, which cannot.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    /// How far the wall clock is ahead, in seconds.
    ahead: i64,
    booted: Moment,
    boots: u64,
}

impl Clock {
    /// What the wall clock shows.
    pub(crate) fn wall(&self, now: Moment) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(BEGINNING + now.0 as i64 + self.ahead)
    }

    /// CLOCK_BOOTTIME.
    pub(crate) fn boot_time(&self, now: Moment) -> Duration {
        now - self.booted
    }

    /// The boot's id: another one after each reboot.
    pub(crate) fn boot_id(&self) -> String {
        format!("boot-{}", self.boots)
    }

    /// Sets the wall clock to be `seconds` ahead of the truth.
    pub(crate) fn set(&mut self, seconds: i64) {
        self.ahead = seconds;
    }

    /// Whether the wall clock is off by more than is tolerated.
    pub(crate) fn is_wrong(&self) -> bool {
        self.ahead.abs() > 120
    }

    /// The machine starts again.
    pub(crate) fn reboot(&mut self, now: Moment) {
        self.booted = now;
        self.boots += 1;
    }
}

#[test]
fn a_wall_clock_that_is_set_does_not_move_the_time_since_boot() {
    let (mut clock, now) = (Clock::default(), Moment(5000));
    let right = clock.wall(now);
    clock.set(-3600);
    assert_eq!(right.duration_since(clock.wall(now)), SignedDuration::from_hours(1));
    assert_eq!(clock.boot_time(now), Duration::from_secs(5000));
    let before = clock.boot_id();
    clock.reboot(now);
    assert_eq!(clock.boot_time(now + MINUTE), MINUTE);
    assert_ne!(clock.boot_id(), before);
}
