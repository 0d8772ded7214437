//! The threads that make RSA signatures, behind a bounded queue.
//!
//! A signature takes a core for a quarter of a millisecond or more: too long for a runtime thread, too often for threads
//! made on demand. All signatures of a message are one job.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use super::admission::Speed;
use crate::clock::Clock;
use crate::dkim::backend::ready_thread;
use crate::dkim::{Prepared, SignatureError, SignatureField, SigningKey};
use crate::observe::signing_meter::{SigningLoad, SigningMeter};

/// A signature to be made: what it says, and the key that makes it.
pub type Pending = (Prepared, Arc<SigningKey>);

/// What became of each signature of a message, in the order given.
pub type Signatures = Vec<Result<SignatureField, SignatureError>>;

/// All signatures of a message.
#[derive(Debug)]
pub struct Made {
    /// What became of each.
    pub signatures: Signatures,
    /// What they took, the wait for a thread not counted.
    pub took: Duration,
}

/// What a message is taken to cost before the first was signed: an RSA-2048 signature on a slow core.
const FIRST_GUESS: Duration = Duration::from_millis(1);

/// Of what a message cost, a sixteenth counts towards the mean: some fifty messages until a change shows.
const MEMORY: u64 = 16;

/// Plain threads that sign.
#[derive(Debug)]
pub struct SigningPool {
    queue: Sender<Job>,
    places: Arc<Semaphore>,
    threads: usize,
    progress: Arc<Progress>,
    meter: Arc<SigningMeter>,
    clock: Clock,
}

/// What the threads have done.
#[derive(Debug)]
struct Progress {
    /// Jobs taken from the queue.
    taken: AtomicU64,
    /// What a message took of late, in nanoseconds: the mean, recent ones counting more.
    each: AtomicU64,
}

/// The queue did not take or finish a message in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signing queue did not finish the message in time")]
pub struct Overloaded;

struct Job {
    signatures: Vec<Pending>,
    done: oneshot::Sender<Made>,
    /// When it began to wait for a place.
    began: Instant,
    /// Given back when the job is finished or given up.
    _place: OwnedSemaphorePermit,
}

impl SigningPool {
    /// Starts `threads` threads behind a queue of `places` messages. The threads end when the pool is dropped.
    pub fn start(threads: usize, places: usize, clock: Clock) -> io::Result<Self> {
        let places = places.clamp(1, Semaphore::MAX_PERMITS);
        let threads = threads.max(1);
        let (queue, jobs) = bounded(places);
        let each = AtomicU64::new(nanoseconds(FIRST_GUESS));
        let progress = Arc::new(Progress { taken: AtomicU64::new(0), each });
        let meter = Arc::new(SigningMeter::default());
        for number in 0..threads {
            let (jobs, progress, meter) = (jobs.clone(), Arc::clone(&progress), Arc::clone(&meter));
            let work = move || work(&jobs, &progress, &meter, clock);
            thread::Builder::new().name(format!("sign-{number}")).spawn(work)?;
        }
        Ok(Self { queue, places: Arc::new(Semaphore::new(places)), threads, progress, meter, clock })
    }

    /// How fast messages are signed.
    pub fn speed(&self) -> Speed {
        Speed { threads: self.threads, each: Duration::from_nanos(self.progress.each.load(Ordering::Relaxed)) }
    }

    /// Messages that the threads have taken from the queue since the start.
    pub fn taken(&self) -> u64 {
        self.progress.taken.load(Ordering::Relaxed)
    }

    /// Messages in the queue.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Makes all signatures of one message, or gives up after `deadline`, waiting for a place included.
    pub async fn sign(&self, signatures: Vec<Pending>, deadline: Duration) -> Result<Made, Overloaded> {
        let began = self.clock.monotonic();
        let signed = async {
            let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Overloaded)?;
            let (done, signed) = oneshot::channel();
            // Never full: the queue has as many places as there are permits.
            self.queue.try_send(Job { signatures, done, began, _place: place }).map_err(|_| Overloaded)?;
            signed.await.map_err(|_| Overloaded)
        };
        timeout(deadline, signed).await.unwrap_or(Err(Overloaded))
    }

    /// Makes all signatures of one message on the calling thread, where they are too quick to be worth a hand-off.
    pub fn sign_here(&self, signatures: Vec<Pending>) -> Made {
        let began = self.clock.monotonic();
        let signatures = sign_all(signatures);
        let took = self.clock.monotonic().saturating_duration_since(began);
        self.meter.signing.record(took);
        Made { signatures, took }
    }

    /// How long signatures take and wait.
    pub fn meter(&self) -> &SigningMeter {
        &self.meter
    }

    /// How busy it is.
    pub fn load(&self) -> SigningLoad {
        let places = self.queue.capacity().unwrap_or_default();
        let queued = places.saturating_sub(self.places.available_permits());
        SigningLoad { queued: queued as u64, places: places as u64 }
    }
}

fn work(jobs: &Receiver<Job>, progress: &Progress, meter: &SigningMeter, clock: Clock) {
    ready_thread();
    for job in jobs {
        progress.taken.fetch_add(1, Ordering::Relaxed);
        // Nobody waits any more: the message has been deferred, and its signature would be wasted work.
        if job.done.is_closed() {
            meter.count_given_up();
            continue;
        }
        let began = clock.monotonic();
        let signatures = sign_all(job.signatures);
        let took = clock.monotonic().saturating_duration_since(began);
        progress.took(took);
        meter.record(began.saturating_duration_since(job.began), took);
        // If the receiver has just gone, so has the need.
        let _ = job.done.send(Made { signatures, took });
    }
}

impl Progress {
    /// Two threads at once may lose one message of the mean.
    fn took(&self, time: Duration) {
        let each = self.each.load(Ordering::Relaxed);
        self.each.store(each - each / MEMORY + nanoseconds(time) / MEMORY, Ordering::Relaxed);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2).min(u64::MAX / 2)
}

/// Makes all signatures on the calling thread.
pub fn sign_all(signatures: Vec<Pending>) -> Signatures {
    signatures.into_iter().map(|(prepared, key)| prepared.sign(&key)).collect()
}
