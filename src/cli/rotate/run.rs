//! Which domains are due, and the work on them.

use std::sync::Arc;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};

use super::{Rotated, RotatedDomain};
use crate::cli::output::WARN;
use crate::keystore::{KeyStore, Listed};
use crate::lifecycle::{Action, ClockTrouble, Observations, Plan, WaitReason, plan};
use crate::manifest::DomainManifest;
use crate::names::DomainName;
use crate::rotation::{Due, DueIndex, Finished, Patrol, Runner, Start, Wave, work_through};

/// Which domains.
pub(super) enum Selection {
    /// All that are due.
    Due,
    /// These, due or not.
    These(Vec<DomainName>),
}

/// Looks again and again at what is not known, and changes nothing.
pub(super) async fn dry(runner: &Arc<Runner>, selection: Selection) -> anyhow::Result<Rotated> {
    let index = read_index(runner);
    let (total, waves) = select(runner, &index, selection)?;
    let due = waves.len();
    let mut domains = Vec::new();
    for wave in waves {
        let Some(manifest) = runner.store.manifest(&wave.domain)? else { continue };
        let plan = planned(runner, manifest, wave).await;
        domains.push(plan);
    }
    Ok(Rotated { dry_run: true, total, due, halted: None, domains })
}

async fn planned(runner: &Arc<Runner>, manifest: DomainManifest, wave: Wave) -> RotatedDomain {
    /// Servers are asked, then resolvers; more than that is going in circles.
    const LOOKS: usize = 4;
    let Wave { domain, patrol, silences, audited } = wave;
    let Start { manifest, schedule, automation, evidence, silences, .. } =
        runner.start(manifest, patrol, silences, audited);
    let mut observations = Observations { silences, ..Observations::default() };
    let mut planned = Plan::default();
    for _ in 0..LOOKS {
        let now = runner.now();
        planned = plan(&manifest, &observations, &evidence, &now, &schedule, automation);
        let looks = planned.actions.iter().filter_map(|action| match action {
            Action::Observe { selector, depth } => Some((selector.clone(), *depth)),
            _ => None,
        });
        let looks: Vec<_> = looks.collect();
        if looks.is_empty() {
            break;
        }
        for (selector, depth) in looks {
            for (selector, observed) in runner.eyes.look(&domain, &[selector], depth, &now).await {
                observations.silences.note(&observed.observation, &observed.at);
                observations.seen.insert(selector, observed);
            }
        }
    }
    RotatedDomain { domain, done: Vec::new(), refused: Vec::new(), plan: (&planned).into() }
}

/// Does what is due.
pub(super) async fn real(runner: &Arc<Runner>, selection: Selection) -> anyhow::Result<Rotated> {
    let mut index = read_index(runner);
    let (total, waves) = select(runner, &index, selection)?;
    let due = waves.len();
    if due == 0 && index.len() == total.unwrap_or(0) && !index.is_empty() {
        return Ok(Rotated { dry_run: false, total, due, halted: None, domains: Vec::new() });
    }
    let mut domains = Vec::new();
    let mut paused: Option<ClockTrouble> = None;
    let halted = work_through(runner, waves, &runner.config.rotation.waves, |finished| {
        note(runner, &mut index, &finished);
        paused = paused.or_else(|| clock_trouble(&finished));
        // Nothing to tell of most of a million domains: memory is bounded by those of which there is.
        if let Some(told) = RotatedDomain::of(&finished) {
            let is_worth_telling =
                total.is_none() || !told.done.is_empty() || !told.refused.is_empty() || !told.plan.alarms.is_empty();
            if is_worth_telling {
                domains.push(told);
            }
        }
    })
    .await;
    if let Some(trouble) = paused {
        anstream::eprintln!("{WARN}warning:{WARN:#} rotation pauses until the next run, for {trouble}");
    }
    if let Err(error) = index.write(&runner.now()) {
        anstream::eprintln!("{WARN}warning:{WARN:#} {}", crate::finding::Chain(&error));
    }
    domains.sort_by(|one, other| one.domain.cmp(&other.domain));
    Ok(Rotated { dry_run: false, total, due, halted: halted.err().map(String::from), domains })
}

/// Why a domain's waits pause, if the clock was set.
fn clock_trouble(finished: &Finished) -> Option<ClockTrouble> {
    let waits = &finished.result.as_ref().ok()?.as_ref()?.summary.plan.waits;
    waits.iter().find_map(|wait| match wait.reason {
        WaitReason::Clock { trouble } => Some(trouble),
        _ => None,
    })
}

fn read_index(runner: &Runner) -> DueIndex {
    DueIndex::read(&runner.config.rotation.state.join("due.jsonl"), &runner.now())
}

/// The domains to work on, the longest overdue first, and how many there are in all.
fn select(runner: &Runner, index: &DueIndex, selection: Selection) -> anyhow::Result<(Option<usize>, Vec<Wave>)> {
    let wave = |domain: DomainName, patrol: Patrol| {
        let known = index.get(&domain);
        let silences = known.map(|due| due.silences.clone()).unwrap_or_default();
        Wave { audited: known.and_then(|due| due.audited), domain, patrol, silences }
    };
    if let Selection::These(domains) = selection {
        return Ok((None, domains.into_iter().map(|domain| wave(domain, Patrol::AllInUse)).collect()));
    }
    let now = runner.clock.now();
    let mut total = 0;
    let mut due: Vec<(Timestamp, Wave)> = Vec::new();
    for listed in runner.store.domains().context("the domains of the key store cannot be listed")? {
        let Listed::Domain(domain) = listed? else { continue };
        // One that cannot be looked at is due: its run says what is wrong.
        let stamp = runner.store.stamp(&domain).unwrap_or_default();
        if stamp.is_none() && index.get(&domain).is_none() {
            continue;
        }
        total += 1;
        match index.get(&domain) {
            None => due.push((Timestamp::MIN, wave(domain, Patrol::OnlyDue))),
            Some(entry) if entry.is_patrolled(now) => due.push((entry.patrol, wave(domain, Patrol::AllInUse))),
            Some(entry) if entry.is_due(stamp, now) => {
                due.push((entry.at.unwrap_or(now), wave(domain, Patrol::OnlyDue)));
            }
            Some(_) => {}
        }
    }
    due.sort_by_key(|(since, _)| *since);
    Ok((Some(total), due.into_iter().map(|(_, wave)| wave).collect()))
}

/// Takes note of when a domain is due again.
fn note(runner: &Runner, index: &mut DueIndex, finished: &Finished) {
    let domain = &finished.domain;
    let now = runner.clock.now();
    let stamp = runner.store.stamp(domain).unwrap_or_default();
    let ran = match &finished.result {
        Ok(Some(ran)) => ran,
        Ok(None) => return index.retain(|known| known != domain),
        Err(_) => return index.failed(domain, stamp, now),
    };
    if finished.is_failure() {
        index.failed(domain, stamp, now);
    }
    let every = SignedDuration::try_from(runner.config.rotation.waves.patrol_every).unwrap_or(SignedDuration::MAX);
    let patrol = match index.get(domain) {
        Some(before) if finished.patrol == Patrol::OnlyDue => before.patrol,
        _ => index.next_patrol(domain, every, now),
    };
    let waits = ran.summary.plan.waits.iter().filter_map(|wait| wait.until).min();
    let (failures, backoff) = match (finished.is_failure(), index.get(domain)) {
        (true, Some(failed)) => (failed.failures, failed.at),
        _ => (0, None),
    };
    // A wait that ends later than the pause is as good as the pause.
    let at = match (waits, backoff) {
        (Some(wait), Some(pause)) => Some(wait.max(now).min(pause)),
        (wait, pause) => wait.or(pause),
    };
    let due = Due {
        stamp: Due::stamp_of(stamp),
        at,
        patrol,
        failures,
        audited: Some(ran.manifest.revision()),
        silences: ran.silences.clone(),
    };
    index.set(domain.clone(), due);
}
