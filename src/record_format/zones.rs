//! Which zone a record is in. Nothing here asks DNS: it is said, or it is the registrable domain.

use super::PublishedRecord;
use crate::names::DomainName;

/// Zones that are known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Zones(Vec<DomainName>);

impl Zones {
    /// These zones; of two that hold a name the longer counts.
    pub fn named(zones: Vec<DomainName>) -> Self {
        Self(zones)
    }

    /// The zone that a record is in, if it was named.
    pub(super) fn known(&self, record: &PublishedRecord) -> Option<&DomainName> {
        let name = domain_name(record);
        let around = self.0.iter().filter(|zone| name.is_within(zone));
        around.max_by_key(|zone| zone.as_str().len())
    }

    /// The zone that a record is in; unless it was named the registrable domain, or the domain itself where it has none.
    pub(super) fn of(&self, record: &PublishedRecord) -> DomainName {
        let known = self.known(record).cloned();
        // The record of a fixed slot stands below another domain than its own.
        let domain = if record.alias.is_some() { domain_name(record) } else { record.domain.clone() };
        known.or_else(|| domain.registrable()).unwrap_or(domain)
    }

    /// The records of each zone, in the order in which the zones come first.
    pub(super) fn group<'r>(&self, records: &'r [PublishedRecord]) -> Vec<(DomainName, Vec<&'r PublishedRecord>)> {
        let mut places = std::collections::HashMap::new();
        let mut groups: Vec<(DomainName, Vec<&PublishedRecord>)> = Vec::new();
        for record in records {
            let zone = self.of(record);
            let at = *places.entry(zone.clone()).or_insert(groups.len());
            match groups.get_mut(at) {
                Some((_, group)) => group.push(record),
                None => groups.push((zone, vec![record])),
            }
        }
        groups
    }
}

/// The record's name; any that cannot be one is as good as its domain.
fn domain_name(record: &PublishedRecord) -> DomainName {
    DomainName::parse(&record.name).unwrap_or_else(|_| record.domain.clone())
}

/// The record's name without its zone.
pub(super) fn relative<'r>(record: &'r PublishedRecord, zone: &DomainName) -> &'r str {
    let name = record.name.strip_suffix(zone.as_str()).and_then(|name| name.strip_suffix('.'));
    name.unwrap_or(&record.name)
}
