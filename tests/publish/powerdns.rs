//! PowerDNS, by its API and by dynamic updates.

use std::time::Duration;

use waxseal::clock::Clock;
use waxseal::config::TsigHash;
use waxseal::dns::publish::{
    Outcome, PowerDns as Api, PublishError, Publisher, Record, Rfc2136, Rfc2136Settings, Standing, TsigKey,
};
use waxseal::files::secret::Secret;
use waxseal::names::DomainName;

use crate::common::{SECRET, ZONE, absent, does_what_it_must, present, record, txt_at, wait};
use crate::support::{PowerDns, free_port};

fn api(server: &PowerDns, zone: Option<&str>) -> Api {
    Api {
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
    let wrong = Api { key: Secret::new("no key of its own".into()), ..api(&server, None) };
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
    let nobody = Api { api: url.parse().unwrap(), ..api(&server, None) };
    assert!(matches!(error(&nobody, &key), PublishError::Connection { .. }));
    // A name server speaks no HTTP.
    let url = format!("http://{}", server.server());
    let no_http = Api { api: url.parse().unwrap(), timeout: Duration::from_secs(1), ..api(&server, None) };
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
    let error = wait(publisher(SECRET, Some("test")).present(&key)).unwrap_err();
    assert!(matches!(error, PublishError::Credentials { .. } | PublishError::Refused { .. }), "{error:?}");
}
