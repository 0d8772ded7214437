//! Whether every authoritative server has a record.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use super::super::{Undetermined, observing};
use crate::config;
use crate::config::values::DnsServer;
use crate::dkim::KeyRecord;
use crate::dns::{AskedServers, Observer, Recursion, Settings};
use crate::manifest::Binding;
use crate::names::DomainName;
use crate::observation::{Code, Observation, Outcome, Txt};

/// Between two looks with `--wait`.
pub(super) const POLL: Duration = Duration::from_secs(2);

/// What the servers have of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Sighting {
    /// Nobody looked.
    NotAsked,
    /// Every server that answers has it.
    Everywhere,
    /// Some have it, some do not.
    Partly,
    /// None has it.
    Nowhere,
    /// A server has another record there.
    Foreign,
    /// No server said.
    Unknown,
}

impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAsked => "not looked for",
            Self::Everywhere => "every server that answers has it",
            Self::Partly => "some servers do not have it yet",
            Self::Nowhere => "no server has it yet",
            Self::Foreign => "a server has another record",
            Self::Unknown => "no server said whether it has it",
        })
    }
}

/// What one server has.
const HAS: &str = "present";
const LACKS: &str = "absent";
const OTHER: &str = "other";
const SILENT: &str = "silent";

/// Asks authoritative servers, and no resolver: it would remember for hours that a record is not there yet.
pub(super) struct Eyes {
    settings: Settings,
}

impl Eyes {
    pub(super) fn open(config: &config::Dns, servers: &[DnsServer]) -> anyhow::Result<Self> {
        let servers = match servers {
            [] => AskedServers::OfTheZone,
            given => AskedServers::Exactly(given.iter().map(|server| server.0).collect()),
        };
        let settings = Settings { servers, recursion: Recursion::Never, ..observing::settings(config) };
        // To fail before anything is published.
        Observer::new(&settings)
            .context("no resolver is known; set dns.resolvers, or name the name servers with --servers")
            .map_err(Undetermined)?;
        Ok(Self { settings })
    }

    /// What the servers have now, and each of them.
    pub(super) async fn look(
        &self,
        domain: &DomainName,
        binding: &Binding,
    ) -> (Sighting, BTreeMap<String, &'static str>) {
        // Each look finds the zone's servers anew: they may have changed since the last.
        let Ok(observer) = Observer::new(&self.settings) else { return (Sighting::Unknown, BTreeMap::new()) };
        judge(&observer.observe(domain, &binding.selector).await, binding)
    }
}

fn judge(observation: &Observation, binding: &Binding) -> (Sighting, BTreeMap<String, &'static str>) {
    let mut servers = BTreeMap::new();
    // Along CNAMEs, the last name has the record; the others only lead there.
    for answer in observation.hops.last().into_iter().flat_map(|hop| &hop.answers) {
        let has = match &answer.outcome {
            Outcome::NoRoute => continue,
            Outcome::Silent(_) => SILENT,
            Outcome::Answered(response) => match response.code {
                Code::NoError | Code::NxDomain if !response.authoritative => SILENT,
                Code::NoError | Code::NxDomain => match response.txt.as_slice() {
                    [] if response.cname.is_none() => LACKS,
                    [only] if is_ours(only, binding) => HAS,
                    _ => OTHER,
                },
                _ => SILENT,
            },
        };
        servers.insert(format!("{} ({})", answer.server.name, answer.server.address), has);
    }
    let count = |wanted: &str| servers.values().filter(|has| **has == wanted).count();
    let sighting = match (count(HAS), count(LACKS), count(OTHER)) {
        (_, _, other) if other > 0 => Sighting::Foreign,
        (0, 0, _) => Sighting::Unknown,
        (_, 0, _) => Sighting::Everywhere,
        (0, _, _) => Sighting::Nowhere,
        _ => Sighting::Partly,
    };
    (sighting, servers)
}

/// Whether a record has this key, however it is written.
fn is_ours(standing: &Txt, binding: &Binding) -> bool {
    KeyRecord::parse(&standing.joined()).is_ok_and(|record| record.matches(&binding.public_key) && !record.is_testing())
}
