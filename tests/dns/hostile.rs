//! Servers that mean harm.

use std::time::{Duration, Instant};

use waxseal::dns::{Observer, Settings};
use waxseal::names::{DomainName, Selector};
use waxseal::observation::{Outcome, Silence, Truncation};

use crate::common::*;
use crate::support::*;

/// What comes of a lie that one server tells, in bounded time.
fn told(lie: Lie) -> Outcome {
    let server = world(GOOD);
    server.lie(FIRST, RECORD, lie);
    let begun = Instant::now();
    let seen = observe(&exactly(&server));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(answered(&seen.hops[0], SECOND).txt.len(), 1);
    assert!(!was_poisoned(&server));
    outcome(&seen.hops[0], FIRST).clone()
}

fn malformed(lie: Lie) -> String {
    match told(lie) {
        Outcome::Silent(Silence::Malformed { detail }) => detail,
        other => panic!("{other:?}"),
    }
}

#[test]
fn answers_to_something_else_are_not_believed() {
    assert!(malformed(Lie::WrongId).contains("another id"));
    assert!(malformed(Lie::OtherName).contains("other.example"));
}

#[test]
fn garbage_is_no_answer() {
    malformed(Lie::Octets(Vec::new()));
    malformed(Lie::Octets(vec![0xff; 500]));
    malformed(Lie::Octets((0..=255).collect()));
    malformed(Lie::CompressionLoop);
}

#[test]
fn tcp_that_hangs_does_not_hang_us() {
    let Outcome::Answered(response) = told(Lie::TruncatedAndTcpHangs) else { panic!("it answered over UDP") };
    assert!(matches!(&response.truncation, Truncation::TcpFailed { detail } if detail.contains("in time")));
}

#[test]
fn records_of_64_kilobytes_come_whole() {
    let string = format!("\"{}\" ", "x".repeat(255));
    let server = world(&format!("s._domainkey TXT {}\n", string.repeat(250)));
    let seen = observe(&exactly(&server));
    let response = answered(&seen.hops[0], FIRST);
    assert_eq!(response.truncation, Truncation::CompletedOverTcp);
    assert_eq!((response.txt[0].strings.len(), response.txt[0].joined().len()), (250, 63_750));
}

#[test]
fn five_hundred_strings_are_kept_apart() {
    let server = world(&format!("s._domainkey TXT {}\n", "\"ab\" ".repeat(500)));
    let seen = observe(&exactly(&server));
    assert_eq!(answered(&seen.hops[0], FIRST).txt[0].strings, vec![b"ab".to_vec(); 500]);
}

#[test]
fn control_characters_never_come_out_raw() {
    let server = world("s._domainkey TXT \"\u{1b}[31mred\"\n");
    let target = [b"\x1b[31m".as_slice(), b"example", b"net"].map(<[u8]>::to_vec).to_vec();
    for address in [FIRST, SECOND] {
        server.lie(address, "t._domainkey.example.test", Lie::Alias(target.clone()));
    }
    let chain = observe_at(&exactly(&server), "example.test", "t").hops;
    assert_eq!(chain[1].name, "\\027[31m.example.net");
    assert!(chain[1].answers.iter().any(|answer| answer.server.address.ip() == OTHER), "it is asked as it is");
    for selector in ["s", "t"] {
        let json = serde_json::to_string(&observe_at(&exactly(&server), "example.test", selector)).unwrap();
        assert!(json.contains("\\\\027["), "{json}");
        assert!(!json.contains("\\u001b") && !json.contains('\u{1b}'), "{json}");
    }
}

#[test]
fn a_server_that_is_dead_for_all_does_not_hold_up_the_others() {
    let server = world(GOOD);
    let names: Vec<String> = (0..60).map(|n| format!("k{n}")).collect();
    let lines: String = names.iter().map(|name| format!("{name}._domainkey TXT \"v=DKIM1; p=\"\n")).collect();
    server.serve(&[FIRST, SECOND], "example.test", &format!("{APEX}{lines}"));
    for name in &names {
        server.lie(FIRST, &format!("{name}._domainkey.example.test"), Lie::Silence);
    }
    let settings = Settings { timeout: Duration::from_millis(60), ..exactly(&server) };
    let observer = Observer::new(&settings).unwrap();
    let domain = DomainName::parse("example.test").unwrap();
    let begun = Instant::now();
    for name in &names {
        let selector = Selector::parse(name).unwrap();
        let seen = block_on(observer.observe(&domain, &selector));
        assert_eq!(*outcome(&seen.hops[0], FIRST), Outcome::Silent(Silence::Timeout));
        assert_eq!(answered(&seen.hops[0], SECOND).txt.len(), 1);
        assert!(begun.elapsed() < Duration::from_secs(20), "{name}");
    }
    let asked = server.asked();
    let wasted = asked.iter().filter(|asked| asked.at == FIRST && asked.name.starts_with('k')).count();
    assert!(wasted <= 16 * 4 + 8, "{wasted} questions to a dead server");
}
