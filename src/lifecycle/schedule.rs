//! How long each state lasts.

use jiff::SignedDuration;

use super::waits::seconds;
use crate::manifest::Slots;

/// How long each state lasts, and how sure of DNS we are before a key signs. The same values for every domain, or a
/// domain's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// How long a key signs before its successor takes over.
    pub key_age: SignedDuration,
    /// Whether the next keys are kept Ready all the time.
    pub standby: Standby,
    /// How long signed mail may be under way and still be verified (RFC 5321 §4.5.4.1 asks senders to try for 4 to 5
    /// days; delayed, forwarded and re-checked mail takes longer).
    pub mail_life: SignedDuration,
    /// How long a record stands on every server before its key is Ready, at least; TTLs may make it longer.
    pub settle: SignedDuration,
    /// Whether a key is Ready only when caches have let go of what they held before.
    pub caches: Caches,
    /// How many rounds in a row must find the record on every server.
    pub rounds: u32,
    /// How far apart the first and the last of these rounds are, at least.
    pub rounds_over: SignedDuration,
    /// How old the last look at every server may be when a key is activated.
    pub reseen_within: SignedDuration,
    /// How long a server must have been silent before its silence is excused.
    pub excuse_after: SignedDuration,
    /// How long a record with an empty p= stays. Zero: records are deleted without being revoked first.
    pub revoked_for: SignedDuration,
    /// How long a daemon that cannot reach the key store may go on signing with what it knows.
    pub max_staleness: SignedDuration,
    /// x= minus t= of signatures, if they have x=.
    pub expire_after: Option<SignedDuration>,
    /// How long daemons may take to say that they have seen a change, when it is urgent.
    pub acknowledge_within: SignedDuration,
    /// The only selectors that keys may have, where the domain has CNAMEs for a few.
    pub slots: Option<Slots>,
}

/// Whether the next keys are made and published long before their turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standby {
    /// A key of each algorithm is Ready all the time: a compromise is answered within a minute.
    Always,
    /// The next keys are made when their turn is near.
    WhenDue,
}

/// Whether what caches may hold of a name is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caches {
    /// The largest TTL that was seen passes, negative answers and CNAMEs included.
    Expire,
    /// Nobody can have asked for the name: it is new, and there is an emergency.
    Ignored,
}

impl Default for Schedule {
    /// - 180 days: twice a year, as M3AAWG advises at the least.
    /// - 14 days of mail life: MTAs give up after five, people restore and re-check mail later.
    /// - 24 hours to settle: longer than most TTLs, and time for a secondary that was away.
    /// - three rounds over five minutes: more than one answer of each server behind an anycast address.
    fn default() -> Self {
        const DAY: i64 = 24;
        Self {
            key_age: SignedDuration::from_hours(180 * DAY),
            standby: Standby::Always,
            mail_life: SignedDuration::from_hours(14 * DAY),
            settle: SignedDuration::from_hours(DAY),
            caches: Caches::Expire,
            rounds: 3,
            rounds_over: SignedDuration::from_mins(5),
            reseen_within: SignedDuration::from_hours(1),
            excuse_after: SignedDuration::from_hours(DAY),
            revoked_for: SignedDuration::from_hours(30 * DAY),
            max_staleness: SignedDuration::from_hours(1),
            expire_after: None,
            acknowledge_within: SignedDuration::from_secs(60),
            slots: None,
        }
    }
}

impl Schedule {
    /// How long mail signed by a key may still be verified: `mail_life`, or x= where that is longer. In seconds.
    pub fn mail_seconds(&self) -> u64 {
        seconds(self.mail_life).max(self.expire_after.map_or(0, seconds))
    }

    /// The checks of a fresh key that is waited for in an emergency: two rounds over 30 s, no settling. Its selector was
    /// never asked of a resolver, so none remembers that it is absent; that of a fixed slot may have been, before it had a
    /// key or with another, so caches are waited for.
    pub fn shortened(&self) -> Self {
        Self {
            rounds: self.rounds.min(2),
            rounds_over: self.rounds_over.min(SignedDuration::from_secs(30)),
            settle: SignedDuration::ZERO,
            caches: if self.slots.is_some() { self.caches } else { Caches::Ignored },
            ..self.clone()
        }
    }
}
