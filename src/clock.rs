//! The only place that asks for the time; everyone else is given it.

use std::time::Instant;

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
}
