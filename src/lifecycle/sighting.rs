//! What an observation comes to for one binding.

use std::collections::BTreeMap;

use super::alias::Alias;
use super::answers::{Says, resolver_says, response, says};
use super::schedule::Schedule;
use super::silence::{Silences, is_unresolved};
use super::waits::{Witnessed, seconds};
use crate::manifest::Binding;
use crate::names::Selector;
use crate::observation::{
    ChainEnd, Hop, Observation, Outcome, Recursive, RecursiveAnswer, Response, Server, Soa, Txt, presentation,
};

/// What was seen of a domain's records, each as of its own time. A selector that is missing was not looked at.
#[derive(Debug, Clone, Default)]
pub struct Observations {
    /// The newest look at each selector's record.
    pub seen: BTreeMap<Selector, Observed>,
    /// Since when servers are silent, for looks before these too.
    pub silences: Silences,
}

/// One look at one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// What every server said, and the validating resolver if it was asked.
    pub observation: Observation,
    /// What the outside resolvers said; empty if none is configured or they were not asked.
    pub outside: Vec<Recursive>,
    /// When it began: no answer came before.
    pub at: Witnessed,
}

/// What an observation comes to for one binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// What stands there.
    pub seen: Seen,
    /// The largest TTL, in seconds, of records and CNAMEs on the way; 0 if there were none.
    pub largest_ttl: u32,
    /// The largest time, in seconds, for which resolvers remember that there is no record (RFC 2308 §5).
    pub negative_ttl: u32,
    /// Servers whose silence was passed over.
    pub excuses: Vec<Excuse>,
    /// What is wrong with the CNAME of a fixed slot, and who mends it, for people. What stands there is then that at its
    /// target; a key of ours counts as being there in part.
    pub alias_fault: Option<String>,
    /// Whether resolvers say the same as the servers.
    pub resolvers: Resolvers,
    /// The forms in which our record stands: what may be replaced or deleted, by value.
    pub standing: Vec<Txt>,
    /// When the look began: no answer came before.
    pub at: Witnessed,
}

/// What stands at a record's name, on all servers that are asked together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Every asked server has a record equivalent to ours.
    Everywhere,
    /// Every asked server says that there is none.
    Nowhere,
    /// Every asked server has it with an empty p=.
    Revoked,
    /// Some have ours, some none or an empty one: on its way in or out.
    Partly,
    /// Somebody else's value stands there, or leads elsewhere.
    Foreign {
        /// What, and where, for people.
        evidence: String,
    },
    /// Servers that are not excused did not answer, or who is to be asked is not known.
    Unknown {
        /// Why, for people.
        reason: String,
    },
}

/// A server whose silence was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excuse {
    /// The server; its name alone where no address of it is known.
    pub server: String,
    /// For how many seconds it has been silent.
    pub silent_for: u64,
}

/// What resolvers say, beside the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolvers {
    /// They were not asked.
    NotAsked,
    /// All have a record equivalent to ours; none found DNSSEC wrong.
    Agree,
    /// At least one says otherwise or nothing.
    Differ {
        /// Which and what, for people.
        evidence: String,
    },
}

impl Sighting {
    /// What an observation comes to for a binding, whoever is to be excused.
    pub fn of(binding: &Binding, observed: &Observed, silences: &Silences, schedule: &Schedule) -> Self {
        let observation = &observed.observation;
        let target = schedule.slots.as_ref().and_then(|slots| slots.target(&binding.selector));
        let (from, alias_fault) = match target.map(|target| Alias::of(observation, target)) {
            Some(Alias::Wrong { from, fault }) => (from, Some(fault)),
            Some(Alias::AsItShould) | None => (0, None),
        };
        let count = |some: std::ops::Range<usize>| {
            let mut tally = Tally::new(silences, seconds(schedule.excuse_after), &observed.at);
            for (index, hop) in observation.hops.iter().enumerate().filter(|(index, _)| some.contains(index)) {
                let next = observation.hops.get(index + 1).map(|hop| hop.name.as_str());
                tally.hop(binding, observation, hop, next);
            }
            tally
        };
        // Where it leads astray, only what caches may hold of it counts.
        let (astray, mut tally) = (count(0..from), count(from..observation.hops.len()));
        let seen = match (tally.seen(if from == 0 { observation.chain } else { ChainEnd::Complete }), &alias_fault) {
            (Seen::Everywhere, Some(_)) => Seen::Partly,
            (seen, _) => seen,
        };
        Self {
            seen,
            largest_ttl: tally.largest_ttl.max(astray.largest_ttl),
            negative_ttl: tally.negative_ttl.max(astray.negative_ttl),
            excuses: tally.excuses,
            alias_fault,
            resolvers: Resolvers::of(binding, observed),
            standing: tally.standing,
            at: observed.at.clone(),
        }
    }

    /// What is seen, in words.
    pub fn describe(&self) -> String {
        if let Some(fault) = &self.alias_fault {
            return fault.clone();
        }
        match &self.seen {
            Seen::Everywhere => "every server has the record".into(),
            Seen::Nowhere => "no server has the record".into(),
            Seen::Revoked => "every server has the record with an empty p=".into(),
            Seen::Partly => "only some of the servers have the record".into(),
            Seen::Foreign { evidence } => evidence.clone(),
            Seen::Unknown { reason } => reason.clone(),
        }
    }
}

impl Resolvers {
    fn of(binding: &Binding, observed: &Observed) -> Self {
        let recursive = &observed.observation.recursive;
        if recursive.answer == RecursiveAnswer::NotAsked {
            return Self::NotAsked;
        }
        for asked in std::iter::once(recursive).chain(&observed.outside) {
            if let Err(what) = resolver_says(binding, &asked.answer) {
                let evidence = format!("resolver {}: {what}", presentation(asked.resolver.as_bytes()));
                return Self::Differ { evidence };
            }
        }
        Self::Agree
    }
}

/// What all servers of all hops said, counted.
struct Tally<'a> {
    silences: &'a Silences,
    excuse_after: u64,
    at: &'a Witnessed,
    has_ours: bool,
    has_revoked: bool,
    has_absent: bool,
    foreign: Option<String>,
    unknown: Option<String>,
    largest_ttl: u32,
    negative_ttl: u32,
    excuses: Vec<Excuse>,
    standing: Vec<Txt>,
}

/// A server, or a name without addresses, that is to be asked and does not answer.
struct Silent {
    server: String,
    silent_for: u64,
}

impl<'a> Tally<'a> {
    fn new(silences: &'a Silences, excuse_after: u64, at: &'a Witnessed) -> Self {
        Self {
            silences,
            excuse_after,
            at,
            has_ours: false,
            has_revoked: false,
            has_absent: false,
            foreign: None,
            unknown: None,
            largest_ttl: 0,
            negative_ttl: 0,
            excuses: Vec::new(),
            standing: Vec::new(),
        }
    }

    fn hop(&mut self, binding: &Binding, observation: &Observation, hop: &Hop, next: Option<&str>) {
        let mut silent = Vec::new();
        // Whether each name answers, at any of its addresses.
        let mut names: BTreeMap<&str, bool> = BTreeMap::new();
        // Most servers say what the one before said.
        let mut last: Option<(&Response, Says<'_>)> = None;
        for answer in &hop.answers {
            if answer.outcome == Outcome::NoRoute {
                continue;
            }
            let answers = names.entry(&answer.server.name).or_default();
            match response(&answer.outcome) {
                Some(response) => {
                    *answers = true;
                    let said = match &last {
                        Some((before, said)) if before.txt == response.txt && before.cname == response.cname => {
                            said.clone()
                        }
                        _ => says(binding, response, next, observation.wildcard.as_deref()),
                    };
                    last = Some((response, said.clone()));
                    self.count(said, &answer.server);
                    let ttls =
                        response.txt.iter().map(|txt| txt.ttl).chain(response.cname.iter().map(|alias| alias.ttl));
                    self.largest_ttl = ttls.fold(self.largest_ttl, u32::max);
                    self.negative(response.soa.as_ref());
                }
                None => {
                    let silent_for = self.silences.of_server(hop, &answer.server, self.at);
                    silent.push(Silent { server: answer.server.to_string(), silent_for });
                }
            }
        }
        if let Some(zone) = &hop.zone {
            for server in zone.name_servers.iter().filter(|server| is_unresolved(server)) {
                names.entry(&server.name).or_default();
                let silent_for = self.silences.of_name(hop, server, self.at);
                silent.push(Silent { server: presentation(server.name.as_bytes()), silent_for });
            }
            for soa in &zone.soas {
                self.negative(soa.soa.as_ref());
            }
        }
        let answering = names.values().filter(|answers| **answers).count();
        if answering == 0 {
            let why = match &hop.zone_unknown {
                Some(why) => presentation(why.as_bytes()),
                None => "no server answers with authority".into(),
            };
            self.unknown.get_or_insert(format!("{}: {why}", presentation(hop.name.as_bytes())));
            return;
        }
        let enough = answering * 2 >= names.len();
        for Silent { server, silent_for } in silent {
            if enough && silent_for >= self.excuse_after {
                self.excuses.push(Excuse { server, silent_for });
            } else {
                self.unknown
                    .get_or_insert(format!("{server} does not answer with authority, for {silent_for} s so far"));
            }
        }
    }

    fn count(&mut self, said: Says<'_>, server: &Server) {
        let standing = match said {
            Says::Ours(txt) => {
                self.has_ours = true;
                txt
            }
            Says::Revoked(txt) => {
                self.has_revoked = true;
                txt
            }
            Says::Absent => return self.has_absent = true,
            Says::LeadsOn => return,
            Says::Foreign(what) => {
                self.foreign.get_or_insert(format!("{server}: {what}"));
                return;
            }
        };
        if !self.standing.iter().any(|known| known.strings == standing.strings) {
            self.standing.push(standing.clone());
        }
    }

    fn negative(&mut self, soa: Option<&Soa>) {
        self.negative_ttl = self.negative_ttl.max(soa.map_or(0, Soa::negative_ttl));
    }

    fn seen(&mut self, chain: ChainEnd) -> Seen {
        if chain != ChainEnd::Complete {
            return Seen::Foreign { evidence: "the chain of CNAMEs does not end".into() };
        }
        if let Some(evidence) = self.foreign.take() {
            return Seen::Foreign { evidence };
        }
        match (self.has_ours, self.has_revoked, self.has_absent, self.unknown.take()) {
            (true, true, _, _) | (true, _, true, _) | (_, true, true, _) => Seen::Partly,
            (_, _, _, Some(reason)) => Seen::Unknown { reason },
            (true, false, false, None) => Seen::Everywhere,
            (false, true, false, None) => Seen::Revoked,
            (false, false, true, None) => Seen::Nowhere,
            (false, false, false, None) => Seen::Unknown { reason: "nobody was asked".into() },
        }
    }
}
