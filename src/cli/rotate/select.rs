//! Which domains are due: each manifest is looked for, none is read.

use std::collections::HashSet;

use anyhow::Context;
use jiff::Timestamp;

use super::tell::Scope;
use crate::cli::parallel::{Threads, in_order_on};
use crate::keystore::{KeyStore, Listed, Stamp, StoreError};
use crate::names::DomainName;
use crate::rotation::{Counted, DueIndex, Patrol, Runner, Standing, Wave};

/// So many domains are listed before their manifests are looked for.
const LISTED: usize = 8192;

/// For how many seconds a run goes on patrol at most, at the rate that the configuration allows: what is due meanwhile waits
/// no longer than that.
const PATROL: usize = 60;

/// Which domains.
pub(super) enum Selection {
    /// All that are due.
    Due,
    /// These, due or not.
    These(Vec<DomainName>),
}

/// Those to work on.
pub(super) struct Selected {
    pub(super) scope: Scope,
    /// What is due first, the longest overdue before all, then what is patrolled.
    pub(super) waves: Vec<Wave>,
    /// How many there are, and nothing done yet.
    pub(super) counted: Counted,
}

/// The domains to work on. The index forgets those that the store has no more.
pub(super) fn select(runner: &Runner, index: &mut DueIndex, selection: Selection) -> anyhow::Result<Selected> {
    if let Selection::These(domains) = selection {
        let waves = domains.into_iter().map(|domain| wave(index, domain, Patrol::AllInUse)).collect();
        return Ok(Selected { scope: Scope::Named, waves, counted: Counted::default() });
    }
    let now = runner.clock.now();
    let mut sorting = Sorting { index, now, total: 0, known: 0, due: Vec::new(), patrol: Vec::new() };
    let mut listed = runner.store.domains().context("the domains of the key store cannot be listed")?;
    loop {
        let domains = listed.by_ref().filter_map(|listed| match listed {
            Ok(Listed::Domain(domain)) => Some(Ok(domain)),
            Ok(Listed::Foreign(_)) => None,
            Err(error) => Some(Err(error)),
        });
        let domains = domains.take(LISTED).collect::<Result<Vec<_>, _>>()?;
        if domains.is_empty() {
            break;
        }
        let look = |domain: &DomainName| runner.store.stamp(domain);
        in_order_on(Threads::AlsoWaiting, &domains, look, |domain, stamp| -> anyhow::Result<()> {
            sorting.take(domain, &stamp);
            Ok(())
        })?;
    }
    let Sorting { total, known, mut due, mut patrol, .. } = sorting;
    if known < index.len() {
        forget(runner, index)?;
    }
    due.sort_by_key(|(since, _)| *since);
    patrol.sort_by_key(|(since, _)| *since);
    patrol.truncate(runner.config.rotation.waves.domains_per_second.get().saturating_mul(PATROL));
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let counted = Counted {
        domains: number(total),
        due: number(due.len() + patrol.len()),
        patrolled: number(patrol.len()),
        ..Counted::default()
    };
    let waves = due.into_iter().chain(patrol).map(|(_, wave)| wave).collect();
    Ok(Selected { scope: Scope::Due { total }, waves, counted })
}

/// Domains as they are looked at.
struct Sorting<'a> {
    index: &'a DueIndex,
    now: Timestamp,
    total: usize,
    /// Those that the index knows.
    known: usize,
    due: Vec<(Timestamp, Wave)>,
    patrol: Vec<(Timestamp, Wave)>,
}

impl Sorting<'_> {
    fn take(&mut self, domain: &DomainName, stamp: &Result<Option<Stamp>, StoreError>) {
        let now = self.now;
        let known = self.index.get(domain);
        let (is_due, since) = match (known, stamp) {
            // A directory in which no manifest ever was.
            (None, Ok(None)) => return,
            (None, _) => (true, Timestamp::MIN),
            (Some(known), Ok(stamp)) => (known.is_due(*stamp, now), known.at.unwrap_or(now)),
            // Its run says what is wrong; that it is looked at again is all that can be told by its stamp.
            (Some(known), Err(_)) => (known.failures == 0 || known.is_due(None, now), known.at.unwrap_or(now)),
        };
        self.total += 1;
        self.known += usize::from(known.is_some());
        // One that fails has its pauses, whatever the patrol's turn.
        let is_patrolled = known.is_some_and(|known| known.is_patrolled(now) && (known.failures == 0 || is_due));
        let patrol = if is_patrolled { Patrol::AllInUse } else { Patrol::OnlyDue };
        if is_due {
            self.due.push((since, wave(self.index, domain.clone(), patrol)));
        } else if let Some(known) = known.filter(|_| is_patrolled) {
            self.patrol.push((known.patrol, wave(self.index, domain.clone(), patrol)));
        }
    }
}

fn wave(index: &DueIndex, domain: DomainName, patrol: Patrol) -> Wave {
    let known = index.get(&domain);
    let has_failed = known.is_some_and(|due| due.failures > 0);
    Wave {
        audited: known.and_then(|due| due.audited),
        silences: known.map(|due| due.silences.clone()).unwrap_or_default(),
        standing: if has_failed { Standing::Failed } else { Standing::Well },
        domain,
        patrol,
    }
}

/// Drops from the index what the store does not list.
fn forget(runner: &Runner, index: &mut DueIndex) -> anyhow::Result<()> {
    let mut there = HashSet::with_capacity(index.len());
    for listed in runner.store.domains()? {
        if let Listed::Domain(domain) = listed? {
            there.insert(domain);
        }
    }
    index.keep_only(&there);
    Ok(())
}
