//! What is told, gathered from all over the daemon.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};

use crate::daemon::connection::Phase;
use crate::filter::Filter;
use crate::keystore::KeyStore;
use crate::observe::history::{History, SAMPLE_EVERY};
use crate::observe::problems::Problem;
use crate::observe::process::Process;
use crate::observe::rotation_summary::RotationSummary;
use crate::observe::snapshot::{Health, RELOADS, Snapshot, TallyCounts, Usage};
use crate::observe::tally::ALGORITHMS;
use crate::policy::Warning;

/// Connections at once: a scrape, a browser with its habits, and some to spare.
pub(super) const CONNECTIONS: usize = 32;

/// A loop that has not come round for so long is stuck: it comes round every second.
const LOOP_IS_STUCK: Duration = Duration::from_secs(10);

/// Signing that has made nothing for so long while messages wait is stuck: a signature takes milliseconds.
const SIGNING_IS_STUCK: Duration = Duration::from_secs(30);

/// When the loop that serves MTAs last came round.
#[derive(Debug)]
pub(in crate::daemon) struct Heartbeat {
    since: Instant,
    /// Milliseconds after `since`.
    last: AtomicU64,
}

/// What is told.
pub(super) struct Site<S> {
    pub(super) filter: Arc<Filter<S>>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) heartbeat: Arc<Heartbeat>,
    pub(super) places: Arc<Semaphore>,
    started: Timestamp,
    host: String,
    kept: Mutex<Kept>,
}

/// What is known from before.
#[derive(Default)]
struct Kept {
    history: History,
    rotation: Option<Arc<RotationSummary>>,
    rotation_problem: Option<String>,
    /// Messages signed when somebody last looked, and since when that has been so with others waiting.
    signed: (u64, Option<Instant>),
}

impl Heartbeat {
    pub(in crate::daemon) fn new(now: Instant) -> Self {
        Self { since: now, last: AtomicU64::new(0) }
    }

    /// The loop came round.
    pub(in crate::daemon) fn beat(&self, now: Instant) {
        let millis = now.saturating_duration_since(self.since).as_millis();
        self.last.store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn age(&self, now: Instant) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        now.saturating_duration_since(self.since).saturating_sub(last)
    }
}

impl<S: KeyStore + 'static> Site<S> {
    pub(super) fn new(filter: Arc<Filter<S>>, phase: watch::Receiver<Phase>, heartbeat: Arc<Heartbeat>) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let started = filter.clock.now();
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        Self { filter, phase, heartbeat, places, started, host, kept: Mutex::default() }
    }

    /// Keeps what is counted now.
    pub(super) fn sample(&self) {
        let now = self.filter.clock.monotonic();
        let counts = TallyCounts::of(&self.filter.tally);
        let signed = self.filter.pool.meter().signing.buckets().count();
        let waiting = self.filter.pool.load().queued > 0;
        let mut kept = self.kept();
        kept.history.note(now, counts);
        let since = if waiting && kept.signed.0 == signed { kept.signed.1.or(Some(now)) } else { None };
        kept.signed = (signed, since);
    }

    /// Where the summary of the last rotation is.
    pub(super) fn rotation_directory(&self) -> PathBuf {
        self.filter.running.load().config.rotation.state.clone()
    }

    /// Takes the summary of the last rotation, or why there is none.
    pub(super) fn rotated(&self, summary: Result<Option<RotationSummary>, String>) {
        let mut kept = self.kept();
        (kept.rotation, kept.rotation_problem) = match summary {
            Ok(summary) => (summary.map(Arc::new), None),
            Err(problem) => (None, Some(problem)),
        };
    }

    /// Why the summary of the last rotation cannot be read, if so.
    pub(super) fn rotation_problem(&self) -> Option<String> {
        self.kept().rotation_problem.clone()
    }

    /// What the machine is called.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// What went wrong lately.
    pub(super) fn problems(&self) -> Vec<Problem> {
        self.filter.logger.problems()
    }

    /// Looks at the last hour.
    pub(super) fn with_history<T>(&self, look: impl FnOnce(&History) -> T) -> T {
        look(&self.kept().history)
    }

    /// Whether the daemon is well.
    pub(super) fn health(&self) -> Health {
        let now = self.filter.clock.monotonic();
        let beat = self.heartbeat.age(now);
        let signing = self.kept().signed.1.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let beyond = |age: Duration, limit: Duration| if age > limit { age.as_secs().max(1) } else { 0 };
        Health {
            is_draining: *self.phase.borrow() != Phase::Running,
            loop_stuck_s: beyond(beat, LOOP_IS_STUCK),
            signing_stuck_s: beyond(signing, SIGNING_IS_STUCK + SAMPLE_EVERY),
        }
    }

    /// All that the daemon knows of itself now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let Filter { tally, pool, keys, logger, clock, .. } = &*self.filter;
        let config = Arc::clone(&self.filter.running.load().config);
        let (counts, meter) = (TallyCounts::of(tally), pool.meter());
        Snapshot {
            at: clock.now(),
            started: self.started,
            host: self.host.clone(),
            health: self.health(),
            decisions: counts.decisions,
            warnings: Warning::ALL.map(|warning| tally.of_warning(warning)),
            stale_keys: tally.stale_keys(),
            signatures: ALGORITHMS.map(|algorithm| tally.signatures(algorithm)),
            signature_failures: ALGORITHMS.map(|algorithm| tally.signature_failures(algorithm)),
            answers: counts.answers,
            waited: meter.waited.buckets(),
            signing: meter.signing.buckets(),
            given_up: meter.given_up(),
            usage: self.usage(),
            traffic: tally.traffic.counts(),
            cache: keys.cache().statistics(),
            cache_allowed: config.keys.cache,
            log: logger.counts(),
            reloads: RELOADS.map(|(reload, _)| tally.reloads(reload)),
            rotation: self.kept().rotation.clone(),
            process: Process::now(),
        }
    }

    fn usage(&self) -> Vec<Usage> {
        let traffic = self.filter.tally.traffic.counts();
        let signing = self.filter.pool.load();
        let log = self.filter.logger.counts();
        let (look_ups, look_ups_allowed) = self.filter.keys.waiting();
        let http = CONNECTIONS - self.places.available_permits().min(CONNECTIONS);
        let of = |resource, in_use, limit| Usage { resource, in_use, limit };
        vec![
            of("connections", traffic.connections, Some(traffic.connections_allowed)),
            of("messages", traffic.messages, None),
            of("signing_queue", signing.queued, Some(signing.places)),
            of("key_lookups", look_ups, Some(look_ups_allowed)),
            of("log_queue", log.queued, Some(log.places)),
            of("http_connections", http as u64, Some(CONNECTIONS as u64)),
        ]
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
