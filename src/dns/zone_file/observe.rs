//! What a server that serves the file would answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::ZoneFile;
use super::parse::Node;
use crate::names::{DomainName, Selector};
use crate::observation::{
    ChainEnd, Code, Hop, NameServer, Observation, Outcome, Recursive, RecursiveAnswer, Response, Server, ServerAnswer,
    ServerSoa, Truncation, Wildcard, Zone,
};

/// CNAMEs that are followed.
const MOST_HOPS: usize = 8;
/// A name that nobody publishes, at `_domainkey`.
const SIBLING: &str = "no-such-key";

impl ZoneFile {
    /// What would be seen of a key record, with the file in place of a server. What lies outside of the file is not known.
    pub fn observe(&self, domain: &DomainName, selector: &Selector, at: Timestamp) -> Observation {
        let record_name = selector.record_name(domain);
        let zone = self.zone(domain);
        let mut hops: Vec<Hop> = Vec::new();
        let mut chain = ChainEnd::Complete;
        let mut next = Some(record_name.clone());
        while let Some(name) = next.take() {
            if hops.iter().any(|hop| hop.name == name) {
                chain = ChainEnd::Loop;
                break;
            }
            if hops.len() > MOST_HOPS {
                chain = ChainEnd::TooLong;
                break;
            }
            hops.push(match self.outside(&name) {
                Some(reason) => Hop { name, zone: None, zone_unknown: Some(reason), answers: Vec::new() },
                None => {
                    let response = self.response(&name);
                    next = response.cname.as_ref().map(|cname| cname.target.clone());
                    let answers = vec![self.answer(response)];
                    Hop { name, zone: Some(Arc::clone(&zone)), zone_unknown: None, answers }
                }
            });
        }
        let sibling = format!("{SIBLING}._domainkey.{domain}");
        let wildcard = self.outside(&sibling).is_none().then(|| {
            let answers = vec![self.answer(self.response(&sibling))];
            Arc::new(Wildcard { name: sibling, answers })
        });
        let recursive = Recursive { resolver: String::new(), answer: RecursiveAnswer::NotAsked };
        Observation { record_name, at, hops, chain, wildcard, recursive }
    }

    /// The file as a zone with one server.
    fn zone(&self, domain: &DomainName) -> Arc<Zone> {
        let apex = self.apex().or(self.origin.as_deref()).unwrap_or(domain.as_str());
        let server = self.server();
        let name_server = NameServer {
            name: server.name.clone(),
            in_delegation: false,
            in_apex: false,
            is_configured: true,
            addresses: Vec::new(),
            unresolved: None,
        };
        let soa = self.soa.as_ref().map(|(_, soa)| soa.clone());
        Arc::new(Zone {
            apex: apex.to_owned(),
            name_servers: vec![name_server],
            has_ds: None,
            // A file of records alone, made to be put into a zone, has none.
            soas: if soa.is_some() { vec![ServerSoa { server, soa }] } else { Vec::new() },
        })
    }

    fn server(&self) -> Server {
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Server { name: crate::observation::presentation(self.path.display().to_string().as_bytes()), address }
    }

    fn answer(&self, response: Response) -> ServerAnswer {
        ServerAnswer { server: self.server(), outcome: Outcome::Answered(Box::new(response)) }
    }

    /// Why the file says nothing of a name, if so.
    fn outside(&self, name: &str) -> Option<String> {
        let file = self.server().name;
        if let Some((apex, _)) = &self.soa {
            if !is_within(name, apex) {
                return Some(format!("it is not in the zone {apex}, which {file} is of"));
            }
            let mut above = name;
            while above != apex {
                if self.nodes.get(above).is_some_and(|node| !node.name_servers.is_empty()) {
                    return Some(format!("{file} delegates {above} to other servers"));
                }
                above = above.split_once('.').map_or("", |(_, parent)| parent);
            }
            return None;
        }
        let origin = self.origin.as_deref()?;
        (!is_within(name, origin) && !self.existing.contains(name))
            .then(|| format!("it is not below {origin}, which {file} begins with"))
    }

    fn response(&self, name: &str) -> Response {
        let wildcard = || {
            self.closest_wildcard(name).and_then(|owner| {
                self.nodes.get(&owner).cloned().or_else(|| self.existing.contains(&owner).then(Node::default))
            })
        };
        let node = match self.nodes.get(name) {
            Some(node) => Some(node.clone()),
            None if self.existing.contains(name) => Some(Node::default()),
            None => wildcard(),
        };
        let code = if node.is_some() { Code::NoError } else { Code::NxDomain };
        let node = node.unwrap_or_default();
        let is_negative = node.txt.is_empty() && node.cname.is_none();
        Response {
            code,
            authoritative: true,
            truncation: Truncation::None,
            txt: node.txt,
            cname: node.cname,
            soa: self.soa.as_ref().filter(|_| is_negative).map(|(_, soa)| soa.clone()),
            signatures: node.signatures,
            unchecked: None,
            took: Duration::ZERO,
        }
    }

    /// The wildcard that answers for a name that does not exist (RFC 4592 §3.3.1): that of its closest encloser.
    fn closest_wildcard(&self, name: &str) -> Option<String> {
        let mut above = name;
        while let Some((_, parent)) = above.split_once('.') {
            if self.existing.contains(parent) {
                return Some(format!("*.{parent}"));
            }
            above = parent;
        }
        None
    }
}

fn is_within(name: &str, ancestor: &str) -> bool {
    ancestor.is_empty() || name.strip_suffix(ancestor).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
