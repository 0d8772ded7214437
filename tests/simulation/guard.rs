//! The guards of rotation, each of which can be switched off: then the simulation must fail.

use std::fmt;

use jiff::SignedDuration;
use waxseal::lifecycle::Schedule;

/// A guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Three rounds over five minutes see the record on every server.
    Rounds,
    /// Only an equivalent record counts as ours.
    Equivalence,
    /// A server that does not answer counts as one.
    Silence,
    /// And is waited for.
    Excuse,
    /// Then it settles.
    Settle,
    /// For as long as resolvers remember its absence, too.
    NegativeTtl,
    /// Resolvers are asked before it is Ready.
    Resolvers,
    /// It is looked at again before it is Active.
    Seen,
    /// Mail under way is waited for.
    MailLife,
    /// Signatures that expire late are.
    ExpireAfter,
    /// Daemons that cannot reach the store are waited for.
    Staleness,
    /// Evidence of use lengthens the wait.
    Evidence,
    /// Daemons have a minute to cease using a compromised key.
    Daemons,
    /// There is a last look before a key is forgotten.
    LastLook,
    /// Time is counted since boot.
    BootTime,
    /// Records are changed by their value.
    Value,
    /// A commit is made only onto the revision it was made from.
    Revision,
    /// A private key is stored before the manifest that names it.
    KeyFirst,
}

impl Guard {
    /// All of them.
    pub(crate) const ALL: [Self; 18] = [
        Self::Rounds,
        Self::Equivalence,
        Self::Silence,
        Self::Excuse,
        Self::Settle,
        Self::NegativeTtl,
        Self::Resolvers,
        Self::Seen,
        Self::MailLife,
        Self::ExpireAfter,
        Self::Staleness,
        Self::Evidence,
        Self::Daemons,
        Self::LastLook,
        Self::BootTime,
        Self::Value,
        Self::Revision,
        Self::KeyFirst,
    ];

    /// How it is switched off.
    pub(crate) fn how(self) -> &'static str {
        match self {
            Self::Rounds => "one round in place of three over five minutes",
            Self::Equivalence => "whatever stands at the name is shown to rotation as our record",
            Self::Silence => "servers that are silent are not shown to rotation",
            Self::Excuse => "`excuse_after` 0",
            Self::Settle => "`settle` 0",
            Self::NegativeTtl => "the SOA is shown with TTL and MINIMUM 0",
            Self::Resolvers => "resolvers are said to agree, and not asked",
            Self::Seen => "`reseen_within` unbounded",
            Self::MailLife => "`mail_life` 0",
            Self::ExpireAfter => "x= is not told to rotation",
            Self::Staleness => "`max_staleness` 0",
            Self::Evidence => "evidence of use is not shown to rotation",
            Self::Daemons => "`acknowledge_within` 0",
            Self::LastLook => "the record of a withdrawn key is shown as absent",
            Self::BootTime => "each second has a boot of its own, so that only the wall clock counts",
            Self::Value => "the publisher replaces and deletes whatever stands there",
            Self::Revision => "the store writes whatever its revision is",
            Self::KeyFirst => "the private key is stored after the manifest, which a crash may come before",
        }
    }

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
            Self::Daemons => Schedule { acknowledge_within: NONE, ..schedule },
            _ => schedule,
        }
    }

    /// The fault that it guards against, which is to happen more often when it is off.
    pub(crate) fn fault(self) -> Option<u64> {
        match self {
            Self::Silence | Self::Excuse => Some(0),
            Self::Settle | Self::NegativeTtl => Some(4),
            Self::Seen | Self::LastLook => Some(6),
            Self::Equivalence | Self::Value => Some(7),
            Self::Staleness | Self::Daemons => Some(10),
            Self::BootTime => Some(12),
            _ => None,
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
