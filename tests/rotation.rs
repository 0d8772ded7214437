//! `waxseal rotate` against a real BIND that takes signed updates: from `init` to the third key, killed at any moment, twice
//! at once, with a secondary that is dead and with a secret that is wrong; and with everything else that may go wrong around it
//! (tests/rotation).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program"
)]

#[path = "publish/common.rs"]
#[expect(dead_code, reason = "tests/publish.rs uses the rest")]
mod common;
mod support;

#[path = "rotation/bad_input.rs"]
mod bad_input;
#[path = "rotation/full_disks.rs"]
mod full_disks;
#[path = "rotation/host.rs"]
mod host;

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{SECRET, ZONE, txt_at};
use crate::host::{Host, PATIENCE, text};
use crate::support::free_port;

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn from_init_to_the_third_key() {
    let host = Host::new();
    let plan = host.rotate(&[ZONE, "--dry-run"]);
    assert_eq!(plan.status.code(), Some(0), "{}", text(&plan.stderr));
    assert!(text(&plan.stdout).contains("now publish"), "{}", text(&plan.stdout));
    assert_eq!(host.keys("generated").len(), 2);

    let signed = host.rotate_until(3, |host| {
        let done = host.rotate(&[ZONE]);
        assert_eq!(done.status.code(), Some(0), "{}{}", text(&done.stdout), text(&done.stderr));
    });
    assert_eq!(signed.len(), 3);
    // The first key's life ends: its record is gone, its private key too.
    let first = signed.iter().min_by_key(|selector| selector.len()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while host.status()["keys"].as_array().unwrap().iter().any(|key| key["selector"] == **first) {
        assert!(Instant::now() < deadline, "{:#}", host.status());
        assert!(host.rotate(&[ZONE]).status.success());
        thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(txt_at(host.bind.servers()[0], &format!("{first}._domainkey.{ZONE}")), Vec::<String>::new());
    let files = fs::read_dir(host.scratch.join(&format!("keys/domains/{ZONE}"))).unwrap();
    assert!(!files.flatten().any(|file| file.file_name().to_string_lossy().starts_with(&format!("{first}."))));
    host.check_active();
    let log = host.audit();
    for after in ["published", "ready", "active", "retiring", "revoked", "withdrawn"] {
        let of_first = |line: &&serde_json::Value| line["selector"] == **first && line["what"] == "transition";
        assert!(log.iter().filter(of_first).any(|line| line["after"] == after), "{after}: {log:#?}");
    }
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn killed_at_any_moment_it_goes_on() {
    let host = Host::new();
    let random = RandomState::new();
    let mut runs = 0_u64;
    host.rotate_until(3, |host| {
        let mut command = host.waxseal(&["rotate", ZONE, "--servers", &host.servers]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        runs += 1;
        // Longer and longer, for machines on which making a key takes long.
        thread::sleep(Duration::from_micros(random.hash_one(runs) % (300_000 + 10_000 * runs)));
        child.kill().unwrap();
        child.wait().unwrap();
    });
    let log = host.audit();
    let ids: BTreeSet<&str> = log.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), log.len(), "no line stands there twice");
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_dead_secondary_is_waited_for_and_then_excused() {
    let mut host = Host::new();
    host.servers = format!("{},127.0.0.1:{}", host.servers, free_port());
    // A look takes as long as the dead one is waited for, and must not be old by then.
    let path = host.scratch.join("waxseal.toml");
    let configuration = fs::read_to_string(&path).unwrap();
    fs::write(&path, configuration.replace("rounds_over = \"1s\"", "rounds_over = \"8s\"")).unwrap();
    let first = host.rotate(&[ZONE]);
    assert!(text(&first.stdout).contains("does not answer"), "{}", text(&first.stdout));
    host.rotate_until(2, |host| drop(host.rotate(&[ZONE])));
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn with_a_wrong_secret_the_old_key_goes_on_signing() {
    let host = Host::new();
    let signed = host.rotate_until(1, |host| drop(host.rotate(&[ZONE])));
    host.scratch.write("dns.secret", "YW5vdGhlciBzZWNyZXQgdGhhdCBpcyBub3QgdGhlIHNlcnZlcnM=");
    let deadline = Instant::now() + Duration::from_secs(12);
    let mut refusals = 0;
    while Instant::now() < deadline {
        let refused = host.rotate(&[ZONE]);
        refusals += text(&refused.stdout).matches("BADSIG").count();
        assert!(!host.check_active().is_empty());
        thread::sleep(Duration::from_millis(500));
    }
    assert!(refusals > 0);
    host.scratch.write("dns.secret", SECRET);
    let more = host.rotate_until(2, |host| drop(host.rotate(&[ZONE])));
    assert!(!signed.is_empty() && more.len() >= 2);
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn twice_at_once_the_second_leaves_it_to_the_first() {
    let host = Host::new();
    fs::create_dir(host.scratch.join("state")).unwrap();
    let lock = fs::File::create(host.scratch.join("state/rotate.lock")).unwrap();
    lock.lock().unwrap();
    let second = host.rotate(&[]);
    assert_eq!(second.status.code(), Some(0), "{}", text(&second.stderr));
    assert!(text(&second.stderr).contains("another"), "{}", text(&second.stderr));
    assert_eq!(host.keys("generated").len(), 2);
    drop(lock);

    let first = host.rotate(&[]);
    assert_eq!(first.status.code(), Some(0), "{}{}", text(&first.stdout), text(&first.stderr));
    assert!(text(&first.stdout).contains("1 of 1 domains were due"), "{}", text(&first.stdout));
    assert_eq!(host.keys("published").len(), 2);
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_compromised_key_is_replaced_at_once_and_a_domain_can_leave() {
    let host = Host::new();
    // Until the first key signs and a standby is Ready.
    host.rotate_until(1, |host| drop(host.rotate(&[ZONE])));
    let path = host.scratch.join("waxseal.toml");
    let configuration = fs::read_to_string(&path).unwrap();
    fs::write(&path, configuration.replace("key_age = \"8s\"", "key_age = \"180d\"")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !host.keys("ready").iter().any(|selector| selector.contains('r')) {
        assert!(Instant::now() < deadline, "{:#}", host.status());
        host.rotate(&[ZONE]);
        thread::sleep(Duration::from_millis(300));
    }
    let active = |host: &Host| host.keys("active").into_iter().find(|selector| selector.contains('r'));
    let (old, standby) = (active(&host).unwrap(), host.keys("ready").remove(0));
    let mut command = host.waxseal(&["compromise", ZONE, "--selector", &old, "--servers", &host.servers]);
    let unasked = command.output().unwrap();
    assert_eq!(unasked.status.code(), Some(1));
    assert!(text(&unasked.stdout).contains("lost:"), "{}", text(&unasked.stdout));
    assert_eq!(active(&host), Some(old.clone()));

    command.arg("--yes").output().unwrap();
    assert_ne!(active(&host), Some(old.clone()), "{standby} signs");
    let name = format!("{old}._domainkey.{ZONE}");
    let revoked = |host: &Host| txt_at(host.bind.servers()[0], &name).iter().all(|value| value.ends_with("p="));
    while !revoked(&host) {
        assert!(Instant::now() < deadline, "{:#}", host.status());
        host.rotate(&[ZONE]);
        host.check_active();
        thread::sleep(Duration::from_millis(300));
    }

    let left = host.waxseal(&["offboard", ZONE, "--yes", "--servers", &host.servers]).output().unwrap();
    assert!(text(&left.stdout).contains("nothing signs for it any more"), "{}", text(&left.stdout));
    while !host.status()["keys"].as_array().unwrap().is_empty() {
        assert!(Instant::now() < deadline, "{:#}", host.status());
        host.rotate(&[ZONE]);
        assert_eq!(host.keys("active"), Vec::<String>::new());
        thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(txt_at(host.bind.servers()[0], &name), Vec::<String>::new());
}
