//! Which zone a name is in, remembered for a while.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_resolver::proto::rr::Name;
use tokio::time::Instant;

use crate::dns::name::plain;

/// How long it is believed. Zones are cut and moved by people, and a server that was told the wrong one refuses.
const VALID: Duration = Duration::from_secs(300);

/// Names that are remembered at most; some 200 octets each.
const MOST_NAMES: usize = 20_000;

/// Zones, as a server calls them, by the parents of the records' names. Not by the apex: between it and another name below
/// it there may be another zone, of which a server that is asked nothing says nothing.
#[derive(Debug)]
pub(super) struct Zones<Z> {
    found: Mutex<HashMap<String, (Z, Instant)>>,
}

/// Where a zone is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The configuration, or the server just now.
    Certain,
    /// The server, some time ago.
    Remembered,
}

impl<Z: Clone> Zones<Z> {
    pub(super) fn new() -> Self {
        Self { found: Mutex::default() }
    }

    /// The zone of a record's name, if it was found not long ago.
    pub(super) fn of(&self, name: &Name, now: Instant) -> Option<Z> {
        let found = self.found();
        let (zone, since) = found.get(&parent(name))?;
        is_valid(*since, now).then(|| zone.clone())
    }

    pub(super) fn remember(&self, name: &Name, zone: &Z, now: Instant) {
        let mut found = self.found();
        if found.len() >= MOST_NAMES {
            found.retain(|_, (_, since)| is_valid(*since, now));
        }
        // Those that do not fit are asked for each time.
        if found.len() < MOST_NAMES {
            found.insert(parent(name), (zone.clone(), now));
        }
    }

    pub(super) fn forget(&self, name: &Name) {
        self.found().remove(&parent(name));
    }

    fn found(&self) -> MutexGuard<'_, HashMap<String, (Z, Instant)>> {
        // Nothing panics while it is held.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_valid(since: Instant, now: Instant) -> bool {
    now.duration_since(since) < VALID
}

fn parent(name: &Name) -> String {
    plain(&name.base_name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::name::absolute;

    #[test]
    fn a_zone_is_remembered_for_siblings_and_for_a_while() {
        let (zones, now) = (Zones::new(), Instant::now());
        let name = |text| absolute(text).unwrap();
        let (first, sibling) = (name("a._domainkey.example.test"), name("b._DomainKey.Example.Test"));
        zones.remember(&first, &"example.test", now);
        assert_eq!(zones.of(&sibling, now), Some("example.test"));
        for other in ["a._domainkey.mail.example.test", "a.other.example.test"] {
            assert_eq!(zones.of(&name(other), now), None, "{other}");
        }
        assert_eq!(zones.of(&first, now + VALID), None);
        zones.forget(&sibling);
        assert_eq!(zones.of(&first, now), None);
    }

    #[test]
    fn no_more_names_are_remembered_than_fit() {
        let (zones, now) = (Zones::new(), Instant::now());
        let name = |number| absolute(&format!("s._domainkey.d{number}.test")).unwrap();
        for number in 0..=MOST_NAMES {
            zones.remember(&name(number), &(), now);
        }
        assert_eq!((zones.of(&name(0), now), zones.of(&name(MOST_NAMES), now)), (Some(()), None));
        let later = now + VALID;
        zones.remember(&name(MOST_NAMES), &(), later);
        assert_eq!(zones.of(&name(MOST_NAMES), later), Some(()));
        assert_eq!(zones.found().len(), 1);
    }
}
