//! What the page shows, as plain values.

use jiff::Timestamp;

use crate::control::RecentMessage;
use crate::observe::history::{Lately, MINUTES};
use crate::observe::problems::Problem;
use crate::observe::snapshot::{Snapshot, Usage};
use crate::observe::tally::Decisions;
use crate::policy::{Action, Reason};

/// A limit is near when this share of it is in use.
pub(super) const NEAR: f64 = 0.8;

/// All that the page shows.
#[derive(Debug, Clone)]
pub struct View {
    /// What the daemon knows of itself.
    pub snapshot: Snapshot,
    /// The last ten seconds or more.
    pub now: Lately,
    /// The last minute.
    pub minute: Lately,
    /// The last hour.
    pub hour: Lately,
    /// Each minute of the last hour.
    pub minutes: [Option<Decisions>; MINUTES],
    /// What went wrong, the last seen first.
    pub problems: Vec<Problem>,
    /// Why the summary of the last rotation cannot be read, if so.
    pub rotation_problem: Option<String>,
}

/// How the daemon is, the worst that holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mood {
    /// It makes no progress.
    Ill,
    /// It is stopping.
    Draining,
    /// More is offered than it can sign; this share of all mail of the last minute was deferred for it.
    Overloaded(f64),
    /// Mail of ours is deferred for want of keys or their store; so many in the last minute.
    Failing(u64),
    /// This is near its limit.
    Near(Usage),
    /// All is well, and there is mail.
    Well,
    /// All is well, and there was no mail in the last minute.
    Quiet,
}

impl View {
    /// How the daemon is.
    pub fn mood(&self) -> Mood {
        let decisions = &self.minute.decisions;
        let overload = decisions.of(Action::Defer, Reason::Overload);
        let deferred = decisions.of_action(Action::Defer);
        let near = self.snapshot.usage.iter().filter(|usage| usage.share().is_some_and(|share| share >= NEAR));
        if !self.snapshot.health.ills().is_empty() {
            Mood::Ill
        } else if self.snapshot.health.is_draining {
            Mood::Draining
        } else if overload > 0 {
            Mood::Overloaded(overload as f64 / decisions.total() as f64)
        } else if deferred > 0 {
            Mood::Failing(deferred)
        } else if let Some(usage) =
            near.max_by(|a, b| a.share().partial_cmp(&b.share()).unwrap_or(std::cmp::Ordering::Equal))
        {
            Mood::Near(*usage)
        } else if decisions.total() > 0 {
            Mood::Well
        } else {
            Mood::Quiet
        }
    }
}

/// What was searched for, and found.
#[derive(Debug, Clone)]
pub struct Searched {
    /// As it was asked.
    pub asked: String,
    /// What was found.
    pub found: Found,
    /// When.
    pub at: Timestamp,
    /// What the machine is called.
    pub host: String,
}

/// What a search found.
#[derive(Debug, Clone)]
pub enum Found {
    /// Nothing was asked for.
    Nothing,
    /// A domain with keys.
    Domain(DomainFound),
    /// A domain that the key store does not know.
    NoSuchDomain,
    /// The key store does not answer, or says this.
    StoreFails(String),
    /// Messages that had this queue id, the latest first.
    Messages(Vec<RecentMessage>),
    /// What may be the queue id of a message that is remembered no more, which the log has.
    QueueId,
}

/// A domain and its keys.
#[derive(Debug, Clone)]
pub struct DomainFound {
    /// The domain.
    pub domain: String,
    /// `enabled`, `leaving` or `gone`.
    pub status: &'static str,
    /// Its keys, oldest first.
    pub keys: Vec<KeyFound>,
}

/// A key of a domain.
#[derive(Debug, Clone)]
pub struct KeyFound {
    /// s=.
    pub selector: String,
    /// a=.
    pub algorithm: &'static str,
    /// Where it stands.
    pub state: &'static str,
    /// Since when.
    pub since: Timestamp,
    /// Why its record is not changed, where that is so.
    pub held: Option<String>,
    /// Whether others may have it.
    pub is_compromised: bool,
}
