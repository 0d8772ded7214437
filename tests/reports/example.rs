//! A report with something of everything, and text from DNS that means harm.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use waxseal::finding::{Finding, Place, RuleDescription, Severity};
use waxseal::names::{DomainName, Selector};
use waxseal::observation::{
    ChainEnd, Cname, Code, Hop, NameServer, Observation, Outcome, Recursive, RecursiveAnswer, Response, Security,
    Server, ServerAnswer, ServerSoa, Signature, Silence, Soa, Truncation, Txt, Wildcard, Zone,
};
use waxseal::report::{DomainReport, KeyReport, Report};

pub(crate) const RULES: &[RuleDescription] = &[
    rule("D02", Severity::Error, "more than one TXT record at the name"),
    rule("D10", Severity::Warning, "the record's TTL is long"),
    rule("D13", Severity::Info, "the zone is not signed"),
    rule("D16", Severity::Warning, "some servers do not answer"),
    rule("K09", Severity::Error, "the published key is not the one that is held"),
    rule("P08", Severity::Info, "no key stands by"),
    rule("S06", Severity::Error, "quotes or backslashes in the value"),
];

const fn rule(id: &'static str, severity: Severity, title: &'static str) -> RuleDescription {
    RuleDescription { id, severity, title, explanation: "Why it matters. What to do." }
}

/// Everything at once.
pub(crate) fn report() -> Report {
    report_of(vec![example_com(), example_net(), example_org(), hostile()])
}

pub(crate) fn report_of(domains: Vec<DomainReport>) -> Report {
    let started: Timestamp = "2026-11-23T18:00:00.25Z".parse().unwrap();
    let finished = "2026-11-23T18:00:02Z".parse().unwrap();
    Report { started, finished, fail_on: Severity::Warning, domains, rules: RULES }
}

/// A domain whose only key is as it should be, save that there is something to know.
pub(crate) fn clean(name: &str) -> DomainReport {
    let domain = domain(name);
    let unsigned = finding(&domain, None, None, ("D13", Severity::Info), "the zone has no DNSKEY");
    let key = key(&domain, "20261123r", 7);
    DomainReport { domain, findings: vec![unsigned], keys: vec![key] }
}

/// A domain whose name servers are down.
pub(crate) fn silent(name: &str) -> DomainReport {
    let domain = domain(name);
    let mut key = key(&domain, "20261123r", 7);
    key.undetermined = Some("ns.example: no answer in time".into());
    DomainReport { domain, findings: Vec::new(), keys: vec![key] }
}

fn example_com() -> DomainReport {
    let domain = domain("example.com");
    let (record_name, record) =
        ("20261123r", "20261123r._domainkey.example.com. 3600 IN TXT ( \"v=DKIM1; k=rsa; p=MIIB\" )");
    let two = |server| {
        finding(
            &domain,
            Some(record_name),
            Some(server),
            ("D02", Severity::Error),
            "2 TXT records, of 410 and 36 octets",
        )
        .expecting("one")
        .publishing(record)
    };
    let mut rsa = key(&domain, record_name, 12);
    let long = finding(&domain, Some(record_name), None, ("D10", Severity::Warning), "its TTL is 172800 seconds");
    rsa.findings =
        vec![two("ns1.example.com (192.0.2.1)"), two("ns2.example.com (2001:db8::2)"), long.expecting("at most a day")];
    rsa.observation = Some(observation());
    let mut ed25519 = key(&domain, "20261123e", 21);
    ed25519.algorithm = Some("ed25519-sha256");
    let long = finding(&domain, Some("20261123e"), None, ("D10", Severity::Warning), "its TTL is 172800 seconds");
    ed25519.findings = vec![long.expecting("at most a day")];
    let standby = finding(&domain, None, None, ("P08", Severity::Info), "no key is ready");
    DomainReport { domain, findings: vec![standby], keys: vec![rsa, ed25519] }
}

fn example_net() -> DomainReport {
    let domain = domain("example.net");
    let mut silent = key(&domain, "s1", 3);
    silent.undetermined = Some("none of 2 servers answers: no answer in time".into());
    silent.observation = Some(silence());
    let mut other = key(&domain, "s2", 9);
    other.state = None;
    other.algorithm = None;
    other.source = None;
    other.undetermined = silent.undetermined.clone();
    DomainReport { domain, findings: Vec::new(), keys: vec![silent, other] }
}

fn example_org() -> DomainReport {
    clean("example.org")
}

fn hostile() -> DomainReport {
    let domain = domain("bücher.example");
    let mut key = key(&domain, "s.1", 5);
    key.source = Some(Place::Line { path: PathBuf::from("/srv/a b,c:%/ü\n.json"), line: 5, column: 1 });
    let evidence = "it holds \x1b]0;owned\x07 \u{9b}31m \u{202e} | 100%, a: b]]> <p>&\r\n::error::no";
    let broken = finding(&domain, Some("s.1"), None, ("S06", Severity::Error), evidence);
    key.findings = vec![broken.publishing("s.1._domainkey 3600 IN TXT \"\x1b[2J\"")];
    let other =
        finding(&domain, None, Some("ns|1 (192.0.2.9)"), ("X99", Severity::Error), "a rule that nobody describes");
    DomainReport { domain, findings: vec![other], keys: vec![key] }
}

fn domain(name: &str) -> DomainName {
    DomainName::parse(name).unwrap()
}

fn key(domain: &DomainName, selector: &str, line: usize) -> KeyReport {
    let path = PathBuf::from(format!("keys/{domain}.json"));
    KeyReport {
        selector: Selector::parse(selector).unwrap(),
        algorithm: Some("rsa-sha256"),
        state: Some("active"),
        source: Some(Place::Line { path, line, column: 5 }),
        findings: Vec::new(),
        undetermined: None,
        observation: None,
    }
}

fn finding(
    domain: &DomainName,
    selector: Option<&str>,
    server: Option<&str>,
    (rule, severity): (&'static str, Severity),
    evidence: &str,
) -> Finding {
    let selector = selector.map(|selector| Selector::parse(selector).unwrap());
    let place = Place::Domain { domain: domain.clone(), selector, server: server.map(Into::into) };
    let remedy = if severity == Severity::Info { "" } else { "publish the record as it is below, and nothing else" };
    Finding::new(rule, severity, place, evidence, remedy)
}

fn server(at: u8) -> Server {
    Server { name: format!("ns{at}.example.com"), address: ([192, 0, 2, at], 53).into() }
}

fn answered(at: u8, txt: Vec<Txt>) -> ServerAnswer {
    let response = Response {
        code: Code::NoError,
        authoritative: true,
        truncation: Truncation::CompletedOverTcp,
        txt,
        cname: None,
        soa: None,
        signatures: vec![Signature { expires: "2026-12-01T00:00:00Z".parse().unwrap() }],
        unchecked: None,
        took: Duration::from_micros(20_300),
    };
    ServerAnswer { server: server(at), outcome: Outcome::Answered(Box::new(response)) }
}

/// Each shape that an observation can have, in some place.
fn observation() -> Observation {
    let soa = Soa { serial: 2_026_112_301, ttl: 3600, minimum: 300 };
    let name_server = NameServer {
        name: "ns1.example.com".into(),
        in_delegation: true,
        in_apex: false,
        is_configured: false,
        addresses: vec![[192, 0, 2, 1].into()],
        unresolved: Some("no AAAA answer".into()),
    };
    let zone = Zone {
        apex: "example.com".into(),
        name_servers: vec![name_server],
        has_ds: Some(true),
        soas: vec![ServerSoa { server: server(1), soa: Some(soa.clone()) }, ServerSoa { server: server(2), soa: None }],
    };
    let txt = |text: &[u8]| Txt { strings: vec![text.to_vec(), b"\x1b[31m\xff".to_vec()], ttl: 172_800 };
    let mut bogus = answered(1, Vec::new());
    if let Outcome::Answered(response) = &mut bogus.outcome {
        let unchecked = Response { cname: Some(Cname { target: "a.example".into(), ttl: 60 }), ..(**response).clone() };
        response.code = Code::ServFail;
        response.truncation = Truncation::TcpFailed { detail: "connection refused".into() };
        response.soa = Some(soa);
        response.unchecked = Some(Box::new(unchecked));
    }
    Observation {
        record_name: "20261123r._domainkey.example.com".into(),
        at: "2026-11-23T18:00:01Z".parse().unwrap(),
        hops: vec![Hop {
            name: "20261123r._domainkey.example.com".into(),
            zone: Some(Arc::new(zone)),
            zone_unknown: None,
            answers: vec![answered(1, vec![txt(b"v=DKIM1; p="), txt(b"other")]), bogus],
        }],
        chain: ChainEnd::Complete,
        wildcard: Some(Arc::new(Wildcard {
            name: "x._domainkey.example.com".into(),
            answers: vec![answered(2, Vec::new())],
        })),
        recursive: Recursive {
            resolver: "127.0.0.53".into(),
            answer: RecursiveAnswer::Found { txt: vec![txt(b"v=DKIM1; p=")], security: Security::Secure },
        },
    }
}

fn silence() -> Observation {
    let said = |at, outcome| ServerAnswer { server: server(at), outcome };
    Observation {
        record_name: "s1._domainkey.example.net".into(),
        at: "2026-11-23T18:00:01Z".parse().unwrap(),
        hops: vec![Hop {
            name: "s1._domainkey.example.net".into(),
            zone: None,
            zone_unknown: Some("no server of net answers".into()),
            answers: vec![
                said(1, Outcome::Silent(Silence::Timeout)),
                said(2, Outcome::Silent(Silence::Unreachable { detail: "no route to host".into() })),
                said(3, Outcome::Silent(Silence::Malformed { detail: "another question".into() })),
                said(4, Outcome::NoRoute),
            ],
        }],
        chain: ChainEnd::TooLong,
        wildcard: None,
        recursive: Recursive { resolver: String::new(), answer: RecursiveAnswer::NotAsked },
    }
}
