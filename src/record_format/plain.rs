//! For web forms: each thing in one line, to be copied.

use std::io::{self, Write};

use super::PublishedRecord;

/// Four lines for each record, its value whole; an empty line between records.
pub(super) fn write(records: &[PublishedRecord], out: &mut dyn Write) -> io::Result<()> {
    for (at, record) in records.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        writeln!(out, "name   {}", record.name)?;
        writeln!(out, "type   {}", record.rr_type)?;
        writeln!(out, "ttl    {}", record.ttl)?;
        writeln!(out, "value  {}", record.value)?;
    }
    Ok(())
}
