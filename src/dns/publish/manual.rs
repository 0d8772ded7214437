//! An administrator publishes.

use super::{Outcome, Publisher, Publishing, Record};

/// Says what to do. Whoever asked shows it and waits until the record is seen, or gone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manual;

impl Publisher for Manual {
    fn present<'a>(&'a self, record: &'a Record) -> Publishing<'a> {
        by_hand(format!("publish: {}", line(record)))
    }

    fn replace<'a>(&'a self, old: &'a Record, new: &'a Record) -> Publishing<'a> {
        by_hand(format!("replace: {}\nby: {}", line(old), line(new)))
    }

    fn absent<'a>(&'a self, record: &'a Record) -> Publishing<'a> {
        by_hand(format!("delete: {}", line(record)))
    }
}

fn by_hand<'a>(instruction: String) -> Publishing<'a> {
    Box::pin(async { Ok(Outcome::ByHand { instruction }) })
}

/// The record as a line of a zone file.
fn line(record: &Record) -> String {
    format!("{}. {} IN TXT {}", record.name, record.ttl, record.quoted())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_instruction_is_a_line_of_a_zone_file() {
        let record = Record { name: "s._domainkey.example.test".into(), ttl: 60, value: "a".repeat(300) };
        let Ok(Outcome::ByHand { instruction }) = Manual.present(&record).await else { panic!("by hand") };
        let (long, short) = ("a".repeat(255), "a".repeat(45));
        assert_eq!(instruction, format!("publish: s._domainkey.example.test. 60 IN TXT \"{long}\" \"{short}\""));
    }
}
