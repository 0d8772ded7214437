//! Resolvers elsewhere that do not see what the servers have.

use std::net::{IpAddr, Ipv4Addr};

use crate::common::ZONE;
use crate::host::{Host, Settings};
use crate::support::{DnsServer, Lie};

const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_resolver_elsewhere_that_has_nothing_or_something_else_keeps_a_key_from_being_ready() {
    let outside = DnsServer::start(&[OUTSIDE]);
    let soa = "@ IN SOA ns1 hostmaster 1 7200 900 1209600 1\n@ IN NS ns1\nns1 IN A 127.0.0.3\n";
    outside.serve(&[OUTSIDE], ZONE, soa);
    outside.resolve(OUTSIDE);
    let dns = format!("outside_resolvers = [\"{}\"]", outside.at(OUTSIDE));
    let host = Host::with_keys(&[ZONE], &["--algorithm", "ed25519"], Settings { dns, ..Settings::default() });
    let key = host.key(ZONE, "generated", 'e');
    let name = format!("{key}._domainkey.{ZONE}");
    let is_asked = |host: &Host| {
        let plan =
            host.waxseal(&["rotate", ZONE, "--dry-run", "--format", "json", "--servers", &host.server()]).output();
        let plan: serde_json::Value = serde_json::from_slice(&plan.unwrap().stdout).unwrap();
        let waits = plan["domains"][0]["waits"].as_array().unwrap().clone();
        waits.iter().any(|wait| wait["reason"] == "resolvers")
    };
    host.rotate_until(ZONE, "the resolver elsewhere to be asked", is_asked);
    // Nobody asked it before every server had the record.
    assert!(!host.standing(ZONE, &key).is_empty());
    let lies = [
        Lie::Records(format!("{name}. 60 IN TXT \"v=DKIM1; k=ed25519; p=QUJD\"")),
        Lie::Silence,
        Lie::Records(format!("{name}. 60 IN TXT \"v=DKIM1; k=ed25519; p=\"")),
    ];
    for lie in lies {
        outside.lie(OUTSIDE, &name, lie.clone());
        for _ in 0..3 {
            host.rotate(&[ZONE]);
        }
        assert_eq!(host.key(ZONE, "published", 'e'), key, "{lie:?}");
        assert!(host.keys(ZONE, "active").is_empty() && host.keys(ZONE, "ready").is_empty(), "{lie:?}");
    }
    outside.be_honest(OUTSIDE, &name);
    let record = host.standing(ZONE, &key).remove(0);
    outside.serve(&[OUTSIDE], ZONE, &format!("{soa}{key}._domainkey 60 IN TXT \"{record}\"\n"));
    host.rotate_until(ZONE, "the key to sign", |host| host.keys(ZONE, "active") == [key.clone()]);
    assert!(outside.asked().iter().any(|asked| asked.name == name && asked.recursion_desired));
}
