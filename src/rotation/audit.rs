//! The audit log's lines.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dkim::KeyRecord;
use crate::dkim::key::KeyId;
use crate::manifest::{Binding, DomainManifest, PrivateKeyPlace, Retiring, State, StateName};
use crate::names::{DomainName, Selector};

/// One line: a transition of a key, or a change of DNS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Whose key.
    pub domain: DomainName,
    /// The revision of the manifest that has it: with `selector` and `what` it names the line.
    pub revision: u64,
    /// The key's selector.
    pub selector: Selector,
    /// The key.
    pub key_id: KeyId,
    /// What happened.
    pub what: What,
    /// The state, or the record, before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The state, or the record, after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What an audit line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The key went from one state to another.
    Transition,
    /// Its record was published.
    Published,
    /// Its record was replaced by one with an empty p=.
    Revoked,
    /// Its record was deleted.
    Deleted,
    /// Changes of its record were blocked, or are no longer.
    Held,
    /// The operator said that others may have it.
    Compromised,
    /// Its private part was published, before it was destroyed.
    Disclosed,
    /// Its private part was destroyed.
    Destroyed,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Transition => "transition",
            Self::Published => "published",
            Self::Revoked => "revoked",
            Self::Deleted => "deleted",
            Self::Held => "held",
            Self::Compromised => "compromised",
            Self::Disclosed => "disclosed",
            Self::Destroyed => "destroyed",
        })
    }
}

/// The lines that a manifest bears witness to: how each key came into its present state, and what was done to its record
/// there. After a crash they are appended if they are missing; a line is the same as another if all but `revision`,
/// `before` and `detail` are equal.
pub fn entries_of(manifest: &DomainManifest) -> Vec<Entry> {
    let mut entries: Vec<_> = manifest.bindings().iter().flat_map(|binding| of_binding(manifest, binding)).collect();
    entries.extend(manifest.tombstones().iter().map(|stone| Entry {
        at: stone.removed,
        domain: manifest.domain().clone(),
        revision: manifest.revision(),
        selector: stone.selector.clone(),
        key_id: stone.key_id,
        what: What::Transition,
        before: Some(StateName::Withdrawn.to_string()),
        after: None,
        detail: None,
    }));
    entries
}

/// The lines of one change of a manifest.
pub fn entries(before: &DomainManifest, after: &DomainManifest) -> Vec<Entry> {
    let known = entries_of(before);
    let mut entries: Vec<_> =
        entries_of(after).into_iter().filter(|entry| !known.iter().any(|other| other.is_same(entry))).collect();
    for entry in entries.iter_mut().filter(|entry| entry.what == What::Transition) {
        let state = before.binding(&entry.selector).map(|binding| binding.state.name().to_string());
        entry.before = state.or(entry.before.take());
    }
    for old in before.bindings() {
        let Some(new) = after.binding(&old.selector) else { continue };
        let entry = |what, was: &str, is: &str| Entry {
            before: Some(was.into()),
            after: Some(is.into()),
            ..line(after, new, what, new.state.since())
        };
        if old.held.is_some() && new.held.is_none() {
            entries.push(entry(What::Held, "held", "free"));
        }
        if old.private_key != PrivateKeyPlace::None && new.private_key == PrivateKeyPlace::None {
            entries.push(entry(What::Destroyed, "kept", "destroyed"));
        }
    }
    entries
}

impl Entry {
    /// What names the line, unique within the log: the same for two that are about the same event.
    pub fn line_id(&self) -> String {
        let after = self.after.as_deref().unwrap_or_default();
        let Self { at, domain, selector, key_id, what, .. } = self;
        match what {
            What::Transition | What::Held => format!("{at} {domain} {selector} {} {what} {after}", key_id.short()),
            // It is done anew, at another time, by whoever goes on where it was cut short.
            What::Disclosed => format!("{domain} {selector} {} {what}", key_id.short()),
            _ => format!("{at} {domain} {selector} {} {what}", key_id.short()),
        }
    }

    /// Whether both are about the same event.
    pub fn is_same(&self, other: &Self) -> bool {
        let identity = |entry: &Self| {
            let Self { at, domain, selector, key_id, what, after, .. } = entry;
            (*at, domain.clone(), selector.clone(), *key_id, *what, after.clone())
        };
        identity(self) == identity(other)
    }
}

fn of_binding(manifest: &DomainManifest, binding: &Binding) -> Vec<Entry> {
    let (record, revoked) = (KeyRecord::of(&binding.public_key), KeyRecord::revoked(binding.algorithm()));
    let dns = |what, at, before: Option<&KeyRecord>, after: Option<&KeyRecord>| Entry {
        before: before.map(KeyRecord::to_string),
        after: after.map(KeyRecord::to_string),
        ..line(manifest, binding, what, at)
    };
    let transition = line(manifest, binding, What::Transition, binding.state.since());
    let mut entries = vec![Entry { after: Some(binding.state.name().to_string()), ..transition }];
    match &binding.state {
        State::Published(state) => {
            entries.extend(state.acknowledged.map(|at| dns(What::Published, at, None, Some(&record))));
        }
        State::Retiring(state) => {
            entries.extend(state.acknowledged.map(|at| match binding.compromised.is_none() && !state_signed(state) {
                true => dns(What::Deleted, at, Some(&record), None),
                false => dns(What::Revoked, at, Some(&record), Some(&revoked)),
            }));
        }
        State::Revoked(state) => {
            entries.extend(state.acknowledged.map(|at| dns(What::Deleted, at, Some(&revoked), None)));
        }
        _ => {}
    }
    if let Some(held) = &binding.held {
        let entry = line(manifest, binding, What::Held, held.since);
        entries.push(Entry { after: Some("held".into()), detail: held.evidence.clone(), ..entry });
    }
    if let Some(compromised) = &binding.compromised {
        entries.push(line(manifest, binding, What::Compromised, compromised.since));
    }
    entries
}

fn state_signed(state: &Retiring) -> bool {
    state.not_withdrawn_before > state.since
}

fn line(manifest: &DomainManifest, binding: &Binding, what: What, at: Timestamp) -> Entry {
    Entry {
        at,
        domain: manifest.domain().clone(),
        revision: manifest.revision(),
        selector: binding.selector.clone(),
        key_id: binding.key_id(),
        what,
        before: None,
        after: None,
        detail: None,
    }
}
