//! Recursive look-ups.

use hickory_resolver::proto::op::ResponseCode;
use waxseal::dns::{Observer, Recursion, Resolvers, Settings, SetupError, TrustAnchor};
use waxseal::observation::{ChainEnd, Code, Dmarc, RecursiveAnswer, Security};

use crate::common::*;
use crate::support::*;

#[test]
fn a_resolver_is_asked_once_all_servers_agree() {
    let server = world(GOOD);
    let seen = observe(&settings(&server));
    let RecursiveAnswer::Found { txt, security } = &seen.recursive.answer else { panic!("{:?}", seen.recursive) };
    assert_eq!(txt[0].joined(), b"v=DKIM1; p=AAAA");
    assert_eq!(*security, Security::Insecure);
    assert_eq!(seen.recursive.resolver, server.at(RESOLVER).to_string());
    let asked = server.asked();
    let first_recursive = asked.iter().position(|asked| asked.at == RESOLVER && asked.name == RECORD).unwrap();
    let authoritative = |asked: &Asked| asked.at != RESOLVER && asked.name == RECORD;
    assert!(!asked[first_recursive..].iter().any(authoritative), "it was asked before all had answered");
}

#[test]
fn a_resolver_is_not_asked_when_nobody_wants_it() {
    let server = world(GOOD);
    let seen = observe(&Settings { recursion: Recursion::Never, ..exactly(&server) });
    assert_eq!(seen.recursive.answer, RecursiveAnswer::NotAsked);
    assert!(server.asked().iter().all(|asked| asked.at != RESOLVER));
}

#[test]
fn a_stale_resolver_is_seen() {
    let server = world(GOOD);
    server.lie(RESOLVER, RECORD, Lie::Code(ResponseCode::NXDomain));
    let seen = observe(&settings(&server));
    assert!(matches!(seen.recursive.answer, RecursiveAnswer::Absent { code: Code::NxDomain, .. }));
}

#[test]
fn a_resolver_that_fails_unless_unchecked_says_bogus() {
    let server = world(GOOD);
    server.lie(RESOLVER, RECORD, Lie::ServFailUnlessUnchecked);
    assert!(matches!(observe(&settings(&server)).recursive.answer, RecursiveAnswer::Bogus { .. }));
    server.lie(RESOLVER, RECORD, Lie::Code(ResponseCode::ServFail));
    assert!(matches!(observe(&settings(&server)).recursive.answer, RecursiveAnswer::Failed { .. }));
    server.lie(RESOLVER, RECORD, Lie::Silence);
    assert!(matches!(observe(&settings(&server)).recursive.answer, RecursiveAnswer::Failed { .. }));
}

#[test]
fn where_port_53_is_blocked_only_the_resolver_is_asked() {
    let server = world(GOOD);
    let seen = observe(&Settings { recursion: Recursion::Only, ..settings(&server) });
    assert!(matches!(&seen.recursive.answer, RecursiveAnswer::Found { txt, .. } if txt[0].ttl == 1800));
    assert_eq!((seen.hops.len(), seen.hops[0].answers.len(), seen.chain), (1, 0, ChainEnd::Complete));
    assert!(seen.wildcard.is_none());
    assert!(server.asked().iter().all(|asked| asked.at == RESOLVER));
}

#[test]
fn dmarc_is_found_at_the_domain_or_its_registrable_domain() {
    let server = world("_dmarc TXT \"v=DMARC1; p=none; adkim=s\"\n_dmarc TXT \"something else\"\n");
    let found = Dmarc::Found { name: "_dmarc.example.test".into(), record: "v=DMARC1; p=none; adkim=s".into() };
    assert_eq!(dmarc(&settings(&server), "example.test"), found);
    assert_eq!(dmarc(&settings(&server), "mail.example.test"), found);
    assert_eq!(dmarc(&settings(&server), "example.net"), Dmarc::Absent);
    server.lie(RESOLVER, "_dmarc.example.test", Lie::Silence);
    assert_eq!(dmarc(&settings(&server), "example.test"), Dmarc::Unknown);
    assert_eq!(dmarc(&Settings { recursion: Recursion::Never, ..settings(&server) }, "example.test"), Dmarc::Unknown);
}

#[test]
fn a_dead_resolver_is_passed_over_once_another_has_answered() {
    let server = world(GOOD);
    let resolvers = Resolvers::Servers(vec![(RESOLVER, free_port()).into(), server.at(RESOLVER)]);
    let seen = observe(&Settings { resolvers, ..settings(&server) });
    assert!(matches!(seen.recursive.answer, RecursiveAnswer::Found { .. }), "{seen:#?}");
}

#[test]
fn without_resolvers_or_with_a_bad_trust_anchor_there_is_no_observer() {
    let none = Settings { resolvers: Resolvers::Servers(Vec::new()), ..Settings::default() };
    assert!(matches!(Observer::new(&none), Err(SetupError::NoServers)));
    let anchor = TrustAnchor { dnskeys: "example.test. IN DS 1 2 3 00".into() };
    let resolvers = Resolvers::Servers(vec![(RESOLVER, 53).into()]);
    let bad = Settings { resolvers, trust_anchor: Some(anchor), ..Settings::default() };
    assert!(matches!(Observer::new(&bad), Err(SetupError::TrustAnchor { .. })));
}

#[test]
fn given_servers_alone_need_no_resolver() {
    let server = world(GOOD);
    let resolvers = Resolvers::Servers(Vec::new());
    let seen = observe(&Settings { resolvers, recursion: Recursion::Never, ..exactly(&server) });
    assert_eq!(answered(&seen.hops[0], FIRST).txt.len(), 1);
    assert_eq!(seen.hops[0].zone.as_ref().unwrap().has_ds, None);
}
