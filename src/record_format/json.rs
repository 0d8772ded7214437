//! For programs.

use std::io::{self, Write};

use super::PublishedRecord;

/// An array of objects, indented.
pub(super) fn write(records: &[PublishedRecord], out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, records)?;
    writeln!(out)
}
