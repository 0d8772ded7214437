//! Lines of a zone file (RFC 1035 §5.1): BIND, Knot, NSD and most others.

use std::io::{self, Write};

use super::PublishedRecord;
use super::quote::quoted_strings;

/// Writes one line for each record, its value in quoted strings of at most 255 octets.
pub fn write_bind(out: &mut dyn Write, records: &[PublishedRecord]) -> io::Result<()> {
    for record in records {
        writeln!(out, "{}. {} IN TXT ( {} )", record.name, record.ttl, quoted_strings(&record.strings))?;
    }
    Ok(())
}
