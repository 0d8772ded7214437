//! Keys, clocks and observations that need no DNS.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::dkim::key::PublicKey;
use crate::dkim::{Algorithm, KeyRecord};
use crate::lifecycle::{Observed, Witnessed};
use crate::manifest::{Binding, DomainManifest, PrivateKeyPlace};
use crate::names::{DomainName, Selector};
use crate::observation::{
    ChainEnd, Code, Hop, NameServer, Observation, Outcome, Recursive, RecursiveAnswer, Response, Security, Server,
    ServerAnswer, ServerSoa, Silence, Soa, Truncation, Txt, Zone,
};

pub(crate) const DAY: i64 = 24 * 60 * 60;

/// What one server has at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Has {
    Nothing,
    Record(String),
    Silence,
    Refusal,
}

pub(crate) fn at(second: i64) -> Witnessed {
    Witnessed {
        wall: Timestamp::from_second(1_800_000_000 + second).unwrap(),
        boot_id: "a".into(),
        boot_time: Duration::from_secs(u64::try_from(1000 + second).unwrap()),
    }
}

pub(crate) fn later(from: &Witnessed, seconds: i64) -> Witnessed {
    Witnessed {
        wall: from.wall.saturating_add(SignedDuration::from_secs(seconds)).unwrap(),
        boot_time: from.boot_time + Duration::from_secs(u64::try_from(seconds).unwrap()),
        ..from.clone()
    }
}

/// A key made of a number.
pub(crate) fn key(algorithm: Algorithm, number: u16) -> PublicKey {
    let octets = match algorithm {
        Algorithm::Ed25519Sha256 => {
            let mut octets = vec![7; 32];
            octets[..2].copy_from_slice(&number.to_be_bytes());
            octets
        }
        Algorithm::RsaSha256 => {
            let mut modulus = vec![0xc3; 256];
            modulus[1..3].copy_from_slice(&number.to_be_bytes());
            let mut octets = vec![0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00];
            octets.extend(modulus);
            octets.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
            octets
        }
    };
    PublicKey::from_octets(algorithm, &octets).unwrap()
}

pub(crate) fn selector(name: &str) -> Selector {
    Selector::parse(name).unwrap()
}

pub(crate) fn domain() -> DomainManifest {
    DomainManifest::new(DomainName::parse("example.com").unwrap())
}

pub(crate) fn bound(manifest: &DomainManifest, name: &str, key: PublicKey, now: &Witnessed) -> DomainManifest {
    manifest.bind_generated(selector(name), key, PrivateKeyPlace::Own, 3600, now.wall).unwrap()
}

pub(crate) fn ours(binding: &Binding) -> Has {
    Has::Record(KeyRecord::of(&binding.public_key).to_string())
}

pub(crate) fn revoked(binding: &Binding) -> Has {
    Has::Record(KeyRecord::revoked(binding.algorithm()).to_string())
}

/// What two or more servers have at a selector's name, and a resolver that agrees with the first.
pub(crate) fn observed(servers: &[Has], now: &Witnessed) -> Observed {
    let server =
        |index: usize| Server { name: format!("ns{index}.example.net"), address: SocketAddr::new(address(index), 53) };
    let soa = Soa { serial: 1, ttl: 3600, minimum: 600 };
    let name_servers = (0..servers.len()).map(|index| NameServer {
        name: server(index).name,
        in_delegation: true,
        in_apex: true,
        is_configured: false,
        addresses: vec![address(index)],
        unresolved: None,
    });
    let zone = Zone {
        apex: "example.com".into(),
        name_servers: name_servers.collect(),
        has_ds: None,
        soas: (0..servers.len()).map(|index| ServerSoa { server: server(index), soa: Some(soa.clone()) }).collect(),
    };
    let answers =
        servers.iter().enumerate().map(|(index, has)| ServerAnswer { server: server(index), outcome: outcome(has) });
    let all_agree = servers.windows(2).all(|pair| pair[0] == pair[1]);
    let answer = match &servers[0] {
        Has::Record(text) if all_agree => RecursiveAnswer::Found { txt: vec![txt(text)], security: Security::Insecure },
        _ => RecursiveAnswer::NotAsked,
    };
    Observed {
        observation: Observation {
            record_name: "s._domainkey.example.com".into(),
            at: now.wall,
            hops: vec![Hop {
                name: "s._domainkey.example.com".into(),
                zone: Some(Arc::new(zone)),
                zone_unknown: None,
                answers: answers.collect(),
            }],
            chain: ChainEnd::Complete,
            wildcard: None,
            recursive: Recursive { resolver: "192.0.2.53".into(), answer },
        },
        outside: Vec::new(),
        at: now.clone(),
    }
}

pub(crate) fn outcome(has: &Has) -> Outcome {
    let response = |code, txt: Vec<Txt>| {
        Outcome::Answered(Box::new(Response {
            code,
            authoritative: true,
            truncation: Truncation::None,
            txt,
            cname: None,
            soa: None,
            signatures: Vec::new(),
            unchecked: None,
            took: Duration::from_millis(1),
        }))
    };
    match has {
        Has::Nothing => response(Code::NxDomain, vec![]),
        Has::Record(text) => response(Code::NoError, vec![txt(text)]),
        Has::Silence => Outcome::Silent(Silence::Timeout),
        Has::Refusal => response(Code::Refused, vec![]),
    }
}

fn txt(text: &str) -> Txt {
    Txt { strings: text.as_bytes().chunks(255).map(<[u8]>::to_vec).collect(), ttl: 3600 }
}

fn address(index: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, u8::try_from(index).unwrap() + 1))
}
