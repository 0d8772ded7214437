//! How answers look: tables and colours for people, JSON for machines.

use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde::Serialize;

/// For whom to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    /// People.
    #[default]
    Text,
    /// Machines; names and shapes are stable.
    Json,
}

/// What is good.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// What wants attention.
pub(super) const WARN: Style = AnsiColor::Yellow.on_default();
/// What is broken.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What matters on its line.
pub(super) const STRONG: Style = Style::new().bold();
/// What can be passed over.
pub(super) const FAINT: Style = Style::new().dimmed();

/// A table without rules: columns under their headings.
pub(super) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(headings.iter().map(|heading| heading.to_uppercase()));
    table
}

/// Writes a table, without the blanks that fill its last column.
pub(super) fn write_table(out: &mut dyn Write, table: &Table) -> io::Result<()> {
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end().strip_prefix(' ').unwrap_or(line.trim_end()))?;
    }
    Ok(())
}

/// Writes one JSON document, indented, with a final line end.
pub(super) fn write_json(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// Asks before something is done: `--yes` is an answer, a terminal is asked, everything else is a no.
pub(super) fn confirmed(question: &str, yes: Confirmation) -> io::Result<bool> {
    if yes == Confirmation::Given {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    anstream::eprint!("{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Whether `--yes` was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confirmation {
    /// It was.
    Given,
    /// It was not.
    Wanted,
}

impl From<bool> for Confirmation {
    fn from(yes: bool) -> Self {
        if yes { Self::Given } else { Self::Wanted }
    }
}
