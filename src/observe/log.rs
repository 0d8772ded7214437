//! The log: lines with fields, written by one thread behind a bounded queue.
//!
//! Two forms, chosen by the configuration:
//!
//! ```text
//! 2026-11-23T16:40:01.123Z INFO message queue_id=4F1B2C decision=sign reason=signed d=example.com s=20261123r …
//! {"time":"2026-11-23T16:40:01.123Z","level":"info","event":"message","queue_id":"4F1B2C","decision":"sign",…}
//! ```
//!
//! Values are quoted where they hold anything but printable ASCII without blanks, so that no sender can forge a line.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::journald::Journal;
use crate::clock::Clock;

/// How long the log thread lets lines gather before it writes them together: a wake-up per line would cost more than
/// the line.
const GATHER: Duration = Duration::from_millis(5);

/// Lines written at once, at most.
const BATCH: usize = 1000;

/// How long the end of the program waits for the last lines: whoever reads them may have stopped reading.
const LAST_LINES: Duration = Duration::from_secs(2);

/// A field's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Anything.
    Text(String),
    /// A word of ours.
    Name(&'static str),
    /// A count, a size, a duration.
    Number(u64),
}

/// One log line.
#[derive(Debug, Clone)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// How much it matters.
    pub level: Level,
    /// What happened.
    pub message: Cow<'static, str>,
    /// The facts.
    pub fields: Vec<(&'static str, Value)>,
}

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

/// Ends the log thread when dropped, all lines written if they can be within [`LAST_LINES`].
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
    let dropped = Arc::new(AtomicU64::new(0));
    let lost = Arc::clone(&dropped);
    let (alive, ended) = bounded(0);
    thread::Builder::new().name("log".into()).spawn(move || {
        write_lines(&receiver, target, &lost);
        drop(alive);
    })?;
    let logger = Logger { queue: sender.clone(), level, dropped };
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
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Order::Write(line)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
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
        self.line(line);
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = Cow::Owned(format!("{value:?}"));
        } else {
            self.fields.push((field.name(), Value::Text(format!("{value:?}"))));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.push((field.name(), Value::Text(value.to_owned())));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push((field.name(), Value::Number(value)));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(source) = cause {
            let _ = write!(text, ": {source}");
            cause = source.source();
        }
        self.fields.push((field.name(), Value::Text(text)));
    }
}

impl Line {
    /// Message and fields in one line, as people read them.
    pub fn summary(&self) -> String {
        let mut text = String::with_capacity(200);
        self.write_summary(&mut text);
        text
    }

    /// The syslog priority.
    pub fn priority(&self) -> &'static str {
        match self.level {
            Level::ERROR => "3",
            Level::WARN => "4",
            Level::INFO => "6",
            Level::DEBUG | Level::TRACE => "7",
        }
    }

    fn write_summary(&self, out: &mut String) {
        out.extend(self.message.chars().map(|c| if c.is_control() { '?' } else { c }));
        for (name, value) in &self.fields {
            let _ = match value {
                Value::Name(word) => write!(out, " {name}={word}"),
                Value::Number(number) => write!(out, " {name}={number}"),
                Value::Text(text) if is_plain(text) => write!(out, " {name}={text}"),
                Value::Text(text) => write!(out, " {name}={text:?}"),
            };
        }
    }

    fn write_text(&self, out: &mut String) {
        let _ = write!(out, "{:.3} {} ", self.at, self.level);
        self.write_summary(out);
        out.push('\n');
    }

    fn write_json(&self, out: &mut String) {
        let _ = write!(out, "{{\"time\":\"{:.3}\",\"level\":\"{}\",\"event\":", self.at, level_name(self.level));
        json_string(out, &self.message);
        for (name, value) in &self.fields {
            let _ = write!(out, ",\"{name}\":");
            match value {
                Value::Number(number) => {
                    let _ = write!(out, "{number}");
                }
                Value::Name(word) => json_string(out, word),
                Value::Text(text) => json_string(out, text),
            }
        }
        out.push_str("}\n");
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'"')
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn json_string(out: &mut String, text: &str) {
    match serde_json::to_string(text) {
        Ok(quoted) => out.push_str(&quoted),
        Err(_) => out.push_str("\"\""),
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
        let lines = batch.drain(..).filter_map(|order| match order {
            Order::Write(line) => Some(line),
            Order::Stop => {
                stopping = true;
                None
            }
        });
        // A full log disk must not stop mail: what cannot be written is counted and reported when it can be again.
        let unsent = write_batch(&mut target, lines, lost, &mut text);
        dropped.fetch_add(unsent, Ordering::Relaxed);
        if stopping {
            return;
        }
    }
}

/// Writes lines, and how many were lost before them; returns how many are lost now.
fn write_batch(target: &mut Target, lines: impl Iterator<Item = Line>, lost: u64, text: &mut String) -> u64 {
    let mut unsent = 0;
    // The last line stands for all that were lost before: if it is lost too, they still are to be told of.
    let lines = lines.map(|line| (line, 1)).chain((lost > 0).then(|| (lines_dropped(lost), lost)));
    let mut in_text = 0;
    for (line, stands_for) in lines {
        match target {
            Target::Stderr(Form::Text) => line.write_text(text),
            Target::Stderr(Form::Json) => line.write_json(text),
            Target::Journald(journal) => {
                unsent += if journal.send(&line).is_err() { stands_for } else { 0 };
                continue;
            }
        }
        in_text += stands_for;
    }
    if !text.is_empty() && io::stderr().lock().write_all(text.as_bytes()).is_err() {
        unsent += in_text;
    }
    unsent
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

    fn line() -> Line {
        Line {
            at: "2026-11-23T16:40:01.1234Z".parse().unwrap(),
            level: Level::INFO,
            message: "message".into(),
            fields: vec![
                ("queue_id", Value::Text("4F1B".into())),
                ("decision", Value::Name("sign")),
                ("bytes", Value::Number(2048)),
                ("from", Value::Text("a\nb\"c \u{1b}[31m".into())),
            ],
        }
    }

    #[test]
    fn a_line_reads_the_same_in_text_and_json() {
        let mut text = String::new();
        line().write_text(&mut text);
        assert_eq!(
            text,
            "2026-11-23T16:40:01.123Z INFO message queue_id=4F1B decision=sign bytes=2048 \
             from=\"a\\nb\\\"c \\u{1b}[31m\"\n"
        );
        let mut json = String::new();
        line().write_json(&mut json);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["time"], "2026-11-23T16:40:01.123Z");
        assert_eq!(value["bytes"], 2048);
        assert_eq!(value["from"], "a\nb\"c \u{1b}[31m");
        assert_eq!(json.matches('\n').count(), 1);
    }

    #[test]
    fn lines_lost_before_are_still_counted_when_that_cannot_be_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let journald = UnixDatagram::bind(&path).unwrap();
        let mut target = Target::Journald(Journal::connect_to(&path).unwrap());
        assert_eq!(write_batch(&mut target, [line(), line()].into_iter(), 5, &mut String::new()), 0);
        drop(journald);
        assert_eq!(write_batch(&mut target, [line(), line()].into_iter(), 5, &mut String::new()), 7);
    }

    #[test]
    fn the_end_does_not_wait_for_a_log_that_nobody_reads() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let _deaf = UnixDatagram::bind(&path).unwrap();
        let (logger, guard) = start(Target::Journald(Journal::connect_to(&path).unwrap()), Level::INFO, 1).unwrap();
        while logger.dropped.load(Ordering::Relaxed) < 10_000 {
            logger.line(line());
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
        let logger = Logger { queue, level: Level::INFO, dropped: Arc::default() };
        for _ in 0..3 {
            logger.line(line());
        }
        logger.line(Line { level: Level::DEBUG, ..line() });
        assert_eq!(logger.dropped.load(Ordering::Relaxed), 2);
        assert_eq!(receiver.len(), 1);
    }
}
