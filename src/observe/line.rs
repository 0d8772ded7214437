//! A log line: what happened, and the facts; as text and as JSON.
//!
//! ```text
//! 2026-11-23T16:40:01.123Z INFO message queue_id=4F1B2C decision=sign reason=signed d=example.com s=20261123r …
//! {"time":"2026-11-23T16:40:01.123Z","level":"info","event":"message","queue_id":"4F1B2C","decision":"sign",…}
//! ```
//!
//! Values are quoted where they hold anything but printable ASCII without blanks, so that no sender can forge a line.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use jiff::Timestamp;
use tracing::Level;
use tracing::field::{Field, Visit};

use crate::finding::Chain;

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
        self.fields.push((field.name(), Value::Text(Chain(value).to_string())));
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

    /// Appends the line as text.
    pub(super) fn write_text(&self, out: &mut String) {
        let _ = write!(out, "{:.3} {} ", self.at, self.level);
        self.write_summary(out);
        out.push('\n');
    }

    /// Appends the line as one JSON object.
    pub(super) fn write_json(&self, out: &mut String) {
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
}
