//! One key.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use waxseal::evidence;
use waxseal::keystore::{Directory, KeyStore};
use waxseal::names::DomainName;

use crate::common::ZONE;
use crate::host::{Host, Settings, has_line, json, text};
use crate::support::eventually;

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_standby_key_takes_over_the_daemon_says_so_and_the_record_is_revoked() {
    let host = Host::new(&[ZONE], Settings::default());
    host.with_standby(ZONE);
    let daemon = host.daemon();
    let (old, standby) = (host.key(ZONE, "active", 'r'), host.key(ZONE, "ready", 'r'));
    assert!(host.signs_with().contains(&old));
    let name = format!("{old}._domainkey.{ZONE}");

    let unasked = host.asking(&["compromise", &name]);
    assert_eq!(unasked.status.code(), Some(1));
    let plan = text(&unasked.stdout);
    assert!(plan.contains(&format!("{standby} signs in its place")) && plan.contains("lost:"), "{plan}");
    assert!(plan.contains("held by resolvers for up to 1 s"), "{plan}");
    assert_eq!(host.key(ZONE, "active", 'r'), old);

    let done = host.asking(&["compromise", &name, "--yes", "--format", "json"]);
    let report = json(&done);
    assert_eq!(done.status.code(), Some(0), "{report:#}");
    assert_eq!((&report["total"], &report["replaced"]), (&1.into(), &1.into()), "{report:#}");
    assert_eq!(report["lost"][0]["successor"], standby.as_str());
    assert!(report["lost"][0]["mail_until"].is_string() && report["lost"][0]["cached_for"] == 1, "{report:#}");
    assert_eq!(report["standby"][0]["everywhere"], true, "{report:#}");
    // The daemon was asked and answered: nobody waited for a minute to pass.
    assert_eq!(report["unheard"], serde_json::json!([]), "{report:#}");
    let domain = DomainName::parse(ZONE).unwrap();
    assert!(evidence::read(&host.scratch.join("evidence")).unwrap().acknowledged(&domain).is_some());
    assert!(host.is_revoked(ZONE, &old));
    let signs = host.signs_with();
    assert!(signs.contains(&standby) && !signs.contains(&old), "{signs:?}");
    // Another standby is on its way.
    let next = [host.keys(ZONE, "generated"), host.keys(ZONE, "published"), host.keys(ZONE, "ready")].concat();
    assert!(next.iter().any(|selector| selector.contains('r') && *selector != standby), "{next:?}");
    assert!(!daemon.output().contains("panicked"));

    let log = host.audit(&old);
    assert!(has_line(&log, "compromised", "", ""), "{log:#?}");
    assert!(has_line(&log, "transition", "active", "retiring"), "{log:#?}");
    assert!(
        log.iter().any(|line| line["what"] == "revoked"
            && line["before"].as_str().is_some_and(|record| record.contains("p=MII"))
            && line["after"].as_str().is_some_and(|record| record.ends_with("p="))),
        "{log:#?}"
    );
    assert!(has_line(&log, "transition", "retiring", "revoked"), "{log:#?}");
    assert!(has_line(&log, "destroyed", "kept", "destroyed"), "{log:#?}");
    assert!(has_line(&host.audit(&standby), "transition", "ready", "active"));

    // Once more changes nothing.
    let again = host.asking(&["compromise", ZONE, "--selector", &old, "--yes"]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stdout));
    assert!(text(&again.stdout).contains("no key to be declared"), "{}", text(&again.stdout));
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_dead_daemon_is_waited_for_a_minute_and_named() {
    let host = Host::new(&[ZONE], Settings::default());
    host.with_standby(ZONE);
    let daemon = host.daemon();
    assert!(!host.signs_with().is_empty());
    daemon.signal(Signal::KILL);
    let old = host.key(ZONE, "active", 'r');
    let done = host.asking(&["compromise", ZONE, "--selector", &old, "--yes", "--format", "json"]);
    let report = json(&done);
    assert_eq!(done.status.code(), Some(1), "{report:#}");
    assert_eq!((&report["replaced"], &report["unheard"][0]["domain"]), (&1.into(), &ZONE.into()), "{report:#}");
    assert!(report["unheard"][0]["detail"].as_str().unwrap().contains("last heard of"), "{report:#}");
    assert!(host.is_revoked(ZONE, &old));
    // Not before its minute was over.
    let log = host.audit(&old);
    let at = |what: &str, after: &str| {
        let line =
            log.iter().find(|line| line["what"] == what && line["after"].as_str().unwrap_or("").ends_with(after));
        let line = line.unwrap_or_else(|| panic!("{what} {after}: {log:#?}"));
        line["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap()
    };
    let waited = at("revoked", "p=").duration_since(at("transition", "retiring")).as_secs();
    // Both clocks are read in whole seconds.
    assert!(waited >= 59, "{waited} s");
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn without_evidence_the_minute_is_waited_for_too() {
    let host = Host::new(&[ZONE], Settings { no_evidence: true, ..Settings::default() });
    host.with_standby(ZONE);
    let old = host.key(ZONE, "active", 'r');
    let begun = jiff::Timestamp::now();
    let done = host.asking(&["compromise", ZONE, "--selector", &old, "--yes"]);
    let said = text(&done.stdout);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("not heard:") && said.contains("1 of 1 domains are through"), "{said}");
    assert!(host.is_revoked(ZONE, &old));
    assert!(jiff::Timestamp::now().duration_since(begun).as_secs() >= 59);
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn without_a_standby_the_operator_must_choose_and_a_fresh_key_signs_within_the_run() {
    for (choice, signs_meanwhile) in [("sign", true), ("stop", false)] {
        let host = Host::with_keys(&[ZONE], &["--algorithm", "rsa"], Settings::default());
        host.sign_with_all(&[ZONE]);
        let _daemon = host.daemon();
        let old = host.key(ZONE, "active", 'r');
        let name = format!("{old}._domainkey.{ZONE}");
        let unchosen = host.asking(&["compromise", &name, "--yes"]);
        assert_eq!(unchosen.status.code(), Some(2), "{}", text(&unchosen.stderr));
        assert!(text(&unchosen.stderr).contains("--meanwhile"), "{}", text(&unchosen.stderr));
        assert!(host.status(ZONE)["keys"].as_array().unwrap().iter().all(|key| key["compromised"] == false));

        let is_over = AtomicBool::new(false);
        let (done, samples) = thread::scope(|scope| {
            let sampling = scope.spawn(|| {
                let mut samples = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    samples.push(signing(&host));
                    thread::sleep(Duration::from_millis(20));
                }
                samples
            });
            let done = host.asking(&["compromise", &name, "--yes", "--meanwhile", choice, "--format", "json"]);
            is_over.store(true, Ordering::Relaxed);
            (done, sampling.join().unwrap())
        });
        let report = json(&done);
        assert_eq!(done.status.code(), Some(0), "{choice}: {report:#}");
        assert_eq!(report["lost"][0]["meanwhile"], choice);
        assert_eq!(samples.iter().all(|signing| !signing.is_empty()), signs_meanwhile, "{choice}: {samples:?}");
        let fresh = host.key(ZONE, "active", 'r');
        assert!(fresh != old && host.is_revoked(ZONE, &old));
        // A daemon looks at the store again when what it knows is a second old.
        eventually("the daemon to sign with the fresh key", Duration::from_secs(10), || {
            (host.signs_with() == [fresh.clone()]).then_some(())
        });
    }
}

/// The selectors that sign, as the manifest has it.
fn signing(host: &Host) -> Vec<String> {
    let store = Directory::open(&host.scratch.join("keys")).unwrap();
    let manifest = store.manifest(&DomainName::parse(ZONE).unwrap()).unwrap().unwrap();
    manifest.signing().map(|binding| binding.selector.to_string()).collect()
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn ed25519_is_revoked_at_once_while_rsa_signs() {
    let host = Host::new(&[ZONE], Settings::default());
    host.sign_with_all(&[ZONE]);
    let _daemon = host.daemon();
    let (rsa, old) = (host.key(ZONE, "active", 'r'), host.key(ZONE, "active", 'e'));
    // Nobody need choose.
    let done = host.asking(&["compromise", ZONE, "--selector", &old, "--yes"]);
    assert_eq!(done.status.code(), Some(0), "{}{}", text(&done.stdout), text(&done.stderr));
    assert!(host.is_revoked(ZONE, &old));
    assert_eq!(host.signs_with(), [rsa]);
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_standby_key_whose_record_vanished_signs_all_the_same_and_loudly() {
    let host = Host::new(&[ZONE], Settings::default());
    host.with_standby(ZONE);
    let _daemon = host.daemon();
    let (old, standby) = (host.key(ZONE, "active", 'r'), host.key(ZONE, "ready", 'r'));
    let update = format!(
        "server 127.0.0.1 {}\nkey hmac-sha256:waxseal {}\nupdate delete {standby}._domainkey.{ZONE}. TXT\nsend\n",
        host.bind.port(),
        crate::common::SECRET
    );
    let script = host.scratch.write("update", update);
    crate::support::run(std::process::Command::new("/usr/bin/nsupdate").arg(script));
    assert_eq!(host.standing(ZONE, &standby), Vec::<String>::new());
    let done = host.asking(&["compromise", ZONE, "--selector", &old, "--yes"]);
    let said = text(&done.stdout);
    assert!(said.contains("1 of 1 domains are through"), "{said}{}", text(&done.stderr));
    // Its first look, or that of its run, which publishes the record again.
    assert!(said.contains(&format!("{standby} signs now")) || said.contains("published"), "{said}");
    assert_eq!(host.key(ZONE, "active", 'r'), standby);
    assert!(host.is_revoked(ZONE, &old));
    assert!(!host.standing(ZONE, &standby).is_empty(), "published again: {said}");
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_shared_key_is_replaced_in_every_domain_that_has_it() {
    let domains = ["example.test", "other.test"];
    let host = Host::with_keys(&domains, &["--shared", "--algorithm", "rsa"], Settings::default());
    host.sign_with_all(&domains);
    let _daemon = host.daemon();
    let old = host.key(domains[0], "active", 'r');
    assert_eq!(host.key(domains[1], "active", 'r'), old);
    assert_eq!(fs::read_dir(host.scratch.join("keys/shared")).unwrap().count(), 1);
    let arguments = ["compromise", domains[1], "--selector", &old, "--meanwhile", "sign", "--yes", "--format", "json"];
    let done = host.asking(&arguments);
    let report = json(&done);
    assert_eq!(done.status.code(), Some(0), "{report:#}");
    assert_eq!(report["total"], 2);
    for domain in domains {
        assert!(host.is_revoked(domain, &old));
        assert_ne!(host.key(domain, "active", 'r'), old);
    }
    assert_eq!(fs::read_dir(host.scratch.join("keys/shared")).unwrap().count(), 0, "destroyed with the last");
}
