//! The guards of rotation, each of which can be switched off: then the simulation must fail.

use jiff::SignedDuration;
use waxseal::lifecycle::Schedule;

/// A guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Three rounds over five minutes see the record on every server.
    Rounds,
    /// And then it settles.
    Settle,
    /// For as long as resolvers remember its absence, too.
    NegativeTtl,
    /// Resolvers are asked before it is Ready.
    Resolvers,
    /// It is looked at again before it is Active.
    Seen,
    /// A silent server is waited for.
    Excuse,
    /// A server that does not answer counts as one.
    Silence,
    /// Mail under way is waited for.
    MailLife,
    /// Signatures that expire late are.
    ExpireAfter,
    /// Daemons that cannot reach the store are waited for.
    Staleness,
    /// Evidence of use lengthens the wait.
    Evidence,
    /// Time is counted since boot.
    BootTime,
    /// A commit is made only onto the revision it was made from.
    Revision,
}

impl Guard {
    /// All of them.
    pub(crate) const ALL: [Self; 13] = [
        Self::Rounds,
        Self::Settle,
        Self::NegativeTtl,
        Self::Resolvers,
        Self::Seen,
        Self::Excuse,
        Self::Silence,
        Self::MailLife,
        Self::ExpireAfter,
        Self::Staleness,
        Self::Evidence,
        Self::BootTime,
        Self::Revision,
    ];

    /// The schedule without it. The other guards are switched off where their facts come from.
    pub(crate) fn switched_off(self, schedule: Schedule) -> Schedule {
        const NONE: SignedDuration = SignedDuration::ZERO;
        match self {
            Self::Rounds => Schedule { rounds: 1, rounds_over: NONE, ..schedule },
            Self::Settle => Schedule { settle: NONE, ..schedule },
            Self::Seen => Schedule { reseen_within: SignedDuration::from_hours(24 * 10_000), ..schedule },
            Self::Excuse => Schedule { excuse_after: NONE, ..schedule },
            Self::MailLife => Schedule { mail_life: NONE, expire_after: None, ..schedule },
            Self::ExpireAfter => Schedule { expire_after: None, ..schedule },
            Self::Staleness => Schedule { max_staleness: NONE, ..schedule },
            Self::NegativeTtl | Self::Resolvers | Self::Silence | Self::Evidence | Self::BootTime | Self::Revision => {
                schedule
            }
        }
    }
}
