//! Where a name is: its zone, with what the zone's servers say of it, and whom to ask.

use std::net::SocketAddr;
use std::sync::Arc;

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::sync::OnceCell;

use super::delegation::{Delegation, Delegations, Referral, is_private, registrable};
use super::name::{absolute, plain};
use super::resolver::Resolver;
use super::seen::soa_of;
use super::shared::{Shared, all};
use super::transport::{Failure, Transport};
use super::wire::{Question, Reply};
use super::{AskedServers, Recursion, Settings};
use crate::names::DomainName;
use crate::observation::{Server, ServerSoa, Soa, Wildcard, Zone};

/// Zones between the registrable domain and a record.
const MOST_CUTS: usize = 8;
/// Domains and zones that are remembered.
const REMEMBERED: usize = 4096;

/// Finds places, each once.
pub(super) struct Places {
    transport: Arc<Transport>,
    resolver: Arc<Resolver>,
    delegations: Delegations,
    of_keys: Shared<Arc<Place>>,
    zones: Shared<Arc<Zone>>,
    has_ds: Shared<Option<bool>>,
    servers: AskedServers,
    extra_servers: Vec<SocketAddr>,
    recursion: Recursion,
}

/// Where a name is: its zone as far as known, and whom to ask.
pub(super) struct Place {
    pub(super) delegation: Arc<Delegation>,
    pub(super) zone: Result<Arc<Zone>, String>,
    /// What a name that nobody published says there.
    pub(super) wildcard: OnceCell<Arc<Wildcard>>,
}

impl Places {
    pub(super) fn new(transport: Arc<Transport>, resolver: Arc<Resolver>, settings: &Settings) -> Self {
        let delegations = Delegations::new(Arc::clone(&transport), Arc::clone(&resolver), settings.port);
        Self {
            transport,
            resolver,
            delegations,
            of_keys: Shared::new(REMEMBERED),
            zones: Shared::new(REMEMBERED),
            has_ds: Shared::new(REMEMBERED),
            servers: settings.servers.clone(),
            extra_servers: settings.extra_servers.clone(),
            recursion: settings.recursion,
        }
    }

    /// The place of a domain's keys: the zone that `_domainkey` is in.
    pub(super) async fn of_keys(&self, domain: &DomainName) -> Arc<Place> {
        self.of_keys.value(domain.as_str(), || Box::pin(self.find_of_keys(domain))).await
    }

    async fn find_of_keys(&self, domain: &DomainName) -> Arc<Place> {
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
    pub(super) async fn of_target(&self, target: &Name, from: &Arc<Place>) -> Arc<Place> {
        if !from.delegation.apex.is_root() && from.delegation.apex.zone_of(target) {
            return Arc::clone(from);
        }
        self.of_name(target).await
    }

    /// The place of a name below which nothing is known.
    pub(super) async fn of_name(&self, target: &Name) -> Arc<Place> {
        if let AskedServers::Exactly(servers) = &self.servers {
            let delegation = Arc::new(Delegation::of_servers(Name::root(), servers, None));
            let place = self.settle(delegation, target, &[]).await;
            if place.zone.is_ok() {
                return place;
            }
        }
        match self.delegations.base(target).await {
            Ok(base) => self.at_apex(base).await,
            Err(reason) => Arc::new(Place::unknown(reason)),
        }
    }

    /// From a zone down to the one that `name` is in. Every server is asked for SOA at `name`, which tells the zone's apex
    /// whether the name exists or not.
    async fn settle(&self, mut delegation: Arc<Delegation>, name: &Name, extra: &[SocketAddr]) -> Arc<Place> {
        let question = Question::authoritative(name, RecordType::SOA);
        let is_open = delegation.apex.is_root();
        let mut soas = Vec::new();
        // Extra servers that answer, but not for this zone: they are some other zone's.
        let mut strangers = Vec::new();
        for _ in 0..MOST_CUTS {
            let asked = Arc::new(Delegation::clone(&delegation).with_extra(extra));
            let replies = self.ask_all(&asked.servers, &question).await;
            let mut deepest: Option<Name> = None;
            let mut referral: Option<Referral> = None;
            soas.clear();
            strangers.clear();
            for (server, reply) in asked.servers.iter().zip(&replies) {
                let soa = reply.as_ref().ok().and_then(|reply| own_soa(reply, name));
                if soa.is_none() && reply.is_ok() && asked.is_extra(server) {
                    strangers.push(server.address);
                    continue;
                }
                if let Some((owner, _)) = &soa
                    && deepest.as_ref().is_none_or(|deepest| owner.num_labels() > deepest.num_labels())
                {
                    deepest = Some(owner.clone());
                }
                let hint = reply.as_ref().ok().and_then(|reply| credible_referral(&reply.message, &asked, name));
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
                    delegation = Arc::new(Delegation { apex: owner, ..Delegation::clone(&delegation) });
                    break;
                }
                (_, Some(owner)) if owner != delegation.apex && delegation.apex.zone_of(&owner) && !is_open => {
                    delegation = self.delegations.on_same_servers(&owner, &delegation).await;
                }
                _ => break,
            }
        }
        if !strangers.is_empty() {
            delegation = Arc::new(Delegation::clone(&delegation).without(&strangers));
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
        let zone = self.zones.value(&plain(&apex), || async { self.zone(&delegation, soas).await }).await;
        Arc::new(Place { zone: Ok(zone), ..Place::of(delegation) })
    }

    /// A zone with its SOA records, asked for at the apex.
    async fn at_apex(&self, delegation: Arc<Delegation>) -> Arc<Place> {
        let find = async || {
            let question = Question::authoritative(&delegation.apex, RecordType::SOA);
            let replies = self.ask_all(&delegation.servers, &question).await;
            let soas = delegation.servers.iter().zip(replies).map(|(server, reply)| {
                let soa = reply.ok().and_then(|reply| own_soa(&reply, &delegation.apex));
                let soa = soa.filter(|(owner, _)| *owner == delegation.apex).map(|(_, soa)| soa);
                ServerSoa { server: server.clone(), soa }
            });
            self.zone(&delegation, soas.collect()).await
        };
        let zone = self.zones.value(&plain(&delegation.apex), || async { find().await }).await;
        Arc::new(Place { zone: Ok(zone), ..Place::of(delegation) })
    }

    /// What each server of the zone that `name` is in says to TXT, and that zone: deeper than `place`, if servers refer
    /// to one.
    pub(super) async fn ask_below(
        &self,
        mut place: Arc<Place>,
        name: &Name,
    ) -> (Arc<Place>, Vec<Result<Reply, Failure>>) {
        let question = Question::authoritative(name, RecordType::TXT);
        for _ in 0..MOST_CUTS {
            let replies = self.ask_all(&place.delegation.servers, &question).await;
            let is_answered = replies.iter().flatten().any(|reply| reply.message.metadata.authoritative);
            let referral =
                replies.iter().flatten().find_map(|reply| credible_referral(&reply.message, &place.delegation, name));
            match referral {
                Some(referral) if !is_answered => {
                    let below = self.delegations.follow(&referral).await;
                    place = self.at_apex(below).await;
                }
                _ => return (place, replies),
            }
        }
        let replies = self.ask_all(&place.delegation.servers, &question).await;
        (place, replies)
    }

    pub(super) async fn ask_all(&self, servers: &[Server], question: &Question) -> Vec<Result<Reply, Failure>> {
        all(servers.iter().map(|server| self.transport.ask(server.address, question))).await
    }

    /// A zone as an observation. Where no referral told of a DS record, a resolver does.
    async fn zone(&self, delegation: &Delegation, soas: Vec<ServerSoa>) -> Arc<Zone> {
        let has_ds = match delegation.has_ds {
            Some(has_ds) => Some(has_ds),
            None => self.has_ds(&delegation.apex).await,
        };
        let name_servers = delegation.name_servers.clone();
        Arc::new(Zone { apex: plain(&delegation.apex), name_servers, has_ds, soas })
    }

    /// Whether a zone has a DS record, as a resolver says.
    pub(super) async fn has_ds(&self, apex: &Name) -> Option<bool> {
        if self.recursion == Recursion::Never || is_private(apex) || apex.is_root() {
            return None;
        }
        let ask = async || {
            let answer = self.resolver.ask(&self.transport, apex, RecordType::DS).await.ok()?;
            Some(answer.reply.message.answers.iter().any(|record| record.record_type() == RecordType::DS))
        };
        self.has_ds.value(&plain(apex), || async { ask().await }).await
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

/// The SOA record of the zone that `name` is in, in an authoritative answer to SOA at `name`.
fn own_soa(reply: &Reply, name: &Name) -> Option<(Name, Soa)> {
    if !reply.message.metadata.authoritative {
        return None;
    }
    soa_of(&reply.message.answers)
        .or_else(|| soa_of(&reply.message.authorities))
        .filter(|(owner, _)| owner.zone_of(name))
}

/// The zone below that an answer refers to. Servers that were given by address may refer down from the registrable domain
/// only: one that knows nothing of the domain refers to the root or a zone close to it.
fn credible_referral(message: &Message, delegation: &Delegation, name: &Name) -> Option<Referral> {
    let referral = Referral::of(message, &delegation.apex, name)?;
    let is_given = delegation.apex.is_root();
    (!is_given || referral.depth() >= registrable(name).num_labels()).then_some(referral)
}
