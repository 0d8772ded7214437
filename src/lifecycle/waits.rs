//! Time that was seen to pass.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::manifest::Witness;

/// A point in time by all clocks that there are. Taken once for each step of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witnessed {
    /// The wall clock.
    pub wall: Timestamp,
    /// The boot (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// CLOCK_BOOTTIME: since that boot, time asleep included. Nobody can set it.
    pub boot_time: Duration,
}

/// What of the time between two points counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed {
    /// Whole seconds that are certain to have passed.
    pub seconds: u64,
    /// The wall clock was set meanwhile.
    pub trouble: Option<ClockTrouble>,
}

/// Within one boot, the wall clock moved otherwise than CLOCK_BOOTTIME did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the wall clock was set {direction} by {span} since the last one", direction = self.direction(), span = self.span())]
pub struct ClockTrouble {
    /// By how much: positive if it was set forward.
    pub by: SignedDuration,
}

impl ClockTrouble {
    fn direction(&self) -> &'static str {
        if self.by.is_negative() { "back" } else { "forward" }
    }

    fn span(&self) -> String {
        // Not to the second: as people say it.
        let minutes = self.by.unsigned_abs().as_secs() / 60;
        match (minutes / (24 * 60), minutes / 60 % 24, minutes % 60) {
            (0, 0, minutes) => format!("{minutes} min"),
            (0, hours, minutes) => format!("{hours} h {minutes} min"),
            (days, hours, _) => format!("{days} d {hours} h"),
        }
    }
}

/// Steps of the wall clock that are nobody's fault.
pub(super) const TOLERATED: SignedDuration = SignedDuration::from_mins(5);

/// The most that counts across a reboot, in seconds: the wall clock may have been wrong on either side.
const ACROSS_A_REBOOT: u64 = 24 * 60 * 60;

impl Witnessed {
    /// What counts of the time from `earlier` to this point: within one boot the difference of CLOCK_BOOTTIME, across
    /// reboots that of the wall clock, but at most a day. Never less than nothing.
    pub fn since(&self, earlier: &Self) -> Elapsed {
        self.counted(earlier.wall, &earlier.boot_id, earlier.boot_time.as_secs())
    }

    fn counted(&self, wall: Timestamp, boot_id: &str, boot_time: u64) -> Elapsed {
        let by_wall = self.wall.duration_since(wall).as_secs();
        if self.boot_id != boot_id {
            let seconds = u64::try_from(by_wall).unwrap_or(0).min(ACROSS_A_REBOOT);
            return Elapsed { seconds, trouble: None };
        }
        let seconds = self.boot_time.as_secs().saturating_sub(boot_time);
        let by = by_wall.saturating_sub(i64::try_from(seconds).unwrap_or(i64::MAX));
        let by = SignedDuration::from_secs(by);
        let trouble = (by.abs() > TOLERATED).then_some(ClockTrouble { by });
        Elapsed { seconds, trouble }
    }

    /// The beginning of a wait.
    pub fn begin(&self) -> Witness {
        self.witness(0)
    }

    /// A wait counted on until now.
    pub fn count(&self, witness: Option<&Witness>) -> Witness {
        self.witness(self.waited(witness))
    }

    /// Seconds of a wait that have passed by now. A wait that nobody began to count has only begun.
    pub fn waited(&self, witness: Option<&Witness>) -> u64 {
        witness.map_or(0, |witness| {
            let elapsed = self.counted(witness.at, &witness.boot_id, witness.boot_time);
            witness.waited.saturating_add(elapsed.seconds)
        })
    }

    /// Whether the wall clock was set since a wait was last counted.
    pub fn trouble(&self, witness: Option<&Witness>) -> Option<ClockTrouble> {
        witness.and_then(|witness| self.counted(witness.at, &witness.boot_id, witness.boot_time).trouble)
    }

    fn witness(&self, waited: u64) -> Witness {
        let at = Timestamp::from_second(self.wall.as_second()).unwrap_or(self.wall);
        Witness { waited, at, boot_id: self.boot_id.clone(), boot_time: self.boot_time.as_secs() }
    }
}

/// A span in whole seconds; nothing if negative.
pub(super) fn seconds(span: SignedDuration) -> u64 {
    u64::try_from(span.as_secs()).unwrap_or(0)
}
