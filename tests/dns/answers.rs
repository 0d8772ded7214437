//! What servers answer.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use hickory_resolver::proto::op::ResponseCode;
use waxseal::dns::{AskedServers, Settings, Taken};
use waxseal::observation::{Code, Outcome, Silence, Truncation};

use crate::common::*;
use crate::support::*;

#[test]
fn every_server_is_asked_for_the_record() {
    let server = world(GOOD);
    let seen = observe(&settings(&server));
    assert_eq!(seen.record_name, RECORD);
    let [hop] = seen.hops.as_slice() else { panic!("{seen:#?}") };
    assert_eq!(hop.answers.len(), 2);
    for address in [FIRST, SECOND] {
        let response = answered(hop, address);
        assert_eq!(response.code, Code::NoError);
        assert!(response.authoritative);
        assert_eq!(response.txt[0].strings, [b"v=DKIM1; ".to_vec(), b"p=AAAA".to_vec()]);
        assert_eq!(response.txt[0].ttl, 1800);
    }
    let asked = server.asked();
    let questions: Vec<_> = asked.iter().filter(|asked| asked.at != RESOLVER).collect();
    assert!(questions.iter().all(|asked| !asked.recursion_desired), "{questions:#?}");
}

#[test]
fn given_servers_are_asked_instead() {
    let server = world(GOOD);
    let seen = observe(&exactly(&server));
    let zone = seen.hops[0].zone.as_ref().unwrap();
    assert_eq!(zone.apex, "example.test");
    assert_eq!(zone.soas.len(), 2);
    assert!(zone.soas.iter().all(|soa| soa.soa.as_ref().is_some_and(|soa| soa.serial == 7 && soa.minimum == 600)));
    assert!(zone.name_servers.iter().all(|server| server.is_configured && !server.in_apex));
    assert_eq!(zone.has_ds, Some(false));
    assert!(server.asked().iter().all(|asked| asked.at != TEST), "the delegation is not looked for");
}

#[test]
fn no_record_and_no_name_are_told_apart_with_their_soa() {
    let server = world("t._domainkey A 127.0.0.1\n");
    let nodata = observe_at(&exactly(&server), "example.test", "t");
    let response = answered(&nodata.hops[0], FIRST);
    assert_eq!((response.code, response.txt.len()), (Code::NoError, 0));
    let nxdomain = observe(&exactly(&server));
    let response = answered(&nxdomain.hops[0], FIRST);
    assert_eq!(response.code, Code::NxDomain);
    assert_eq!(response.soa.as_ref().unwrap().negative_ttl(), 600);
    assert!(!was_poisoned(&server));
}

#[test]
fn a_refusal_and_a_lame_server_are_seen_as_such() {
    let server = world(GOOD);
    server.lie(FIRST, RECORD, Lie::Code(ResponseCode::Refused));
    server.lie(SECOND, RECORD, Lie::Lame);
    let seen = observe(&settings(&server));
    assert_eq!(answered(&seen.hops[0], FIRST).code, Code::Refused);
    assert!(!answered(&seen.hops[0], SECOND).authoritative);
    assert!(!was_poisoned(&server));
}

#[test]
fn servers_that_differ_are_each_seen() {
    let server = world(GOOD);
    server.lie(SECOND, RECORD, Lie::Records(format!("{RECORD}. 60 TXT \"v=DKIM1; p=CCCC\"")));
    let seen = observe(&settings(&server));
    assert_eq!(answered(&seen.hops[0], FIRST).txt[0].joined(), b"v=DKIM1; p=AAAA");
    assert_eq!(answered(&seen.hops[0], SECOND).txt[0].joined(), b"v=DKIM1; p=CCCC");
    assert!(!was_poisoned(&server));
}

#[test]
fn after_servfail_it_is_asked_with_checking_disabled() {
    let server = world(GOOD);
    server.lie(FIRST, RECORD, Lie::ServFailUnlessUnchecked);
    server.lie(SECOND, RECORD, Lie::Code(ResponseCode::ServFail));
    let seen = observe(&settings(&server));
    let bogus = answered(&seen.hops[0], FIRST);
    assert_eq!(bogus.code, Code::ServFail);
    assert_eq!(bogus.unchecked.as_ref().unwrap().txt[0].joined(), b"v=DKIM1; p=AAAA");
    let broken = answered(&seen.hops[0], SECOND);
    assert_eq!((broken.code, &broken.unchecked), (Code::ServFail, &None));
    assert!(server.asked().iter().any(|asked| asked.at == SECOND && asked.checking_disabled));
}

#[test]
fn what_is_cut_off_comes_over_tcp() {
    let server = world(GOOD);
    server.lie(FIRST, RECORD, Lie::Truncated);
    server.lie(SECOND, RECORD, Lie::TruncatedWithoutTcp);
    let seen = observe(&settings(&server));
    let whole = answered(&seen.hops[0], FIRST);
    assert_eq!((&whole.truncation, whole.txt.len()), (&Truncation::CompletedOverTcp, 1));
    let cut = answered(&seen.hops[0], SECOND);
    assert!(matches!(&cut.truncation, Truncation::TcpFailed { detail } if detail.contains("closed")), "{cut:?}");
}

#[test]
fn silence_over_udp_is_tried_again_and_then_over_tcp() {
    let server = world(GOOD);
    server.lie(FIRST, RECORD, Lie::SilenceAtFirst(1));
    server.lie(SECOND, RECORD, Lie::OnlyTcp);
    let seen = observe(&settings(&server));
    assert_eq!(answered(&seen.hops[0], FIRST).txt.len(), 1);
    assert_eq!(answered(&seen.hops[0], SECOND).txt.len(), 1);
    let asked = server.asked();
    let at = |address| asked.iter().filter(move |asked| asked.at == address && asked.name == RECORD);
    assert_eq!(at(SECOND).map(|asked| asked.over_tcp).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn a_server_that_never_answers_is_a_timeout_in_bounded_time() {
    let server = world(GOOD);
    server.lie(FIRST, RECORD, Lie::Silence);
    let begun = Instant::now();
    let seen = observe(&exactly(&server));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(*outcome(&seen.hops[0], FIRST), Outcome::Silent(Silence::Timeout));
    assert_eq!(answered(&seen.hops[0], SECOND).txt.len(), 1);
    assert!(!was_poisoned(&server), "not all servers have said that it is there");
}

#[test]
fn a_port_where_nobody_listens_is_unreachable() {
    let server = world(GOOD);
    let servers = AskedServers::Exactly(vec![(FIRST, free_port()).into()]);
    let seen = observe(&Settings { servers, ..settings(&server) });
    let outcome = outcome(&seen.hops[0], FIRST);
    assert!(
        matches!(outcome, Outcome::Silent(Silence::Unreachable { detail }) if detail == "connection refused"),
        "{outcome:?}"
    );
    assert!(seen.hops[0].zone.is_none() && seen.hops[0].zone_unknown.is_some());
}

#[test]
fn a_slow_server_is_waited_for() {
    let server = world(GOOD);
    server.delay(FIRST, Duration::from_millis(100));
    let seen = observe(&exactly(&server));
    assert!(answered(&seen.hops[0], FIRST).took >= Duration::from_millis(100));
}

#[test]
fn a_wildcard_answers_at_a_name_that_nobody_published() {
    let server = world(&format!("{GOOD}*._domainkey 60 TXT \"v=DKIM1; p=WILD\"\n"));
    let seen = observe(&settings(&server));
    let wildcard = seen.wildcard.unwrap();
    assert!(wildcard.name.ends_with("._domainkey.example.test"));
    assert_eq!(wildcard.answers.len(), 2);
    let Outcome::Answered(response) = &wildcard.answers[0].outcome else { panic!("{wildcard:?}") };
    assert_eq!(response.txt[0].joined(), b"v=DKIM1; p=WILD");
    let asked = server.asked();
    assert!(asked.iter().all(|asked| asked.at != RESOLVER || !asked.name.contains("no-such-key")));
}

#[test]
fn a_selector_is_free_taken_or_not_known() {
    let server = world(&format!("{GOOD}alias._domainkey CNAME keys.example.net.\n"));
    let settings = settings(&server);
    assert_eq!(is_taken(&settings, "example.test", "new"), Taken::Free);
    let taken = is_taken(&settings, "example.test", "s");
    assert!(matches!(&taken, Taken::Taken { what } if what.contains("TXT record")), "{taken:?}");
    let taken = is_taken(&settings, "example.test", "alias");
    assert!(matches!(&taken, Taken::Taken { what } if what.contains("CNAME record")), "{taken:?}");
    for address in [FIRST, SECOND] {
        server.lie(address, "dark._domainkey.example.test", Lie::Silence);
    }
    assert!(matches!(is_taken(&settings, "example.test", "dark"), Taken::Unknown { .. }));
    assert!(!was_poisoned(&server));
}

#[test]
fn a_wildcard_does_not_take_every_selector() {
    let server = world("*._domainkey 60 TXT \"v=DKIM1; p=WILD\"\n");
    assert_eq!(is_taken(&settings(&server), "example.test", "new"), Taken::Free);
}

#[test]
fn an_address_family_without_a_route_is_not_asked() {
    let server = world(GOOD);
    // Documentation addresses (RFC 3849) lead nowhere, also where IPv6 does.
    let nowhere = "2001:db8::1".parse().unwrap();
    let servers = AskedServers::Exactly(vec![server.at(FIRST), SocketAddr::new(nowhere, 53)]);
    let seen = observe(&Settings { servers, ..settings(&server) });
    let has_route = UdpSocket::bind("[::]:0").is_ok_and(|socket| socket.connect((nowhere, 53)).is_ok());
    match outcome(&seen.hops[0], nowhere) {
        Outcome::NoRoute => assert!(!has_route),
        Outcome::Silent(_) => assert!(has_route),
        other => panic!("{other:?}"),
    }
    assert_eq!(answered(&seen.hops[0], FIRST).txt.len(), 1);
}

#[test]
fn a_server_that_does_not_know_edns_is_asked_without() {
    let server = world(GOOD);
    server.lie(FIRST, RECORD, Lie::NoEdns);
    let seen = observe(&exactly(&server));
    assert_eq!(answered(&seen.hops[0], FIRST).txt.len(), 1);
}
