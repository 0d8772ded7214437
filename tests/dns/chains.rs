//! CNAMEs.

use waxseal::observation::{ChainEnd, Code, RecursiveAnswer};

use crate::common::*;
use crate::support::*;

#[test]
fn a_cname_is_followed_to_the_servers_of_its_target() {
    let server = world("s._domainkey 900 CNAME keys.example.net.\n");
    let seen = observe(&settings(&server));
    let [alias, target] = seen.hops.as_slice() else { panic!("{seen:#?}") };
    let cname = answered(alias, FIRST).cname.as_ref().unwrap();
    assert_eq!((cname.target.as_str(), cname.ttl), ("keys.example.net", 900));
    assert_eq!(target.name, "keys.example.net");
    assert_eq!(target.zone.as_ref().unwrap().apex, "example.net");
    assert_eq!(answered(target, OTHER).txt[0].joined(), b"v=DKIM1; p=BBBB");
    assert_eq!(seen.chain, ChainEnd::Complete);
    assert!(matches!(&seen.recursive.answer, RecursiveAnswer::Found { txt, .. } if txt[0].ttl == 300), "{seen:#?}");
}

#[test]
fn a_cname_that_leads_nowhere_is_not_asked_of_a_resolver() {
    let server = world("s._domainkey CNAME gone.example.net.\n");
    let seen = observe(&settings(&server));
    assert_eq!(answered(&seen.hops[1], OTHER).code, Code::NxDomain);
    assert_eq!(seen.recursive.answer, RecursiveAnswer::NotAsked);
    assert!(server.asked().iter().all(|asked| asked.at != RESOLVER || asked.name != "gone.example.net"));
    assert!(!was_poisoned(&server));
}

#[test]
fn a_target_that_is_a_registrable_domain_is_not_asked_of_a_resolver() {
    let server = world("s._domainkey CNAME nobody.test.\n");
    let seen = observe(&settings(&server));
    assert_eq!(seen.hops.len(), 2, "{seen:#?}");
    assert_eq!(answered(&seen.hops[1], TEST).code, Code::NxDomain);
    assert!(server.asked().iter().all(|asked| asked.at != RESOLVER || asked.name != "nobody.test"));
}

#[test]
fn chains_within_a_zone_and_loops_come_to_an_end() {
    let server =
        world("s._domainkey CNAME t._domainkey\nt._domainkey CNAME u._domainkey\nu._domainkey CNAME s._domainkey\n");
    let seen = observe(&settings(&server));
    assert_eq!(seen.chain, ChainEnd::Loop);
    let names: Vec<_> = seen.hops.iter().map(|hop| hop.name.split_once('.').unwrap().0).collect();
    assert_eq!(names, ["s", "t", "u"]);
    let itself = world("s._domainkey CNAME s._domainkey\n");
    assert_eq!(observe(&settings(&itself)).chain, ChainEnd::Loop);
}

#[test]
fn endless_chains_are_followed_for_eight_hops() {
    let lines: String = (0..40).map(|n| format!("a{n}._domainkey CNAME a{}._domainkey\n", n + 1)).collect();
    let server = world(&lines);
    let seen = observe_at(&settings(&server), "example.test", "a0");
    assert_eq!(seen.chain, ChainEnd::TooLong);
    assert_eq!(seen.hops.len(), 9, "the record's own name and eight targets");
}

#[test]
fn a_cname_beside_other_data_shows_both() {
    let server = world(GOOD);
    let both = format!("{RECORD}. 60 TXT \"v=DKIM1; p=AAAA\"\n{RECORD}. 60 CNAME keys.example.net.");
    server.lie(FIRST, RECORD, Lie::Records(both));
    let seen = observe(&settings(&server));
    let response = answered(&seen.hops[0], FIRST);
    assert!(response.cname.is_some() && response.txt.len() == 1, "{response:#?}");
}

#[test]
fn given_servers_are_left_for_a_target_that_is_not_theirs() {
    let server = world("s._domainkey CNAME keys.example.net.\n");
    let seen = observe(&exactly(&server));
    assert_eq!(answered(&seen.hops[1], OTHER).txt.len(), 1);
}
