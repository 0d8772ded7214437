//! How answers look: tables and colours for people, JSON for machines.

use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
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

/// Writes one JSON document, indented, with a final line end.
pub(super) fn write_json(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// A JSON array that is written as its items come: as [`write_json`] writes a whole one.
#[derive(Debug, Default)]
pub(super) struct JsonArray {
    count: usize,
}

impl JsonArray {
    /// Writes the next item.
    pub(super) fn write(&mut self, out: &mut dyn Write, item: &impl Serialize) -> io::Result<()> {
        out.write_all(if self.count == 0 { b"[\n" } else { b",\n" })?;
        let text = serde_json::to_string_pretty(item)?;
        write!(out, "  {}", text.replace('\n', "\n  "))?;
        self.count += 1;
        Ok(())
    }

    /// Ends it.
    pub(super) fn end(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(if self.count == 0 { b"[]\n" } else { b"\n]\n" })
    }
}

/// A table without rules, columns under their headings, of any length in bounded memory: the first rows tell how wide its
/// columns are.
#[derive(Debug)]
pub(super) struct Columns<const N: usize> {
    widths: [usize; N],
    /// The rows so far, until their number tells enough. The headings come first.
    held: Option<Vec<([String; N], Style)>>,
}

/// So many rows tell how wide the columns of a table are.
const ENOUGH: usize = 2000;

/// The column that a row's style is for: the last but one.
const fn styled(columns: usize) -> usize {
    columns - 2
}

impl<const N: usize> Columns<N> {
    pub(super) fn new(headings: [&str; N]) -> Self {
        let headings = headings.map(str::to_uppercase);
        Self { widths: [0; N], held: Some(vec![(headings, Style::new())]) }
    }

    /// Writes a row, or holds it for a while. Its last column but one has the style.
    pub(super) fn write(&mut self, out: &mut dyn Write, row: [String; N], style: Style) -> io::Result<()> {
        let Some(held) = &mut self.held else { return self.row(out, &row, style) };
        held.push((row, style));
        if held.len() > ENOUGH { self.end(out) } else { Ok(()) }
    }

    /// Writes what is held.
    pub(super) fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let held = self.held.take().unwrap_or_default();
        for (row, _) in &held {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        held.iter().try_for_each(|(row, style)| self.row(out, row, *style))
    }

    fn row(&self, out: &mut dyn Write, row: &[String; N], style: Style) -> io::Result<()> {
        for (index, (cell, width)) in row.iter().zip(self.widths).enumerate() {
            // What stands behind the last column would be blanks.
            if index + 1 == N {
                return writeln!(out, "{cell}");
            }
            let blanks = width.saturating_sub(cell.chars().count()) + 2;
            if index == styled(N) {
                write!(out, "{style}{cell}{style:#}{:blanks$}", "")?;
            } else {
                write!(out, "{cell}{:blanks$}", "")?;
            }
        }
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(rows: usize) -> String {
        let mut out = Vec::new();
        let mut columns = Columns::new(["name", "state", "since"]);
        for row in 0..rows {
            columns.write(&mut out, [format!("n{row}"), "active".into(), "today".into()], Style::new()).unwrap();
        }
        columns.end(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_stand_under_their_headings() {
        assert_eq!(plain(2), "NAME  STATE   SINCE\nn0    active  today\nn1    active  today\n");
    }

    #[test]
    fn a_long_table_has_all_its_rows_once() {
        let text = plain(3 * ENOUGH);
        assert_eq!(text.lines().count(), 3 * ENOUGH + 1);
        assert!(text.lines().skip(1).enumerate().all(|(row, line)| line.starts_with(&format!("n{row} "))));
    }

    #[test]
    fn an_array_written_in_pieces_is_the_one_written_whole() {
        for items in [vec![], vec![[1, 2]], vec![[1, 2], [3, 4]]] {
            let (mut whole, mut pieces, mut array) = (Vec::new(), Vec::new(), JsonArray::default());
            write_json(&mut whole, &items).unwrap();
            for item in &items {
                array.write(&mut pieces, item).unwrap();
            }
            array.end(&mut pieces).unwrap();
            assert_eq!(pieces, whole);
        }
    }
}
