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
use std::thread::{self, JoinHandle};
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
