//! Dynamic updates against real servers.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::SignedDuration;
use waxseal::clock::Clock;
use waxseal::config::TsigHash;
use waxseal::dns::publish::{
    CredentialsProblem, Outcome, PublishError, Refusal, Rfc2136, Rfc2136Settings, Standing, TsigKey,
};
use waxseal::names::DomainName;

use crate::common::{
    LOOPBACK, SECRET, ZONE, absent, does_what_it_must, present, record, replace, revoked, txt_at, wait,
};
use crate::support::{Bind, Knot, KnotSigning, Sections, Statements, ZoneText, free_port, installed};

pub(crate) const OTHER_SECRET: &str = "YW5vdGhlciBzZWNyZXQgdGhhdCBpcyBub3QgdGhlIHNlcnZlcnM=";

const HASHES: [(&str, TsigHash); 3] =
    [("waxseal-256", TsigHash::Sha256), ("waxseal-384", TsigHash::Sha384), ("waxseal-512", TsigHash::Sha512)];

pub(crate) fn bind() -> Bind {
    let keys: String = ["256", "384", "512"]
        .iter()
        .map(|bits| format!("key \"waxseal-{bits}\" {{ algorithm hmac-sha{bits}; secret \"{SECRET}\"; }};\n"))
        .collect();
    let grants: String = ["256", "384", "512"]
        .iter()
        .map(|bits| format!("grant waxseal-{bits} wildcard *._domainkey.{ZONE}. TXT; "))
        .collect();
    let statements = Statements {
        global: format!("{keys}key \"hand\" {{ algorithm hmac-sha256; secret \"{OTHER_SECRET}\"; }};\n"),
        of_zones: format!("update-policy {{ {grants} grant hand zonesub ANY; }};"),
    };
    let zone = ZoneText::new(ZONE, &[LOOPBACK], "www IN A 192.0.2.1");
    Bind::start_with(&[zone], &[LOOPBACK], &statements)
}

pub(crate) fn key(name: &str, hash: TsigHash, secret: &str) -> TsigKey {
    TsigKey::new(name, hash, secret.as_bytes()).unwrap()
}

pub(crate) fn updater(server: SocketAddr, zone: Option<&str>, key: TsigKey) -> Rfc2136 {
    Rfc2136::new(Rfc2136Settings {
        server: server.into(),
        zone: zone.map(|zone| DomainName::parse(zone).unwrap()),
        key,
        timeout: Duration::from_secs(5),
        clock: Clock::System,
    })
}

/// As another administrator would: `nsupdate` with a key that may do anything.
pub(crate) fn nsupdate(server: SocketAddr, commands: &str) {
    let program = installed(&["/usr/bin/nsupdate"], "bind9-dnsutils");
    let mut child = Command::new(program)
        .args(["-v", "-y", &format!("hmac-sha256:hand:{OTHER_SECRET}")])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    write!(stdin, "server {} {}\nzone {ZONE}\n{commands}\nsend\n", server.ip(), server.port()).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

fn by_hand(server: SocketAddr) -> impl Fn(&str, &[&str]) {
    move |name, strings| {
        let strings: String = strings.iter().map(|string| format!(" \"{string}\"")).collect();
        nsupdate(server, &format!("update add {name}. 300 TXT{strings}"));
    }
}

/// What is left of [`does_what_it_must`].
fn take_away_what_was_added(server: SocketAddr) {
    nsupdate(server, &format!("update delete k2._domainkey.{ZONE}. TXT\nupdate delete k3._domainkey.{ZONE}. TXT"));
}

#[test]
#[ignore = "needs BIND and nsupdate; tests/run-all installs them"]
fn bind_is_updated_and_nothing_of_others_is_touched() {
    let bind = bind();
    let server = bind.servers()[0];
    for (number, (name, hash)) in HASHES.into_iter().enumerate() {
        let zone = (number == 1).then_some(ZONE);
        let publisher = updater(server, zone, key(name, hash, SECRET));
        does_what_it_must(&publisher, server, by_hand(server));
        take_away_what_was_added(server);
    }
}

#[test]
#[ignore = "needs BIND and nsupdate; tests/run-all installs them"]
fn aliases_other_types_and_second_records_at_a_name_are_seen_and_left_alone() {
    let bind = bind();
    let server = bind.servers()[0];
    let publisher = updater(server, None, key("waxseal-256", TsigHash::Sha256, SECRET));

    let alias = record("alias", 'A');
    nsupdate(server, &format!("update add {}. 300 CNAME k1.provider.test.", alias.name));
    let is_alias = Outcome::Conflict(Standing::Cname { target: "k1.provider.test".into() });
    assert_eq!(present(&publisher, &alias), is_alias);
    assert_eq!(replace(&publisher, &alias, &revoked(&alias)), is_alias);
    assert_eq!(absent(&publisher, &alias), is_alias);

    let odd = record("odd", 'A');
    nsupdate(server, &format!("update add {}. 300 HINFO cpu os", odd.name));
    assert_eq!(present(&publisher, &odd), Outcome::Conflict(Standing::OtherTypes));

    // Ours and another's: ours is not replaced, since which of them counts is anybody's guess; taken away it is, alone.
    let two = record("two", 'A');
    assert_eq!(present(&publisher, &two), Outcome::Done);
    nsupdate(server, &format!("update add {}. 300 TXT \"theirs\"", two.name));
    assert!(matches!(present(&publisher, &two), Outcome::Conflict(Standing::Txt(records)) if records.len() == 2));
    assert!(matches!(
        replace(&publisher, &two, &revoked(&two)),
        Outcome::Conflict(Standing::Txt(records)) if records.len() == 2
    ));
    assert_eq!(absent(&publisher, &two), Outcome::Done);
    assert_eq!(txt_at(server, &two.name), ["theirs"]);
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn what_bind_refuses_is_named() {
    let bind = bind();
    let server = bind.servers()[0];
    let record = record("k1", 'A');
    let error = |publisher: &Rfc2136| wait(publisher_present(publisher, &record)).unwrap_err();

    let wrong_secret = updater(server, Some(ZONE), key("waxseal-256", TsigHash::Sha256, OTHER_SECRET));
    assert_eq!(problem(&error(&wrong_secret)), CredentialsProblem::WrongSecret);
    for (name, hash) in [("nobody", TsigHash::Sha256), ("waxseal-256", TsigHash::Sha512)] {
        let unknown = updater(server, None, key(name, hash, SECRET));
        assert_eq!(problem(&error(&unknown)), CredentialsProblem::UnknownKey, "{name}");
    }

    for hours in [-1, 1, 24 * 365] {
        let at = Clock::System.now() + SignedDuration::from_hours(hours);
        let settings = Rfc2136Settings {
            server: server.into(),
            zone: None,
            key: key("waxseal-256", TsigHash::Sha256, SECRET),
            timeout: Duration::from_secs(5),
            clock: Clock::Fixed(at),
        };
        let error = error(&Rfc2136::new(settings));
        let CredentialsProblem::Clock { ahead: Some(ahead) } = problem(&error) else { panic!("{error:?}") };
        assert!((ahead.as_secs() + hours * 3600).abs() < 10, "{ahead:?}");
    }

    let elsewhere = updater(server, Some("test"), key("waxseal-256", TsigHash::Sha256, SECRET));
    assert!(matches!(error(&elsewhere), PublishError::Refused { refusal: Refusal::NotAuthoritative, .. }));
    let deeper = updater(server, Some("deep.example.test"), key("waxseal-256", TsigHash::Sha256, SECRET));
    assert!(matches!(error(&deeper), PublishError::OutsideZone { .. }));
    let publisher = updater(server, None, key("waxseal-256", TsigHash::Sha256, SECRET));
    for name in ["k1._domainkey.example.org", "k1._domainkey.test"] {
        let foreign = waxseal::dns::publish::Record { name: name.into(), ..record.clone() };
        let error = wait(publisher_present(&publisher, &foreign)).unwrap_err();
        assert!(matches!(error, PublishError::NoZone { .. }), "{error:?}");
    }
    let not_ours = waxseal::dns::publish::Record { name: format!("www.{ZONE}"), ..record.clone() };
    let error = wait(publisher_present(&publisher, &not_ours)).unwrap_err();
    assert!(matches!(error, PublishError::Refused { refusal: Refusal::Refused, .. }), "{error:?}");
    assert_eq!(txt_at(server, &record.name), Vec::<String>::new());
    assert!(!format!("{publisher:?} {error:?}").contains("d2F4c2"));
}

#[test]
fn a_server_that_is_away_is_named() {
    let nobody = SocketAddr::new(LOOPBACK, free_port());
    let publisher = updater(nobody, None, key("waxseal-256", TsigHash::Sha256, SECRET));
    let error = wait(publisher_present(&publisher, &record("k1", 'A'))).unwrap_err();
    assert!(matches!(error, PublishError::Connection { .. }), "{error:?}");

    // One that takes the connection and says nothing.
    let silent = std::net::TcpListener::bind((LOOPBACK, 0)).unwrap();
    let settings = Rfc2136Settings {
        server: silent.local_addr().unwrap().into(),
        zone: Some(DomainName::parse(ZONE).unwrap()),
        key: key("waxseal-256", TsigHash::Sha256, SECRET),
        timeout: Duration::from_millis(100),
        clock: Clock::System,
    };
    let error = wait(publisher_present(&Rfc2136::new(settings), &record("k1", 'A'))).unwrap_err();
    assert!(matches!(error, PublishError::Timeout { .. }), "{error:?}");
}

#[test]
#[ignore = "needs Knot and nsupdate; tests/run-all installs them"]
fn knot_is_updated_and_nothing_of_others_is_touched() {
    let keys: String = ["256", "384", "512"]
        .iter()
        .map(|bits| format!("  - id: waxseal-{bits}\n    algorithm: hmac-sha{bits}\n    secret: {SECRET}\n"))
        .collect();
    for signing in [KnotSigning::Off, KnotSigning::On] {
        let sections = Sections {
            before_zones: format!(
                "key:\n{keys}\
                 \x20 - id: hand\n    algorithm: hmac-sha256\n    secret: {OTHER_SECRET}\n\
                 acl:\n  - id: waxseal\n    key: [ waxseal-256, waxseal-384, waxseal-512 ]\n    action: update\n    \
                 update-type: [ TXT ]\n    update-owner: name\n    update-owner-match: sub\n    \
                 update-owner-name: [ _domainkey ]\n  - id: hand\n    key: hand\n    action: update\n"
            ),
            of_zones: "    acl: [ waxseal, hand ]\n".into(),
        };
        let zone = ZoneText::new(ZONE, &[LOOPBACK], "www IN A 192.0.2.1");
        let knot = Knot::start_with(&[zone], &[LOOPBACK], signing, &sections);
        let server = knot.servers()[0];
        for (name, hash) in HASHES {
            let publisher = updater(server, None, key(name, hash, SECRET));
            does_what_it_must(&publisher, server, by_hand(server));
            take_away_what_was_added(server);
        }

        let publisher = updater(server, None, key("waxseal-256", TsigHash::Sha256, SECRET));
        let record = record("k1", 'A');
        let error = |publisher: &Rfc2136, record| wait(publisher_present(publisher, record)).unwrap_err();
        for (name, hash) in HASHES {
            let wrong_secret = updater(server, Some(ZONE), key(name, hash, OTHER_SECRET));
            assert_eq!(problem(&error(&wrong_secret, &record)), CredentialsProblem::WrongSecret);
        }
        let unknown = updater(server, None, key("nobody", TsigHash::Sha256, SECRET));
        assert_eq!(problem(&error(&unknown, &record)), CredentialsProblem::UnknownKey);
        let hours_ago = Clock::Fixed(Clock::System.now() - SignedDuration::from_hours(2));
        let late = Rfc2136::new(Rfc2136Settings {
            server: server.into(),
            zone: None,
            key: key("waxseal-256", TsigHash::Sha256, SECRET),
            timeout: Duration::from_secs(5),
            clock: hours_ago,
        });
        assert!(matches!(problem(&error(&late, &record)), CredentialsProblem::Clock { .. }));
        let not_ours = waxseal::dns::publish::Record { name: format!("www.{ZONE}"), ..record.clone() };
        let refused = error(&publisher, &not_ours);
        assert!(matches!(refused, PublishError::Refused { .. } | PublishError::Credentials { .. }), "{refused:?}");
        let elsewhere = updater(server, Some("test"), key("waxseal-256", TsigHash::Sha256, SECRET));
        let refused = error(&elsewhere, &record);
        assert!(matches!(refused, PublishError::Refused { .. }), "{refused:?}");
    }
}

fn publisher_present<'a>(
    publisher: &'a Rfc2136,
    record: &'a waxseal::dns::publish::Record,
) -> waxseal::dns::publish::Publishing<'a> {
    use waxseal::dns::publish::Publisher as _;
    publisher.present(record)
}

pub(crate) fn problem(error: &PublishError) -> CredentialsProblem {
    match error {
        PublishError::Credentials { problem, .. } => *problem,
        error => panic!("{error:?}"),
    }
}
