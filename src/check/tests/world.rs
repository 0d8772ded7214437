//! A domain with one key, published as it should be; each case spoils one thing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};

use crate::check::{Dnssec, HeldKey, Judgement, KeySubject, PrivateKeyAccess, Rule, Standby, Subject, Wishes, judge};
use crate::dkim::{Algorithm, KeyRecord, PrivateKey, PublicKey};
use crate::finding::{Finding, Severity};
use crate::manifest::StateName;
use crate::names::{DomainName, Selector};
use crate::observation::*;

/// RFC 8463 appendix A.2.
const ED25519: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

pub(super) const NAME: &str = "s1._domainkey.example.com";

pub(super) struct World {
    pub(super) subject: Subject,
    pub(super) wishes: Wishes,
}

/// One case: what is spoiled, and all that is to be found then.
pub(super) struct Example {
    pub(super) name: &'static str,
    pub(super) found: &'static [(Rule, Severity)],
    /// The rule that just does not apply, where nothing is found.
    pub(super) near: Option<Rule>,
    pub(super) spoil: fn(&mut World),
}

/// A case in which these are found, and nothing else.
pub(super) fn finds(name: &'static str, found: &'static [(Rule, Severity)], spoil: fn(&mut World)) -> Example {
    Example { name, found, near: None, spoil }
}

/// A case in which nothing is found, though it is near to what this rule is about.
pub(super) fn quiet(near: Rule, name: &'static str, spoil: fn(&mut World)) -> Example {
    Example { name, found: &[], near: Some(near), spoil }
}

pub(super) fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

pub(super) fn rsa() -> PublicKey {
    let pem = include_bytes!("../../../tests/data/keys/rsa-2048-pkcs8.pem");
    PrivateKey::from_pem(pem).unwrap().public().clone()
}

pub(super) fn ed25519() -> PublicKey {
    PublicKey::from_octets(Algorithm::Ed25519Sha256, &STANDARD.decode(ED25519).unwrap()).unwrap()
}

pub(super) fn domain(name: &str) -> DomainName {
    DomainName::parse(name).unwrap()
}

pub(super) fn selector(name: &str) -> Selector {
    Selector::parse(name).unwrap()
}

pub(super) fn server(number: u8) -> Server {
    Server { name: format!("ns{number}.example.net"), address: SocketAddr::from(([192, 0, 2, number], 53)) }
}

/// A TXT record of these strings, TTL an hour.
pub(super) fn txt(strings: &[&[u8]]) -> Txt {
    Txt { strings: strings.iter().map(|string| string.to_vec()).collect(), ttl: 3600 }
}

/// A record's strings as they are to be.
pub(super) fn txt_of(record: &KeyRecord) -> Txt {
    Txt { strings: record.txt_strings().into_iter().map(String::into_bytes).collect(), ttl: 3600 }
}

/// Cut into strings of 255 octets.
pub(super) fn cut(text: &str) -> Txt {
    Txt { strings: text.as_bytes().chunks(255).map(<[u8]>::to_vec).collect(), ttl: 3600 }
}

pub(super) fn response(txt: Vec<Txt>) -> Response {
    Response {
        code: Code::NoError,
        authoritative: true,
        truncation: Truncation::None,
        txt,
        cname: None,
        soa: None,
        signatures: Vec::new(),
        unchecked: None,
        took: Duration::from_millis(5),
    }
}

pub(super) fn alias(target: &str) -> Response {
    Response { cname: Some(Cname { target: target.into(), ttl: 3600 }), ..response(Vec::new()) }
}

pub(super) fn nothing(code: Code) -> Response {
    Response { code, ..response(Vec::new()) }
}

pub(super) fn answered(response: Response) -> Outcome {
    Outcome::Answered(Box::new(response))
}

pub(super) fn zone(apex: &str) -> Zone {
    let name_server = |number: u8| NameServer {
        name: server(number).name,
        in_delegation: true,
        in_apex: true,
        is_configured: false,
        addresses: vec![server(number).address.ip()],
        unresolved: None,
    };
    let soa = |number: u8| ServerSoa {
        server: server(number),
        soa: Some(Soa { serial: 2_026_112_301, ttl: 3600, minimum: 3600 }),
    };
    Zone {
        apex: apex.into(),
        name_servers: vec![name_server(1), name_server(2)],
        has_ds: Some(true),
        soas: vec![soa(1), soa(2)],
    }
}

/// A name where both servers say the same.
pub(super) fn hop(name: &str, zone: Zone, answer: &Response) -> Hop {
    let answers =
        [1, 2].map(|number| ServerAnswer { server: server(number), outcome: answered(answer.clone()) }).into();
    Hop { name: name.into(), zone: Some(Arc::new(zone)), zone_unknown: None, answers }
}

/// A key that we hold, seen in DNS everywhere as it should be.
pub(super) fn published(name: &str, key: &PublicKey) -> KeySubject {
    let txt = txt_of(&KeyRecord::of(key));
    let record_name = selector(name).record_name(&domain("example.com"));
    let random = "waxseal-probe._domainkey.example.com";
    KeySubject {
        selector: selector(name),
        held: Some(HeldKey {
            public_key: key.clone(),
            state: StateName::Active,
            created: now() - SignedDuration::from_hours(24 * 30),
            record_ttl: 3600,
            is_shared: false,
            same_key: Vec::new(),
            private_key: PrivateKeyAccess::Safe,
        }),
        observation: Observation {
            record_name: record_name.clone(),
            at: now(),
            hops: vec![hop(&record_name, zone("example.com"), &response(vec![txt.clone()]))],
            chain: ChainEnd::Complete,
            wildcard: Some(Arc::new(Wildcard {
                name: random.into(),
                answers: hop(random, zone("example.com"), &nothing(Code::NxDomain)).answers,
            })),
            recursive: Recursive {
                resolver: "192.0.2.53".into(),
                answer: RecursiveAnswer::Found { txt: vec![Txt { ttl: 1800, ..txt }], security: Security::Secure },
            },
        },
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            subject: Subject {
                domain: domain("example.com"),
                keys: vec![published("s1", &rsa())],
                dmarc: Dmarc::Found { name: "_dmarc.example.com".into(), record: "v=DMARC1; p=reject".into() },
                signs_subdomains: false,
                auid: None,
            },
            wishes: Wishes {
                key_age: SignedDuration::from_hours(180 * 24),
                dnssec: Dnssec::Optional,
                standby: Standby::Optional,
            },
        }
    }

    pub(super) fn judge(&self) -> Judgement {
        judge(&self.subject, &self.wishes, now())
    }

    /// All findings of the domain and its keys.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let judgement = self.judge();
        judgement.findings.into_iter().chain(judgement.keys.into_iter().flat_map(|key| key.findings)).collect()
    }

    pub(super) fn undetermined(&self) -> Option<String> {
        self.judge().keys.remove(0).undetermined
    }

    pub(super) fn key(&mut self) -> &mut KeySubject {
        &mut self.subject.keys[0]
    }

    pub(super) fn held(&mut self) -> &mut HeldKey {
        self.key().held.as_mut().unwrap()
    }

    pub(super) fn seen(&mut self) -> &mut Observation {
        &mut self.key().observation
    }

    /// Changes the zone of the first name.
    pub(super) fn zone(&mut self) -> &mut Zone {
        Arc::make_mut(self.seen().hops[0].zone.as_mut().unwrap())
    }

    /// What one server says.
    pub(super) fn says(&mut self, server: usize, response: Response) {
        self.outcome(server, answered(response));
    }

    pub(super) fn outcome(&mut self, server: usize, outcome: Outcome) {
        self.seen().hops[0].answers[server - 1].outcome = outcome;
    }

    /// What both servers and the resolver say.
    pub(super) fn all_say(&mut self, records: &[Txt]) {
        let observation = self.seen();
        for hop in &mut observation.hops {
            for answer in &mut hop.answers {
                answer.outcome = answered(response(records.to_vec()));
            }
        }
        observation.recursive.answer = RecursiveAnswer::Found { txt: records.to_vec(), security: Security::Secure };
    }

    /// Both servers have nothing.
    pub(super) fn absent(&mut self, code: Code) {
        for server in [1, 2] {
            self.says(server, nothing(code));
        }
        self.seen().recursive.answer = RecursiveAnswer::NotAsked;
    }

    /// The record is this text, cut as it should be.
    pub(super) fn record(&mut self, text: &str) {
        self.all_say(&[cut(text)]);
    }

    /// Our record with something before p=.
    pub(super) fn with_tags(&mut self, tags: &str) {
        let key = p_of(self.held().public_key.octets());
        self.record(&format!("v=DKIM1; k=rsa; {tags}; p={key}"));
    }

    /// Another key is held and published.
    pub(super) fn holds(&mut self, key: &PublicKey) {
        self.subject.keys[0] = published("s1", key);
    }

    /// Only DNS is looked at.
    pub(super) fn holds_nothing(&mut self) {
        self.key().held = None;
    }

    /// The name is an alias of these, one after another, the last of which says `end`.
    pub(super) fn leads_through(&mut self, targets: &[&str], end: Option<&Response>) {
        let mut names = vec![NAME];
        names.extend(targets);
        let mut hops: Vec<Hop> =
            names.windows(2).map(|pair| hop(pair[0], zone("example.com"), &alias(pair[1]))).collect();
        if let Some(end) = end {
            hops.push(hop(names[names.len() - 1], zone("example.com"), end));
        }
        self.seen().hops = hops;
    }
}

pub(super) fn p_of(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

/// DER of an RSA key with these numbers, as p= has it.
pub(super) fn spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let algorithm = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    let key = [&[0], bare(modulus, exponent).as_slice()].concat();
    element(0x30, &[algorithm.as_slice(), &element(3, &key)].concat())
}

/// The same without its wrapping.
pub(super) fn bare(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let sign: &[u8] = if number.first().is_some_and(|first| *first > 0x7f) { &[0] } else { &[] };
        element(2, &[sign, number].concat())
    };
    element(0x30, &[integer(modulus), integer(exponent)].concat())
}

fn element(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    let head = match value.len() {
        0..=0x7f => vec![tag, length[1]],
        0x80..=0xff => vec![tag, 0x81, length[1]],
        _ => vec![tag, 0x82, length[0], length[1]],
    };
    [head.as_slice(), value].concat()
}

/// A modulus of so many bits without small factors.
pub(super) fn modulus(bits: usize) -> Vec<u8> {
    let mut number = vec![0xab; bits / 8];
    number[0] = 0xc5;
    let last = number.len() - 1;
    for low in (0..=u16::MAX).filter(|low| low % 2 == 1) {
        [number[last - 1], number[last]] = low.to_be_bytes();
        if crate::check::modulus::weakness(&number).is_none() {
            return number;
        }
    }
    panic!("no such modulus");
}
