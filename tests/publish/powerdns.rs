//! PowerDNS, by its API and by dynamic updates.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use jiff::SignedDuration;
use waxseal::clock::Clock;
use waxseal::config::TsigHash;
use waxseal::dns::publish::{
    CredentialsProblem, Outcome, PowerDns as Api, PowerDnsSettings, PublishError, Publisher, Record, Rfc2136,
    Rfc2136Settings, Standing, TsigKey,
};
use waxseal::files::secret::Secret;
use waxseal::names::DomainName;

use crate::common::{
    LOOPBACK, SECRET, ZONE, absent, does_what_it_must, present, record, replace, revoked, txt_at, wait,
};
use crate::support::{Bind, PowerDns, eventually, free_port, installed, run};

fn api(server: &PowerDns, zone: Option<&str>) -> Api {
    Api::new(settings(server, zone))
}

fn settings(server: &PowerDns, zone: Option<&str>) -> PowerDnsSettings {
    PowerDnsSettings {
        api: server.api_url().parse().unwrap(),
        zone: zone.map(|zone| DomainName::parse(zone).unwrap()),
        key: Secret::new(PowerDns::API_KEY.into()),
        timeout: Duration::from_secs(5),
    }
}

fn by_hand(server: &PowerDns) -> impl Fn(&str, &[&str]) {
    move |name, strings| {
        let strings: Vec<String> = strings.iter().map(|string| format!("\"{string}\"")).collect();
        server.add(name, "TXT", &strings.join(" "));
    }
}

#[test]
#[ignore = "needs PowerDNS and SQLite; tests/run-all installs them"]
fn its_api_changes_what_is_ours_and_nothing_else() {
    for zone in [None, Some(ZONE)] {
        let server = PowerDns::start(ZONE, "waxseal", SECRET);
        does_what_it_must(&api(&server, zone), server.server(), by_hand(&server));
    }
    let server = PowerDns::start(ZONE, "waxseal", SECRET);
    let publisher = api(&server, None);
    let alias = record("alias", 'A');
    server.add(&alias.name, "CNAME", "k1.provider.test.");
    let is_alias = Outcome::Conflict(Standing::Cname { target: "k1.provider.test".into() });
    assert_eq!(present(&publisher, &alias), is_alias);
    assert_eq!(absent(&publisher, &alias), is_alias);

    // Of two records ours alone is taken away.
    let two = record("two", 'A');
    server.add(&two.name, "TXT", "\"theirs\"");
    server.add(&two.name, "TXT", &format!("\"{}\" \"{}\"", &two.value[..200], &two.value[200..]));
    assert!(matches!(present(&publisher, &two), Outcome::Conflict(Standing::Txt(records)) if records.len() == 2));
    assert_eq!(absent(&publisher, &two), Outcome::Done);
    assert_eq!(txt_at(server.server(), &two.name), ["theirs"]);
}

#[test]
#[ignore = "needs PowerDNS and SQLite; tests/run-all installs them"]
fn what_its_api_refuses_is_named() {
    let server = PowerDns::start(ZONE, "waxseal", SECRET);
    let error = |publisher: &Api, record: &Record| wait(publisher.present(record)).unwrap_err();
    let key = record("k1", 'A');
    let wrong = Api::new(PowerDnsSettings { key: Secret::new("no key of its own".into()), ..settings(&server, None) });
    let refused = error(&wrong, &key);
    assert!(matches!(refused, PublishError::ApiKey { status: 401, .. }), "{refused:?}");
    assert!(!format!("{wrong:?} {refused:?}").contains("no key of its own"));

    let foreign = Record { name: "k1._domainkey.example.org".into(), ..key.clone() };
    assert!(matches!(error(&api(&server, None), &foreign), PublishError::NoZone { .. }));
    assert!(matches!(error(&api(&server, Some(ZONE)), &foreign), PublishError::OutsideZone { .. }));
    assert!(matches!(error(&api(&server, Some("test")), &key), PublishError::NoZone { .. }));
    let long = Record { name: format!("{}.{ZONE}", "a".repeat(64)), ..key.clone() };
    assert!(matches!(error(&api(&server, None), &long), PublishError::Name { .. }));

    let url = format!("http://127.0.0.1:{}", free_port());
    let nobody = Api::new(PowerDnsSettings { api: url.parse().unwrap(), ..settings(&server, None) });
    assert!(matches!(error(&nobody, &key), PublishError::Connection { .. }));
    // A name server speaks no HTTP.
    let url = format!("http://{}", server.server());
    let no_http = Api::new(PowerDnsSettings {
        api: url.parse().unwrap(),
        timeout: Duration::from_secs(1),
        ..settings(&server, None)
    });
    let refused = error(&no_http, &key);
    assert!(matches!(refused, PublishError::Http { .. } | PublishError::Timeout { .. }), "{refused:?}");
}

#[test]
#[ignore = "needs PowerDNS and SQLite; tests/run-all installs them"]
fn it_takes_dynamic_updates_and_nothing_of_others_is_touched() {
    let server = PowerDns::start(ZONE, "waxseal", SECRET);
    let publisher = |secret: &str, zone: Option<&str>| {
        Rfc2136::new(Rfc2136Settings {
            server: server.server().into(),
            zone: zone.map(|zone| DomainName::parse(zone).unwrap()),
            key: TsigKey::new("waxseal", TsigHash::Sha256, secret.as_bytes()).unwrap(),
            timeout: Duration::from_secs(5),
            clock: Clock::System,
        })
    };
    does_what_it_must(&publisher(SECRET, None), server.server(), by_hand(&server));
    let key = record("k1", 'A');
    let error = wait(publisher("YW5vdGhlciBzZWNyZXQgdGhhdCBpcyBub3Q=", Some(ZONE)).present(&key)).unwrap_err();
    assert!(matches!(error, PublishError::Credentials { .. } | PublishError::Refused { .. }), "{error:?}");
    let late = Rfc2136::new(Rfc2136Settings {
        server: server.server().into(),
        zone: None,
        key: TsigKey::new("waxseal", TsigHash::Sha256, SECRET.as_bytes()).unwrap(),
        timeout: Duration::from_secs(5),
        clock: Clock::Fixed(Clock::System.now() - SignedDuration::from_hours(2)),
    });
    for publisher in [late, publisher("YW5vdGhlciBzZWNyZXQgdGhhdCBpcyBub3Q=", None)] {
        let error = wait(publisher.present(&key)).unwrap_err();
        let is_named = matches!(
            error,
            PublishError::Credentials { problem: CredentialsProblem::NotSaid | CredentialsProblem::Clock { .. }, .. }
        );
        assert!(is_named, "{error:?}");
    }
    let error = wait(publisher(SECRET, Some("test")).present(&key)).unwrap_err();
    assert!(matches!(error, PublishError::Credentials { .. } | PublishError::Refused { .. }), "{error:?}");
}

/// What another program does while a change of ours is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// We have read, and not written.
    BeforeOurs,
    /// We have written, and not read back.
    AfterOurs,
}

/// An address at which the API answers, and `meddle` is done at a moment of the first change.
fn meddling(server: &PowerDns, moment: Moment, meddle: impl FnOnce() + Send + 'static) -> String {
    let api: SocketAddr = server.api_url().strip_prefix("http://").unwrap().parse().unwrap();
    let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut meddle = Some(meddle);
        // PowerDNS closes each connection with its answer, so that each carries one request.
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut upstream = TcpStream::connect(api).unwrap();
            let mut method = [0; 5];
            client.read_exact(&mut method).unwrap();
            let is_change = &method == b"PATCH";
            if is_change && moment == Moment::BeforeOurs {
                meddle.take().unwrap()();
            }
            upstream.write_all(&method).unwrap();
            let mut request = client.try_clone().unwrap();
            let mut to_server = upstream.try_clone().unwrap();
            let sending = thread::spawn(move || io::copy(&mut request, &mut to_server));
            let mut answer = Vec::new();
            upstream.read_to_end(&mut answer).unwrap();
            if is_change && moment == Moment::AfterOurs {
                meddle.take().unwrap()();
            }
            client.write_all(&answer).unwrap();
            client.shutdown(Shutdown::Both).ok();
            sending.join().unwrap().ok();
        }
    });
    format!("http://{address}")
}

#[test]
#[ignore = "needs PowerDNS and SQLite; tests/run-all installs them"]
fn what_another_program_writes_meanwhile_is_seen_on_reading_back() {
    let server = Arc::new(PowerDns::start(ZONE, "waxseal", SECRET));
    let key = record("k1", 'A');
    let theirs = {
        let (server, name) = (Arc::clone(&server), key.name.clone());
        move || server.add(&name, "TXT", "\"theirs\"")
    };
    let url = meddling(&server, Moment::AfterOurs, theirs.clone());
    let publisher = Api::new(PowerDnsSettings { api: url.parse().unwrap(), ..settings(&server, None) });
    let outcome = present(&publisher, &key);
    assert!(matches!(&outcome, Outcome::Conflict(Standing::Txt(records)) if records.len() == 2), "{outcome:?}");
    // Theirs still stands there, and is left alone.
    let direct = api(&server, None);
    assert!(matches!(replace(&direct, &key, &revoked(&key)), Outcome::Conflict(Standing::Txt(_))));
    assert_eq!(absent(&direct, &key), Outcome::Done);
    assert_eq!(txt_at(server.server(), &key.name), ["theirs"]);
    assert!(matches!(present(&direct, &key), Outcome::Conflict(Standing::Txt(_))));

    // The window of which docs/publishing.md speaks: between our reading and our writing.
    let key = record("k2", 'A');
    let theirs = {
        let (server, name) = (Arc::clone(&server), key.name.clone());
        move || server.add(&name, "TXT", "\"theirs\"")
    };
    let url = meddling(&server, Moment::BeforeOurs, theirs);
    let publisher = Api::new(PowerDnsSettings { api: url.parse().unwrap(), ..settings(&server, None) });
    assert_eq!(present(&publisher, &key), Outcome::Done);
    assert_eq!(txt_at(server.server(), &key.name), [key.value.as_str()]);
}

#[test]
#[ignore = "needs PowerDNS, BIND and dig; tests/run-all installs them"]
fn signed_zones_are_signed_anew_and_secondaries_follow() {
    let server = PowerDns::start(ZONE, "waxseal", SECRET);
    server.util(&["set-meta", ZONE, "SOA-EDIT-API", "DEFAULT"]);
    server.util(&["secure-zone", ZONE]);
    server.util(&["rectify-zone", ZONE]);
    let secondary = Bind::secondary_of(server.server(), &[ZONE], &[LOOPBACK]);
    let publisher = api(&server, None);
    let key = record("k1", 'A');
    let follows = |values: &[&str]| {
        eventually("the secondary to follow", Duration::from_secs(30), || {
            (txt_at(secondary.servers()[0], &key.name) == values).then_some(())
        });
    };
    assert_eq!(present(&publisher, &key), Outcome::Done);
    follows(&[&key.value]);
    for address in [server.server(), secondary.servers()[0]] {
        let mut dig = Command::new(installed(&["/usr/bin/dig"], "bind9-dnsutils"));
        let (host, port) = (format!("@{}", address.ip()), address.port().to_string());
        let said = run(dig.args([&host, "-p", &port, "+tcp", "+dnssec", "+noall", "+answer", &key.name, "TXT"]));
        let said = String::from_utf8(said.stdout).unwrap();
        assert!(said.contains("RRSIG\tTXT"), "{said}");
    }
    assert_eq!(replace(&publisher, &key, &revoked(&key)), Outcome::Done);
    follows(&[&revoked(&key).value]);
    assert_eq!(absent(&publisher, &revoked(&key)), Outcome::Done);
    follows(&[]);
}
