//! The thread that writes a daemon's file.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use jiff::Timestamp;

use super::file::{DaemonFile, Status, VERSION, daemon_name, path, path_of_lock, path_of_new};
use super::read::{EvidenceError, read_file};
use super::recorder::{Recorder, Taken, rounded_up};
use crate::clock::Clock;
use crate::dkim::key::KeyId;
use crate::files::lock::{RunLock, RunLockError};
use crate::names::DomainName;

/// Revisions of domains that the daemon has read anew.
pub type Acknowledged = BTreeMap<DomainName, u64>;

/// Daemons of one host with one directory, at most.
const DAEMONS: u32 = 64;

/// Keys in a file; beyond them the longest unused are dropped. Some 100 MB of file, and 60 MB of memory.
const MOST_KEYS: usize = 1_000_000;

/// How long the end of the daemon waits for the last write: the disk may hang.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// Why a daemon cannot write evidence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No file of ours can be locked.
    #[error(transparent)]
    Lock(#[from] RunLockError),
    /// The file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes once more and ends the thread when dropped.
#[derive(Debug)]
pub struct Writer {
    orders: Sender<Order>,
    /// Nothing is ever sent: it ends with the thread.
    ended: Receiver<()>,
}

#[derive(Debug)]
enum Order {
    Acknowledge(Acknowledged),
    Stop,
}

/// Starts writing what `recorder` is told to the file of this host in `directory`, each `interval`. The file is
/// there when this returns.
pub fn start(
    directory: &Path,
    host: &str,
    recorder: Arc<Recorder>,
    interval: Duration,
    clock: Clock,
) -> Result<Writer, StartError> {
    let (daemon, lock) = lock(directory, &daemon_name(host))?;
    let known = Known::found(directory.to_owned(), daemon, clock.now());
    let write = |known: &Known| known.write(Status::Running, clock.now());
    write(&known).map_err(|source| StartError::Write { path: path(directory, &known.daemon), source })?;
    let (orders, queue) = bounded(16);
    let (alive, ended) = bounded(0);
    let failed = |source| StartError::Write { path: path(directory, host), source };
    let work = move || {
        known.work(&queue, &recorder, interval, clock);
        drop((lock, alive));
    };
    thread::Builder::new().name("evidence".into()).spawn(work).map_err(failed)?;
    Ok(Writer { orders, ended })
}

impl Writer {
    /// Has it written, at once, what was read anew; replaces what was before.
    pub fn acknowledger(&self) -> impl Fn(Acknowledged) + Send + 'static {
        let orders = self.orders.clone();
        // A thread that has gone writes nothing, and who waits hears nothing.
        move |acknowledged| drop(orders.send(Order::Acknowledge(acknowledged)))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.orders.send_timeout(Order::Stop, LAST_WRITE).is_ok() {
            let _ = self.ended.recv_timeout(LAST_WRITE);
        }
    }
}

/// The first name that no running daemon has.
fn lock(directory: &Path, host: &str) -> Result<(String, RunLock), RunLockError> {
    for number in 2..=DAEMONS {
        let name = if number == 2 { host.to_owned() } else { format!("{host}.{}", number - 1) };
        match RunLock::try_acquire(&path_of_lock(directory, &name)) {
            Err(RunLockError::Held { .. }) => {}
            other => return other.map(|lock| (name, lock)),
        }
    }
    Err(RunLockError::Held { path: path_of_lock(directory, host) })
}

/// All that the file is to say.
#[derive(Debug)]
struct Known {
    directory: PathBuf,
    daemon: String,
    last_used: HashMap<KeyId, i64, ahash::RandomState>,
    not_listed: i64,
    acknowledged: Acknowledged,
}

impl Known {
    /// What a daemon before us wrote. If that is lost, any key may have been used until now.
    fn found(directory: PathBuf, daemon: String, now: Timestamp) -> Self {
        let path = path(&directory, &daemon);
        let (last_used, not_listed) = match read_file(&path) {
            Ok(file) => {
                let seconds = file.last_used.into_iter().map(|(key, at)| (key, at.as_second()));
                (seconds.collect(), file.not_listed.as_second())
            }
            Err(error) => {
                let is_new =
                    matches!(&error, EvidenceError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound);
                if !is_new {
                    tracing::warn!(
                        error = &error as &dyn Error,
                        "the evidence of signatures so far is lost; all keys count as used until now"
                    );
                }
                (HashMap::default(), rounded_up(now))
            }
        };
        Self { directory, daemon, last_used, not_listed, acknowledged: Acknowledged::new() }
    }

    fn work(mut self, queue: &Receiver<Order>, recorder: &Recorder, interval: Duration, clock: Clock) {
        let mut is_failing = false;
        let mut due = clock.monotonic() + interval;
        loop {
            let mut status = Status::Running;
            match queue.recv_deadline(due) {
                Ok(Order::Acknowledge(acknowledged)) => self.acknowledged = acknowledged,
                Err(RecvTimeoutError::Timeout) => due = clock.monotonic() + interval,
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => status = Status::Stopped,
            }
            let now = clock.now();
            self.absorb(recorder.take());
            self.bring_back(now);
            match self.write(status, now) {
                Ok(()) if is_failing => {
                    is_failing = false;
                    tracing::info!("the evidence of signatures is written again");
                }
                Ok(()) => {}
                Err(error) if !is_failing => {
                    is_failing = true;
                    tracing::error!(
                        path = %path(&self.directory, &self.daemon).display(),
                        error = &error as &dyn Error,
                        "the evidence of signatures cannot be written; signing goes on, and it is kept in memory"
                    );
                }
                Err(_) => {}
            }
            if status == Status::Stopped {
                return;
            }
        }
    }

    /// Times only move on.
    fn absorb(&mut self, taken: Taken) {
        for (key, at) in taken.last_used {
            let last = self.last_used.entry(key).or_insert(at);
            *last = at.max(*last);
        }
        self.not_listed = taken.beyond.map_or(self.not_listed, |beyond| self.not_listed.max(beyond));
        self.forget(MOST_KEYS);
    }

    /// What lies in the future was written by a clock that has been set back since: it was before now. Left as it is, it would
    /// hide each later use until then.
    fn bring_back(&mut self, now: Timestamp) {
        let now = rounded_up(now);
        for last in self.last_used.values_mut().chain(std::iter::once(&mut self.not_listed)) {
            *last = now.min(*last);
        }
    }

    /// Drops the longest unused of more than `most` keys, a tenth beyond that at once.
    fn forget(&mut self, most: usize) {
        if self.last_used.len() <= most {
            return;
        }
        let goes = self.last_used.len() - most + most / 10;
        let mut times: Vec<i64> = self.last_used.values().copied().collect();
        let last_to_go = goes.clamp(1, times.len()) - 1;
        let newest_dropped = *times.select_nth_unstable(last_to_go).1;
        self.last_used.retain(|_, last| *last > newest_dropped);
        self.not_listed = self.not_listed.max(newest_dropped);
    }

    fn write(&self, status: Status, now: Timestamp) -> io::Result<()> {
        let time = |seconds: i64| Timestamp::from_second(seconds).map_err(io::Error::other);
        let last_used = self.last_used.iter().map(|(key, last)| Ok((*key, time(*last)?)));
        let file = DaemonFile {
            version: VERSION,
            daemon: self.daemon.clone(),
            status,
            written: time(now.as_second())?,
            not_listed: time(self.not_listed)?,
            acknowledged: self.acknowledged.clone(),
            last_used: last_used.collect::<io::Result<_>>()?,
        };
        let mut octets = serde_json::to_vec(&file)?;
        octets.push(b'\n');
        let new = path_of_new(&self.directory, &self.daemon);
        let replaced = replace(&new, &octets, &path(&self.directory, &self.daemon), &self.directory);
        if replaced.is_err() {
            // What is half written takes room that may be what is missing.
            let _ = fs::remove_file(&new);
        }
        replaced
    }
}

fn replace(new: &Path, octets: &[u8], path: &Path, directory: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(new)?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(new, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(directory: &Path, now: i64) -> Known {
        Known::found(directory.to_owned(), "mx".into(), Timestamp::from_second(now).unwrap())
    }

    fn used(key: &[u8], at: i64) -> Taken {
        Taken { last_used: vec![(KeyId::of(key), at)], beyond: None }
    }

    fn written(known: &Known, directory: &Path) -> DaemonFile {
        known.write(Status::Running, Timestamp::UNIX_EPOCH).unwrap();
        read_file(&path(directory, "mx")).unwrap()
    }

    #[test]
    fn a_clock_that_goes_back_takes_nothing_back() {
        let scratch = tempfile::tempdir().unwrap();
        let mut first = known(scratch.path(), 100);
        first.absorb(used(b"a", 2000));
        first.absorb(used(b"a", 1000));
        written(&first, scratch.path());
        let mut second = known(scratch.path(), 50);
        second.absorb(used(b"a", 60));
        let file = written(&second, scratch.path());
        assert_eq!(file.last_used[&KeyId::of(b"a")].as_second(), 2000);
        assert_eq!(file.not_listed.as_second(), 100);
    }

    #[test]
    fn what_lies_in_the_future_is_brought_back_and_hides_no_later_use() {
        let scratch = tempfile::tempdir().unwrap();
        let mut known = known(scratch.path(), 100);
        known.absorb(used(b"a", 2000));
        known.bring_back(Timestamp::from_second(1000).unwrap());
        assert_eq!(written(&known, scratch.path()).last_used[&KeyId::of(b"a")].as_second(), 1000);
        known.absorb(used(b"a", 1060));
        let file = written(&known, scratch.path());
        assert_eq!((file.last_used[&KeyId::of(b"a")].as_second(), file.not_listed.as_second()), (1060, 100));
    }

    #[test]
    fn what_is_dropped_for_want_of_room_counts_as_used_as_late_as_the_newest_of_it() {
        let scratch = tempfile::tempdir().unwrap();
        let mut known = known(scratch.path(), 0);
        for number in 0..=100_u8 {
            known.absorb(used(&[number], 1000 + i64::from(number)));
        }
        known.forget(100);
        let file = written(&known, scratch.path());
        assert_eq!((file.last_used.len(), file.not_listed.as_second()), (90, 1010));
        assert!(file.last_used.contains_key(&KeyId::of(&[11])) && !file.last_used.contains_key(&KeyId::of(&[10])));
    }

    #[test]
    fn what_found_no_room_in_memory_counts_as_used() {
        let scratch = tempfile::tempdir().unwrap();
        let mut known = known(scratch.path(), 0);
        known.absorb(Taken { last_used: Vec::new(), beyond: Some(77) });
        assert_eq!(written(&known, scratch.path()).not_listed.as_second(), 77);
    }

    #[test]
    fn the_names_of_hosts_stay_within_the_directory() {
        assert_eq!(daemon_name("mx1.example.net"), "mx1.example.net");
        assert_eq!(daemon_name("../é"), "..__");
        assert_eq!(daemon_name(""), "localhost");
    }
}
