//! Cases of the rules D.

use std::sync::Arc;

use jiff::SignedDuration;

use super::world::*;
use crate::check::{Dnssec, Rule::*};
use crate::dkim::KeyRecord;
use crate::finding::Severity::{Error, Info, Warning};
use crate::manifest::StateName;
use crate::observation::*;

const TARGET: &str = "s1.keys.example.net";

fn silent() -> Outcome {
    Outcome::Silent(Silence::Timeout)
}

fn ours() -> Response {
    response(vec![txt_of(&KeyRecord::of(&rsa()))])
}

fn insecure(world: &mut World) {
    if let RecursiveAnswer::Found { security, .. } = &mut world.seen().recursive.answer {
        *security = Security::Insecure;
    }
}

fn recursive(world: &mut World, answer: RecursiveAnswer) {
    world.seen().recursive.answer = answer;
}

fn only_recursive(world: &mut World) {
    world.seen().hops[0].answers.clear();
    world.seen().hops[0].zone = None;
    world.seen().wildcard = None;
}

fn ttl(world: &mut World, ttl: u32) {
    world.says(1, response(vec![Txt { ttl, ..txt_of(&KeyRecord::of(&rsa())) }]));
}

fn expires(world: &mut World, hours: i64) {
    let signatures = vec![Signature { expires: now() + SignedDuration::from_hours(hours) }];
    world.says(2, Response { signatures, ..ours() });
}

fn truncated(world: &mut World, truncation: Truncation) {
    world.says(1, Response { truncation, ..ours() });
}

fn wildcard(world: &mut World, response: &Response) {
    let answers = hop("probe", zone("example.com"), response).answers;
    world.seen().wildcard = Some(Arc::new(Wildcard { name: "probe._domainkey.example.com".into(), answers }));
}

fn negative_ttl(world: &mut World, seconds: u32) {
    for soa in &mut world.zone().soas {
        soa.soa = Some(Soa { serial: 1, ttl: 7 * 86_400, minimum: seconds });
    }
}

pub(super) fn examples() -> Vec<Example> {
    [presence(), servers(), chains(), times(), zones()].into_iter().flatten().collect()
}

fn presence() -> Vec<Example> {
    vec![
        finds("the record is missing", &[(D01, Error)], |world| world.absent(Code::NxDomain)),
        finds("the name is there without TXT", &[(D01, Error)], |world| world.absent(Code::NoError)),
        finds("a key just made is not published yet", &[(D01, Error)], |world| {
            world.held().state = StateName::Generated;
            world.absent(Code::NxDomain);
        }),
        finds("a record that nobody holds is missing", &[(D01, Error)], |world| {
            world.holds_nothing();
            world.absent(Code::NxDomain);
        }),
        finds("a revoked key's record is gone", &[(D01, Info)], |world| {
            world.held().state = StateName::Revoked;
            world.absent(Code::NxDomain);
        }),
        finds("only a resolver was asked, and it has nothing", &[(D01, Error)], |world| {
            only_recursive(world);
            recursive(world, RecursiveAnswer::Absent { code: Code::NxDomain, ttl: Some(600) });
        }),
        quiet(D01, "a withdrawn key's record is gone", |world| {
            world.held().state = StateName::Withdrawn;
            world.absent(Code::NxDomain);
        }),
        quiet(D01, "nobody answers", |world| {
            world.outcome(1, silent());
            world.outcome(2, silent());
            recursive(world, RecursiveAnswer::NotAsked);
        }),
        finds("two halves of a key in two records", &[(D02, Error)], |world| {
            let whole = txt_of(&KeyRecord::of(&rsa()));
            let halves: Vec<Txt> = whole.strings.iter().map(|string| txt(&[string])).collect();
            assert_eq!(halves.len(), 2);
            world.all_say(&halves);
        }),
        finds("an old record beside ours", &[(D02, Error)], |world| {
            world.all_say(&[txt(&[b"v=DKIM1; p=QUJD"]), txt_of(&KeyRecord::of(&rsa()))]);
        }),
        finds("two records, neither of which is ours", &[(D02, Error)], |world| {
            world.all_say(&[txt(&[b"v=DKIM1; p=QUJD"]), txt(&[b"v=spf1 -all"])]);
        }),
        quiet(D02, "one record of two strings", |world| {
            let strings = txt_of(&KeyRecord::of(&rsa())).strings;
            assert_eq!(strings.len(), 2);
            world.all_say(&[txt(&[&strings[0], &strings[1]])]);
        }),
    ]
}

fn servers() -> Vec<Example> {
    vec![
        finds("one server has an older record", &[(D03, Error)], |world| {
            world.says(2, response(vec![txt(&[b"v=DKIM1; p=QUJD"])]));
        }),
        finds("one server has nothing", &[(D03, Error)], |world| world.says(2, nothing(Code::NxDomain))),
        finds("one server is lame", &[(D03, Error)], |world| {
            world.says(1, Response { authoritative: false, ..nothing(Code::NoError) });
        }),
        finds("one server refuses", &[(D03, Error)], |world| world.says(1, nothing(Code::Refused))),
        finds("one server answers NOTIMP", &[(D03, Error)], |world| world.says(1, nothing(Code::Other(4)))),
        finds("all servers refuse", &[(D03, Error)], |world| {
            world.says(1, nothing(Code::Refused));
            world.says(2, nothing(Code::Refused));
            recursive(world, RecursiveAnswer::NotAsked);
        }),
        finds("most servers have an older record", &[(D03, Error)], |world| {
            let older = ServerAnswer { server: server(3), outcome: answered(response(vec![txt(&[b"p=QUJD"])])) };
            world.seen().hops[0].answers.push(ServerAnswer { server: server(4), ..older.clone() });
            world.seen().hops[0].answers.push(older);
            world.says(2, response(vec![txt(&[b"p=QUJD"])]));
        }),
        quiet(D03, "servers cut the same record into other strings", |world| {
            let text = KeyRecord::of(&rsa()).to_string();
            let (head, tail) = text.as_bytes().split_at(200);
            world.says(2, response(vec![txt(&[head, tail])]));
        }),
        finds("a server fails", &[(D04, Error)], |world| world.says(2, nothing(Code::ServFail))),
        finds("DNSSEC is what fails", &[(D04, Error)], |world| {
            let unchecked = Some(Box::new(ours()));
            world.says(2, Response { unchecked, ..nothing(Code::ServFail) });
        }),
        finds("a resolver finds the zone bogus", &[(D04, Error)], |world| {
            recursive(world, RecursiveAnswer::Bogus { detail: "signature expired\u{1b}[2J".into() });
        }),
        finds("only a resolver was asked, and the zone is bogus", &[(D04, Error)], |world| {
            only_recursive(world);
            recursive(world, RecursiveAnswer::Bogus { detail: "no DNSKEY matches the DS".into() });
        }),
        quiet(D04, "the resolver says secure", |_| {}),
        finds("one server is silent", &[(D16, Warning)], |world| world.outcome(1, silent())),
        finds("one server cannot be reached", &[(D16, Warning)], |world| {
            let detail = "Connection refused (os error 111)".into();
            world.outcome(1, Outcome::Silent(Silence::Unreachable { detail }));
        }),
        finds("there is no IPv6 here", &[(D16, Info)], |world| world.outcome(2, Outcome::NoRoute)),
        finds("the resolver fails where the servers answer", &[(D16, Warning)], |world| {
            recursive(world, RecursiveAnswer::Failed { detail: "SERVFAIL".into() });
        }),
        finds("a name server has no address", &[(D16, Warning)], |world| {
            let server = &mut world.zone().name_servers[1];
            server.addresses.clear();
            server.unresolved = Some("NXDOMAIN".into());
        }),
        quiet(D16, "all are silent: nothing is known", |world| {
            world.outcome(1, silent());
            world.outcome(2, Outcome::Silent(Silence::Malformed { detail: "\u{1b}]0;x\u{7}".into() }));
            recursive(world, RecursiveAnswer::NotAsked);
        }),
        quiet(D16, "only a resolver was asked, and it has the record", only_recursive),
    ]
}

fn chains() -> Vec<Example> {
    vec![
        finds("an alias of nothing", &[(D05, Error)], |world| {
            world.leads_through(&[TARGET], Some(&nothing(Code::NxDomain)));
            recursive(world, RecursiveAnswer::NotAsked);
        }),
        finds("a revoked key's alias of nothing", &[(D05, Warning)], |world| {
            world.held().state = StateName::Revoked;
            world.leads_through(&[TARGET], Some(&nothing(Code::NxDomain)));
            recursive(world, RecursiveAnswer::NotAsked);
        }),
        quiet(D05, "an alias of the record", |world| world.leads_through(&[TARGET], Some(&ours()))),
        finds("aliases in a circle", &[(D06, Error)], |world| {
            world.leads_through(&[TARGET, NAME], None);
            world.seen().chain = ChainEnd::Loop;
            recursive(world, RecursiveAnswer::NotAsked);
        }),
        finds("an alias of itself", &[(D06, Error)], |world| {
            world.leads_through(&[NAME], None);
            world.seen().chain = ChainEnd::Loop;
            recursive(world, RecursiveAnswer::NotAsked);
        }),
        finds("more aliases than anyone follows", &[(D06, Error)], |world| {
            world.leads_through(&["a.x", "b.x", "c.x", "d.x", "e.x", "f.x", "g.x", "h.x", "i.x", "j.x", "k.x"], None);
            world.seen().chain = ChainEnd::TooLong;
            recursive(world, RecursiveAnswer::NotAsked);
        }),
        quiet(D06, "one alias", |world| world.leads_through(&[TARGET], Some(&ours()))),
        finds("an alias of an alias", &[(D07, Warning)], |world| {
            world.leads_through(&["s1.example.net", TARGET], Some(&ours()));
        }),
        quiet(D07, "one alias and the record", |world| world.leads_through(&[TARGET], Some(&ours()))),
        finds("a CNAME beside the record", &[(D08, Error)], |world| {
            world.leads_through(&[TARGET], Some(&ours()));
            world.says(1, Response { txt: vec![txt(&[b"p=QUJD"])], ..alias(TARGET) });
        }),
        quiet(D08, "a CNAME alone", |world| world.leads_through(&[TARGET], Some(&ours()))),
        finds("servers point to different places", &[(D03, Error)], |world| {
            world.leads_through(&[TARGET], Some(&ours()));
            world.says(2, alias("elsewhere.example.net"));
        }),
        finds("the wrong record at the end of an alias", &[(K09, Error)], |world| {
            world.leads_through(&[TARGET], Some(&ours()));
            world.record(&format!("v=DKIM1; k=ed25519; p={}", p_of(ed25519().octets())));
            world.says(1, alias(TARGET));
            world.says(2, alias(TARGET));
        }),
    ]
}

fn times() -> Vec<Example> {
    vec![
        finds("a TTL of two days", &[(D10, Warning)], |world| ttl(world, 2 * 86_400)),
        finds("a TTL of a minute", &[(D10, Info)], |world| ttl(world, 60)),
        finds("a CNAME with a TTL of a week", &[(D10, Warning)], |world| {
            world.leads_through(&[TARGET], Some(&ours()));
            let cname = Some(Cname { target: TARGET.into(), ttl: 604_800 });
            world.says(1, Response { cname, ..alias(TARGET) });
        }),
        quiet(D10, "a TTL of a day", |world| ttl(world, 86_400)),
        quiet(D10, "a TTL of five minutes", |world| ttl(world, 300)),
        finds("an answer that needs TCP", &[(D11, Warning)], |world| truncated(world, Truncation::CompletedOverTcp)),
        finds("TCP fails", &[(D11, Error)], |world| {
            truncated(world, Truncation::TcpFailed { detail: "Connection refused".into() });
        }),
        quiet(D11, "the answer fits", |world| truncated(world, Truncation::None)),
        finds("a resolver has the record of before", &[(D12, Warning)], |world| {
            let txt = vec![Txt { ttl: 1234, ..txt(&[b"v=DKIM1; p=QUJD"]) }];
            recursive(world, RecursiveAnswer::Found { txt, security: Security::Secure });
        }),
        finds("a resolver remembers that there was none", &[(D12, Warning)], |world| {
            recursive(world, RecursiveAnswer::Absent { code: Code::NxDomain, ttl: Some(2711) });
        }),
        finds("a resolver has what is gone", &[(D01, Error), (D12, Warning)], |world| {
            world.says(1, nothing(Code::NxDomain));
            world.says(2, nothing(Code::NxDomain));
        }),
        quiet(D12, "a resolver cuts the record otherwise", |world| {
            let txt = vec![cut(&KeyRecord::of(&rsa()).to_string())];
            recursive(world, RecursiveAnswer::Found { txt, security: Security::Secure });
        }),
        finds("the zone is not signed", &[(D13, Info)], |world| {
            world.zone().has_ds = Some(false);
            insecure(world);
        }),
        finds("the zone is not signed, but should be", &[(D13, Warning)], |world| {
            world.wishes.dnssec = Dnssec::Wanted;
            world.zone().has_ds = Some(false);
        }),
        finds("a resolver cannot vouch for the answer", &[(D13, Info)], insecure),
        finds("a signature is about to expire", &[(D13, Warning)], |world| expires(world, 11)),
        finds("a signature has expired", &[(D13, Warning)], |world| expires(world, -2)),
        quiet(D13, "a signature lasts for a day", |world| expires(world, 24)),
    ]
}

fn zones() -> Vec<Example> {
    vec![
        finds("a wildcard has a record", &[(D09, Error)], |world| wildcard(world, &ours())),
        finds("a wildcard has an alias", &[(D09, Error)], |world| wildcard(world, &alias(TARGET))),
        quiet(D09, "the sibling name has no record", |world| wildcard(world, &nothing(Code::NoError))),
        finds("absence is remembered for two days", &[(D14, Warning)], |world| negative_ttl(world, 2 * 86_400)),
        finds("absence is remembered for six hours", &[(D14, Info)], |world| negative_ttl(world, 6 * 3_600)),
        quiet(D14, "absence is remembered for three hours", |world| negative_ttl(world, 3 * 3_600)),
        finds("the delegation lacks a server", &[(D15, Warning)], |world| {
            world.zone().name_servers[1].in_delegation = false;
        }),
        finds("the delegation has a server too many", &[(D15, Warning)], |world| {
            world.zone().name_servers[1].in_apex = false;
        }),
        finds("servers have different serial numbers", &[(D15, Info)], |world| {
            world.zone().soas[0].soa = Some(Soa { serial: 7, ttl: 3600, minimum: 3600 });
        }),
        quiet(D15, "the delegation could not be found out", |world| {
            for server in &mut world.zone().name_servers {
                server.in_delegation = false;
            }
        }),
    ]
}

#[test]
fn without_an_answer_it_is_undetermined_why() {
    let mut world = World::new();
    world.outcome(1, silent());
    world.outcome(2, Outcome::NoRoute);
    world.seen().recursive.answer = RecursiveAnswer::NotAsked;
    let why = world.undetermined().unwrap();
    assert!(why.contains("ns1.example.net (192.0.2.1): no answer in time") && why.contains("no route"), "{why}");

    world.seen().hops[0].answers.clear();
    world.seen().hops[0].zone_unknown = Some("no SOA\u{1b} anywhere".into());
    let why = world.undetermined().unwrap();
    assert!(why.contains("no SOA? anywhere"), "{why}");

    let mut aliased = World::new();
    aliased.leads_through(&[TARGET], Some(&ours()));
    aliased.seen().hops[1].answers.clear();
    aliased.seen().hops[1].zone_unknown = Some("no answer from its parent".into());
    aliased.seen().recursive.answer = RecursiveAnswer::NotAsked;
    let why = aliased.undetermined().unwrap();
    assert_eq!(why, format!("the servers of {TARGET} could not be found out: no answer from its parent"));

    world.seen().recursive.answer = RecursiveAnswer::Failed { detail: "timed out".into() };
    assert!(world.undetermined().unwrap().contains("192.0.2.53"));

    world.seen().hops.clear();
    world.seen().recursive.answer = RecursiveAnswer::NotAsked;
    assert_eq!(world.undetermined().as_deref(), Some("nobody was asked"));
}

#[test]
fn one_answer_is_enough_to_know() {
    let mut world = World::new();
    world.outcome(1, silent());
    assert_eq!(world.undetermined(), None);
    world.says(2, nothing(Code::Refused));
    world.seen().recursive.answer = RecursiveAnswer::NotAsked;
    assert!(world.undetermined().is_some(), "a refusal is no answer");
    world.says(2, nothing(Code::NxDomain));
    assert_eq!(world.undetermined(), None);
}

#[test]
fn a_zone_of_several_keys_is_spoken_of_once() {
    let mut world = World::new();
    world.zone().has_ds = Some(false);
    let second = published("s2", &ed25519());
    world.subject.keys.push(second);
    let Some(zone) = &mut world.subject.keys[1].observation.hops[0].zone else { panic!() };
    Arc::make_mut(zone).has_ds = Some(false);
    let rules: Vec<_> = world.findings().iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, ["D13"]);
}

#[test]
fn one_server_is_named_by_the_place_and_several_by_the_evidence() {
    let mut world = World::new();
    world.outcome(2, silent());
    let finding = &world.findings()[0];
    assert_eq!(finding.place.to_string(), "s1._domainkey.example.com at ns2.example.net (192.0.2.2)");
    for number in [3, 4] {
        world.seen().hops[0].answers.push(ServerAnswer { server: server(number), outcome: silent() });
    }
    let finding = &world.findings()[0];
    assert_eq!(finding.place.to_string(), "s1._domainkey.example.com");
    assert!(finding.evidence.contains("ns4.example.net (192.0.2.4)"), "{}", finding.evidence);
}
