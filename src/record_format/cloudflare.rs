//! Cloudflare: bodies of `POST /zones/ZONE_ID/dns_records/batch`.

use std::io::{self, Write};

use serde::Serialize;

use super::api::{self, Request};
use super::quote::quoted_strings;
use super::{PublishedRecord, Zones};

/// The TTLs that every plan may set, in seconds.
const TTL: std::ops::RangeInclusive<u32> = 60..=86400;
/// How many records a batch may hold in every plan.
const MOST: usize = 200;

#[derive(Serialize)]
struct Batch {
    posts: Vec<Record>,
}

#[derive(Serialize)]
struct Record {
    name: String,
    #[serde(rename = "type")]
    rr_type: &'static str,
    content: String,
    ttl: u32,
}

/// One body for at most 200 records of a zone. Records that are there already are neither changed nor removed.
pub(super) fn write(records: &[PublishedRecord], zones: &Zones, out: &mut dyn Write) -> io::Result<()> {
    let mut requests = Vec::new();
    for (zone, records) in zones.group(records) {
        for records in records.chunks(MOST) {
            let posts = records.iter().map(|record| Record {
                name: record.name.clone(),
                rr_type: record.rr_type,
                content: quoted_strings(&record.strings),
                ttl: record.ttl.clamp(*TTL.start(), *TTL.end()),
            });
            requests.push(Request::new(zone.clone(), Batch { posts: posts.collect() }));
        }
    }
    api::write(&requests, out)
}
