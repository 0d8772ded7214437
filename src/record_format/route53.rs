//! Amazon Route 53: change batches of ChangeResourceRecordSets.

use std::io::{self, Write};

use serde::Serialize;

use super::api::{self, Request};
use super::quote::quoted_strings;
use super::{PublishedRecord, Zones};

/// How many records a batch may hold; one that is replaced counts twice.
const MOST: usize = 1000 / 2;
/// How many characters their values may have together; they count twice too.
const MOST_CHARACTERS: usize = 32_000 / 2;

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ChangeBatch {
    changes: Vec<Change>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    action: &'static str,
    resource_record_set: RecordSet,
}

#[derive(Serialize)]
struct RecordSet {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Type")]
    rr_type: &'static str,
    #[serde(rename = "TTL")]
    ttl: u32,
    #[serde(rename = "ResourceRecords")]
    records: [Record; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    value: String,
}

/// One batch a zone, or several where it would be too large. Each name ends with this record alone.
pub(super) fn write(records: &[PublishedRecord], zones: &Zones, out: &mut dyn Write) -> io::Result<()> {
    let mut requests = Vec::new();
    for (zone, records) in zones.group(records) {
        let (mut batch, mut characters) = (ChangeBatch::default(), 0);
        for record in records {
            let value = octal(&quoted_strings(&record.strings));
            if batch.changes.len() == MOST || (characters + value.len() > MOST_CHARACTERS && characters > 0) {
                requests.push(Request::new(zone.clone(), std::mem::take(&mut batch)));
                characters = 0;
            }
            characters += value.len();
            batch.changes.push(Change {
                action: "UPSERT",
                resource_record_set: RecordSet {
                    name: format!("{}.", record.name),
                    rr_type: record.rr_type,
                    ttl: record.ttl,
                    records: [Record { value }],
                },
            });
        }
        requests.push(Request::new(zone, batch));
    }
    api::write(&requests, out)
}

/// Route 53 reads the three digits after a backslash as an octal number, where zone files have a decimal one.
fn octal(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut rest = quoted;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let number = after.get(..3).and_then(|digits| digits.parse::<u8>().ok());
        let taken = if let Some(number) = number {
            text.push_str(&format!("\\{number:03o}"));
            3
        } else {
            text.push('\\');
            text.extend(after.chars().next());
            after.chars().next().map_or(0, char::len_utf8)
        };
        rest = &after[taken..];
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_octal_and_other_escapes_stay() {
        assert_eq!(octal(r#""\009 \127 \255""#), r#""\011 \177 \377""#);
        assert_eq!(octal(r#""\\034 \" \\""#), r#""\\034 \" \\""#);
    }
}
