//! From a resolver's word on the zone above, down by referrals, to the zone that a name is in.
//!
//! Only the public suffix's own zone is asked of a resolver, with the addresses of name servers. Every step below goes to the
//! servers of the zone above, so that no resolver is made to remember that a name does not exist.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::name::plain;
use super::resolver::Resolver;
use super::seen::soa_of;
use super::shared::{Shared, all};
use super::transport::Transport;
use super::wire::Question;
use crate::names::DomainName;
use crate::observation::{NameServer, Server};

/// Delegations from the public suffix down to one name that are followed.
const MOST_STEPS: usize = 8;
/// Name servers of one zone that are looked at; the root has 13.
const MOST_NAME_SERVERS: usize = 32;
/// Addresses of one name server that are asked.
const MOST_ADDRESSES: usize = 16;
/// Zones and name servers that are remembered.
const REMEMBERED: usize = 20_000;

/// A zone and its servers.
#[derive(Debug, Clone)]
pub(super) struct Delegation {
    pub(super) apex: Name,
    pub(super) name_servers: Vec<NameServer>,
    /// Whether the parent has a DS record of it; none if it was not seen.
    pub(super) has_ds: Option<bool>,
    pub(super) servers: Vec<Server>,
}

/// What is to be found out once for many names.
pub(super) struct Delegations {
    transport: Arc<Transport>,
    resolver: Arc<Resolver>,
    port: u16,
    suffixes: Shared<Found>,
    bases: Shared<Found>,
    unlisted: Shared<Option<Arc<Delegation>>>,
    addresses: Shared<Result<Vec<IpAddr>, String>>,
}

/// A zone, or why it is not known.
pub(super) type Found = Result<Arc<Delegation>, String>;

/// A server's hint at a zone below.
#[derive(Debug, Clone)]
pub(super) struct Referral {
    cut: Name,
    name_servers: Vec<Name>,
    glue: Vec<(Name, IpAddr)>,
    has_ds: bool,
}

impl Referral {
    /// The referral in an answer to a question about `name` by a server of the zone `apex`.
    pub(super) fn of(message: &Message, apex: &Name, name: &Name) -> Option<Self> {
        if message.metadata.authoritative || !message.answers.is_empty() {
            return None;
        }
        let is_below = |owner: &Name| apex.zone_of(owner) && owner != apex && owner.zone_of(name);
        let cut = message.authorities.iter().find_map(|record| match record.data {
            RData::NS(_) if is_below(&record.name) => Some(record.name.clone()),
            _ => None,
        })?;
        let name_servers = message.authorities.iter().filter_map(|record| match &record.data {
            RData::NS(server) if record.name == cut => Some(server.0.clone()),
            _ => None,
        });
        let name_servers = name_servers.take(MOST_NAME_SERVERS).collect();
        let glue = message.additionals.iter().filter_map(|record| match &record.data {
            RData::A(address) => Some((record.name.clone(), IpAddr::V4(address.0))),
            RData::AAAA(address) => Some((record.name.clone(), IpAddr::V6(address.0))),
            _ => None,
        });
        let is_ds =
            |record: &hickory_resolver::proto::rr::Record| record.name == cut && record.record_type() == RecordType::DS;
        Some(Self { has_ds: message.authorities.iter().any(is_ds), name_servers, glue: glue.collect(), cut })
    }

    /// How deep it leads.
    pub(super) fn depth(&self) -> u8 {
        self.cut.num_labels()
    }
}

impl Delegation {
    /// Servers that were named instead of the zone's own.
    pub(super) fn of_servers(apex: Name, addresses: &[SocketAddr], has_ds: Option<bool>) -> Self {
        let name_servers = addresses.iter().map(|address| configured(*address)).collect();
        let servers = addresses.iter().map(|address| named_by_address(*address)).collect();
        Self { apex, name_servers, has_ds, servers }
    }

    /// The same with further servers.
    pub(super) fn with_extra(mut self, extra: &[SocketAddr]) -> Self {
        for address in extra {
            if !self.servers.iter().any(|server| server.address == *address) {
                self.name_servers.push(configured(*address));
                self.servers.push(named_by_address(*address));
            }
        }
        self
    }
}

impl Delegation {
    /// Whether a server is only asked because the configuration says so.
    pub(super) fn is_extra(&self, server: &Server) -> bool {
        let of_server = |known: &&NameServer| known.name == server.name;
        self.name_servers.iter().find(of_server).is_some_and(|known| known.is_configured) && !self.apex.is_root()
    }

    /// The same without some servers.
    pub(super) fn without(mut self, addresses: &[SocketAddr]) -> Self {
        self.servers.retain(|server| !addresses.contains(&server.address));
        let servers = &self.servers;
        self.name_servers
            .retain(|known| !known.is_configured || servers.iter().any(|server| server.name == known.name));
        self
    }
}

fn configured(address: SocketAddr) -> NameServer {
    NameServer {
        name: address.ip().to_string(),
        in_delegation: false,
        in_apex: false,
        is_configured: true,
        addresses: vec![address.ip()],
        unresolved: None,
    }
}

fn named_by_address(address: SocketAddr) -> Server {
    Server { name: address.ip().to_string(), address }
}

impl Delegations {
    pub(super) fn new(transport: Arc<Transport>, resolver: Arc<Resolver>, port: u16) -> Self {
        let (suffixes, bases) = (Shared::new(REMEMBERED), Shared::new(REMEMBERED));
        let (unlisted, addresses) = (Shared::new(REMEMBERED), Shared::new(REMEMBERED));
        Self { transport, resolver, port, suffixes, bases, unlisted, addresses }
    }

    /// The zone that holds the registrable domain of `name`: that of the registrable domain itself, or one above, if it
    /// has none.
    pub(super) async fn base(&self, name: &Name) -> Found {
        let registrable = registrable(name);
        let found = self.bases.value(&plain(&registrable), || Box::pin(self.find_base(&registrable))).await;
        if *name == registrable || is_private(&registrable) || found.as_ref().is_ok_and(|zone| zone.apex == registrable)
        {
            return found;
        }
        // Perhaps it is known here and not to the world, which only a resolver of ours can tell. It is asked for NS
        // at the registrable domain, never for the name itself.
        let own = self.unlisted.value(&plain(&registrable), || Box::pin(self.by_resolver(&registrable))).await;
        own.map_or(found, Ok)
    }

    /// The zone below that a referral leads to.
    pub(super) async fn follow(&self, referral: &Referral) -> Arc<Delegation> {
        let delegated = self.name_servers(&referral.name_servers, &referral.glue, &referral.cut).await;
        let unchecked = self.assemble(referral.cut.clone(), delegated, Vec::new(), Some(referral.has_ds));
        let (own, glue) = self.apex_name_servers(&unchecked.servers, &referral.cut).await;
        // Glue serves those that are named in both.
        let glue: Vec<_> = glue.into_iter().chain(referral.glue.iter().cloned()).collect();
        let own = self.name_servers(&own, &glue, &referral.cut).await;
        Arc::new(self.assemble(referral.cut.clone(), unchecked.name_servers, own, Some(referral.has_ds)))
    }

    /// The zone `apex` that servers of the zone above answer for as well, so that no referral was seen.
    pub(super) async fn on_same_servers(&self, apex: &Name, above: &Delegation) -> Arc<Delegation> {
        let (own, glue) = self.apex_name_servers(&above.servers, apex).await;
        let mut own = self.name_servers(&own, &glue, apex).await;
        if own.is_empty() {
            own.clone_from(&above.name_servers);
        }
        // The servers above hold both sides of the cut and say nothing of the delegation's NS records.
        let delegated = own.clone();
        let has_ds = self.has_ds(&above.servers, apex).await;
        Arc::new(self.assemble(apex.clone(), delegated, own, has_ds))
    }

    async fn find_base(&self, registrable: &Name) -> Found {
        let suffix = registrable.base_name();
        let mut zone = self.suffixes.value(&plain(&suffix), || Box::pin(self.find_suffix(&suffix))).await?;
        for _ in 0..MOST_STEPS {
            if zone.apex == *registrable {
                break;
            }
            match self.step(&zone, registrable).await? {
                Some(below) => zone = below,
                None => break,
            }
        }
        Ok(zone)
    }

    /// The next zone on the way down to `name`, if there is one.
    async fn step(&self, zone: &Arc<Delegation>, name: &Name) -> Result<Option<Arc<Delegation>>, String> {
        let question = Question::authoritative(name, RecordType::NS);
        let mut reason = format!("no server of {} has an address", shown(&zone.apex));
        for server in in_turn(&zone.servers, name) {
            let message = match self.transport.ask(server.address, &question).await {
                Ok(reply) => reply.message,
                Err(_) => {
                    reason = format!("no server of {} answers", shown(&zone.apex));
                    continue;
                }
            };
            if let Some(referral) = Referral::of(&message, &zone.apex, name) {
                return Ok(Some(self.follow(&referral).await));
            }
            if !message.metadata.authoritative {
                reason = format!("no server of {} answers for it", shown(&zone.apex));
                continue;
            }
            let is_apex =
                message.answers.iter().any(|record| record.name == *name && record.record_type() == RecordType::NS);
            let owner = if is_apex { Some(name.clone()) } else { soa_of(&message.authorities).map(|(owner, _)| owner) };
            return Ok(match owner {
                Some(owner) if owner != zone.apex && zone.apex.zone_of(&owner) => {
                    Some(self.on_same_servers(&owner, zone).await)
                }
                _ => None,
            });
        }
        Err(reason)
    }

    /// The zone that a public suffix is in, as a resolver says.
    async fn find_suffix(&self, suffix: &Name) -> Found {
        let unknown = |detail: String| format!("the zone of {} could not be found out: {detail}", shown(suffix));
        let soa = self.resolver.ask(&self.transport, suffix, RecordType::SOA).await;
        let message = soa.map_err(|no_answer| unknown(no_answer.detail))?.reply.message;
        let (apex, _) = soa_of(&message.answers)
            .or_else(|| soa_of(&message.authorities))
            .ok_or_else(|| unknown("the resolver's answer has no SOA record".into()))?;
        self.by_resolver(&apex).await.ok_or_else(|| unknown("the resolver gives no NS records".into()))
    }

    /// A zone whose NS records a resolver gives.
    async fn by_resolver(&self, apex: &Name) -> Option<Arc<Delegation>> {
        let answer = self.resolver.ask(&self.transport, apex, RecordType::NS).await.ok()?;
        let names = name_servers_at(apex, &answer.reply.message);
        if names.is_empty() {
            return None;
        }
        let own = self.name_servers(&names, &[], apex).await;
        // A resolver gives the NS records of the apex and says nothing of the delegation's.
        Some(Arc::new(self.assemble(apex.clone(), own.clone(), own, None)))
    }

    /// NS records at the apex, by the first of these servers that has them, with glue.
    async fn apex_name_servers(&self, servers: &[Server], apex: &Name) -> (Vec<Name>, Vec<(Name, IpAddr)>) {
        let question = Question::authoritative(apex, RecordType::NS);
        for server in in_turn(servers, apex) {
            let Ok(reply) = self.transport.ask(server.address, &question).await else { continue };
            let names = name_servers_at(apex, &reply.message);
            if reply.message.metadata.authoritative && !names.is_empty() {
                let glue = reply.message.additionals.iter().filter_map(|record| match &record.data {
                    RData::A(address) => Some((record.name.clone(), IpAddr::V4(address.0))),
                    RData::AAAA(address) => Some((record.name.clone(), IpAddr::V6(address.0))),
                    _ => None,
                });
                return (names, glue.collect());
            }
        }
        (Vec::new(), Vec::new())
    }

    /// Whether the zone above has a DS record.
    async fn has_ds(&self, servers: &[Server], apex: &Name) -> Option<bool> {
        let question = Question::authoritative(apex, RecordType::DS);
        for server in in_turn(servers, apex) {
            let Ok(reply) = self.transport.ask(server.address, &question).await else { continue };
            if reply.message.metadata.authoritative {
                return Some(reply.message.answers.iter().any(|record| record.record_type() == RecordType::DS));
            }
        }
        None
    }

    /// Name servers with their addresses: glue for those below the cut, a resolver's word for the others.
    async fn name_servers(&self, names: &[Name], glue: &[(Name, IpAddr)], cut: &Name) -> Vec<NameServer> {
        all(names.iter().map(|name| async move {
            let from_glue: Vec<_> = glue
                .iter()
                .filter(|(owner, _)| owner == name && cut.zone_of(name))
                .map(|(_, address)| *address)
                .collect();
            let found = if from_glue.is_empty() { self.addresses_of(name).await } else { Ok(from_glue) };
            let (mut addresses, unresolved) = match found {
                Ok(addresses) => (addresses, None),
                Err(reason) => (Vec::new(), Some(reason)),
            };
            addresses.sort_unstable();
            addresses.dedup();
            addresses.truncate(MOST_ADDRESSES);
            let (in_delegation, in_apex, is_configured) = (false, false, false);
            NameServer { name: plain(name), in_delegation, in_apex, is_configured, addresses, unresolved }
        }))
        .await
    }

    async fn addresses_of(&self, name: &Name) -> Result<Vec<IpAddr>, String> {
        if is_private(name) {
            return Err("the name server's name is below _domainkey and came without an address".into());
        }
        self.addresses.value(&plain(name), || Box::pin(self.look_up_addresses(name))).await
    }

    async fn look_up_addresses(&self, name: &Name) -> Result<Vec<IpAddr>, String> {
        let families = [RecordType::A, RecordType::AAAA];
        let answers = all(families.map(|family| self.resolver.ask(&self.transport, name, family))).await;
        let mut addresses = Vec::new();
        let mut reason = "the name server's name has no address".to_owned();
        for answer in answers {
            match answer {
                Ok(answer) => {
                    addresses.extend(answer.reply.message.answers.iter().filter_map(|record| match &record.data {
                        RData::A(address) => Some(IpAddr::V4(address.0)),
                        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                        _ => None,
                    }))
                }
                Err(no_answer) => {
                    reason = format!("the name server's address could not be found out: {}", no_answer.detail)
                }
            }
        }
        if addresses.is_empty() { Err(reason) } else { Ok(addresses) }
    }

    /// One list of those in the delegation and those at the apex.
    fn assemble(
        &self,
        apex: Name,
        delegated: Vec<NameServer>,
        own: Vec<NameServer>,
        has_ds: Option<bool>,
    ) -> Delegation {
        let mut name_servers: Vec<NameServer> = Vec::new();
        let delegated = delegated.into_iter().map(|server| NameServer { in_delegation: true, ..server });
        for server in
            delegated.chain(own.into_iter().map(|server| NameServer { in_apex: true, in_delegation: false, ..server }))
        {
            if let Some(known) = name_servers.iter_mut().find(|known| known.name == server.name) {
                known.in_apex |= server.in_apex;
                known.addresses.extend(server.addresses);
                known.addresses.sort_unstable();
                known.addresses.dedup();
                if !known.addresses.is_empty() {
                    known.unresolved = None;
                }
            } else if name_servers.len() < MOST_NAME_SERVERS {
                name_servers.push(server);
            }
        }
        let mut servers: Vec<Server> = Vec::new();
        for name_server in &name_servers {
            for address in &name_server.addresses {
                let address = SocketAddr::new(*address, self.port);
                if !servers.iter().any(|known| known.address == address) {
                    servers.push(Server { name: name_server.name.clone(), address });
                }
            }
        }
        Delegation { apex, name_servers, has_ds, servers }
    }
}

fn name_servers_at(apex: &Name, message: &Message) -> Vec<Name> {
    let names = message.answers.iter().filter_map(|record| match &record.data {
        RData::NS(server) if record.name == *apex => Some(server.0.clone()),
        _ => None,
    });
    names.take(MOST_NAME_SERVERS).collect()
}

/// The registrable domain of a name, or the name itself where it has none.
pub(super) fn registrable(name: &Name) -> Name {
    let text = plain(name);
    let registrable = DomainName::parse(&text).ok().and_then(|domain| domain.registrable());
    let labels = registrable.map_or(usize::from(name.num_labels().min(2)), |domain| domain.as_str().split('.').count());
    name.trim_to(labels)
}

/// Whether a name is at or below `_domainkey`, where a resolver must not look before the record is there.
pub(super) fn is_private(name: &Name) -> bool {
    name.iter().any(|label| label.eq_ignore_ascii_case(b"_domainkey"))
}

/// The servers, beginning with another one for each name, so that none of many bears all.
fn in_turn<'s>(servers: &'s [Server], name: &Name) -> impl Iterator<Item = &'s Server> {
    let sum = plain(name).bytes().fold(0_usize, |sum, octet| sum.wrapping_mul(31).wrapping_add(usize::from(octet)));
    let first = sum.checked_rem(servers.len()).unwrap_or(0);
    servers.iter().cycle().skip(first).take(servers.len())
}

fn shown(name: &Name) -> String {
    if name.is_root() { "the root".to_owned() } else { plain(name) }
}
