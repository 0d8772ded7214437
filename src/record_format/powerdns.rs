//! PowerDNS Authoritative Server: bodies of `PATCH /api/v1/servers/localhost/zones/ZONE`.

use std::io::{self, Write};

use serde::Serialize;

use super::api::{self, Request};
use super::quote::quoted_strings;
use super::{PublishedRecord, Zones};

#[derive(Serialize)]
struct Patch {
    rrsets: Vec<RrSet>,
}

#[derive(Serialize)]
struct RrSet {
    name: String,
    #[serde(rename = "type")]
    rr_type: &'static str,
    ttl: u32,
    changetype: &'static str,
    records: [Record; 1],
}

#[derive(Serialize)]
struct Record {
    content: String,
    disabled: bool,
}

/// One body a zone. Each name ends with this record alone.
pub(super) fn write(records: &[PublishedRecord], zones: &Zones, out: &mut dyn Write) -> io::Result<()> {
    let requests = zones.group(records).into_iter().map(|(zone, records)| {
        let rrsets = records.into_iter().map(|record| RrSet {
            name: format!("{}.", record.name),
            rr_type: record.rr_type,
            ttl: record.ttl,
            changetype: "REPLACE",
            records: [Record { content: quoted_strings(&record.strings), disabled: false }],
        });
        Request::new(zone, Patch { rrsets: rrsets.collect() })
    });
    api::write(&requests.collect::<Vec<_>>(), out)
}
