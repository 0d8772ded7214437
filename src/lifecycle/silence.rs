//! Since when servers are silent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::answers::answers_with_authority;
use super::waits::Witnessed;
use crate::manifest::Witness;
use crate::observation::{Hop, NameServer, Observation, Outcome, Server};

/// Since when servers are silent, by zone and server. Whoever loses it waits longer, nothing worse: keep it beside
/// the key store, not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Silences {
    silent: BTreeMap<String, Witness>,
}

impl Silences {
    /// Takes note of who answered and who did not, as of `at`.
    pub fn note(&mut self, observation: &Observation, at: &Witnessed) {
        for hop in &observation.hops {
            for answer in &hop.answers {
                let key = key(hop, &answer.server.name, &answer.server.address.to_string());
                match &answer.outcome {
                    Outcome::NoRoute => {}
                    outcome if answers_with_authority(outcome) => drop(self.silent.remove(&key)),
                    _ => self.count(key, at),
                }
            }
            for server in hop.zone.iter().flat_map(|zone| &zone.name_servers) {
                let key = unresolved_key(hop, server);
                match is_unresolved(server) {
                    true => self.count(key, at),
                    false => drop(self.silent.remove(&key)),
                }
            }
        }
    }

    /// Takes over what another knows of servers that are not known here.
    pub fn merge(&mut self, other: &Self) {
        for (key, witness) in &other.silent {
            self.silent.entry(key.clone()).or_insert_with(|| witness.clone());
        }
    }

    /// For how many seconds a server of a hop's zone has been silent.
    pub(super) fn of_server(&self, hop: &Hop, server: &Server, at: &Witnessed) -> u64 {
        at.waited(self.silent.get(&key(hop, &server.name, &server.address.to_string())))
    }

    /// For how many seconds a name server's addresses could not be found out.
    pub(super) fn of_name(&self, hop: &Hop, server: &NameServer, at: &Witnessed) -> u64 {
        at.waited(self.silent.get(&unresolved_key(hop, server)))
    }

    fn count(&mut self, key: String, at: &Witnessed) {
        let counted = at.count(self.silent.get(&key));
        self.silent.insert(key, counted);
    }
}

/// Whether a name server has no address to ask.
pub(super) fn is_unresolved(server: &NameServer) -> bool {
    server.addresses.is_empty() && server.unresolved.is_some()
}

fn key(hop: &Hop, name: &str, address: &str) -> String {
    let zone = hop.zone.as_ref().map_or(hop.name.as_str(), |zone| zone.apex.as_str());
    format!("{zone} {name} {address}")
}

fn unresolved_key(hop: &Hop, server: &NameServer) -> String {
    key(hop, &server.name, "-")
}
