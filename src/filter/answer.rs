//! The end of a message: what the MTA is told, and what is written down of it.

use std::time::Duration;

use jiff::Timestamp;
use tracing::Level;

use super::beside::Beside;
use super::prepare::SignedBy;
use super::transaction::Transaction;
use crate::admission::Busy;
use crate::clock::Clock;
use crate::control::Spent;
use crate::dkim::SignatureField;
use crate::keystore::ActiveKey;
use crate::names::QueueId;
use crate::observe::line::{Line, Value};
use crate::observe::recorder::Recorded;
use crate::policy::{Action, Decision, Reason, Warning};

/// The end of a message.
#[derive(Debug)]
pub struct Answer {
    pub(super) message: Box<Transaction>,
    pub(super) body_octets: u64,
    /// What was decided.
    pub decision: Decision,
    /// What would have been decided, if we did not stand in the shadow of another signer.
    pub(super) would: Option<Decision>,
    /// The DKIM-Signature fields to delete before anything is inserted, in this order: each counted from 1 at the top.
    pub removed: Vec<u32>,
    /// How another signer and we differ, if both were held against each other.
    pub(super) beside: Option<Beside>,
    /// The fields to insert at the top, in this order: the last then stands topmost.
    pub signatures: Vec<SignatureField>,
    /// For which domain and with which key, in the same order.
    pub(super) keys: Vec<SignedBy>,
}

impl Answer {
    /// What is remembered of it.
    pub(super) fn recorded(&self, queue_id: Option<&QueueId>, at: Timestamp, total: Duration) -> Recorded {
        let message = &self.message;
        let policy = &message.running.policy;
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let ours = message.finding_keys.saturating_add(message.waiting).saturating_add(message.signing);
        // In the shadow of another signer they are made, and not inserted.
        let inserted = if self.decision.action == Action::Sign { self.keys.as_slice() } else { &[] };
        Recorded {
            at,
            queue_id: queue_id.cloned(),
            decision: self.decision,
            would: self.would,
            busy: message.busy.map(Busy::code),
            origin: message.origin,
            client: message.peer,
            from: message.author.as_ref().map(|author| author.domain.clone()),
            login: message.login.clone(),
            rule: message.rule.map(|rule| (policy.label(rule), policy.line(rule))),
            signatures: inserted
                .iter()
                .rev()
                .map(|(domain, key)| (domain.clone(), key.selector.clone(), key.algorithm))
                .collect(),
            warnings: message.warnings,
            bytes: message.headers.octets() as u64 + self.body_octets,
            spent: Spent {
                total: micros(total),
                reading: micros(total.saturating_sub(message.waited)),
                keys: micros(message.finding_keys),
                waiting: micros(message.waiting),
                signing: micros(message.signing),
                other: micros(message.waited.saturating_sub(ours)),
            },
        }
    }

    /// Decides for that reason; in the shadow of another signer, nothing is done.
    pub(super) fn decide(&mut self, reason: Reason) {
        (self.decision, self.would) = self.message.decide_in_part(reason);
    }

    /// Its line in the log.
    pub(super) fn line(&self, queue_id: Option<&QueueId>, clock: &Clock) -> Line {
        let message = &self.message;
        let mut fields = Vec::with_capacity(12);
        if let Some(queue_id) = queue_id {
            fields.push(("queue_id", Value::Text(queue_id.as_str().to_owned())));
        }
        fields.push(("decision", Value::Name(self.decision.action.as_str())));
        fields.push(("reason", Value::Name(self.decision.reason.code())));
        if let Some(part) = message.part.name() {
            fields.push(("mode", Value::Name(part)));
        }
        if let Some(would) = self.would {
            fields.push(("would", Value::Name(would.action.as_str())));
            fields.push(("would_reason", Value::Name(would.reason.code())));
        }
        fields.push(("origin", Value::Name(message.origin.as_str())));
        if let Some(busy) = message.busy {
            fields.push(("busy", Value::Name(busy.code())));
        }
        if let Some(author) = &message.author {
            fields.push(("from", Value::Text(author.domain.to_string())));
        }
        if let Some(login) = &message.login {
            fields.push(("login", Value::Text(login.clone())));
        }
        if let Some(rule) = message.rule {
            fields.push(("rule", Value::Text(message.running.policy.label(rule))));
        }
        if !self.keys.is_empty() {
            let list = |name: fn(&ActiveKey) -> &str| {
                self.keys.iter().rev().map(|(_, key)| name(key)).collect::<Vec<_>>().join(",")
            };
            let mut domains: Vec<&str> = self.keys.iter().rev().map(|(domain, _)| domain.as_str()).collect();
            // One domain stands once, several as often as they sign.
            domains.dedup();
            if domains.len() > 1 {
                domains = self.keys.iter().rev().map(|(domain, _)| domain.as_str()).collect();
            }
            fields.push(("d", Value::Text(domains.join(","))));
            fields.push(("s", Value::Text(list(|key| key.selector.as_str()))));
            fields.push(("a", Value::Text(list(|key| key.algorithm.a_tag()))));
        }
        if let Some(beside) = &self.beside {
            beside.append_to(&mut fields);
        }
        if !self.removed.is_empty() {
            fields.push(("replaced", Value::Number(self.removed.len() as u64)));
        }
        if !message.warnings.is_empty() {
            let codes: Vec<&str> = message.warnings.iter().map(Warning::code).collect();
            fields.push(("warnings", Value::Text(codes.join(","))));
        }
        fields.push(("bytes", Value::Number(message.headers.octets() as u64 + self.body_octets)));
        fields.push(("us", Value::Number(message.waited.as_micros() as u64)));
        Line { at: clock.now(), level: Level::INFO, message: "message".into(), fields }
    }
}
