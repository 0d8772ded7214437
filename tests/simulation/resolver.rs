//! A caching resolver, with what it remembers of records and of their absence (RFC 2308).

use std::collections::HashMap;
use std::time::Duration;

use super::random::Random;
use super::time::Moment;
use super::zone::{Answer, Record, Zone};

/// What a resolver knows of a name.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// The records; none if the name is absent.
    pub(crate) records: Vec<Record>,
    /// Until when it is remembered.
    pub(crate) expires: Moment,
    /// Whether a server broke its word with that; see [`Answer::Said`].
    pub(crate) is_broken_word: bool,
}

/// A resolver.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    cache: HashMap<String, Known>,
    /// For how long it remembers at least that something is absent, whatever the SOA says.
    pub(crate) remembers: Duration,
}

impl Resolver {
    /// Answers from the cache or asks the servers that resolvers know, in any order, until one answers; none if none
    /// does.
    pub(crate) fn resolve(&mut self, name: &str, zone: &mut Zone, now: Moment, random: &mut Random) -> Option<Known> {
        if let Some(known) = self.cache.get(name).filter(|known| now < known.expires) {
            return Some(known.clone());
        }
        let public: Vec<usize> = (0..zone.servers.len()).filter(|index| !zone.servers[*index].is_hidden).collect();
        let first = random.below(public.len() as u64) as usize;
        for turn in 0..public.len() {
            let server = public[(first + turn) % public.len()];
            let Answer::Said { records, negative, is_broken_word } = zone.ask(server, name, now, random) else {
                continue;
            };
            let seconds = records.iter().map(|record| record.ttl).min().unwrap_or(negative.seconds());
            let least = if records.is_empty() { self.remembers } else { Duration::ZERO };
            let expires = now + Duration::from_secs(seconds.into()).max(least);
            let known = Known { records, expires, is_broken_word };
            self.cache.insert(name.to_owned(), known.clone());
            return Some(known);
        }
        None
    }

    /// Drops what is remembered no longer.
    pub(crate) fn tidy(&mut self, now: Moment) {
        self.cache.retain(|_, known| now < known.expires);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::{Author, NegativeTtl, Outage};

    #[test]
    fn records_and_their_absence_are_remembered_for_their_ttl() {
        let random = &mut Random::new(1);
        let mut zone = Zone::new(0, false, NegativeTtl { ttl: 3600, minimum: 300 }, random);
        let mut resolver = Resolver::default();
        let mut ask =
            |zone: &mut Zone, at| resolver.resolve("a", zone, Moment(at), random).map(|known| known.records.len());
        assert_eq!(ask(&mut zone, 0), Some(0));
        let record = Record { text: "x".into(), ttl: 60 };
        zone.change("a", vec![record], Author::Publisher, Moment(1));
        assert_eq!(ask(&mut zone, 299), Some(0), "absent for min(TTL, MINIMUM) of the SOA");
        assert_eq!(ask(&mut zone, 300), Some(1));
        zone.change("a", Vec::new(), Author::Publisher, Moment(301));
        assert_eq!(ask(&mut zone, 359), Some(1));
        zone.fail(0, Outage::Down, Moment(400));
        assert_eq!(ask(&mut zone, 360), None);
        assert_eq!(ask(&mut zone, 400), Some(0));
    }
}
