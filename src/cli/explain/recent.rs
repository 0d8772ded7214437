//! `waxseal explain --queue-id`: what became of a message that the daemon saw.

use std::io::{self, Write};

use anyhow::anyhow;

use super::text::write_advice;
use super::undetermined;
use crate::cli::Exit;
use crate::cli::asking::ask;
use crate::cli::output::{BAD, FAINT, Format, GOOD, STRONG, WARN};
use crate::config::Config;
use crate::control::{Answer, Ask, RecentMessage};
use crate::report::safe::{self, line};

pub(super) fn run(queue_id: &str, config: &Config, format: Format, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let asked = ask(&config.control.socket, Ask::Message { queue_id: queue_id.to_owned() });
    let (messages, recorder) = match asked.map_err(undetermined)? {
        Answer::Messages { messages, recorder } => (messages, recorder),
        _ => return Err(undetermined(anyhow!("the daemon answered another question"))),
    };
    if format == Format::Json {
        safe::write_json(out, &messages)?;
        writeln!(out)?;
    }
    let Some(latest) = messages.first() else {
        let since = recorder.since.map(|since| format!(", the oldest of {since:.0}")).unwrap_or_default();
        return Err(undetermined(anyhow!(
            "the daemon remembers no message {}: it remembers the last {} of at most {}{since}; its log has every message \
             (journalctl -u waxseald | grep queue_id=…), and messages in [recorder] sets how many it remembers",
            line(queue_id).escape_debug(),
            recorder.remembered,
            recorder.capacity,
        )));
    };
    if format == Format::Text {
        for message in &messages {
            write_message(message, out)?;
        }
    }
    Ok(if latest.decision == "sign" { Exit::Clean } else { Exit::Findings })
}

/// Writes one message that the daemon remembers.
fn write_message(message: &RecentMessage, out: &mut dyn Write) -> io::Result<()> {
    let (style, words) = match message.decision.as_str() {
        "sign" => (GOOD, "signed"),
        "pass" => (WARN, "passed unsigned"),
        "defer" => (BAD, "deferred (451)"),
        "refuse" => (BAD, "refused (550)"),
        other => (WARN, other),
    };
    let queue_id = message.queue_id.as_deref().unwrap_or("(no queue id)");
    write!(out, "{STRONG}{}{STRONG:#} was {style}{}{style:#}", line(queue_id), line(words))?;
    if message.reason != "signed" {
        write!(out, ": {}", line(&message.reason))?;
    }
    match message.time {
        Some(time) => writeln!(out, "  {FAINT}{time:.3}{FAINT:#}")?,
        None => writeln!(out)?,
    }
    if message.reason != "signed" {
        write_advice(&message.means, &message.remedy, out)?;
    }
    writeln!(out, "  client {}, origin {}", line(&message.client), line(&message.origin))?;
    if let Some(from) = &message.from {
        writeln!(out, "  the author is of {}", line(from))?;
    }
    if let Some(login) = &message.login {
        writeln!(out, "  logged in as {}", line(login).escape_debug())?;
    }
    if let Some(rule) = &message.rule {
        writeln!(out, "  {} decided ({}:{})", line(&rule.name), line(&rule.file), rule.line)?;
    }
    for signature in &message.signatures {
        let (domain, selector) = (line(&signature.domain), line(&signature.selector));
        writeln!(out, "  {GOOD}d={domain} s={selector}{GOOD:#}  a={}", line(&signature.algorithm))?;
    }
    for warning in &message.warnings {
        writeln!(out, "  {WARN}{}{WARN:#}", line(warning))?;
    }
    let spent = message.spent;
    writeln!(
        out,
        "  {} octets in {}: {} reading from the MTA, {} looking for keys, {} signing, {} else",
        message.bytes,
        time(spent.total),
        time(spent.reading),
        time(spent.keys),
        time(spent.signing),
        time(spent.other)
    )
}

/// Microseconds as people read them.
pub(crate) fn time(microseconds: u64) -> String {
    match microseconds {
        0..1_000 => format!("{microseconds} µs"),
        1_000..1_000_000 => format!("{}.{} ms", microseconds / 1_000, microseconds % 1_000 / 100),
        _ => format!("{}.{} s", microseconds / 1_000_000, microseconds % 1_000_000 / 100_000),
    }
}
