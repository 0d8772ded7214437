//! Mail: signed by the daemons, waiting in queues, verified through resolvers.

use std::sync::Arc;
use std::time::Duration;

use waxseal::names::Selector;

use super::daemon::Selection;
use super::guard::Guard;
use super::time::{HOUR, MINUTE, Moment};
use super::world::{Declared, Event, World};
use super::zone::Record;

/// What a message is to be signed with, and since when that is settled.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    /// When its headers ended.
    at: Moment,
    /// Whether the daemon could not read the store then.
    is_cut_off: bool,
    selectors: Vec<Selector>,
}

/// A message on its way to one receiver.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Its receiver's resolver.
    resolver: usize,
    signed: Moment,
    /// Whether its keys were chosen by what the store had said before.
    chosen: Moment,
    is_cut_off: bool,
    /// When its sender gives it up.
    dies: Moment,
    /// One signature for each.
    selectors: Arc<[Selector]>,
}

impl World {
    /// The headers of a message end: its keys are chosen. The next message comes later.
    pub(crate) fn submit(&mut self, daemon: usize) {
        let next = self.random.up_to(48 * HOUR) + Duration::from_secs(1);
        self.after(next, Event::Submit(daemon));
        self.submit_one(daemon);
    }

    /// One message more, and none after it.
    pub(crate) fn submit_one(&mut self, daemon: usize) {
        let daemon = daemon % self.daemons.len();
        match self.daemons[daemon].select(self.now) {
            Selection::Sign(selectors) => {
                // Most bodies follow at once; some take long.
                let longest = if self.guard == Some(Guard::Evidence) { 300 } else { 5 };
                let body = match self.random.below(1000) {
                    // Only evidence tells of these.
                    drawn if drawn < longest && self.writes_evidence => self.random.between(HOUR, 8 * HOUR),
                    0..940 => Duration::ZERO,
                    _ => self.random.up_to(5 * MINUTE),
                };
                let is_cut_off = !self.daemons[daemon].is_well();
                let chosen = Chosen { at: self.now, is_cut_off, selectors };
                self.after(body, Event::Sign(daemon, self.starts[daemon], chosen));
            }
            Selection::Unsigned => self.check_unsigned(),
            Selection::Defer => self.tally.deferred += 1,
            Selection::KeyGone(selector) => {
                self.tally.violate(format!("{}: (I4) the private key of {selector}, which signs, is gone", self.now.0));
            }
        }
    }

    /// The body ends: the message is signed and goes its way.
    pub(crate) fn sign(&mut self, daemon: usize, start: u64, chosen: &Chosen) {
        let selectors = &chosen.selectors;
        let is_late = self.now - chosen.at > 5 * MINUTE;
        if self.starts[daemon] != start || (is_late && self.clock.is_wrong()) {
            return;
        }
        self.tell(|world| format!("daemon {daemon} signs with {selectors:?}, chosen at {}", world.now.0));
        if is_late {
            self.late_signed[daemon] = Some(self.now);
        }
        self.tally.messages += 1;
        let wall = self.clock.wall(self.now);
        for selector in selectors {
            let Some(bound) = self.bound.get(selector) else {
                self.tally.violate(format!("{}: signed with {selector}, which nobody bound", self.now.0));
                return;
            };
            self.daemons[daemon].note(bound.id, wall, self.now);
            self.last_signed.insert(selector.clone(), self.now);
        }
        let life = self.mail_life;
        let receivers = [self.random.up_to(10 * MINUTE), self.random.up_to(life), life - self.random.up_to(HOUR)];
        for after in receivers {
            for selector in selectors {
                *self.under_way.entry(selector.clone()).or_default() += 1;
            }
            let resolver = self.random.below(self.resolvers.len() as u64) as usize;
            let (signed, dies) = (self.now, self.now + life);
            let (chosen, is_cut_off) = (chosen.at, chosen.is_cut_off);
            let message =
                Message { resolver, signed, chosen, is_cut_off, dies, selectors: selectors.as_slice().into() };
            self.after(after, Event::Deliver(Box::new(message)));
        }
    }

    /// A receiver verifies a message; while the key cannot be looked up, it is tried again.
    pub(crate) fn deliver(&mut self, message: Box<Message>) {
        for selector in message.selectors.iter() {
            let name = &self.bound[selector].name;
            let resolver = &mut self.resolvers[message.resolver];
            let Some(known) = resolver.resolve(name, &mut self.zone, self.now, &mut self.random) else {
                let after = self.random.between(15 * MINUTE, HOUR);
                if self.now + after <= message.dies {
                    self.after(after, Event::Deliver(message));
                    return;
                }
                continue;
            };
            let is_verified =
                matches!(&known.records[..], [Record { text, .. }] if self.bound[selector].is_published_by(text));
            if is_verified {
                self.tally.verified += 1;
            } else {
                self.lose(&message, selector, known.is_broken_word, &known.records);
            }
        }
        for selector in message.selectors.iter() {
            let under_way = self.under_way.entry(selector.clone()).or_default();
            *under_way = under_way.saturating_sub(1);
        }
    }

    fn lose(&mut self, message: &Message, selector: &Selector, is_broken_word: bool, records: &[Record]) {
        let revoked_at = self.revoked_at.get(selector).copied();
        if let (Some(declared), Some(revoked_at)) = (self.compromised.get(selector).cloned(), revoked_at) {
            self.lose_compromised(message, selector, &declared, revoked_at);
        } else if is_broken_word {
            self.tally.lost_to_servers += 1;
        } else if self.hurried.contains(selector) {
            self.tally.lost_to_hurry += 1;
        } else {
            let seen: Vec<&str> = records.iter().map(|record| &*record.text).collect();
            self.tally.violate(format!(
                "{}: a message signed at {} with {selector} fails at its receiver for good: {seen:?} is published",
                self.now.0, message.signed.0,
            ));
        }
    }

    /// A key was revoked whatever mail was under way. What was signed before is predicted; what was signed after must be by a
    /// daemon that could not know.
    fn lose_compromised(&mut self, message: &Message, selector: &Selector, declared: &Declared, revoked_at: Moment) {
        self.tally.lost_to_compromise += 1;
        let signed = message.signed.0;
        if message.signed > revoked_at {
            self.tally.lost_late += 1;
            let ceased = self.ceased.get(selector).copied();
            let could_know = ceased.is_none_or(|ceased| message.chosen > ceased + Duration::from_secs(2));
            if could_know && !message.is_cut_off {
                self.violate(&format!("a message is signed at {signed} with {selector}, which is revoked"));
            }
        } else if message.signed <= declared.at && declared.mail_until.is_some_and(|until| message.dies > until) {
            self.violate(&format!("mail with {selector} was said to be delivered by now; it was signed at {signed}"));
        }
    }
}
