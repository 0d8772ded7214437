//! Commands of nsupdate (RFC 2136).

use std::io::{self, Write};

use super::quote::quoted_strings;
use super::{PublishedRecord, Zones};

/// One update for each domain, since an update cannot change two zones. Each name ends with this record alone, however
/// often the update is sent. Without a `zone` command nsupdate asks DNS which zone a name is in.
pub(super) fn write(records: &[PublishedRecord], zones: &Zones, out: &mut dyn Write) -> io::Result<()> {
    for of_domain in records.chunk_by(|one, next| one.domain == next.domain) {
        if let Some(zone) = of_domain.first().and_then(|record| zones.known(record)) {
            writeln!(out, "zone {zone}.")?;
        }
        for record in of_domain {
            writeln!(out, "update delete {}. TXT", record.name)?;
            writeln!(out, "update add {}. {} TXT {}", record.name, record.ttl, quoted_strings(&record.strings))?;
        }
        writeln!(out, "send")?;
    }
    Ok(())
}
