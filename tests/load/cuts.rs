//! `waxseal rotate`, killed at every effect.
//!
//! Where a run is, shows from outside: by the hook that waits, by what passes a relay, by files as they appear, by the
//! lock that it waits for. Each place is cut once for each key or revision, and only a little more often than keys took
//! over, so that cuts are spread over all rotations, and each run comes a little further.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::load::hooks::Asked;
use crate::load::host::Host;
use crate::load::relay::{Fate, Passing};

/// Where a run is cut, each by the effect that it concerns. AwaitDaemons is not among them: it belongs to emergencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cut {
    /// Observe: a server was asked, and does not answer.
    Looking,
    /// Generate: a key is being made.
    Generating,
    /// Commit: the lock of the store is not had yet.
    BeforeCommit,
    /// Commit: a private key is written, and no manifest knows it.
    KeyWritten,
    /// Commit: the manifest is written under another name.
    ManifestWritten,
    /// Audit: what is committed is not told yet. Destroy as well: it comes after.
    BeforeAudit,
    /// Audit: it is told.
    Told,
    /// Destroy: a private key is gone.
    Destroyed,
    /// Hook: it runs.
    Ready,
    /// Hook: it runs.
    Activated,
    /// Hook, before Publish.
    BeforePublish,
    /// Publish: nobody got the request.
    PublishLost,
    /// Publish: done, and the answer is lost.
    PublishUnanswered,
    /// Hook, before Revoke.
    BeforeRevoke,
    /// Revoke: nobody got the request.
    RevokeLost,
    /// Revoke: done, and the answer is lost.
    RevokeUnanswered,
    /// Hook, before Delete.
    BeforeDelete,
    /// Delete: nobody got the request.
    DeleteLost,
    /// Delete: done, and the answer is lost.
    DeleteUnanswered,
}

impl Cut {
    pub(crate) const ALL: [Self; 19] = [
        Self::Looking,
        Self::Generating,
        Self::BeforeCommit,
        Self::KeyWritten,
        Self::ManifestWritten,
        Self::BeforeAudit,
        Self::Told,
        Self::Destroyed,
        Self::Ready,
        Self::Activated,
        Self::BeforePublish,
        Self::PublishLost,
        Self::PublishUnanswered,
        Self::BeforeRevoke,
        Self::RevokeLost,
        Self::RevokeUnanswered,
        Self::BeforeDelete,
        Self::DeleteLost,
        Self::DeleteUnanswered,
    ];
}

/// A change of DNS that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Publish,
    Revoke,
    Delete,
}

/// The run that is to be killed, and what was cut so far.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    victim: Mutex<Option<Child>>,
    state: Mutex<State>,
    /// How often keys took over.
    rotations: AtomicUsize,
    /// The directory of the domain's keys.
    keys: OnceLock<PathBuf>,
}

#[derive(Debug, Default)]
struct State {
    cut: BTreeMap<Cut, usize>,
    at: BTreeSet<(Cut, String)>,
    /// The change that the last hook went before.
    change: Option<(Change, String)>,
    /// This run was killed.
    is_killed: bool,
}

impl Cuts {
    /// How often each place was cut.
    pub(crate) fn counts(&self) -> BTreeMap<Cut, usize> {
        self.state.lock().unwrap().cut.clone()
    }

    /// No run is cut any more, and relays pass everything on.
    pub(crate) fn end(&self) {
        self.state.lock().unwrap().is_killed = false;
    }

    /// One run, cut somewhere or nowhere. What it said, if it ended by itself and not well.
    pub(crate) fn run(&self, host: &Host, number: usize, rotations: usize) -> Result<(), String> {
        self.rotations.store(rotations, Ordering::Relaxed);
        self.keys.get_or_init(|| host.keys());
        let (mut lock, place) = match number % 6 {
            1 => (lock(&host.keys()), Some((Cut::BeforeCommit, host.keys()))),
            4 => {
                let path = host.state().join("audit.jsonl");
                (lock(&path), Some((Cut::BeforeAudit, path)))
            }
            _ => (None, None),
        };
        let output = host.state().join("output");
        let file = File::create(&output).ok();
        let said = || file.as_ref().map_or_else(Stdio::null, |file| file.try_clone().unwrap().into());
        let mut command: Command = host.rotate();
        let child = command.stdout(said()).stderr(said()).spawn().unwrap();
        let descriptors = format!("/proc/{}/fd", child.id());
        self.state.lock().unwrap().is_killed = false;
        *self.victim.lock().unwrap() = Some(child);
        let deadline = Instant::now() + Duration::from_secs(600);
        let mut waits = 0;
        let status = loop {
            assert!(Instant::now() < deadline, "a run does not end");
            thread::sleep(Duration::from_millis(5));
            if let Some((cut, path)) = &place
                && lock.is_some()
            {
                waits = if has_open(&descriptors, path) { waits + 1 } else { 0 };
                // It had it open so long: it waits for the lock. Cut there often enough, it may have it.
                if waits > 5 && !self.reached(*cut, &number.to_string()) {
                    lock = None;
                }
            }
            let mut victim = self.victim.lock().unwrap();
            if let Some(status) = victim.as_mut().and_then(|child| child.try_wait().unwrap()) {
                *victim = None;
                break status;
            }
        };
        drop(lock);
        let is_killed = self.state.lock().unwrap().is_killed;
        if is_killed || status.success() {
            return Ok(());
        }
        Err(format!("{status}: {}", fs::read_to_string(output).unwrap_or_default()))
    }

    /// Kills the run that is at this place, unless that was done for the same before. Whether the run is dead.
    fn reached(&self, cut: Cut, what: &str) -> bool {
        let mut victim = self.victim.lock().unwrap();
        let mut state = self.state.lock().unwrap();
        if state.is_killed {
            return true;
        }
        let Some(child) = victim.as_mut() else { return false };
        let count = state.cut.get(&cut).copied().unwrap_or_default();
        let most = self.rotations.load(Ordering::Relaxed) + 3;
        if count >= most || state.at.contains(&(cut, what.to_owned())) || child.try_wait().unwrap().is_some() {
            return false;
        }
        child.kill().unwrap();
        state.is_killed = true;
        state.at.insert((cut, what.to_owned()));
        *state.cut.entry(cut).or_default() += 1;
        true
    }

    /// A hook waits. Whether its run goes on.
    pub(crate) fn hook(&self, host: &Host, asked: &Asked) -> bool {
        let what = asked.selectors.join(" ");
        let is_retiring = || asked.selectors.iter().all(|selector| host.selectors("retiring").contains(selector));
        let (cut, change) = match asked.hook.as_str() {
            "post_ready" => (Cut::Ready, None),
            "post_activate" => (Cut::Activated, None),
            "pre_publish" => (Cut::BeforePublish, Some(Change::Publish)),
            _ if is_retiring() => (Cut::BeforeRevoke, Some(Change::Revoke)),
            _ => (Cut::BeforeDelete, Some(Change::Delete)),
        };
        let mut state = self.state.lock().unwrap();
        state.change = change.map(|change| (change, what.clone()));
        let count = |cut: Cut| state.cut.get(&cut).copied().unwrap_or_default();
        // What comes after this hook is cut as often: it is not run again.
        let is_its_turn = cut != Cut::Activated || count(Cut::Activated) <= count(Cut::Generating);
        drop(state);
        !(is_its_turn && self.reached(cut, &what))
    }

    /// Something passes a relay.
    pub(crate) fn passes(&self, passing: Passing) -> Fate {
        let Some(keys) = self.keys.get() else { return Fate::Passes };
        let (cut, what) = match passing {
            Passing::Question => (Cut::Looking, revision(keys)),
            Passing::Change | Passing::Answer => {
                let Some((change, what)) = self.state.lock().unwrap().change.clone() else { return Fate::Passes };
                let cut = match (change, passing) {
                    (Change::Publish, Passing::Change) => Cut::PublishLost,
                    (Change::Publish, _) => Cut::PublishUnanswered,
                    (Change::Revoke, Passing::Change) => Cut::RevokeLost,
                    (Change::Revoke, _) => Cut::RevokeUnanswered,
                    (Change::Delete, Passing::Change) => Cut::DeleteLost,
                    (Change::Delete, _) => Cut::DeleteUnanswered,
                };
                (cut, what)
            }
        };
        if self.reached(cut, &what) { Fate::IsLost } else { Fate::Passes }
    }

    /// A key is made now, or a moment later: after a while, the run is cut.
    pub(crate) fn generates(&self, host: &Host) {
        let before = revision(&host.keys());
        thread::sleep(Duration::from_millis(20));
        if revision(&host.keys()) == before && !has_new_key(&host.keys()) {
            self.reached(Cut::Generating, &before);
        }
    }

    /// A file appears or goes, or is written to.
    pub(crate) fn file(&self, name: &str, is_gone: bool) {
        let cut = match name {
            ".manifest.json.new" if !is_gone => Cut::ManifestWritten,
            "audit.jsonl" => Cut::Told,
            _ if name.ends_with(".pem.new") && !is_gone => Cut::KeyWritten,
            _ if name.ends_with(".pem") && is_gone => Cut::Destroyed,
            _ => return,
        };
        // The same manifest is written as often as it takes: by number.
        let number = self.state.lock().unwrap().at.len();
        self.reached(cut, &format!("{name} {number}"));
    }
}

fn lock(path: &Path) -> Option<File> {
    let file = File::open(path).ok()?;
    file.lock().unwrap();
    Some(file)
}

fn has_open(descriptors: &str, path: &Path) -> bool {
    let Ok(entries) = fs::read_dir(descriptors) else { return false };
    entries.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path))
}

fn revision(keys: &Path) -> String {
    let manifest = fs::read_to_string(keys.join("manifest.json")).unwrap_or_default();
    manifest.lines().find(|line| line.contains("\"revision\"")).unwrap_or_default().to_owned()
}

fn has_new_key(keys: &Path) -> bool {
    let mut entries = fs::read_dir(keys).unwrap().flatten();
    entries.any(|entry| entry.file_name().to_string_lossy().ends_with(".pem.new"))
}
