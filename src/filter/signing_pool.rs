//! The threads that make RSA signatures, behind a bounded queue.
//!
//! A signature takes a core for a quarter of a millisecond or more: too long for a runtime thread, too often for threads
//! made on demand. All signatures of a message are one job.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::dkim::backend::ready_thread;
use crate::dkim::{Prepared, SignatureError, SignatureField, SigningKey};
use crate::observe::signing_meter::{SigningLoad, SigningMeter};

/// A signature to be made: what it says, and the key that makes it.
pub type Pending = (Prepared, Arc<SigningKey>);

/// What became of each signature of a message, in the order given.
pub type Signatures = Vec<Result<SignatureField, SignatureError>>;

/// Plain threads that sign.
#[derive(Debug)]
pub struct SigningPool {
    queue: Sender<Job>,
    places: Arc<Semaphore>,
    meter: Arc<SigningMeter>,
    clock: Clock,
}

/// The queue did not take or finish a message in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signing queue did not finish the message in time")]
pub struct Overloaded;

struct Job {
    signatures: Vec<Pending>,
    done: oneshot::Sender<Signatures>,
    /// When it began to wait for a place.
    began: Instant,
    /// Given back when the job is finished or given up.
    _place: OwnedSemaphorePermit,
}

impl SigningPool {
    /// Starts `threads` threads behind a queue of `places` messages. The threads end when the pool is dropped.
    pub fn start(threads: usize, places: usize) -> io::Result<Self> {
        let places = places.clamp(1, Semaphore::MAX_PERMITS);
        let (queue, jobs) = bounded(places);
        let (meter, clock) = (Arc::new(SigningMeter::default()), Clock::System);
        for number in 0..threads.max(1) {
            let (jobs, meter) = (jobs.clone(), Arc::clone(&meter));
            thread::Builder::new().name(format!("sign-{number}")).spawn(move || work(&jobs, &meter, clock))?;
        }
        Ok(Self { queue, places: Arc::new(Semaphore::new(places)), meter, clock })
    }

    /// Makes all signatures of one message, or gives up after `deadline`, waiting for a place included.
    pub async fn sign(&self, signatures: Vec<Pending>, deadline: Duration) -> Result<Signatures, Overloaded> {
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
    pub fn sign_here(&self, signatures: Vec<Pending>) -> Signatures {
        let began = self.clock.monotonic();
        let signed = sign_all(signatures);
        self.meter.signing.record(self.clock.monotonic().saturating_duration_since(began));
        signed
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

fn work(jobs: &Receiver<Job>, meter: &SigningMeter, clock: Clock) {
    ready_thread();
    for job in jobs {
        // Nobody waits any more: the message has been deferred, and its signature would be wasted work.
        if job.done.is_closed() {
            meter.count_given_up();
            continue;
        }
        let took = clock.monotonic();
        let signed = sign_all(job.signatures);
        let ended = clock.monotonic();
        meter.record(took.saturating_duration_since(job.began), ended.saturating_duration_since(took));
        // If the receiver has just gone, so has the need.
        let _ = job.done.send(signed);
    }
}

/// Makes all signatures on the calling thread.
pub fn sign_all(signatures: Vec<Pending>) -> Signatures {
    signatures.into_iter().map(|(prepared, key)| prepared.sign(&key)).collect()
}
