//! What is seen of a record: every server is asked, then a resolver, as the daemon's look-ups would.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use waxseal::lifecycle::{Depth, Observed, Witnessed};
use waxseal::manifest::StateName;
use waxseal::names::Selector;
use waxseal::observation::{
    ChainEnd, Code, Hop, Observation, Outcome, Recursive, RecursiveAnswer, Response, Security, Server, ServerAnswer,
    ServerSoa, Silence, Soa, Truncation, Txt,
};

use super::guard::Guard;
use super::world::World;
use super::zone::{Answer, NegativeTtl, Record};

impl World {
    /// One look at a record.
    pub(crate) fn look(&mut self, selector: &Selector, depth: Depth, began: &Witnessed) -> Observed {
        let name = selector.record_name(&self.domain);
        let (mut answers, mut soas, mut said) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..self.zone.servers.len() {
            let answer = self.zone.ask_as_runner(index, &name, self.now, &mut self.random);
            let IpAddr::V4(ip) = self.seen_zone.name_servers[index].addresses[0] else { unreachable!() };
            let server = Server { name: self.zone.servers[index].name.to_owned(), address: SocketAddr::from((ip, 53)) };
            let (outcome, soa) = match answer {
                Answer::Said { records, negative, .. } => {
                    let records = self.shown(selector, records);
                    let soa = self.soa(negative);
                    let outcome = response(Code::NoError, &records, soa.clone());
                    said.push(records);
                    (outcome, Some(soa))
                }
                Answer::ServFail => (response(Code::ServFail, &[], self.soa(NegativeTtl { ttl: 0, minimum: 0 })), None),
                Answer::Silence => (Outcome::Silent(Silence::Timeout), None),
            };
            soas.push(ServerSoa { server: server.clone(), soa });
            if self.guard == Some(Guard::Silence)
                && !matches!(&outcome, Outcome::Answered(response) if response.code != Code::ServFail)
            {
                answers.push(ServerAnswer { server, outcome: Outcome::NoRoute });
                continue;
            }
            answers.push(ServerAnswer { server, outcome });
        }
        let agreed = said.first().filter(|first| !first.is_empty() && said.iter().all(|other| other == *first));
        let agreed = agreed.cloned();
        let is_asked = depth == Depth::Resolvers && agreed.is_some();
        let mut ask = |resolver: usize| match (is_asked, self.guard, &agreed) {
            (true, Some(Guard::Resolvers), Some(records)) => found(records, None, self.now),
            (true, ..) => {
                let known = self.resolvers[resolver].resolve(&name, &mut self.zone, self.now, &mut self.random);
                match known {
                    Some(known) => found(&known.records, Some(known.expires), self.now),
                    None => RecursiveAnswer::Failed { detail: "no server answers".into() },
                }
            }
            (false, ..) => RecursiveAnswer::NotAsked,
        };
        let recursive = Recursive { resolver: "resolver 1".into(), answer: ask(0) };
        let outside = Recursive { resolver: "resolver 2".into(), answer: ask(1) };
        let mut zone = self.seen_zone.clone();
        zone.soas = soas;
        let hop = Hop { name: name.clone(), zone: Some(Arc::new(zone)), zone_unknown: None, answers };
        let at = began.clone();
        let chain = ChainEnd::Complete;
        let observation =
            Observation { record_name: name, at: at.wall, hops: vec![hop], chain, wildcard: None, recursive };
        let outside = if self.has_outside && is_asked { vec![outside] } else { Vec::new() };
        Observed { observation, outside, at }
    }

    /// What rotation is shown of what a server said.
    fn shown(&self, selector: &Selector, records: Vec<Record>) -> Vec<Record> {
        let state = || self.store.manifest().binding(selector).map(|binding| binding.state.name());
        match (self.guard, self.bound.get(selector)) {
            (Some(Guard::LastLook), _) if state() == Some(StateName::Withdrawn) => Vec::new(),
            (Some(Guard::Equivalence), Some(bound)) if !records.is_empty() => {
                vec![Record { text: bound.text.clone(), ttl: records[0].ttl }]
            }
            _ => records,
        }
    }

    fn soa(&self, negative: NegativeTtl) -> Soa {
        match self.guard {
            Some(Guard::NegativeTtl) => Soa { serial: 1, ttl: 0, minimum: 0 },
            _ => Soa { serial: 1, ttl: negative.ttl, minimum: negative.minimum },
        }
    }
}

fn response(code: Code, records: &[Record], soa: Soa) -> Outcome {
    let is_absent = records.is_empty() && code == Code::NoError;
    Outcome::Answered(Box::new(Response {
        code: if is_absent { Code::NxDomain } else { code },
        authoritative: code == Code::NoError,
        truncation: Truncation::None,
        txt: records.iter().map(txt).collect(),
        cname: None,
        soa: is_absent.then_some(soa),
        signatures: Vec::new(),
        unchecked: None,
        took: Duration::from_millis(20),
    }))
}

fn found(records: &[Record], expires: Option<super::time::Moment>, now: super::time::Moment) -> RecursiveAnswer {
    let left = |ttl: u32| expires.map_or(ttl, |expires| (expires - now).as_secs() as u32);
    if records.is_empty() {
        return RecursiveAnswer::Absent { code: Code::NxDomain, ttl: Some(left(0)) };
    }
    let txt = records.iter().map(|record| Txt { ttl: left(record.ttl), ..txt(record) }).collect();
    RecursiveAnswer::Found { txt, security: Security::Insecure }
}

fn txt(record: &Record) -> Txt {
    Txt { strings: record.text.as_bytes().chunks(255).map(<[u8]>::to_vec).collect(), ttl: record.ttl }
}
