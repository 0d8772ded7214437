//! Looks and has judged.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::target::{Scope, Target, TargetKey};
use crate::check::{self, KeyJudgement, KeySubject, Rule, Subject, Wishes};
use crate::clock::Clock;
use crate::dkim::Algorithm;
use crate::dns::{Observer, ZoneFile};
use crate::names::{DomainName, Selector};
use crate::observation::{Dmarc, Observation};
use crate::report::{DomainReport, KeyReport};

/// Rules about what a domain lacks.
const WANT_ALL_KEYS: [Rule; 2] = [Rule::K10, Rule::P08];

/// Where to look.
#[derive(Debug, Clone)]
pub enum Sight {
    /// In the DNS.
    Dns(Observer),
    /// In a zone file, before it is published.
    ZoneFile(Arc<ZoneFile>),
}

/// What is kept of what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// All of it, for whoever wants the answers of each server.
    Kept,
    /// What the findings say.
    Dropped,
}

/// Looks at domains and has them judged.
#[derive(Debug, Clone)]
pub struct Inspector {
    /// Where to look.
    pub sight: Sight,
    /// What is wanted beyond the standards.
    pub wishes: Wishes,
    /// What is kept.
    pub evidence: Evidence,
    /// The time.
    pub clock: Clock,
}

impl Inspector {
    /// Looks at domains, at most `side_by_side` at a time, and calls `done` with each report as it comes, in no order.
    pub async fn inspect_all(
        &self,
        targets: impl Iterator<Item = Target>,
        side_by_side: NonZeroUsize,
        mut done: impl FnMut(DomainReport),
    ) {
        let mut under_way = JoinSet::new();
        let mut targets = targets.fuse();
        loop {
            while under_way.len() < side_by_side.get() {
                let Some(target) = targets.next() else { break };
                let inspector = self.clone();
                under_way.spawn(async move { inspector.inspect(target).await });
            }
            match under_way.join_next().await {
                Some(Ok(report)) => done(report),
                // Nothing aborts them, and they do not panic.
                Some(Err(_)) => {}
                None => return,
            }
        }
    }

    /// Looks at one domain.
    pub async fn inspect(&self, target: Target) -> DomainReport {
        let mut subject = Subject {
            dmarc: self.dmarc(&target.domain).await,
            keys: Vec::with_capacity(target.keys.len()),
            signs_subdomains: target.signs_subdomains,
            auid: target.auid,
            domain: target.domain,
        };
        let mut rest = Vec::with_capacity(target.keys.len());
        for TargetKey { selector, held, source } in target.keys {
            let observation = self.observe(&subject.domain, &selector).await;
            rest.push(source);
            subject.keys.push(KeySubject { selector, held, observation });
        }
        let mut judgement = check::judge(&subject, &self.wishes, self.clock.now());
        if target.scope == Scope::Selected {
            judgement.findings.retain(|finding| !WANT_ALL_KEYS.iter().any(|rule| rule.id() == finding.rule));
        }
        let keys = subject.keys.into_iter().zip(rest).zip(judgement.keys);
        DomainReport {
            domain: subject.domain,
            findings: judgement.findings,
            keys: keys
                .map(|((subject, source), KeyJudgement { findings, undetermined, .. })| KeyReport {
                    selector: subject.selector,
                    algorithm: subject.held.as_ref().map(|held| Algorithm::a_tag(held.public_key.algorithm())),
                    state: subject.held.as_ref().map(|held| held.state.as_str()),
                    source,
                    findings,
                    undetermined,
                    observation: (self.evidence == Evidence::Kept).then_some(subject.observation),
                })
                .collect(),
        }
    }

    async fn observe(&self, domain: &DomainName, selector: &Selector) -> Observation {
        match &self.sight {
            Sight::Dns(observer) => observer.observe(domain, selector).await,
            Sight::ZoneFile(file) => file.observe(domain, selector, self.clock.now()),
        }
    }

    async fn dmarc(&self, domain: &DomainName) -> Dmarc {
        match &self.sight {
            Sight::Dns(observer) => observer.dmarc(domain).await,
            Sight::ZoneFile(_) => Dmarc::Unknown,
        }
    }
}
