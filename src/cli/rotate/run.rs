//! The work on the domains that are due.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::select::{Selected, Selection, select};
use super::tell::{Mode, RotatedDomain, Scope, Teller};
use crate::cli::Exit;
use crate::cli::output::{Format, WARN};
use crate::cli::progress::progress_bar;
use crate::finding::Chain;
use crate::keystore::KeyStore;
use crate::lifecycle::{ClockTrouble, WaitReason};
use crate::rotation::{
    Counted, Due, DueIndex, Finished, KeyCounts, LeftUndone, Patrol, RunSummary, Runner, preview_all, work_through,
};

/// How often the index is brought to its file during a run.
const SAVED_EVERY: Duration = Duration::from_secs(1);

/// Looks what would be done, and changes nothing.
pub(super) async fn dry(
    runner: &Arc<Runner>,
    selection: Selection,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let mut index = read_index(runner);
    let Selected { scope, waves, .. } = select(runner, &mut index, selection)?;
    let bar = progress_bar(waves.len(), "domains");
    let mut named = Vec::new();
    let mut teller = Teller::begin(out, format, scope, Mode::DryRun, waves.len(), bar);
    preview_all(runner, waves, &runner.config.rotation.waves, |preview| {
        let domain = RotatedDomain::of_preview(&preview);
        match scope {
            Scope::Named => named.extend(domain),
            Scope::Due { .. } => teller.tell(domain, runner.clock.now()),
        }
    })
    .await;
    tell_in_order(&mut teller, named, runner.clock.now());
    teller.end(None)
}

/// Does what is due.
pub(super) async fn real(
    runner: &Arc<Runner>,
    selection: Selection,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let begun = runner.clock.now();
    let mut index = read_index(runner);
    let Selected { scope, waves, mut counted } = select(runner, &mut index, selection)?;
    let bar = progress_bar(waves.len(), "domains");
    let mut named = Vec::new();
    let mut teller = Teller::begin(out, format, scope, Mode::Real, waves.len(), bar);
    let mut saving = Saving { saved: runner.clock.monotonic(), is_warned: Warned::NotYet };
    let mut paused: Option<ClockTrouble> = None;
    let result = work_through(runner, waves, &runner.config.rotation.waves, |finished| {
        count(&mut counted, &finished);
        note(runner, &mut index, &finished);
        paused = paused.or_else(|| clock_trouble(&finished));
        saving.now_and_then(runner, &mut index);
        let domain = RotatedDomain::of(&finished);
        match scope {
            Scope::Named => named.extend(domain),
            Scope::Due { .. } => teller.tell(domain, runner.clock.now()),
        }
    })
    .await;
    if let Some(trouble) = paused {
        anstream::eprintln!("{WARN}warning:{WARN:#} rotation pauses until the next run, for {trouble}");
    }
    if let Err(error) = index.finish(&runner.now()) {
        saving.warn(&error);
    }
    tell_in_order(&mut teller, named, runner.clock.now());
    let halt = match result {
        Ok(()) => None,
        Err(LeftUndone::Halted(halt)) => Some(halt),
        Err(error) => {
            anstream::eprintln!("{WARN}warning:{WARN:#} {}", Chain(&error));
            None
        }
    };
    if matches!(scope, Scope::Due { .. }) {
        let summary = RunSummary::new(begun, runner.clock.now(), counted, halt, &index);
        // The daemon shows it, and has the group of the key store.
        let readers = fs::metadata(&runner.config.keys.store).ok().map(|store| store.gid());
        if let Err(error) = summary.write(&runner.config.rotation.state, readers) {
            anstream::eprintln!("{WARN}warning:{WARN:#} {}", Chain(&error));
        }
    }
    teller.end(halt.map(|halt| halt.to_string()))
}

fn tell_in_order(teller: &mut Teller<'_>, mut domains: Vec<RotatedDomain>, now: Timestamp) {
    domains.sort_by(|one, other| one.domain().cmp(other.domain()));
    domains.into_iter().for_each(|domain| teller.tell(Some(domain), now));
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

/// Brings the index to its file as the run goes, so that one that is killed is gone on with.
struct Saving {
    saved: Instant,
    is_warned: Warned,
}

/// Whether it was said that the index cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Warned {
    NotYet,
    Already,
}

impl Saving {
    fn now_and_then(&mut self, runner: &Runner, index: &mut DueIndex) {
        let now = runner.clock.monotonic();
        if now.duration_since(self.saved) < SAVED_EVERY {
            return;
        }
        if let Err(error) = index.save(&runner.now()) {
            self.warn(&error);
        }
        self.saved = runner.clock.monotonic();
    }

    fn warn(&mut self, error: &(dyn std::error::Error + 'static)) {
        if self.is_warned == Warned::NotYet {
            anstream::eprintln!("{WARN}warning:{WARN:#} {}", Chain(error));
        }
        self.is_warned = Warned::Already;
    }
}

fn count(counted: &mut Counted, finished: &Finished) {
    let is_changed = finished.result.as_ref().is_ok_and(|ran| ran.as_ref().is_some_and(|ran| !ran.done.is_empty()));
    counted.changed += u64::from(is_changed);
    match finished.is_failure() {
        true => counted.failed += 1,
        false => counted.done += 1,
    }
}

/// Takes note of when a domain is due again.
fn note(runner: &Runner, index: &mut DueIndex, finished: &Finished) {
    let domain = &finished.domain;
    let now = runner.clock.now();
    let stamp = runner.store.stamp(domain).unwrap_or_default();
    let ran = match &finished.result {
        Ok(Some(ran)) => ran,
        Ok(None) => return index.drop_domain(domain),
        Err(_) => return index.failed(domain, stamp, now),
    };
    let every = SignedDuration::try_from(runner.config.rotation.waves.patrol_every).unwrap_or(SignedDuration::MAX);
    let patrol = match index.get(domain) {
        Some(before) if finished.patrol == Patrol::OnlyDue => before.patrol,
        _ => index.next_patrol(domain, every, now),
    };
    let mut waits = ran.summary.plan.waits.iter().filter_map(|wait| wait.until);
    let (failures, at) = if finished.is_failure() {
        index.failed(domain, stamp, now);
        let (failures, pause) = index.get(domain).map_or((1, None), |failed| (failed.failures, failed.at));
        // A wait that ends before the pause does is not held up by it; one that is over is what failed.
        let wait = waits.filter(|wait| *wait > now).min();
        (failures, wait.into_iter().chain(pause).min())
    } else {
        (0, waits.by_ref().min())
    };
    let due = Due {
        stamp: Due::stamp_of(stamp),
        at,
        patrol,
        failures,
        audited: Some(ran.manifest.revision()),
        silences: ran.silences.clone(),
        keys: KeyCounts::of(&ran.manifest),
        alarms: u32::try_from(ran.summary.plan.alarms.len()).unwrap_or(u32::MAX),
    };
    index.set(domain.clone(), due);
}
