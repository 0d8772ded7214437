//! Pass after pass over the domains whose keys are being replaced, until none is left.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::plan::{Detail, Planned};
use super::report::{Looked, Report, Unheard};
use crate::cli::output::{BAD, GOOD};
use crate::cli::progress::progress_bar;
use crate::evidence;
use crate::lifecycle::{Automation, Depth, Schedule, Seen, Sighting, Silences, Threat, WaitReason};
use crate::manifest::{DomainManifest, StateName};
use crate::names::{DomainName, Selector};
use crate::rotation::{self, Finished, LeftUndone, Patrol, Ran, RefusalKind, Runner, Wave, work_through};

/// Daemons are heard, and their minute is over, as soon as this.
const SOON: Duration = Duration::from_secs(1);

/// What else is waited for is looked at again within this.
const LATER: Duration = Duration::from_secs(10);

/// Records of so many standby keys are looked at by themselves; those of more are looked at by their runs.
const LOOKS: usize = 50;

/// Domains whose keys are being replaced.
pub(super) struct Replacing<'a> {
    runner: &'a Arc<Runner>,
    detail: Detail,
    /// When each domain that is not over is worked on next.
    due: BTreeMap<DomainName, Instant>,
    /// Those that wait for the operator.
    by_hand: BTreeSet<DomainName>,
    /// What came of those of which there is something to tell.
    told: BTreeMap<DomainName, Finished>,
    /// What is wrong with the daemons that were asked to cease to use a domain's keys.
    unheard: BTreeMap<DomainName, String>,
    /// Why the rest was left.
    halted: Option<LeftUndone>,
    looked: Vec<Looked>,
    total: usize,
    bar: ProgressBar,
}

/// Where a domain stands.
enum Standing {
    /// No key that others may have signs, or is believed.
    Over,
    /// It waits for the operator's DNS.
    ByHand,
    /// It is to be worked on again.
    Again(Duration),
}

impl<'a> Replacing<'a> {
    pub(super) fn new(runner: &'a Arc<Runner>, domains: &[DomainName], detail: Detail) -> Self {
        let now = runner.clock.monotonic();
        Self {
            runner,
            detail,
            due: domains.iter().map(|domain| (domain.clone(), now)).collect(),
            by_hand: BTreeSet::new(),
            told: BTreeMap::new(),
            unheard: BTreeMap::new(),
            halted: None,
            looked: Vec::new(),
            total: domains.len(),
            bar: progress_bar(domains.len(), "replaced"),
        }
    }

    /// Works on all that are due, once.
    pub(super) async fn pass(&mut self) {
        let now = self.runner.clock.monotonic();
        let wave = |domain: &DomainName| Wave {
            domain: domain.clone(),
            patrol: Patrol::OnlyDue,
            silences: Silences::default(),
            audited: None,
            standing: match self.told.get(domain) {
                Some(told) if told.is_failure() => rotation::Standing::Failed,
                _ => rotation::Standing::Well,
            },
        };
        let waves: Vec<Wave> =
            self.due.iter().filter(|(_, due)| **due <= now).map(|(domain, _)| wave(domain)).collect();
        let runner = Arc::clone(self.runner);
        let halt = work_through(&runner, waves, &runner.config.rotation.waves, |finished| self.take(finished)).await;
        self.halted = self.halted.take().or(halt.err());
    }

    /// Goes on until no domain is left that can be worked on, for at most so long.
    pub(super) async fn until_over(&mut self, patience: Duration) {
        let deadline = self.runner.clock.monotonic() + patience;
        while self.halted.is_none() {
            let Some(next) = self.due.values().min().copied() else { break };
            let now = self.runner.clock.monotonic();
            if now >= deadline {
                break;
            }
            tokio::time::sleep(next.min(deadline).saturating_duration_since(now)).await;
            self.pass().await;
        }
        self.bar.finish_and_clear();
    }

    fn take(&mut self, mut finished: Finished) {
        let domain = finished.domain.clone();
        if let Ok(Some(ran)) = &mut finished.result {
            // They are told of at the end, if they still have not answered.
            let unheard = ran.summary.refusals.extract_if(.., |refusal| refusal.kind == RefusalKind::Unheard).last();
            if let Some(unheard) = unheard {
                self.unheard.insert(domain.clone(), unheard.detail);
            }
        }
        match standing(self.runner, &finished) {
            Standing::Over => {
                self.due.remove(&domain);
                self.bar.inc(1);
            }
            Standing::ByHand => {
                self.due.remove(&domain);
                self.by_hand.insert(domain.clone());
            }
            Standing::Again(after) => {
                self.due.insert(domain.clone(), self.runner.clock.monotonic() + after);
            }
        }
        let is_trouble = match &finished.result {
            Ok(Some(ran)) => !ran.summary.refusals.is_empty() || !ran.summary.plan.alarms.is_empty(),
            Ok(None) => false,
            Err(_) => true,
        };
        let before = self.told.remove(&domain);
        if self.detail == Detail::Everything || is_trouble {
            self.told.insert(domain, merged(before, finished));
        }
    }

    /// Looks at the records of standby keys that sign now.
    pub(super) async fn look_at(&mut self, successors: Vec<(DomainName, Selector)>) {
        for (domain, selector) in successors.into_iter().take(LOOKS) {
            let looked = self.look(&domain, &selector).await;
            self.looked.extend(looked);
        }
    }

    async fn look(&self, domain: &DomainName, selector: &Selector) -> Option<Looked> {
        let now = self.runner.now();
        let store = Arc::clone(self.runner);
        let of = domain.clone();
        let manifest = tokio::task::spawn_blocking(move || {
            use crate::keystore::KeyStore;
            store.store.manifest(&of).ok().flatten()
        });
        let manifest: DomainManifest = manifest.await.ok().flatten()?;
        let binding = manifest.binding(selector)?;
        let seen = self.runner.eyes.look(domain, std::slice::from_ref(selector), Depth::Servers, &now).await;
        let (_, observed) = seen.first()?;
        let schedule: Schedule = rotation::schedule(&self.runner.config, domain);
        let sighting = Sighting::of(binding, observed, &Silences::default(), &schedule);
        Some(Looked {
            domain: domain.clone(),
            selector: selector.clone(),
            everywhere: sighting.seen == Seen::Everywhere,
            detail: sighting.describe(),
        })
    }

    pub(super) fn write_looks(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        for Looked { domain, selector, everywhere, detail } in &self.looked {
            if *everywhere {
                writeln!(out, "{domain}: {GOOD}{selector} signs now, and {detail}{GOOD:#}")?;
            } else {
                writeln!(
                    out,
                    "{domain}: {BAD}{selector} signs now, and its record is not seen on every server:{BAD:#} {detail}; \
                     what it signs cannot be verified where that is missing"
                )?;
            }
        }
        Ok(())
    }

    /// What came of it all. What was not as it should be is looked at again.
    pub(super) async fn report(mut self, planned: &Planned) -> Report {
        for index in 0..self.looked.len() {
            let Looked { domain, selector, everywhere, .. } = self.looked[index].clone();
            if !everywhere && let Some(again) = self.look(&domain, &selector).await {
                self.looked[index] = again;
            }
        }
        let directory = self.runner.evidence_directory.clone();
        if let Ok(Ok(evidence)) = tokio::task::spawn_blocking(move || evidence::read(&directory)).await {
            // Whoever answers has the revision that was asked for.
            self.unheard.retain(|domain, _| evidence.acknowledged(domain).is_none());
        }
        let unfinished: BTreeSet<DomainName> = self.due.keys().chain(&self.by_hand).cloned().collect();
        let mut report = Report {
            made_until: planned.made_until(),
            meanwhile: planned.order.meanwhile,
            total: self.total,
            replaced: self.total - unfinished.len(),
            unfinished: unfinished.into_iter().collect(),
            halted: self.halted.map(|halted| crate::finding::Chain(&halted).to_string()),
            lost: planned.lost.clone(),
            standby: self.looked,
            unheard: self.unheard.into_iter().map(|(domain, detail)| Unheard { domain, detail }).collect(),
            domains: self.told.values().filter_map(crate::cli::rotate::RotatedDomain::of).collect(),
            publish_by_hand: Vec::new(),
            revoke_by_hand: Vec::new(),
            is_bad: self.told.values().any(is_bad),
        };
        for domain in &self.by_hand {
            use crate::keystore::KeyStore;
            if let Ok(Some(manifest)) = self.runner.store.manifest(domain) {
                report.add_by_hand(&manifest);
            }
        }
        report
    }
}

/// What was done before stands before what was done now.
fn merged(before: Option<Finished>, mut finished: Finished) -> Finished {
    if let (Some(Finished { result: Ok(Some(Ran { done, .. })), .. }), Ok(Some(ran))) = (before, &mut finished.result) {
        ran.done.splice(0..0, done);
    }
    finished
}

fn is_bad(finished: &Finished) -> bool {
    match &finished.result {
        Ok(Some(ran)) => finished.is_failure() || !ran.summary.plan.alarms.is_empty(),
        Ok(None) => false,
        Err(_) => true,
    }
}

fn standing(runner: &Runner, finished: &Finished) -> Standing {
    let ran = match &finished.result {
        Ok(Some(ran)) => ran,
        Ok(None) => return Standing::Over,
        Err(_) => return Standing::Again(LATER),
    };
    let plan = &ran.summary.plan;
    let nothing_signs = plan.alarms.iter().any(|alarm| alarm.threat == Threat::NothingSigns);
    if !is_believed(&ran.manifest) && !nothing_signs {
        return Standing::Over;
    }
    if rotation::automation(&runner.config, &ran.manifest) != Automation::Full {
        // What the operator need not do is done first: keys are made, daemons heard.
        let waits_for_us = plan.waits.iter().any(|wait| matches!(wait.reason, WaitReason::Daemons));
        return if waits_for_us { Standing::Again(SOON) } else { Standing::ByHand };
    }
    if plan.waits.iter().any(|wait| matches!(wait.reason, WaitReason::Daemons)) {
        return Standing::Again(SOON);
    }
    let now = runner.clock.now();
    let next = plan.waits.iter().filter_map(|wait| wait.until).filter(|until| *until > now).min();
    let left = next.and_then(|next| Duration::try_from(next.duration_since(now)).ok());
    Standing::Again(left.unwrap_or(LATER).clamp(SOON, LATER))
}

/// Whether a key that others may have signs, or is believed by whoever looks.
fn is_believed(manifest: &DomainManifest) -> bool {
    manifest.bindings().iter().any(|binding| {
        binding.compromised.is_some() && !matches!(binding.state.name(), StateName::Revoked | StateName::Withdrawn)
    })
}
