//! Lines of a zone file (RFC 1035 §5.1): BIND, Knot, NSD and most others.

use std::io::{self, Write};

use super::PublishedRecord;

/// Writes one line for each record, its value in quoted strings of at most 255 octets.
pub fn write_bind(out: &mut dyn Write, records: &[PublishedRecord]) -> io::Result<()> {
    for record in records {
        write!(out, "{}. {} IN TXT (", record.name, record.ttl)?;
        for string in &record.strings {
            write!(out, " \"{}\"", string.replace('\\', "\\\\").replace('"', "\\\""))?;
        }
        writeln!(out, " )")?;
    }
    Ok(())
}
