//! The publisher: changes the primary by value, and is no more reliable than the network to it.

use std::time::Duration;

use waxseal::observation::Txt;
use waxseal::record_format::PublishedRecord;
use waxseal::rotation::{Outcome, RefusalKind};

use super::faults::Mood;
use super::guard::Guard;
use super::keys::Bound;
use super::runner::refused;
use super::time::{DAY, HOUR, MINUTE};
use super::world::{Event, World};
use super::zone::{Author, Record};

impl World {
    /// Puts a record where there is none.
    pub(crate) fn publish(&mut self, record: &PublishedRecord) -> Outcome {
        let standing = self.zone.at_primary(&record.name);
        if self.guard != Some(Guard::Value) && standing.iter().any(|other| *other.text != *record.value) {
            return refused(RefusalKind::Conflict, "another record stands there");
        }
        if !self.bound.get(&record.selector).is_some_and(|bound| bound.is_published_by(&record.value)) {
            self.tally.violate(format!("{}: (I5) {} is published with another key", self.now.0, record.selector));
        }
        let after = vec![Record { text: record.value.as_str().into(), ttl: record.ttl }];
        let replaced: Vec<Record> = standing.iter().filter(|there| there.text != after[0].text).cloned().collect();
        self.check_ours(&record.selector, replaced.iter());
        self.write(&record.name, after)
    }

    /// Replaces a record that has one of the values.
    pub(crate) fn revoke(&mut self, old: &PublishedRecord, standing: &[Txt], new: &PublishedRecord) -> Outcome {
        self.check_withdrawal(&old.selector);
        let there = self.zone.at_primary(&old.name).to_vec();
        if there.iter().any(|record| *record.text == *new.value) {
            return Outcome::Done;
        }
        let is_named = |record: &Record| *record.text == *old.value || is_among(record, standing);
        if !there.iter().any(is_named) {
            return refused(RefusalKind::Conflict, "the record is not there");
        }
        self.check_ours(&old.selector, there.iter().filter(|record| is_named(record)));
        let mut after: Vec<Record> = there.into_iter().filter(|record| !is_named(record)).collect();
        after.push(Record { text: new.value.as_str().into(), ttl: new.ttl });
        let outcome = self.write(&old.name, after);
        if self.zone.at_primary(&old.name).iter().any(|record| *record.text == *new.value) {
            self.note_revoked(old);
        }
        outcome
    }

    /// Deletes a record that has one of the values.
    pub(crate) fn delete(&mut self, records: &[PublishedRecord], standing: &[Txt]) -> Outcome {
        let Some(first) = records.first() else { return Outcome::Done };
        self.check_withdrawal(&first.selector);
        let there = self.zone.at_primary(&first.name).to_vec();
        let has_no_guard = self.guard == Some(Guard::Value);
        let is_named = |record: &Record| {
            has_no_guard || records.iter().any(|named| *record.text == *named.value) || is_among(record, standing)
        };
        self.check_ours(&first.selector, there.iter().filter(|record| is_named(record)));
        let after = there.into_iter().filter(|record| !is_named(record)).collect();
        let outcome = self.write(&first.name, after);
        if self.zone.at_primary(&first.name).is_empty() {
            self.note_revoked(first);
        }
        outcome
    }

    fn note_revoked(&mut self, record: &PublishedRecord) {
        if self.revoked_at.insert(record.selector.clone(), self.now).is_none()
            && self.compromised.contains_key(&record.selector)
        {
            self.tally.predicted += self.under_way.get(&record.selector).copied().unwrap_or(0);
        }
    }

    /// Changes a name at the primary, as the publisher is disposed; servers may err about it for a while.
    fn write(&mut self, name: &str, after: Vec<Record>) -> Outcome {
        let mood = if self.now < self.publisher.1 { self.publisher.0 } else { Mood::Well };
        match mood {
            Mood::Refuses => return refused(RefusalKind::Failed, "refused"),
            Mood::LosesUpdates => return Outcome::Done,
            Mood::Well | Mood::LosesAnswers => {}
        }
        let before = self.zone.at_primary(name).to_vec();
        if before != after {
            self.zone.change(name, after, Author::Publisher, self.now);
            self.err(name, before);
        }
        match mood {
            Mood::LosesAnswers => refused(RefusalKind::Failed, "no answer"),
            _ => Outcome::Done,
        }
    }

    /// Some servers answer wrongly about a name that changed, until they converge; and somebody asks.
    fn err(&mut self, name: &str, before: Vec<Record>) {
        for server in 0..self.zone.servers.len() {
            if self.random.happens(120) {
                self.tally.faults += 1;
                let records = match self.random.below(3) {
                    0 => Vec::new(),
                    1 => vec![Record { text: "v=spf1 -all".into(), ttl: 300 }],
                    _ => before.clone(),
                };
                let (of_ten, span) = (3 + self.random.below(8), self.random.up_to(2 * DAY));
                self.zone.lie(server, name, records, of_ten, self.now + span);
            }
        }
        for within in [MINUTE, 10 * MINUTE, HOUR, 6 * HOUR] {
            if self.random.happens(500) {
                let after = self.random.between(Duration::ZERO, within);
                self.after(after, Event::Probe(name.into()));
            }
        }
    }

    fn check_ours<'a>(&mut self, selector: &waxseal::names::Selector, removed: impl Iterator<Item = &'a Record>) {
        let bound: Option<&Bound> = self.bound.get(selector);
        for record in removed {
            if !bound.is_some_and(|bound| bound.is_ours(&record.text)) {
                let (now, text) = (self.now.0, &record.text);
                self.tally.violate(format!("{now}: (I6) a record of {selector} is removed that is not ours: {text}"));
            }
        }
    }
}

fn is_among(record: &Record, standing: &[Txt]) -> bool {
    standing.iter().any(|txt| txt.joined() == record.text.as_bytes())
}
