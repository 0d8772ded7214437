//! The last messages, and the slowest of the last hour: what was decided, and where the time went.
//!
//! ```text
//! record ─▶ ring: the last messages, bounded in number and octets ─▶ forgotten
//!       └─▶ slowest: of the last hour, by time in all, and by ours
//! ```
//!
//! Made for the hot path: a message costs one allocation for itself and one lock that is held for a few moves. Whoever asks
//! takes references under the lock and reads them after it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::control::{Client, ExplainedRule, RecentMessage, RecentMessages, RecentSignature, Spent};
use crate::dkim::Algorithm;
use crate::names::{DomainName, QueueId, Selector};
use crate::policy::{Decision, Line, Origin, Peer, Warnings};

/// So many of the slowest are kept, by each measure.
const SLOWEST: usize = 20;

/// A slow message is forgotten after so long: else those of a cold start would hide all later ones.
const SLOW_FOR: SignedDuration = SignedDuration::from_hours(1);

/// One message that was decided about. It holds nothing of its content.
#[derive(Debug)]
pub struct Recorded {
    /// When.
    pub at: Timestamp,
    /// The MTA's name for it.
    pub queue_id: Option<QueueId>,
    /// What was done, and why.
    pub decision: Decision,
    /// Why it was trusted, or not.
    pub origin: Origin,
    /// The client.
    pub client: Peer,
    /// The author's domain.
    pub from: Option<DomainName>,
    /// The login, where it is why the message was not signed.
    pub login: Option<String>,
    /// The rule that decided, and its line.
    pub rule: Option<(String, Line)>,
    /// Its signatures, the topmost first.
    pub signatures: Box<[(DomainName, Selector, Algorithm)]>,
    /// What was wrong with it all the same.
    pub warnings: Warnings,
    /// Octets, as far as they were seen.
    pub bytes: u64,
    /// Where its time went.
    pub spent: Spent,
}

/// Remembers messages; shared by all connections.
#[derive(Debug)]
pub struct Recorder {
    memory: Mutex<Memory>,
    messages: usize,
    octets: usize,
}

#[derive(Debug, Default)]
struct Memory {
    ring: VecDeque<Arc<Recorded>>,
    octets: usize,
    slowest: Slowest,
    slowest_by_us: Slowest,
}

/// The slowest of the last hour, in no order.
#[derive(Debug, Default)]
struct Slowest {
    kept: Vec<(u64, Arc<Recorded>)>,
}

impl Recorder {
    /// Remembers at most so many messages, in at most so many octets.
    pub fn new(messages: usize, octets: u64) -> Self {
        Self { memory: Mutex::default(), messages, octets: usize::try_from(octets).unwrap_or(usize::MAX) }
    }

    /// Remembers one message.
    pub fn record(&self, message: Recorded) {
        let octets = message.octets();
        let message = Arc::new(message);
        let spent = message.spent;
        let mut forgotten = None;
        let mut memory = self.memory();
        memory.slowest.offer(spent.total, &message);
        memory.slowest_by_us.offer(spent.total.saturating_sub(spent.reading), &message);
        memory.ring.push_back(message);
        memory.octets += octets;
        while memory.ring.len() > self.messages || memory.octets > self.octets {
            let Some(oldest) = memory.ring.pop_front() else { break };
            memory.octets -= oldest.octets();
            // Most often just one, which is dropped without the lock.
            forgotten = Some(oldest);
        }
        drop(memory);
        drop(forgotten);
    }

    /// The messages that had this queue id, the latest first.
    pub fn of_queue_id(&self, queue_id: &QueueId) -> Vec<RecentMessage> {
        let all = self.all();
        let had = |message: &&Arc<Recorded>| message.queue_id.as_ref() == Some(queue_id);
        all.iter().rev().filter(had).map(|message| message.told()).collect()
    }

    /// What is remembered: the last messages, at most so many, and the slowest.
    pub fn told(&self, last: usize) -> RecentMessages {
        let (all, slowest, slowest_by_us) = {
            let memory = self.memory();
            let slow = |slowest: &Slowest| slowest.kept.clone();
            (memory.ring.clone(), slow(&memory.slowest), slow(&memory.slowest_by_us))
        };
        RecentMessages {
            remembered: all.len() as u64,
            capacity: self.messages as u64,
            since: all.front().map(|message| message.at),
            last: all.iter().rev().take(last).map(|message| message.told()).collect(),
            slowest: told(slowest),
            slowest_by_us: told(slowest_by_us),
        }
    }

    /// How much is remembered, without the messages.
    pub fn extent(&self) -> RecentMessages {
        let memory = self.memory();
        RecentMessages {
            remembered: memory.ring.len() as u64,
            capacity: self.messages as u64,
            since: memory.ring.front().map(|message| message.at),
            ..RecentMessages::default()
        }
    }

    fn all(&self) -> VecDeque<Arc<Recorded>> {
        self.memory().ring.clone()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Recorder {
    /// As the configuration has it by default.
    fn default() -> Self {
        Self::new(10_000, 8 << 20)
    }
}

fn told(mut slowest: Vec<(u64, Arc<Recorded>)>) -> Vec<RecentMessage> {
    slowest.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    slowest.iter().map(|(_, message)| message.told()).collect()
}

impl Slowest {
    fn offer(&mut self, time: u64, message: &Arc<Recorded>) {
        if self.kept.len() >= SLOWEST {
            let is_old = |kept: &Recorded| message.at.duration_since(kept.at) > SLOW_FOR;
            let fastest = self.kept.iter().enumerate().min_by_key(|(_, (time, kept))| (!is_old(kept), *time));
            let Some((place, (fastest, kept))) = fastest else { return };
            if *fastest >= time && !is_old(kept) {
                return;
            }
            self.kept.swap_remove(place);
        }
        self.kept.push((time, Arc::clone(message)));
    }
}

impl Recorded {
    /// Octets of memory.
    fn octets(&self) -> usize {
        /// Reference counts, the ring's slot, the allocator's rounding.
        const OVERHEAD: usize = 64;
        let names = |(domain, selector, _): &(DomainName, Selector, Algorithm)| {
            size_of::<(DomainName, Selector, Algorithm)>() + domain.as_str().len() + selector.as_str().len() + 32
        };
        size_of::<Self>()
            + OVERHEAD
            + self.queue_id.as_ref().map_or(0, |queue_id| queue_id.as_str().len() + 16)
            + self.from.as_ref().map_or(0, |from| from.as_str().len() + 32)
            + self.login.as_ref().map_or(0, |login| login.capacity() + 16)
            + self.rule.as_ref().map_or(0, |(name, at)| name.capacity() + at.path.as_os_str().len() + 32)
            + self.signatures.iter().map(names).sum::<usize>()
    }

    fn told(&self) -> RecentMessage {
        RecentMessage {
            time: Some(self.at),
            queue_id: self.queue_id.as_ref().map(|queue_id| queue_id.as_str().to_owned()),
            decision: self.decision.action.as_str().to_owned(),
            reason: self.decision.reason.code().to_owned(),
            means: self.decision.reason.meaning().to_owned(),
            remedy: match &self.from {
                Some(from) => self.decision.reason.remedy().replace("DOMAIN", from.as_str()),
                None => self.decision.reason.remedy().to_owned(),
            },
            origin: self.origin.as_str().to_owned(),
            client: Client(self.client).to_string(),
            from: self.from.as_ref().map(DomainName::to_string),
            login: self.login.clone(),
            rule: self.rule.as_ref().map(|(name, at)| ExplainedRule {
                name: name.clone(),
                file: at.path.display().to_string(),
                line: at.line,
            }),
            signatures: self
                .signatures
                .iter()
                .map(|(domain, selector, algorithm)| RecentSignature {
                    domain: domain.to_string(),
                    selector: selector.to_string(),
                    algorithm: algorithm.a_tag().to_owned(),
                })
                .collect(),
            warnings: self.warnings.iter().map(|warning| warning.code().to_owned()).collect(),
            bytes: self.bytes,
            spent: self.spent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Action, Reason};

    fn message(number: u64, spent: Spent) -> Recorded {
        Recorded {
            at: Timestamp::from_second(1_800_000_000 + i64::try_from(number).unwrap()).unwrap(),
            queue_id: QueueId::from_octets(format!("Q{}", number % 100).as_bytes()),
            decision: Decision { action: Action::Sign, reason: Reason::Signed },
            origin: Origin::ThisMachine,
            client: Peer::Local,
            from: DomainName::parse("example.com").ok(),
            login: None,
            rule: None,
            signatures: Box::default(),
            warnings: Warnings::default(),
            bytes: 1000,
            spent,
        }
    }

    fn taking(total: u64, reading: u64) -> Spent {
        Spent { total, reading, ..Spent::default() }
    }

    #[test]
    fn the_last_are_remembered_and_the_oldest_forgotten() {
        let recorder = Recorder::new(50, 1 << 20);
        for number in 0..120 {
            recorder.record(message(number, Spent::default()));
        }
        let told = recorder.told(3);
        assert_eq!((told.remembered, told.capacity, told.last.len()), (50, 50, 3));
        assert_eq!(told.last[0].queue_id.as_deref(), Some("Q19"));
        assert_eq!(told.since, told.last.last().unwrap().time.map(|_| message(70, Spent::default()).at));
        let of = |text: &str| recorder.of_queue_id(&QueueId::from_octets(text.as_bytes()).unwrap());
        assert_eq!(of("Q19").len(), 1);
        assert!(of("Q20").is_empty());
    }

    #[test]
    fn memory_bounds_them_too() {
        let recorder = Recorder::new(1_000_000, 100_000);
        for number in 0..10_000 {
            recorder.record(message(number, Spent::default()));
        }
        let octets: usize = recorder.all().iter().map(|message| message.octets()).sum();
        assert!(octets <= 100_000 && octets > 90_000, "{octets}");
        let tiny = Recorder::new(10, 1);
        tiny.record(message(1, Spent::default()));
        assert_eq!(tiny.told(10).remembered, 0);
    }

    #[test]
    fn the_slowest_outlive_the_ring_for_an_hour() {
        let recorder = Recorder::new(1, 1 << 20);
        recorder.record(message(0, taking(9_000_000, 8_999_000)));
        recorder.record(message(1, taking(5_000_000, 0)));
        for number in 2..200 {
            recorder.record(message(number, taking(number, 0)));
        }
        let told = recorder.told(0);
        assert_eq!(told.slowest.len(), SLOWEST);
        assert_eq!(told.slowest[0].spent.total, 9_000_000);
        assert_eq!(told.slowest_by_us[0].spent.total, 5_000_000);
        for number in 4_000..4_100 {
            recorder.record(message(number, taking(7, 0)));
        }
        assert!(recorder.told(0).slowest.iter().all(|message| message.spent.total == 7));
    }
}
