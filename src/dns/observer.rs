//! Gathers what there is to see of one key record.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;

use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::sync::OnceCell;

use super::delegation::{Delegation, Delegations, Referral, is_private};
use super::lookup::SetupError;
use super::name::{absolute, plain};
use super::resolver::Resolver;
use super::seen::{self, soa_of};
use super::shared::{Shared, all};
use super::transport::{Failure, Transport};
use super::wire::{Question, Reply};
use super::{AskedServers, Recursion, Settings};
use crate::clock::Clock;
use crate::names::{DomainName, Selector};
use crate::observation::{
    ChainEnd, Code, Dmarc, Hop, Observation, Outcome, Recursive, RecursiveAnswer, Security, Server, ServerAnswer,
    ServerSoa, Soa, Txt, Wildcard, Zone, presentation,
};

/// CNAMEs that are followed.
const MOST_HOPS: usize = 8;
/// Zones between the registrable domain and a record.
const MOST_CUTS: usize = 8;
/// Domains and zones that are remembered.
const REMEMBERED: usize = 4096;

/// Asks every authoritative server, and a resolver once they agree. Cloning is cheap; clones share what they found
/// out of zones and name servers, which is remembered as long as the observer lives.
#[derive(Clone)]
pub struct Observer {
    inner: Arc<Inner>,
}

struct Inner {
    transport: Arc<Transport>,
    resolver: Arc<Resolver>,
    delegations: Delegations,
    places: Shared<Arc<Place>>,
    zones: Shared<Arc<Zone>>,
    dmarc: Shared<Dmarc>,
    has_ds: Shared<Option<bool>>,
    servers: AskedServers,
    extra_servers: Vec<SocketAddr>,
    recursion: Recursion,
    anchors: Vec<String>,
    clock: Clock,
    random: RandomState,
}

/// Where a name is: its zone as far as known, and whom to ask.
struct Place {
    delegation: Arc<Delegation>,
    zone: Result<Arc<Zone>, String>,
    /// What a name that nobody published says there.
    wildcard: OnceCell<Arc<Wildcard>>,
}

/// Whether a selector is free at a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// No server has anything there.
    Free,
    /// There is something.
    Taken {
        /// What, for people.
        what: String,
    },
    /// It could not be found out.
    Unknown {
        /// Why, for people.
        why: String,
    },
}

impl Observer {
    /// An observer that has asked nothing yet.
    ///
    /// # Errors
    /// When the system's resolvers are wanted and not known, none are given, or the trust anchor cannot be read.
    pub fn new(settings: &Settings) -> Result<Self, SetupError> {
        let transport = Arc::new(Transport::new(settings));
        let resolver = Arc::new(Resolver::new(settings)?);
        let delegations = Delegations::new(Arc::clone(&transport), Arc::clone(&resolver), settings.port);
        let anchors = settings.trust_anchor.iter().flat_map(|anchor| anchor.dnskeys.lines());
        let inner = Inner {
            delegations,
            resolver,
            transport,
            places: Shared::new(REMEMBERED),
            zones: Shared::new(REMEMBERED),
            dmarc: Shared::new(REMEMBERED),
            has_ds: Shared::new(REMEMBERED),
            servers: settings.servers.clone(),
            extra_servers: settings.extra_servers.clone(),
            recursion: settings.recursion,
            anchors: anchors.filter_map(owner_of).collect(),
            clock: settings.clock,
            random: RandomState::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// All that can be seen of a key record.
    pub async fn observe(&self, domain: &DomainName, selector: &Selector) -> Observation {
        Box::pin(self.inner.observe(domain, selector)).await
    }

    /// The DMARC record of a domain, or else of its registrable domain (RFC 7489 §6.6.3), as a resolver gives it.
    pub async fn dmarc(&self, domain: &DomainName) -> Dmarc {
        self.inner.dmarc_of(domain).await
    }

    /// Whether there is anything at a selector. Only authoritative servers are asked, so that nobody remembers that there
    /// is nothing.
    pub async fn is_taken(&self, domain: &DomainName, selector: &Selector) -> Taken {
        Box::pin(self.inner.is_taken(domain, selector)).await
    }
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}

impl Inner {
    async fn observe(&self, domain: &DomainName, selector: &Selector) -> Observation {
        let record_name = selector.record_name(domain);
        let mut observation = Observation {
            record_name: record_name.clone(),
            at: self.clock.now(),
            hops: Vec::new(),
            chain: ChainEnd::Complete,
            wildcard: None,
            recursive: Recursive { resolver: String::new(), answer: RecursiveAnswer::NotAsked },
        };
        let Some(name) = absolute(&record_name) else {
            let reason = "the record's name is longer than DNS can carry".to_owned();
            observation.hops.push(Hop {
                name: record_name,
                zone: None,
                zone_unknown: Some(reason),
                answers: Vec::new(),
            });
            return observation;
        };
        if self.recursion == Recursion::Only {
            observation.hops.push(Hop { name: record_name, zone: None, zone_unknown: None, answers: Vec::new() });
            observation.recursive = self.recursive_only(&name).await;
            return observation;
        }
        let place = self.place_of_keys(domain).await;
        let (wildcard, ()) =
            tokio::join!(self.wildcard(&place, domain), Box::pin(self.follow(&mut observation, &name, &place)));
        observation.wildcard = wildcard;
        if self.recursion == Recursion::AfterAgreement && all_agree(&observation) {
            observation.recursive = self.recursive(&name, &observation).await;
        }
        observation
    }

    /// Asks for TXT at the name and at the target of each CNAME.
    async fn follow(&self, observation: &mut Observation, name: &Name, place: &Arc<Place>) {
        let (mut name, mut place) = (name.clone(), Arc::clone(place));
        loop {
            let replies;
            (place, replies) = self.ask_below(place, &name).await;
            let answers = self.answers(&name, &place, replies).await;
            let target = answers.iter().find_map(|answer| match &answer.outcome {
                Outcome::Answered(response) => response.cname.as_ref().map(|cname| cname.target.clone()),
                _ => None,
            });
            let (zone, zone_unknown) = match &place.zone {
                Ok(zone) => (Some(Arc::clone(zone)), None),
                Err(reason) => (None, Some(reason.clone())),
            };
            observation.hops.push(Hop { name: plain(&name), zone, zone_unknown, answers });
            let Some(target) = target else { return };
            if observation.hops.iter().any(|hop| hop.name == target) {
                observation.chain = ChainEnd::Loop;
                return;
            }
            if observation.hops.len() > MOST_HOPS {
                observation.chain = ChainEnd::TooLong;
                return;
            }
            let Some(next) = absolute(&target) else { return };
            place = self.place_of_target(&next, &place).await;
            name = next;
        }
    }

    /// What each server of the zone that `name` is in says to TXT, and that zone: deeper than `place`, if servers refer
    /// to one.
    async fn ask_below(&self, mut place: Arc<Place>, name: &Name) -> (Arc<Place>, Vec<Result<Reply, Failure>>) {
        let question = Question::authoritative(name, RecordType::TXT);
        for _ in 0..MOST_CUTS {
            let replies = self.ask_all(&place.delegation.servers, &question).await;
            let is_answered = replies.iter().flatten().any(|reply| reply.message.metadata.authoritative);
            let referral =
                replies.iter().flatten().find_map(|reply| Referral::of(&reply.message, &place.delegation.apex, name));
            match referral {
                Some(referral) if !is_answered => {
                    let below = self.delegations.follow(&referral).await;
                    place = self.place_at_apex(below).await;
                }
                _ => return (place, replies),
            }
        }
        let replies = self.ask_all(&place.delegation.servers, &question).await;
        (place, replies)
    }

    /// The place of a domain's keys: the zone that `_domainkey` is in.
    async fn place_of_keys(&self, domain: &DomainName) -> Arc<Place> {
        self.places.value(domain.as_str(), || Box::pin(self.find_place_of_keys(domain))).await
    }

    async fn find_place_of_keys(&self, domain: &DomainName) -> Arc<Place> {
        let Some(name) = absolute(&format!("_domainkey.{domain}")) else {
            return Arc::new(Place::unknown("the name is longer than DNS can carry".into()));
        };
        let found = match &self.servers {
            AskedServers::Exactly(servers) => Ok(Arc::new(Delegation::of_servers(Name::root(), servers, None))),
            AskedServers::OfTheZone => self.delegations.base(&name).await,
        };
        match found {
            Ok(base) => self.settle(base, &name, &self.extra_servers).await,
            // Hidden primaries can be asked even so.
            Err(reason) if !self.extra_servers.is_empty() => {
                let delegation = Delegation::of_servers(Name::root(), &self.extra_servers, None);
                let place = self.settle(Arc::new(delegation), &name, &[]).await;
                Arc::new(Place { zone: Err(reason), ..Place::of(Arc::clone(&place.delegation)) })
            }
            Err(reason) => Arc::new(Place::unknown(reason)),
        }
    }

    /// The place of a CNAME's target.
    async fn place_of_target(&self, target: &Name, from: &Arc<Place>) -> Arc<Place> {
        if !from.delegation.apex.is_root() && from.delegation.apex.zone_of(target) {
            return Arc::clone(from);
        }
        if let AskedServers::Exactly(servers) = &self.servers {
            let delegation = Arc::new(Delegation::of_servers(Name::root(), servers, None));
            let place = self.settle(delegation, target, &[]).await;
            if place.zone.is_ok() {
                return place;
            }
        }
        match self.delegations.base(target).await {
            Ok(base) => self.place_at_apex(base).await,
            Err(reason) => Arc::new(Place::unknown(reason)),
        }
    }

    /// From a zone down to the one that `name` is in. Every server is asked for SOA at `name`, which tells the zone's apex
    /// whether the name exists or not.
    async fn settle(&self, mut delegation: Arc<Delegation>, name: &Name, extra: &[SocketAddr]) -> Arc<Place> {
        let question = Question::authoritative(name, RecordType::SOA);
        let is_open = delegation.apex.is_root();
        let mut soas = Vec::new();
        for _ in 0..MOST_CUTS {
            let asked = Arc::new(Delegation::clone(&delegation).with_extra(extra));
            let replies = self.ask_all(&asked.servers, &question).await;
            let mut deepest: Option<Name> = None;
            let mut referral: Option<Referral> = None;
            soas.clear();
            for (server, reply) in asked.servers.iter().zip(&replies) {
                let soa = reply.as_ref().ok().and_then(|reply| own_soa(reply, name));
                if let Some((owner, _)) = &soa
                    && deepest.as_ref().is_none_or(|deepest| owner.num_labels() > deepest.num_labels())
                {
                    deepest = Some(owner.clone());
                }
                let hint = reply.as_ref().ok().and_then(|reply| Referral::of(&reply.message, &asked.apex, name));
                if let Some(hint) = hint
                    && referral.as_ref().is_none_or(|referral| hint.depth() > referral.depth())
                {
                    referral = Some(hint);
                }
                soas.push((server.clone(), soa));
            }
            let depth = deepest.as_ref().map_or(0, Name::num_labels);
            delegation = asked;
            match (referral, deepest) {
                (Some(referral), _) if referral.depth() > depth => {
                    delegation = self.delegations.follow(&referral).await;
                }
                // Servers that were given by address: now their zone is known.
                (_, Some(owner)) if is_open && delegation.apex.is_root() && !owner.is_root() => {
                    let has_ds = self.has_ds(&owner).await;
                    delegation = Arc::new(Delegation { apex: owner, has_ds, ..Delegation::clone(&delegation) });
                    break;
                }
                (_, Some(owner)) if owner != delegation.apex && delegation.apex.zone_of(&owner) && !is_open => {
                    delegation = self.delegations.on_same_servers(&owner, &delegation).await;
                }
                _ => break,
            }
        }
        if is_open && delegation.apex.is_root() && soas.iter().all(|(_, soa)| soa.is_none()) {
            let zone = Err("none of the servers answers for its zone".to_owned());
            return Arc::new(Place { zone, ..Place::of(delegation) });
        }
        let apex = delegation.apex.clone();
        let soas = soas.into_iter().map(|(server, soa)| ServerSoa {
            server,
            soa: soa.filter(|(owner, _)| *owner == apex).map(|(_, soa)| soa),
        });
        let soas = soas.collect();
        let zone = self.zones.value(&plain(&apex), || async { zone(&delegation, soas) }).await;
        Arc::new(Place { zone: Ok(zone), ..Place::of(delegation) })
    }

    /// A zone with its SOA records, asked for at the apex.
    async fn place_at_apex(&self, delegation: Arc<Delegation>) -> Arc<Place> {
        let find = async || {
            let question = Question::authoritative(&delegation.apex, RecordType::SOA);
            let replies = self.ask_all(&delegation.servers, &question).await;
            let soas = delegation.servers.iter().zip(replies).map(|(server, reply)| {
                let soa = reply.ok().and_then(|reply| own_soa(&reply, &delegation.apex));
                let soa = soa.filter(|(owner, _)| *owner == delegation.apex).map(|(_, soa)| soa);
                ServerSoa { server: server.clone(), soa }
            });
            zone(&delegation, soas.collect())
        };
        let zone = self.zones.value(&plain(&delegation.apex), || async { find().await }).await;
        Arc::new(Place { zone: Ok(zone), ..Place::of(delegation) })
    }

    async fn wildcard(&self, place: &Arc<Place>, domain: &DomainName) -> Option<Arc<Wildcard>> {
        if place.delegation.servers.is_empty() {
            return None;
        }
        let probe = format!("no-such-key-{:012x}._domainkey.{domain}", self.random.hash_one(domain) >> 16);
        let name = absolute(&probe)?;
        let ask = async || {
            let question = Question::authoritative(&name, RecordType::TXT);
            let replies = self.ask_all(&place.delegation.servers, &question).await;
            Arc::new(Wildcard { name: probe.clone(), answers: self.answers(&name, place, replies).await })
        };
        Some(Arc::clone(place.wildcard.get_or_init(|| async { ask().await }).await))
    }

    async fn ask_all(&self, servers: &[Server], question: &Question) -> Vec<Result<Reply, Failure>> {
        all(servers.iter().map(|server| self.transport.ask(server.address, question))).await
    }

    /// Replies as observations. Where a server fails, it is asked once more with checking disabled.
    async fn answers(&self, name: &Name, place: &Place, replies: Vec<Result<Reply, Failure>>) -> Vec<ServerAnswer> {
        let now = self.clock.now();
        all(place.delegation.servers.iter().zip(replies).map(|(server, reply)| async move {
            let outcome = match reply {
                Err(Failure::NoRoute) => Outcome::NoRoute,
                Err(Failure::Silent(silence)) => Outcome::Silent(silence),
                Ok(reply) => {
                    let is_failure = seen::code(reply.message.metadata.response_code) == Code::ServFail;
                    let unchecked = if is_failure {
                        let question = Question::authoritative(name, RecordType::TXT).unchecked();
                        self.transport.ask(server.address, &question).await.ok()
                    } else {
                        None
                    };
                    let unchecked =
                        unchecked.filter(|reply| seen::code(reply.message.metadata.response_code) != Code::ServFail);
                    Outcome::Answered(Box::new(seen::response(name, &reply, unchecked.as_ref(), now)))
                }
            };
            ServerAnswer { server: server.clone(), outcome }
        }))
        .await
    }

    /// What a resolver says, with DNSSEC validation where a zone on the way has a DS record.
    async fn recursive(&self, name: &Name, observation: &Observation) -> Recursive {
        let zones = || observation.hops.iter().filter_map(|hop| hop.zone.as_deref());
        let is_signed = |zone: &Zone| zone.has_ds == Some(true) || self.anchors.contains(&zone.apex);
        if zones().any(is_signed) {
            return self.resolver.validated_txt(&self.transport, name).await;
        }
        let is_known = observation.hops.iter().all(|hop| hop.zone.as_ref().is_some_and(|zone| zone.has_ds.is_some()));
        let security = if is_known { Security::Insecure } else { Security::Unknown };
        self.resolver.txt(&self.transport, name, security).await
    }

    async fn recursive_only(&self, name: &Name) -> Recursive {
        let text = plain(name);
        let domain = DomainName::parse(&text).ok();
        let registrable = domain.and_then(|domain| domain.registrable()).and_then(|domain| absolute(domain.as_str()));
        let has_ds = match &registrable {
            Some(registrable) => self.has_ds(registrable).await,
            None => None,
        };
        if has_ds == Some(true) || self.anchors.iter().any(|anchor| text.ends_with(&format!(".{anchor}"))) {
            return self.resolver.validated_txt(&self.transport, name).await;
        }
        let security = if has_ds == Some(false) { Security::Insecure } else { Security::Unknown };
        self.resolver.txt(&self.transport, name, security).await
    }

    /// Whether a zone has a DS record, as a resolver says.
    async fn has_ds(&self, apex: &Name) -> Option<bool> {
        if self.recursion == Recursion::Never || is_private(apex) || apex.is_root() {
            return None;
        }
        let ask = async || {
            let answer = self.resolver.ask(&self.transport, apex, RecordType::DS).await.ok()?;
            Some(answer.reply.message.answers.iter().any(|record| record.record_type() == RecordType::DS))
        };
        self.has_ds.value(&plain(apex), || async { ask().await }).await
    }

    async fn dmarc_of(&self, domain: &DomainName) -> Dmarc {
        if self.recursion == Recursion::Never {
            return Dmarc::Unknown;
        }
        let own = self.dmarc.value(domain.as_str(), || self.dmarc_at(domain)).await;
        match domain.registrable() {
            Some(registrable) if own == Dmarc::Absent && registrable != *domain => {
                self.dmarc.value(registrable.as_str(), || self.dmarc_at(&registrable)).await
            }
            _ => own,
        }
    }

    async fn dmarc_at(&self, domain: &DomainName) -> Dmarc {
        let Some(name) = absolute(&format!("_dmarc.{domain}")) else { return Dmarc::Absent };
        match self.resolver.txt(&self.transport, &name, Security::Unknown).await.answer {
            RecursiveAnswer::Found { txt, .. } => {
                let mut records = txt.iter().map(Txt::joined).filter(|text| text.starts_with(b"v=DMARC1"));
                // More than one is as none (RFC 7489 §6.6.3).
                match (records.next(), records.next()) {
                    (Some(record), None) => Dmarc::Found { name: plain(&name), record: presentation(&record) },
                    _ => Dmarc::Absent,
                }
            }
            RecursiveAnswer::Absent { .. } => Dmarc::Absent,
            _ => Dmarc::Unknown,
        }
    }

    async fn is_taken(&self, domain: &DomainName, selector: &Selector) -> Taken {
        if self.recursion == Recursion::Only {
            return Taken::Unknown { why: "authoritative servers are not asked".into() };
        }
        let Some(name) = absolute(&selector.record_name(domain)) else {
            return Taken::Unknown { why: "the record's name is longer than DNS can carry".into() };
        };
        let place = self.place_of_keys(domain).await;
        let (place, replies) = self.ask_below(place, &name).await;
        let answers = self.answers(&name, &place, replies).await;
        let mut why = place.zone.as_ref().err().cloned().unwrap_or_else(|| "no server answers".into());
        let mut is_denied = false;
        for ServerAnswer { server, outcome } in &answers {
            match outcome {
                Outcome::Answered(response) if !response.txt.is_empty() || response.cname.is_some() => {
                    let wildcard = self.wildcard(&place, domain).await;
                    if wildcard.is_some_and(|wildcard| says_the_same(&wildcard, server, outcome)) {
                        is_denied = true;
                        continue;
                    }
                    let what = if response.txt.is_empty() { "a CNAME record" } else { "a TXT record" };
                    return Taken::Taken { what: format!("{server} has {what} at {}", plain(&name)) };
                }
                Outcome::Answered(response) => match response.code {
                    Code::NoError | Code::NxDomain if response.authoritative => {
                        is_denied = true;
                    }
                    code => why = format!("{server} says {code}"),
                },
                Outcome::Silent(silence) => why = format!("{server}: {silence}"),
                Outcome::NoRoute => {}
            }
        }
        if is_denied { Taken::Free } else { Taken::Unknown { why } }
    }
}

impl Place {
    fn of(delegation: Arc<Delegation>) -> Self {
        Self { delegation, zone: Err(String::new()), wildcard: OnceCell::new() }
    }

    fn unknown(reason: String) -> Self {
        let delegation = Arc::new(Delegation::of_servers(Name::root(), &[], None));
        Self { zone: Err(reason), ..Self::of(delegation) }
    }
}

fn zone(delegation: &Delegation, soas: Vec<ServerSoa>) -> Arc<Zone> {
    Arc::new(Zone {
        apex: plain(&delegation.apex),
        name_servers: delegation.name_servers.clone(),
        has_ds: delegation.has_ds,
        soas,
    })
}

/// The SOA record of the zone that `name` is in, in an authoritative answer to SOA at `name`.
fn own_soa(reply: &Reply, name: &Name) -> Option<(Name, Soa)> {
    if !reply.message.metadata.authoritative {
        return None;
    }
    soa_of(&reply.message.answers)
        .or_else(|| soa_of(&reply.message.authorities))
        .filter(|(owner, _)| owner.zone_of(name))
}

/// Whether every server that was asked has the same record, at every name on the way.
fn all_agree(observation: &Observation) -> bool {
    let Some(last) = observation.hops.last() else { return false };
    if observation.chain != ChainEnd::Complete {
        return false;
    }
    observation.hops.iter().all(|hop| {
        let mut said = hop.answers.iter().filter_map(|answer| match &answer.outcome {
            Outcome::NoRoute => None,
            Outcome::Answered(response) if response.authoritative => {
                let mut texts: Vec<_> = response.txt.iter().map(|txt| &txt.strings).collect();
                texts.sort();
                Some(Some((texts, response.cname.as_ref().map(|cname| &cname.target))))
            }
            _ => Some(None),
        });
        let Some(Some(first)) = said.next() else { return false };
        let is_there = if hop.name == last.name { !first.0.is_empty() } else { first.1.is_some() };
        is_there && said.all(|other| other.as_ref() == Some(&first))
    })
}

/// Whether a server says of a name what it says of one that nobody published.
fn says_the_same(wildcard: &Wildcard, server: &Server, outcome: &Outcome) -> bool {
    let Outcome::Answered(said) = outcome else { return false };
    wildcard.answers.iter().any(|answer| match &answer.outcome {
        Outcome::Answered(other) => {
            answer.server == *server
                && other.txt == said.txt
                && other.cname.as_ref().map(|cname| &cname.target) == said.cname.as_ref().map(|cname| &cname.target)
        }
        _ => false,
    })
}

/// The owner of a DNSKEY record in a zone file's line.
fn owner_of(line: &str) -> Option<String> {
    let owner = line.split_whitespace().next()?;
    (!owner.starts_with(';')).then(|| owner.trim_end_matches('.').to_ascii_lowercase())
}
