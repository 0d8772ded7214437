//! BIND and Knot.

use std::net::SocketAddr;
use std::time::Duration;

use waxseal::dns::{AskedServers, Recursion, Resolvers, Settings, TrustAnchor, ZoneFile};
use waxseal::names::{DomainName, Selector};
use waxseal::observation::{Code, Hop, Observation, Outcome, RecursiveAnswer, Security, Signature};

use crate::common::*;
use crate::support::*;

const LINES: &str = "s._domainkey 1800 TXT \"v=DKIM1; \" \"p=AAAA\"\n*._domainkey.wild TXT \"v=DKIM1; p=\"\n\
                     alias._domainkey CNAME s._domainkey\nlong._domainkey TXT";

fn lines() -> String {
    let long = format!(" \"{}\"", "x".repeat(250)).repeat(20);
    format!("{LINES}{long}\n")
}

fn settings_of(servers: &[SocketAddr], trust_anchor: Option<String>) -> Settings {
    Settings {
        resolvers: Resolvers::Servers(servers[..1].to_vec()),
        servers: AskedServers::Exactly(servers.to_vec()),
        timeout: Duration::from_secs(1),
        trust_anchor: trust_anchor.map(|dnskeys| TrustAnchor { dnskeys }),
        ..Settings::default()
    }
}

/// A root zone, `test.` and example.test on one BIND, signed from the root down.
fn signed_internet(signatures: Signatures, ds: impl Fn(&SignedZone) -> String) -> (Bind, String) {
    let here = [loopback(1)];
    let example = sign_zone(&ZoneText::new("example.test", &here, &lines()), signatures);
    let test = format!("example NS ns1.example\nns1.example A 127.0.0.1\n{}", ds(&example));
    let test = sign_zone(&ZoneText::new("test", &here, &test), Signatures::Good);
    let root = format!("test. NS ns1.test.\nns1.test. A 127.0.0.1\n{}", test.ds);
    let root = sign_zone(&ZoneText::new(".", &here, &root), Signatures::Good);
    let bind = Bind::start(&[root.zone, test.zone, example.zone], &here);
    (bind, root.trust_anchor)
}

fn sees_what_it_should(servers: &[SocketAddr]) {
    let settings = settings_of(servers, None);
    let seen = observe(&settings);
    let here = servers[0].ip();
    assert_eq!(seen.hops[0].zone.as_ref().unwrap().apex, "example.test");
    let response = answered(&seen.hops[0], here);
    assert_eq!(response.txt[0].strings, [b"v=DKIM1; ".to_vec(), b"p=AAAA".to_vec()]);
    assert_eq!((response.txt[0].ttl, response.authoritative), (1800, true));
    assert_eq!(observe_at(&settings, "example.test", "long").hops[0].answers.len(), servers.len());
    assert_eq!(answered(&observe_at(&settings, "example.test", "long").hops[0], here).txt[0].strings.len(), 20);
    assert_eq!(observe_at(&settings, "example.test", "alias").hops.len(), 2);
    let wild = observe_at(&settings, "wild.example.test", "s").wildcard.unwrap();
    let Outcome::Answered(response) = &wild.answers[0].outcome else { panic!("{wild:?}") };
    assert_eq!(response.txt.len(), 1);
}

#[test]
#[ignore = "needs Debian's bind9: run tests/run-all"]
fn bind_is_seen_as_it_is_and_after_a_reload() {
    let zone = |lines: &str, serial: &str| {
        let zone = ZoneText::new("example.test", &[loopback(1)], lines);
        ZoneText { text: zone.text.replace(" 1 7200", &format!(" {serial} 7200")), ..zone }
    };
    let bind = Bind::start(&[zone(&lines(), "1")], &[loopback(1)]);
    sees_what_it_should(bind.servers());
    bind.reload(&[zone("", "2")]);
    let seen = observe(&settings_of(bind.servers(), None));
    assert!(answered(&seen.hops[0], loopback(1)).txt.is_empty());
    assert_eq!(seen.hops[0].zone.as_ref().unwrap().soas[0].soa.as_ref().unwrap().serial, 2);
    let server = bind.servers()[0];
    bind.stop();
    assert!(!is_authoritative(server, "example.test"));
}

#[test]
#[ignore = "needs Debian's knot: run tests/run-all"]
fn knot_is_seen_as_it_is() {
    let zone = ZoneText::new("example.test", &[loopback(1), loopback(2)], &lines());
    let knot = Knot::start(&[zone], &[loopback(1), loopback(2)], KnotSigning::Off);
    sees_what_it_should(knot.servers());
}

#[test]
#[ignore = "needs Debian's bind9: run tests/run-all"]
fn a_signed_zone_below_a_trust_anchor_is_secure() {
    let (bind, anchor) = signed_internet(Signatures::Good, |zone| zone.ds.clone());
    let settings = settings_of(bind.servers(), Some(anchor));
    let seen = observe(&settings);
    assert_eq!(seen.hops[0].zone.as_ref().unwrap().has_ds, Some(true));
    let expires = answered(&seen.hops[0], loopback(1)).signatures[0].expires;
    assert!(expires.as_second() - seen.at.as_second() > 28 * 86_400, "{expires}");
    let RecursiveAnswer::Found { security, .. } = seen.recursive.answer else { panic!("{:?}", seen.recursive) };
    assert_eq!(security, Security::Secure);
    let alias = observe_at(&settings, "example.test", "alias");
    assert!(matches!(alias.recursive.answer, RecursiveAnswer::Found { security: Security::Secure, .. }), "{alias:#?}");
    let only = observe(&Settings { recursion: Recursion::Only, ..settings });
    assert!(matches!(only.recursive.answer, RecursiveAnswer::Found { security: Security::Secure, .. }), "{only:#?}");
}

#[test]
#[ignore = "needs Debian's bind9: run tests/run-all"]
fn a_signed_zone_without_a_ds_record_is_insecure() {
    let (bind, anchor) = signed_internet(Signatures::Good, |_| String::new());
    let seen = observe(&settings_of(bind.servers(), Some(anchor)));
    assert_eq!(seen.hops[0].zone.as_ref().unwrap().has_ds, Some(false));
    assert!(matches!(seen.recursive.answer, RecursiveAnswer::Found { security: Security::Insecure, .. }), "{seen:#?}");
}

#[test]
#[ignore = "needs Debian's bind9: run tests/run-all"]
fn signatures_that_are_over_are_bogus() {
    let (bind, anchor) = signed_internet(Signatures::Expired, |zone| zone.ds.clone());
    let seen = observe(&settings_of(bind.servers(), Some(anchor)));
    let expired = answered(&seen.hops[0], loopback(1)).signatures[0].expires;
    assert!(expired < seen.at);
    assert!(matches!(seen.recursive.answer, RecursiveAnswer::Bogus { .. }), "{:?}", seen.recursive);
}

#[test]
#[ignore = "needs Debian's bind9: run tests/run-all"]
fn a_ds_record_of_another_key_is_bogus() {
    let other = sign_zone(&ZoneText::new("example.test", &[loopback(1)], ""), Signatures::Good);
    let (bind, anchor) = signed_internet(Signatures::Good, |_| other.ds.clone());
    let seen = observe(&settings_of(bind.servers(), Some(anchor)));
    assert!(matches!(seen.recursive.answer, RecursiveAnswer::Bogus { .. }), "{:?}", seen.recursive);
}

#[test]
#[ignore = "needs Debian's knot: run tests/run-all"]
fn a_zone_that_knot_signs_is_secure_below_its_own_key() {
    let zone = ZoneText::new("example.test", &[loopback(1)], &lines());
    let knot = Knot::start(&[zone], &[loopback(1)], KnotSigning::On);
    assert!(knot.ds("example.test").contains(" DS "));
    let seen = observe(&settings_of(knot.servers(), Some(knot.trust_anchor("example.test"))));
    assert!(!answered(&seen.hops[0], loopback(1)).signatures.is_empty());
    assert!(matches!(seen.recursive.answer, RecursiveAnswer::Found { security: Security::Secure, .. }), "{seen:#?}");
}

/// The strings of a TXT record.
type Strings = Vec<Vec<u8>>;

/// What matters of an answer: a file and a server that serves it say the same.
fn said(hop: &Hop) -> (Code, Vec<Strings>, Option<String>, Vec<Signature>) {
    let Outcome::Answered(response) = &hop.answers[0].outcome else { panic!("{hop:#?}") };
    let mut texts: Vec<_> = response.txt.iter().map(|txt| txt.strings.clone()).collect();
    texts.sort();
    (response.code, texts, response.cname.as_ref().map(|cname| cname.target.clone()), response.signatures.clone())
}

#[test]
#[ignore = "needs Debian's bind9: run tests/run-all"]
fn a_zone_file_says_what_bind_says_that_serves_it() {
    let lines = lines()
        + "two._domainkey TXT ( \"a\\\"b\" ; a comment\n  c\\;d \"\\200\" )\n  3m IN TXT second\nempty.t._domainkey A 192.0.2.1\n";
    let unsigned = ZoneText::new("example.test", &[loopback(1)], &lines);
    let signed = sign_zone(&unsigned, Signatures::Good).zone;
    for zone in [unsigned, signed] {
        let file = ZoneFile::parse(&zone.text, None, "example.test.zone").unwrap();
        let bind = Bind::start(&[zone], &[loopback(1)]);
        let settings = settings_of(bind.servers(), None);
        for (domain, selector) in [
            ("example.test", "s"),
            ("example.test", "alias"),
            ("example.test", "long"),
            ("example.test", "two"),
            ("example.test", "t"),
            ("example.test", "absent"),
            ("wild.example.test", "s"),
        ] {
            let served = observe_at(&settings, domain, selector);
            let (name, key) = (DomainName::parse(domain).unwrap(), Selector::parse(selector).unwrap());
            let read = file.observe(&name, &key, served.at);
            let of = |seen: &Observation| seen.hops.iter().map(said).collect::<Vec<_>>();
            assert_eq!(of(&read), of(&served), "{selector} at {domain}");
            assert_eq!(read.hops[0].zone.as_ref().unwrap().apex, served.hops[0].zone.as_ref().unwrap().apex);
        }
    }
}
