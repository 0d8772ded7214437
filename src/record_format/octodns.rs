//! Zone files of octoDNS' YamlProvider.

use std::cmp::Ordering;
use std::io::{self, Write};

use super::quote::literal;
use super::zones::relative;
use super::{PublishedRecord, Zones};

/// A YAML document for each zone, whose first line says the zone. Semicolons are escaped, as octoDNS wants it, and names
/// are in its order.
pub(super) fn write(records: &[PublishedRecord], zones: &Zones, out: &mut dyn Write) -> io::Result<()> {
    for (zone, mut records) in zones.group(records) {
        records.sort_by(|one, other| natural(relative(one, &zone), relative(other, &zone)));
        writeln!(out, "--- # {zone}.yaml")?;
        for record in records {
            writeln!(out, "{}:", literal(relative(record, &zone)))?;
            writeln!(out, "  ttl: {}\n  type: {}", record.ttl, record.rr_type)?;
            let value = record.value.replace('\\', "\\\\").replace(';', "\\;");
            writeln!(out, "  value: {}", literal(&value))?;
        }
    }
    Ok(())
}

/// Runs of digits count as numbers.
fn natural(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one, other);
    loop {
        let (text, number, rest) = split(left);
        let (other_text, other_number, other_rest) = split(right);
        let order = text.cmp(other_text).then_with(|| compare_numbers(number, other_number));
        if order != Ordering::Equal || (rest.is_empty() && other_rest.is_empty()) {
            return order;
        }
        (left, right) = (rest, other_rest);
    }
}

/// Text up to the first digit, the digits, and what is left.
fn split(text: &str) -> (&str, &str, &str) {
    let (before, rest) = text.split_at(text.find(|character: char| character.is_ascii_digit()).unwrap_or(text.len()));
    let (digits, rest) = rest.split_at(rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len()));
    (before, digits, rest)
}

fn compare_numbers(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.trim_start_matches('0'), other.trim_start_matches('0'));
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_within_names_are_in_their_order() {
        let mut names = ["s10", "s2", "20261123r", "20261123e", "9a", "s2a", "s", "a.b", "007b", "s02"];
        names.sort_by(|one, other| natural(one, other));
        assert_eq!(names, ["007b", "9a", "20261123e", "20261123r", "a.b", "s", "s2", "s02", "s2a", "s10"]);
    }
}
