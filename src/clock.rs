//! The only place that asks for the time; everyone else is given it.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Where the time comes from.
#[derive(Debug, Clone, Copy, Default)]
pub enum Clock {
    /// The machine's clocks.
    #[default]
    System,
    /// A wall clock that stands still, for signatures that can be repeated to the octet.
    Fixed(Timestamp),
}

impl Clock {
    /// The wall clock: what t= and x= of a signature and the states of keys are written in.
    #[expect(clippy::disallowed_methods, reason = "the one home of Timestamp::now")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Fixed(at) => *at,
        }
    }

    /// A clock that never jumps: for deadlines and for measuring.
    #[expect(clippy::disallowed_methods, reason = "the one home of Instant::now")]
    pub fn monotonic(&self) -> Instant {
        Instant::now()
    }

    /// CLOCK_BOOTTIME: since this boot, time asleep included. Nobody can set it. Of a clock that stands still, the time
    /// since 1970.
    pub fn boot_time(&self) -> Duration {
        match self {
            Self::System => {
                let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
            }
            Self::Fixed(at) => Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0)),
        }
    }
}
