//! The log: lines written by one thread behind a bounded queue.

use std::borrow::Cow;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::journald::Journal;
use super::line::{Line, Value};
use super::problems::{Problem, Problems};
use crate::clock::Clock;

/// How long the log thread lets lines gather before it writes them together: a wake-up per line would cost more than
/// the line.
const GATHER: Duration = Duration::from_millis(5);

/// Lines written at once, at most.
const BATCH: usize = 1000;

/// How long the end of the program waits for the last lines: whoever reads them may have stopped reading.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people: `name=value`.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where lines go.
#[derive(Debug)]
pub enum Target {
    /// Standard error.
    Stderr(Form),
    /// systemd-journald.
    Journald(Journal),
}

/// Where to send lines; cheap to clone.
#[derive(Debug, Clone)]
pub struct Logger {
    queue: Sender<Order>,
    level: Level,
    counts: Arc<Counts>,
}

/// What the log counts and remembers.
#[derive(Debug, Default)]
struct Counts {
    /// Lines lost and not told of yet.
    dropped: AtomicU64,
    /// Lines lost since the start.
    lost: AtomicU64,
    /// Lines by level, from error to trace.
    lines: [AtomicU64; LEVELS.len()],
    problems: Problems,
}

/// The levels, from the most important down.
pub const LEVELS: [Level; 5] = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];

/// Lines of the log at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// Lines since the start, in the order of [`LEVELS`], those that were lost included.
    pub lines: [u64; LEVELS.len()],
    /// Lines lost since the start.
    pub lost: u64,
    /// Lines that wait to be written.
    pub queued: u64,
    /// Lines that may wait.
    pub places: u64,
}

/// Ends the log thread when dropped, all lines written if they can be within `LAST_LINES`.
#[derive(Debug)]
pub struct LogGuard {
    queue: Sender<Order>,
    /// Nothing is ever sent: it ends with the thread.
    ended: Receiver<()>,
}

#[derive(Debug)]
enum Order {
    Write(Line),
    Stop,
}

/// Starts the log thread; `queue` is the number of lines that may wait.
pub fn start(target: Target, level: Level, queue: usize) -> io::Result<(Logger, LogGuard)> {
    let (sender, receiver) = bounded(queue.max(1));
    let counts = Arc::new(Counts::default());
    let shared = Arc::clone(&counts);
    let (alive, ended) = bounded(0);
    thread::Builder::new().name("log".into()).spawn(move || {
        write_lines(&receiver, target, &shared);
        drop(alive);
    })?;
    let logger = Logger { queue: sender.clone(), level, counts };
    Ok((logger, LogGuard { queue: sender, ended }))
}

impl Logger {
    /// Whether lines of this level are wanted.
    pub fn wants(&self, level: Level) -> bool {
        level <= self.level
    }

    /// Sends a line; drops and counts it if the queue is full.
    pub fn line(&self, line: Line) {
        if !self.wants(line.level) {
            return;
        }
        let level = LEVELS.iter().position(|level| *level == line.level).unwrap_or_default();
        self.counts.lines[level].fetch_add(1, Ordering::Relaxed);
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Order::Write(line)) {
            self.counts.lose(1);
        }
    }

    /// Warnings and errors of late, each kind once.
    pub fn problems(&self) -> Vec<Problem> {
        self.counts.problems.all()
    }

    /// Lines so far.
    pub fn counts(&self) -> LogCounts {
        LogCounts {
            lines: std::array::from_fn(|level| self.counts.lines[level].load(Ordering::Relaxed)),
            lost: self.counts.lost.load(Ordering::Relaxed),
            queued: self.queue.len() as u64,
            places: self.queue.capacity().unwrap_or_default() as u64,
        }
    }
}

impl Counts {
    fn lose(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        // Nothing is left to report to if the thread is gone, or stuck.
        if self.queue.send_timeout(Order::Stop, LAST_LINES).is_ok() {
            let _ = self.ended.recv_timeout(LAST_LINES);
        }
    }
}

/// `tracing` events become lines.
impl<S: Subscriber> Layer<S> for Logger {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        // The libraries below have much to say that only their developers can use.
        let level = if metadata.target().starts_with("waxseal") { self.level } else { self.level.min(Level::ERROR) };
        *metadata.level() <= level
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line {
            at: Clock::System.now(),
            level: *event.metadata().level(),
            message: Cow::Borrowed(""),
            fields: Vec::new(),
        };
        event.record(&mut line);
        self.counts.problems.note(&line);
        self.line(line);
    }
}

fn write_lines(queue: &Receiver<Order>, mut target: Target, counts: &Counts) {
    let mut batch = Vec::new();
    let mut text = String::new();
    loop {
        let Ok(first) = queue.recv() else { return };
        batch.push(first);
        thread::sleep(GATHER);
        batch.extend(queue.try_iter().take(BATCH));
        let lost = counts.dropped.swap(0, Ordering::Relaxed);
        let mut stopping = false;
        text.clear();
        let lines = batch.drain(..).filter_map(|order| match order {
            Order::Write(line) => Some(line),
            Order::Stop => {
                stopping = true;
                None
            }
        });
        // A full log disk must not stop mail: what cannot be written is counted and reported when it can be again.
        let unsent = write_batch(&mut target, lines, lost, &mut text);
        counts.lose(unsent.lines);
        counts.dropped.fetch_add(unsent.lost_before, Ordering::Relaxed);
        if stopping {
            return;
        }
    }
}

/// Lines that could not be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Unsent {
    /// Those lost now.
    lines: u64,
    /// Those lost before, which still are to be told of.
    lost_before: u64,
}

/// Writes lines, and how many were lost before them; returns what could not be written.
fn write_batch(target: &mut Target, lines: impl Iterator<Item = Line>, lost: u64, text: &mut String) -> Unsent {
    let mut unsent = Unsent::default();
    // The last line stands for all that were lost before: if it is lost too, they still are to be told of.
    let one = Unsent { lines: 1, lost_before: 0 };
    let before = Unsent { lines: 0, lost_before: lost };
    let lines = lines.map(|line| (line, one)).chain((lost > 0).then(|| (lines_dropped(lost), before)));
    let mut in_text = Unsent::default();
    for (line, stands_for) in lines {
        match target {
            Target::Stderr(Form::Text) => line.write_text(text),
            Target::Stderr(Form::Json) => line.write_json(text),
            Target::Journald(journal) => {
                if journal.send(&line).is_err() {
                    unsent.add(stands_for);
                }
                continue;
            }
        }
        in_text.add(stands_for);
    }
    if !text.is_empty() && io::stderr().lock().write_all(text.as_bytes()).is_err() {
        unsent.add(in_text);
    }
    unsent
}

impl Unsent {
    fn add(&mut self, more: Self) {
        self.lines += more.lines;
        self.lost_before += more.lost_before;
    }
}

fn lines_dropped(count: u64) -> Line {
    Line {
        at: Clock::System.now(),
        level: Level::WARN,
        message: "log lines dropped: the log could not keep up".into(),
        fields: vec![("dropped", Value::Number(count))],
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use crossbeam_channel::RecvTimeoutError;

    use super::*;

    fn line(level: Level) -> Line {
        Line { at: jiff::Timestamp::UNIX_EPOCH, level, message: "message".into(), fields: Vec::new() }
    }

    #[test]
    fn lines_lost_before_are_still_counted_when_that_cannot_be_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let journald = UnixDatagram::bind(&path).unwrap();
        let mut target = Target::Journald(Journal::connect_to(&path).unwrap());
        assert_eq!(
            write_batch(&mut target, [line(Level::INFO), line(Level::INFO)].into_iter(), 5, &mut String::new()),
            Unsent::default()
        );
        drop(journald);
        assert_eq!(
            write_batch(&mut target, [line(Level::INFO), line(Level::INFO)].into_iter(), 5, &mut String::new()),
            Unsent { lines: 2, lost_before: 5 }
        );
    }

    #[test]
    fn the_end_does_not_wait_for_a_log_that_nobody_reads() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let _deaf = UnixDatagram::bind(&path).unwrap();
        let (logger, guard) = start(Target::Journald(Journal::connect_to(&path).unwrap()), Level::INFO, 1).unwrap();
        while logger.counts().lost < 10_000 {
            logger.line(line(Level::INFO));
        }
        let (ended, has_ended) = bounded::<()>(0);
        thread::spawn(move || {
            drop(guard);
            drop(ended);
        });
        let end = has_ended.recv_timeout(3 * LAST_LINES);
        assert_eq!(end, Err(RecvTimeoutError::Disconnected), "it waits for ever");
    }

    #[test]
    fn a_full_queue_drops_and_counts_but_never_waits() {
        let (queue, receiver) = bounded(1);
        let logger = Logger { queue, level: Level::INFO, counts: Arc::default() };
        for _ in 0..3 {
            logger.line(line(Level::INFO));
        }
        logger.line(line(Level::DEBUG));
        let counts = logger.counts();
        assert_eq!((counts.lost, counts.queued, counts.places), (2, 1, 1));
        assert_eq!(counts.lines, [0, 0, 3, 0, 0]);
        assert_eq!(receiver.len(), 1);
    }
}
