//! Gathers what there is to see of one key record.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hickory_resolver::proto::rr::{Name, RecordType};

use super::lookup::SetupError;
use super::name::{absolute, plain};
use super::place::{Place, Places};
use super::resolver::Resolver;
use super::seen;
use super::shared::{Shared, all};
use super::transport::{Failure, Transport};
use super::wire::{Question, Reply};
use super::{Recursion, Settings};
use crate::clock::Clock;
use crate::names::{DomainName, Selector};
use crate::observation::{
    ChainEnd, Code, Dmarc, Hop, Observation, Outcome, Recursive, RecursiveAnswer, Security, Server, ServerAnswer, Txt,
    Wildcard, Zone, presentation,
};

/// CNAMEs that are followed.
const MOST_HOPS: usize = 8;
/// Domains whose DMARC records are remembered.
const REMEMBERED: usize = 4096;

/// Asks every authoritative server, and a resolver once they agree. Cloning is cheap; clones share what they found
/// out of zones (SOA records and wildcards included) and name servers, which is remembered as long as the observer lives:
/// to look again later, make a new one. Records are asked for each time.
#[derive(Clone)]
pub struct Observer {
    inner: Arc<Inner>,
}

struct Inner {
    transport: Arc<Transport>,
    resolver: Arc<Resolver>,
    places: Places,
    dmarc: Shared<Dmarc>,
    recursion: Recursion,
    anchors: Vec<String>,
    clock: Clock,
    random: RandomState,
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
        let places = Places::new(Arc::clone(&transport), Arc::clone(&resolver), settings);
        let anchors = settings.trust_anchor.iter().flat_map(|anchor| anchor.dnskeys.lines());
        let inner = Inner {
            places,
            resolver,
            transport,
            dmarc: Shared::new(REMEMBERED),
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

    /// All that authoritative servers say of a name at which a key record stands that others have CNAMEs to. No resolver
    /// is asked for the record.
    pub async fn observe_target(&self, target: &DomainName) -> Vec<Hop> {
        Box::pin(self.inner.observe_target(target)).await
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
        let place = self.places.of_keys(domain).await;
        let (wildcard, ()) =
            tokio::join!(self.wildcard(&place, domain), Box::pin(self.follow(&mut observation, &name, &place)));
        observation.wildcard = wildcard;
        if self.recursion == Recursion::AfterAgreement && all_agree(&observation) {
            observation.recursive = self.recursive(&name, &observation).await;
        }
        observation
    }

    async fn observe_target(&self, target: &DomainName) -> Vec<Hop> {
        let mut observation = Observation {
            record_name: target.to_string(),
            at: self.clock.now(),
            hops: Vec::new(),
            chain: ChainEnd::Complete,
            wildcard: None,
            recursive: Recursive { resolver: String::new(), answer: RecursiveAnswer::NotAsked },
        };
        if let Some(name) = absolute(target.as_str()) {
            let place = self.places.of_name(&name).await;
            self.follow(&mut observation, &name, &place).await;
        }
        observation.hops
    }

    /// Asks for TXT at the name and at the target of each CNAME.
    async fn follow(&self, observation: &mut Observation, name: &Name, place: &Arc<Place>) {
        let (mut name, mut place) = (name.clone(), Arc::clone(place));
        loop {
            let replies;
            (place, replies) = self.places.ask_below(place, &name).await;
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
            place = self.places.of_target(&next, &place).await;
            name = next;
        }
    }

    async fn wildcard(&self, place: &Arc<Place>, domain: &DomainName) -> Option<Arc<Wildcard>> {
        if place.delegation.servers.is_empty() {
            return None;
        }
        let probe = format!("no-such-key-{:012x}._domainkey.{domain}", self.random.hash_one(domain) >> 16);
        let name = absolute(&probe)?;
        let ask = async || {
            let question = Question::authoritative(&name, RecordType::TXT);
            let replies = self.places.ask_all(&place.delegation.servers, &question).await;
            Arc::new(Wildcard { name: probe.clone(), answers: self.answers(&name, place, replies).await })
        };
        Some(Arc::clone(place.wildcard.get_or_init(|| async { ask().await }).await))
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
            Some(registrable) => self.places.has_ds(registrable).await,
            None => None,
        };
        if has_ds == Some(true) || self.anchors.iter().any(|anchor| text.ends_with(&format!(".{anchor}"))) {
            return self.resolver.validated_txt(&self.transport, name).await;
        }
        let security = if has_ds == Some(false) { Security::Insecure } else { Security::Unknown };
        self.resolver.txt(&self.transport, name, security).await
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
        let place = self.places.of_keys(domain).await;
        let (place, replies) = self.places.ask_below(place, &name).await;
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
