//! Messages that the daemon decided about lately.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One message, as the daemon remembers it: no header field, no address but the client's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecentMessage {
    /// When it was decided.
    pub time: Option<Timestamp>,
    /// The MTA's name for it, where it told.
    pub queue_id: Option<String>,
    /// `sign`, `pass`, `defer` or `refuse`.
    pub decision: String,
    /// The code of the reason: docs/reasons.md.
    pub reason: String,
    /// What that means.
    pub means: String,
    /// What to change where it is not wanted.
    pub remedy: String,
    /// Why it was trusted, or `untrusted`.
    pub origin: String,
    /// The client: an address, `local` or `unknown`.
    pub client: String,
    /// The author's domain.
    pub from: Option<String>,
    /// The login, where it is why the message was not signed.
    pub login: Option<String>,
    /// The rule that decided.
    pub rule: Option<super::ExplainedRule>,
    /// Its signatures, the topmost first.
    pub signatures: Vec<RecentSignature>,
    /// Codes of what was wrong with it all the same.
    pub warnings: Vec<String>,
    /// Octets, as far as they were seen.
    pub bytes: u64,
    /// Where its time went.
    pub spent: Spent,
}

/// A signature that was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecentSignature {
    /// d=
    pub domain: String,
    /// s=
    pub selector: String,
    /// a=
    pub algorithm: String,
}

/// Where a message's time went, in microseconds, from MAIL to the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// In all.
    pub total: u64,
    /// Waiting for the MTA to send the message.
    pub reading: u64,
    /// Looking for keys.
    pub keys: u64,
    /// Waiting for a signing thread, and signing.
    pub signing: u64,
    /// What else we did.
    pub other: u64,
}

/// What the daemon remembers, or a part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecentMessages {
    /// Messages that it remembers.
    pub remembered: u64,
    /// At most so many: `recorder.messages`.
    pub capacity: u64,
    /// The oldest of them.
    pub since: Option<Timestamp>,
    /// The last, the latest first.
    pub last: Vec<RecentMessage>,
    /// The slowest of the last hour, the slowest first.
    pub slowest: Vec<RecentMessage>,
    /// Those that we took longest for, the time of the MTA not counted.
    pub slowest_by_us: Vec<RecentMessage>,
}

impl Spent {
    /// What took the most of it, for people.
    pub fn slow_because(&self) -> &'static str {
        let Self { reading, keys, signing, other, .. } = *self;
        match reading.max(keys).max(signing).max(other) {
            most if most == reading => "the MTA was slow to send it",
            most if most == signing => "it waited for a signing thread, or its key is slow",
            most if most == keys => "the key store was slow to answer",
            _ => "this machine was busy with other things",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_the_most_is_why_it_was_slow() {
        let spent = Spent { total: 100, reading: 60, keys: 20, signing: 10, other: 10 };
        assert!(spent.slow_because().contains("MTA"));
        assert!(Spent { signing: 61, ..spent }.slow_because().contains("signing"));
        assert!(Spent { keys: 61, ..spent }.slow_because().contains("key store"));
        assert!(Spent { other: 61, ..spent }.slow_because().contains("machine"));
    }
}
