//! JavaScript for DNSControl.

use std::io::{self, Write};

use super::quote::literal;
use super::zones::relative;
use super::{PublishedRecord, Zones};

/// A `D_EXTEND` for each zone, to be required after the zone's own `D`. DNSControl cuts and quotes values itself.
pub(super) fn write(records: &[PublishedRecord], zones: &Zones, out: &mut dyn Write) -> io::Result<()> {
    for (zone, records) in zones.group(records) {
        writeln!(out, "D_EXTEND({},", literal(zone.as_str()))?;
        for (at, record) in records.iter().enumerate() {
            let comma = if at + 1 < records.len() { "," } else { "" };
            let (name, value) = (literal(relative(record, &zone)), literal(&record.value));
            writeln!(out, "  TXT({name}, {value}, TTL({})){comma}", record.ttl)?;
        }
        writeln!(out, ");")?;
    }
    Ok(())
}
