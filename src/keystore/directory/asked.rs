//! What daemons are asked to acknowledge: a file in the store's root, for whoever must know that nobody signs with
//! a key any more.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::disk::Dir;
use super::layout::within;
use super::lock::lock;
use super::root::Directory;
use crate::keystore::error::StoreError;
use crate::names::DomainName;

const ASKED: &str = "acknowledge.json";
const ASKED_NEW: &str = ".acknowledge.json.new";

/// Room for the most domains that are asked for at once, with the longest names.
const LARGEST: u64 = 8 << 20;

/// Domains asked for at once, at most; [`Directory::ask`] drops all older ones beyond it.
const MOST: usize = 10_000;

/// After this, in seconds, nobody waits for an answer any more.
const WAITED_FOR: i64 = 3600;

/// Which revisions of which domains daemons are to read, and then to say that they have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    version: u32,
    /// When somebody last asked.
    pub asked: Timestamp,
    /// The oldest revision that is to be seen of each domain.
    pub domains: BTreeMap<DomainName, u64>,
}

impl Directory {
    /// Asks all daemons to read these domains anew and to acknowledge that they have these revisions or newer ones; they
    /// look each second. Whatever else was asked in the last hour stays asked.
    pub fn ask(&self, domains: &BTreeMap<DomainName, u64>, now: Timestamp) -> Result<(), StoreError> {
        let root = lock(|| Ok(self.open_root()?.0))?;
        let (_, ownership) = self.open_root()?;
        let mut asked = Asked { version: 1, asked: now, domains: domains.clone() };
        // What cannot be read is asked anew by whoever asked it.
        if let Ok(Some(before)) = self.asked_in(&root)
            && now.as_second().saturating_sub(before.asked.as_second()) < WAITED_FOR
            && before.domains.len() + asked.domains.len() <= MOST
        {
            for (domain, revision) in before.domains {
                let newest = asked.domains.entry(domain).or_insert(revision);
                *newest = revision.max(*newest);
            }
        }
        let path = within(&root.path, ASKED);
        let json = serde_json::to_vec(&asked).map_err(|error| StoreError::io("write", &path, error.into()))?;
        root.remove(ASKED_NEW)?;
        root.write_new(ASKED_NEW, &json, &ownership)?;
        root.rename(ASKED_NEW, ASKED)?;
        root.sync()
    }

    /// What daemons are asked at present; none if nothing ever was.
    pub fn asked(&self) -> Result<Option<Asked>, StoreError> {
        self.asked_in(&self.open_root()?.0)
    }

    fn asked_in(&self, root: &Dir) -> Result<Option<Asked>, StoreError> {
        let (_, ownership) = self.open_root()?;
        let Some(json) = root.read(ASKED, LARGEST, &ownership)? else { return Ok(None) };
        let path = within(&root.path, ASKED);
        serde_json::from_slice(&json).map(Some).map_err(|error| StoreError::io("read", &path, error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keystore::Access;

    #[test]
    fn questions_of_the_last_hour_are_asked_together() {
        let scratch = tempfile::tempdir().unwrap();
        let store = Directory::create(&scratch.path().join("keys"), Access::OneUser).unwrap();
        assert_eq!(store.asked().unwrap(), None);
        let at = |second| Timestamp::from_second(second).unwrap();
        let ask = |name: &str, revision, second| {
            store.ask(&BTreeMap::from([(DomainName::parse(name).unwrap(), revision)]), at(second)).unwrap();
            let asked = store.asked().unwrap().unwrap();
            asked.domains.into_iter().map(|(name, revision)| format!("{name} {revision}")).collect::<Vec<_>>()
        };
        assert_eq!(ask("a.example", 3, 0), ["a.example 3"]);
        assert_eq!(ask("b.example", 1, 60), ["a.example 3", "b.example 1"]);
        assert_eq!(ask("a.example", 2, 120), ["a.example 3", "b.example 1"]);
        assert_eq!(ask("c.example", 9, 8000), ["c.example 9"]);
    }
}
