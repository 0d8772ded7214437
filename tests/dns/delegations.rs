//! Zones and their servers.

use std::net::IpAddr;

use waxseal::dns::{AskedServers, Settings};
use waxseal::observation::{Code, Observation, Zone};

use crate::common::*;
use crate::support::*;

fn zone(seen: &Observation) -> &Zone {
    seen.hops[0].zone.as_ref().unwrap_or_else(|| panic!("{seen:#?}"))
}

#[test]
fn a_zone_is_found_from_the_public_suffix_down() {
    let server = world(GOOD);
    let seen = observe(&settings(&server));
    let zone = zone(&seen);
    assert_eq!(zone.apex, "example.test");
    assert_eq!(zone.has_ds, Some(false));
    let names: Vec<_> = zone.name_servers.iter().map(|server| server.name.as_str()).collect();
    assert_eq!(names, ["ns1.example.test", "ns2.example.test"]);
    assert!(zone.name_servers.iter().all(|server| server.in_delegation && server.in_apex && !server.is_configured));
    assert_eq!(zone.name_servers[0].addresses, [FIRST]);
    assert!(zone.soas.iter().all(|soa| soa.soa.as_ref().is_some_and(|soa| soa.serial == 7)));
}

#[test]
fn only_what_is_above_the_domain_is_asked_of_the_resolver_before_agreement() {
    let server = world("");
    observe(&settings(&server));
    let asked = server.asked();
    let names: Vec<_> = asked.iter().filter(|asked| asked.at == RESOLVER).map(|asked| asked.name.as_str()).collect();
    assert!(names.iter().all(|name| ["test", "ns.nic.test"].contains(name)), "{names:?}");
}

#[test]
fn name_servers_of_delegation_and_apex_are_told_apart_and_all_asked() {
    let server = world(GOOD);
    server.serve(
        &[FIRST, SECOND],
        "example.test",
        &format!("@ SOA ns1 h 1 1 1 1 60\n@ NS ns1\n@ NS ns.example.net.\nns1 A 127.0.0.2\n{GOOD}"),
    );
    server.serve(&[OTHER], "example.net", "@ SOA ns1 h 1 1 1 1 60\n@ NS ns1\nns1 A 127.0.0.4\nns A 127.0.0.4\n");
    let seen = observe(&settings(&server));
    let of = |name: &str| zone(&seen).name_servers.iter().find(|server| server.name == name).unwrap();
    assert!(of("ns1.example.test").in_delegation && of("ns1.example.test").in_apex);
    assert!(of("ns2.example.test").in_delegation && !of("ns2.example.test").in_apex);
    assert!(!of("ns.example.net").in_delegation && of("ns.example.net").in_apex);
    let asked: Vec<IpAddr> = seen.hops[0].answers.iter().map(|answer| answer.server.address.ip()).collect();
    assert_eq!(asked, [FIRST, SECOND, OTHER]);
    assert_eq!(answered(&seen.hops[0], OTHER).code, Code::Refused);
}

#[test]
fn a_name_server_without_an_address_is_named() {
    let server = world(GOOD);
    server.serve(
        &[FIRST, SECOND],
        "example.test",
        &format!("@ SOA ns1 h 1 1 1 1 60\n@ NS ns1\n@ NS ns2\n@ NS gone.example.net.\nns1 A 127.0.0.2\n{GOOD}"),
    );
    let seen = observe(&settings(&server));
    let gone = zone(&seen).name_servers.iter().find(|server| server.name == "gone.example.net").unwrap();
    assert!(gone.addresses.is_empty() && gone.unresolved.is_some());
}

#[test]
fn a_delegated_domainkey_zone_is_asked_at_its_own_servers() {
    let server = world("_domainkey NS ns1._domainkey\nns1._domainkey A 127.0.0.4\n");
    server.serve(
        &[OTHER],
        "_domainkey.example.test",
        "@ SOA ns1 h 9 1 1 1 60\n@ NS ns1\nns1 A 127.0.0.4\ns TXT \"v=DKIM1; p=DDDD\"\n",
    );
    for settings in [settings(&server), exactly(&server)] {
        let seen = observe(&settings);
        assert_eq!(zone(&seen).apex, "_domainkey.example.test");
        assert_eq!(zone(&seen).soas[0].soa.as_ref().unwrap().serial, 9);
        assert_eq!(answered(&seen.hops[0], OTHER).txt[0].joined(), b"v=DKIM1; p=DDDD");
        assert_eq!(seen.hops[0].answers.len(), 1);
    }
}

#[test]
fn one_delegated_selector_is_asked_at_its_own_servers() {
    let server = world("s._domainkey NS ns1.example.net.\n");
    server.serve(&[OTHER], RECORD, "@ SOA ns1 h 9 1 1 1 60\n@ NS ns1.example.net.\n@ TXT \"v=DKIM1; p=EEEE\"\n");
    let seen = observe(&settings(&server));
    assert_eq!(zone(&seen).apex, RECORD);
    assert_eq!(answered(&seen.hops[0], OTHER).txt[0].joined(), b"v=DKIM1; p=EEEE");
}

#[test]
fn a_child_zone_on_the_same_servers_is_known_by_its_soa() {
    let server = world("");
    server.serve(
        &[FIRST, SECOND],
        "sub.example.test",
        "@ SOA ns1 h 11 1 1 1 60\n@ NS ns1.example.test.\ns._domainkey TXT \"v=DKIM1; p=\"\n",
    );
    let seen = observe_at(&settings(&server), "sub.example.test", "s");
    assert_eq!(zone(&seen).apex, "sub.example.test");
    assert_eq!(answered(&seen.hops[0], FIRST).txt.len(), 1);
    assert_eq!(seen.hops[0].answers.len(), 1, "only ns1 is named there");
}

#[test]
fn hidden_primaries_are_asked_besides() {
    let server = world(GOOD);
    server.serve(&[OTHER], "example.test", APEX);
    let settings = Settings { extra_servers: vec![server.at(OTHER)], ..settings(&server) };
    let seen = observe(&settings);
    assert_eq!(seen.hops[0].answers.len(), 3);
    assert_eq!(answered(&seen.hops[0], OTHER).code, Code::NxDomain);
    assert!(zone(&seen).name_servers.iter().any(|server| server.is_configured));
}

#[test]
fn a_hidden_primary_of_other_zones_is_none_of_this_one() {
    let server = world(GOOD);
    let settings = Settings { extra_servers: vec![server.at(OTHER)], ..settings(&server) };
    let seen = observe(&settings);
    assert_eq!(seen.hops[0].answers.len(), 2, "OTHER refuses what it does not serve");
    assert!(zone(&seen).name_servers.iter().all(|server| !server.is_configured));
}

#[test]
fn a_domain_that_is_not_delegated_does_not_exist() {
    let server = world(GOOD);
    let seen = observe_at(&settings(&server), "nobody.test", "s");
    assert_eq!(zone(&seen).apex, "test");
    assert_eq!(answered(&seen.hops[0], TEST).code, Code::NxDomain);
}

#[test]
fn a_zone_that_only_our_resolver_knows_is_found() {
    let server = world(GOOD);
    server.serve(
        &[OTHER],
        "inside.test",
        "@ SOA ns1 h 5 1 1 1 60\n@ NS ns1\nns1 A 127.0.0.4\ns._domainkey TXT \"v=DKIM1; p=\"\n",
    );
    let seen = observe_at(&settings(&server), "inside.test", "s");
    assert_eq!(zone(&seen).apex, "inside.test");
    assert_eq!(answered(&seen.hops[0], OTHER).txt.len(), 1);
}

#[test]
fn without_a_resolver_the_zone_is_not_known_and_says_why() {
    let server = world(GOOD);
    server.lie(RESOLVER, "test", Lie::Silence);
    server.lie(RESOLVER, "example.test", Lie::Silence);
    let seen = observe(&settings(&server));
    assert!(seen.hops[0].answers.is_empty());
    assert!(seen.hops[0].zone_unknown.as_ref().unwrap().contains("no answer in time"), "{seen:#?}");
}

#[test]
fn given_servers_that_refer_upwards_are_not_followed() {
    let server = world(GOOD);
    let servers = AskedServers::Exactly(vec![server.at(OTHER)]);
    server.serve(
        &[OTHER],
        ".",
        "@ SOA a.root h 1 1 1 1 60\n@ NS a.root\ntest NS ns.nic.test\nns.nic.test A 127.0.0.1\n",
    );
    let seen = observe(&Settings { servers, ..settings(&server) });
    assert!(seen.hops[0].zone.is_none(), "{seen:#?}");
    assert!(!answered(&seen.hops[0], OTHER).authoritative);
    assert!(server.asked().iter().all(|asked| asked.at == OTHER), "{:#?}", server.asked());
}
