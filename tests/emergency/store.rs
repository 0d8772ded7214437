//! All keys of a domain, and of the whole store.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use waxseal::keystore::{Directory, KeyStore};
use waxseal::manifest::{DomainManifest, StateName};
use waxseal::names::DomainName;

use crate::common::ZONE;
use crate::host::{Host, PATIENCE, Settings, json, text};

fn manifest(store: &Directory, domain: &str) -> DomainManifest {
    store.manifest(&DomainName::parse(domain).unwrap()).unwrap().unwrap()
}

/// Of each of these domains, every old key is revoked or gone and fresh ones sign.
fn assert_replaced(host: &Host, domain: &str, old: &[String]) {
    let manifest = manifest(&Directory::open(&host.scratch.join("keys")).unwrap(), domain);
    for selector in old {
        let standing = host.standing(domain, selector);
        assert!(standing.iter().all(|record| record.ends_with("p=")), "{selector}.{domain}: {standing:?}");
    }
    let signing: Vec<_> = manifest.signing().collect();
    assert!(!signing.is_empty(), "{domain} signs with nothing: {manifest:?}");
    for binding in signing {
        assert!(binding.compromised.is_none() && !old.contains(&binding.selector.to_string()), "{binding:?}");
        let standing = host.standing(domain, binding.selector.as_str());
        assert!(matches!(&standing[..], [one] if !one.ends_with("p=")), "{domain}: {standing:?}");
    }
    for binding in manifest.bindings().iter().filter(|binding| !old.contains(&binding.selector.to_string())) {
        assert!(binding.compromised.is_none(), "{domain}: a fresh key was declared: {binding:?}");
    }
}

fn selectors(host: &Host, domain: &str) -> Vec<String> {
    let manifest = manifest(&Directory::open(&host.scratch.join("keys")).unwrap(), domain);
    manifest.bindings().iter().map(|binding| binding.selector.to_string()).collect()
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_whole_store_is_replaced_though_killed_again_and_again_and_no_domain_is_ever_without_a_key() {
    let names: Vec<String> = (0..24).map(|number| format!("d{number}.test")).collect();
    let mut domains: Vec<&str> = names.iter().map(String::as_str).collect();
    domains.push(ZONE);
    let host = Host::with_keys(&domains, &["--algorithm", "ed25519"], Settings::default());
    host.sign_with_all(&domains);
    let _daemon = host.daemon();
    // One with a standby key, which is compromised too.
    host.rotate_until(ZONE, "a standby key", |host| !host.keys(ZONE, "ready").is_empty());
    let old: Vec<Vec<String>> = domains.iter().map(|domain| selectors(&host, domain)).collect();

    let is_over = AtomicBool::new(false);
    let is_begun = || host.scratch.join("state/compromise.json").exists();
    let runs = thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let store = Directory::open(&host.scratch.join("keys")).unwrap();
            let mut looks = 0;
            while !is_over.load(Ordering::Relaxed) {
                for domain in &domains {
                    let manifest = manifest(&store, domain);
                    if manifest.signing().next().is_none() {
                        return Err(format!("{domain} signs with nothing: {manifest:?}"));
                    }
                }
                looks += 1;
            }
            Ok(looks)
        });
        // The timer does its work beside it, but makes no keys in the second in which the order is given: they would be meant.
        let rotating = scope.spawn(|| {
            while !is_begun() && !is_over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(20));
            }
            thread::sleep(Duration::from_secs(1));
            while !is_over.load(Ordering::Relaxed) {
                host.rotate(&[]);
                thread::sleep(Duration::from_millis(500));
            }
        });
        let random = RandomState::new();
        let command = || {
            let mut command =
                host.waxseal(&["compromise", "--store", "--meanwhile", "sign", "--yes", "--format", "json"]);
            command.args(["--servers", &host.server()]);
            command
        };
        let mut kills = 0;
        // What was killed goes on where it was; what is over would begin anew.
        while kills < 6 && (kills == 0 || is_begun()) {
            let mut child = command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            // Until it has begun, then anywhere; the first second it only lets pass.
            let deadline = Instant::now() + PATIENCE;
            while !is_begun() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(5));
            }
            thread::sleep(Duration::from_micros(900_000 + random.hash_one(kills) % 500_000));
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
        }
        let done = is_begun().then(|| command().output().unwrap());
        is_over.store(true, Ordering::Relaxed);
        let looks = watching.join().unwrap().unwrap();
        rotating.join().unwrap();
        assert!(looks > 5 && kills > 1, "{looks} looks, {kills} kills");
        done
    });
    if let Some(runs) = runs {
        let report = json(&runs);
        assert_eq!(runs.status.code(), Some(0), "{report:#}");
        assert_eq!(report["unfinished"], serde_json::json!([]), "{report:#}");
    }
    for (domain, old) in domains.iter().zip(&old) {
        assert_replaced(&host, domain, old);
    }
    assert!(!host.scratch.join("state/compromise.json").exists());
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_publisher_that_fails_halts_it_and_the_old_keys_sign_on() {
    let names: Vec<String> = (0..40).map(|number| format!("d{number}.test")).collect();
    let domains: Vec<&str> = names.iter().map(String::as_str).collect();
    let host = Host::with_keys(&domains, &["--algorithm", "ed25519"], Settings::default());
    host.sign_with_all(&domains);
    host.scratch.write("dns.secret", "YW5vdGhlciBzZWNyZXQgdGhhdCBpcyBub3QgdGhlIHNlcnZlcnM=");
    let arguments = ["compromise", "--store", "--meanwhile", "sign", "--yes", "--format", "json"];
    let halted = host.asking(&arguments);
    let report = json(&halted);
    assert_eq!(halted.status.code(), Some(1), "{report:#}");
    assert!(report["halted"].as_str().unwrap().contains("not begun"), "{report:#}");
    let store = Directory::open(&host.scratch.join("keys")).unwrap();
    let untouched = |domain: &&&str| manifest(&store, domain).bindings().iter().all(|one| one.compromised.is_none());
    assert!(domains.iter().filter(untouched).count() >= 30);
    assert!(domains.iter().all(|domain| manifest(&store, domain).signing().count() == 1));

    // It goes on where it was halted.
    host.scratch.write("dns.secret", crate::common::SECRET);
    let plan = host.asking(&["compromise", "--store"]);
    assert!(text(&plan.stdout).contains("was begun then and not ended"), "{}", text(&plan.stdout));
    let _daemon = host.daemon();
    let done = host.asking(&["compromise", "--store", "--yes", "--format", "json"]);
    let report = json(&done);
    assert_eq!(done.status.code(), Some(0), "{report:#}");
    assert_eq!(report["replaced"], 40, "{report:#}");
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_domain_published_by_hand_gets_keys_and_a_list_and_is_through_when_its_records_stand() {
    let domains = [ZONE, "byhand.test"];
    let settings = Settings { published: Some(format!("\"{ZONE}\"")), ..Settings::default() };
    let host = Host::with_keys(&domains, &["--algorithm", "ed25519"], Settings::default());
    host.sign_with_all(&domains);
    host.configure(|_| settings.clone());
    let _daemon = host.daemon();
    let old: Vec<String> = domains.iter().map(|domain| host.key(domain, "active", 'e')).collect();
    let run = || host.asking(&["compromise", "--store", "--meanwhile", "sign", "--yes", "--format", "json"]);
    let first = run();
    let report = json(&first);
    assert_eq!(first.status.code(), Some(1), "{report:#}");
    assert_eq!(report["unfinished"], serde_json::json!(["byhand.test"]), "{report:#}");
    assert_replaced(&host, ZONE, &old[..1]);
    assert_eq!(host.key("byhand.test", "active", 'e'), old[1], "it signs on");
    let publish = report["publish_by_hand"][0].clone();
    let revoke = report["revoke_by_hand"][0].clone();
    assert_eq!(revoke["name"], format!("{}._domainkey.byhand.test", old[1]));

    let update = |lines: &str| {
        let (port, secret) = (host.bind.port(), crate::common::SECRET);
        let text = format!("server 127.0.0.1 {port}\nkey hmac-sha256:waxseal {secret}\n{lines}\nsend\n");
        let script = host.scratch.write("update", text);
        crate::support::run(std::process::Command::new("/usr/bin/nsupdate").arg(script));
    };
    let (name, value) = (publish["name"].as_str().unwrap(), publish["value"].as_str().unwrap());
    update(&format!("update add {name}. 1 TXT \"{value}\""));
    // Its record is seen, it signs, and the daemon has ceased to use the old one.
    host.rotate_until("byhand.test", "the fresh key to sign", |host| {
        !host.keys("byhand.test", "active").contains(&old[1])
    });
    let (name, value) = (revoke["name"].as_str().unwrap(), revoke["value"].as_str().unwrap());
    update(&format!("update delete {name}. TXT\nupdate add {name}. 1 TXT \"{value}\""));
    host.rotate_until("byhand.test", "the revocation to be seen", |host| {
        !host.keys("byhand.test", "retiring").contains(&old[1])
    });
    let last = run();
    assert_eq!(last.status.code(), Some(0), "{}", text(&last.stdout));
    assert_replaced(&host, "byhand.test", &old[1..]);
    let manifest = manifest(&Directory::open(&host.scratch.join("keys")).unwrap(), "byhand.test");
    assert!(manifest.bindings().iter().all(|binding| binding.state.name() != StateName::Retiring));
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn all_keys_of_one_domain_are_replaced_its_standby_keys_too() {
    let host = Host::new(&[ZONE], Settings::default());
    host.with_standby(ZONE);
    let _daemon = host.daemon();
    let old = selectors(&host, ZONE);
    assert_eq!(old.len(), 4);
    let unchosen = host.asking(&["compromise", "--domain", ZONE, "--yes"]);
    assert_eq!(unchosen.status.code(), Some(2), "{}", text(&unchosen.stderr));
    let done = host.asking(&["compromise", "--domain", ZONE, "--meanwhile", "stop", "--yes", "--format", "json"]);
    let report = json(&done);
    assert_eq!(done.status.code(), Some(0), "{report:#}");
    assert_replaced(&host, ZONE, &old);
    assert_eq!(host.signs_with().len(), 2);
}
