//! `waxseal status --recorder`: the last messages and the slowest, from the running daemon's memory.

use std::io::{self, Write};
use std::path::Path;

use anyhow::anyhow;

use crate::cli::Exit;
use crate::cli::asking::ask;
use crate::cli::explain::{read, time, undetermined};
use crate::cli::output::{BAD, Columns, FAINT, Format, GOOD, STRONG, WARN};
use crate::control::{Answer, Ask, RecentMessage, RecentMessages};
use crate::report::safe::{self, line};

/// Messages that are shown where no number is given.
const LAST: usize = 20;

pub(super) fn run(config: &Path, limit: Option<usize>, format: Format, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let config = read(config)?;
    let last = match limit {
        None => LAST,
        Some(0) => usize::MAX,
        Some(limit) => limit,
    };
    let recorder = match ask(&config.control.socket, Ask::Recorder { last }).map_err(undetermined)? {
        Answer::Recorder { recorder } => recorder,
        _ => return Err(undetermined(anyhow!("the daemon answered another question"))),
    };
    match format {
        Format::Json => {
            safe::write_json(out, &recorder)?;
            writeln!(out)?;
        }
        Format::Text => write(&recorder, out)?,
    }
    Ok(Exit::Clean)
}

fn write(recorder: &RecentMessages, out: &mut dyn Write) -> io::Result<()> {
    let RecentMessages { remembered, capacity, .. } = recorder;
    write!(out, "{remembered} of at most {capacity} messages are remembered")?;
    match recorder.since {
        Some(since) => writeln!(out, ", the oldest of {since:.0}")?,
        None => writeln!(out)?,
    }
    table("Last messages", &recorder.last, out)?;
    table("Slowest of the last hour", &recorder.slowest, out)?;
    table("Slowest of the last hour by our own time", &recorder.slowest_by_us, out)
}

fn table(title: &str, messages: &[RecentMessage], out: &mut dyn Write) -> io::Result<()> {
    if messages.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{STRONG}{title}{STRONG:#}")?;
    let headings =
        ["time", "queue id", "from", "total", "reading", "keys", "signing", "else", "reason", "slow because"];
    let mut columns = Columns::new(headings);
    for message in messages {
        let spent = message.spent;
        let style = match message.decision.as_str() {
            "sign" => GOOD,
            "pass" => FAINT,
            "defer" => WARN,
            _ => BAD,
        };
        let row = [
            message.time.map_or("-".into(), |time| format!("{time:.3}")),
            line(message.queue_id.as_deref().unwrap_or("-")).into_owned(),
            line(message.from.as_deref().unwrap_or("-")).into_owned(),
            time(spent.total),
            time(spent.reading),
            time(spent.keys),
            time(spent.signing),
            time(spent.other),
            line(&message.reason).into_owned(),
            spent.slow_because().to_owned(),
        ];
        columns.write(out, row, style)?;
    }
    columns.end(out)
}
