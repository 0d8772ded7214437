//! The log: lines written by one thread behind a bounded queue.

use std::borrow::Cow;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::journald::Journal;
use super::line::{Line, Value};
use crate::clock::Clock;

/// How long the log thread lets lines gather before it writes them together: a wake-up per line would cost more than
/// the line.
const GATHER: Duration = Duration::from_millis(5);

/// Lines written at once, at most.
const BATCH: usize = 1000;

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
    dropped: Arc<AtomicU64>,
}

/// Ends the log thread, all lines written, when dropped.
#[derive(Debug)]
pub struct LogGuard {
    queue: Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Order {
    Write(Line),
    Stop,
}

/// Starts the log thread; `queue` is the number of lines that may wait.
pub fn start(target: Target, level: Level, queue: usize) -> io::Result<(Logger, LogGuard)> {
    let (sender, receiver) = bounded(queue.max(1));
    let dropped = Arc::new(AtomicU64::new(0));
    let lost = Arc::clone(&dropped);
    let thread = thread::Builder::new().name("log".into()).spawn(move || write_lines(&receiver, target, &lost))?;
    let logger = Logger { queue: sender.clone(), level, dropped };
    Ok((logger, LogGuard { queue: sender, thread: Some(thread) }))
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
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Order::Write(line)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        // Nothing is left to report to if the thread is gone.
        let _ = self.queue.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
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
        self.line(line);
    }
}

fn write_lines(queue: &Receiver<Order>, mut target: Target, dropped: &AtomicU64) {
    let mut batch = Vec::new();
    let mut text = String::new();
    loop {
        let Ok(first) = queue.recv() else { return };
        batch.push(first);
        thread::sleep(GATHER);
        batch.extend(queue.try_iter().take(BATCH));
        let lost = dropped.swap(0, Ordering::Relaxed);
        let mut stopping = false;
        text.clear();
        let mut unsent = 0;
        let lines = batch.drain(..).filter_map(|order| match order {
            Order::Write(line) => Some(line),
            Order::Stop => {
                stopping = true;
                None
            }
        });
        for line in lines.chain((lost > 0).then(|| lines_dropped(lost))) {
            match &mut target {
                Target::Stderr(Form::Text) => line.write_text(&mut text),
                Target::Stderr(Form::Json) => line.write_json(&mut text),
                Target::Journald(journal) => unsent += u64::from(journal.send(&line).is_err()),
            }
        }
        // A full log disk must not stop mail: what cannot be written is counted and reported when it can be again.
        if !text.is_empty() && io::stderr().lock().write_all(text.as_bytes()).is_err() {
            unsent += text.lines().count() as u64;
        }
        dropped.fetch_add(unsent, Ordering::Relaxed);
        if stopping {
            return;
        }
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
    use super::*;

    fn line(level: Level) -> Line {
        Line { at: jiff::Timestamp::UNIX_EPOCH, level, message: "message".into(), fields: Vec::new() }
    }

    #[test]
    fn a_full_queue_drops_and_counts_but_never_waits() {
        let (queue, receiver) = bounded(1);
        let logger = Logger { queue, level: Level::INFO, dropped: Arc::default() };
        for _ in 0..3 {
            logger.line(line(Level::INFO));
        }
        logger.line(line(Level::DEBUG));
        assert_eq!(logger.dropped.load(Ordering::Relaxed), 2);
        assert_eq!(receiver.len(), 1);
    }
}
