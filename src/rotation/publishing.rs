//! Changes of DNS, through a domain's publisher.

use std::sync::Arc;

use super::effect::{Outcome, Refusal, RefusalKind};
use super::runner::{Runner, failed};
use crate::dns::publish::{self, PublishError, Record};
use crate::names::DomainName;
use crate::observation::Txt;
use crate::record_format::PublishedRecord;

/// Publishes a record where nothing else stands.
pub(super) async fn publish(runner: &Arc<Runner>, domain: &DomainName, record: &PublishedRecord) -> Outcome {
    match runner.publisher(domain, &record.selector) {
        Ok(publisher) => outcome(publisher.present(&to_publish(runner, record)).await),
        Err(refusal) => Outcome::Refused(refusal),
    }
}

/// Replaces what stands, in whichever of the forms, by `new`.
pub(super) async fn revoke(
    runner: &Arc<Runner>,
    domain: &DomainName,
    old: &PublishedRecord,
    standing: &[Txt],
    new: &PublishedRecord,
) -> Outcome {
    let publisher = match runner.publisher(domain, &new.selector) {
        Ok(publisher) => publisher,
        Err(refusal) => return Outcome::Refused(refusal),
    };
    let new = to_publish(runner, new);
    let mut last = None;
    for form in forms(runner, std::slice::from_ref(old), standing) {
        match outcome(publisher.replace(&form, &new).await) {
            conflict if is_conflict(&conflict) => last = last.or(Some(conflict)),
            other => return other,
        }
    }
    last.unwrap_or(Outcome::Done)
}

/// Deletes what stands, in whichever of the forms.
pub(super) async fn delete(
    runner: &Arc<Runner>,
    domain: &DomainName,
    records: &[PublishedRecord],
    standing: &[Txt],
) -> Outcome {
    let Some(first) = records.first() else { return Outcome::Done };
    let publisher = match runner.publisher(domain, &first.selector) {
        Ok(publisher) => publisher,
        Err(refusal) => return Outcome::Refused(refusal),
    };
    let mut last = None;
    for form in forms(runner, records, standing) {
        match outcome(publisher.absent(&form).await) {
            conflict if is_conflict(&conflict) => last = last.or(Some(conflict)),
            other => return other,
        }
    }
    last.unwrap_or(Outcome::Done)
}

/// What may stand there and be ours: first what was seen, then what we write, each once.
fn forms(runner: &Runner, records: &[PublishedRecord], standing: &[Txt]) -> Vec<Record> {
    let mut forms: Vec<Record> = Vec::new();
    let Some(first) = records.first().map(|first| to_publish(runner, first)) else { return forms };
    for txt in standing {
        // What is no text was not written by us, nor by anyone for us.
        if let Ok(value) = String::from_utf8(txt.joined()) {
            forms.push(Record::new(first.name.clone(), txt.ttl, value));
        }
    }
    forms.extend(records.iter().map(|record| to_publish(runner, record)));
    let mut seen = Vec::new();
    forms.retain(|form| {
        let is_new = !seen.contains(&form.value);
        seen.push(form.value.clone());
        is_new
    });
    forms
}

/// The record at the name where it stands: that of its selector, or where the CNAME of that leads.
fn to_publish(runner: &Runner, record: &PublishedRecord) -> Record {
    let target = runner.config.target_of(&record.domain, &record.selector);
    let name = target.map_or_else(|| record.name.clone(), |target| target.to_string());
    Record::new(name, record.ttl, record.value.clone())
}

fn outcome(result: Result<publish::Outcome, PublishError>) -> Outcome {
    let refused = |kind, detail| Outcome::Refused(Refusal { kind, detail });
    match result {
        Ok(publish::Outcome::Done | publish::Outcome::AlreadySo) => Outcome::Done,
        Ok(publish::Outcome::Conflict(standing)) => {
            refused(RefusalKind::Conflict, format!("something else stands there: {standing}"))
        }
        Ok(publish::Outcome::ByHand { instruction }) => refused(RefusalKind::Failed, instruction),
        Err(error) => failed(&error),
    }
}

fn is_conflict(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused(Refusal { kind: RefusalKind::Conflict, .. }))
}
