//! What others do to the zone, the store, the state and the clock: it is said, nothing is lost, and what signed goes on.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{ZONE, txt_at};
use crate::host::{Host, PATIENCE, text};
use crate::support::{free_port, installed};

const FOREIGN: &str = "v=DKIM1; k=rsa; p=QUJD";

fn printed(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

fn name_of(selector: &str) -> String {
    format!("{selector}._domainkey.{ZONE}")
}

/// The RSA key among these.
fn rsa(selectors: &[String]) -> String {
    selectors.iter().find(|selector| selector.contains('r')).unwrap().clone()
}

/// Holds last for ten minutes at the least: makes one an hour old.
fn age_holds(host: &Host) {
    let mut manifest: Value = serde_json::from_slice(&fs::read(host.manifest()).unwrap()).unwrap();
    let mut aged = 0;
    for binding in manifest["bindings"].as_array_mut().unwrap() {
        if let Some(since) = binding["held"].get_mut("since") {
            let at: jiff::Timestamp = since.as_str().unwrap().parse().unwrap();
            *since = Value::from((at - jiff::SignedDuration::from_hours(1)).to_string());
            aged += 1;
        }
    }
    assert!(aged > 0, "nothing is held");
    fs::write(host.manifest(), manifest.to_string()).unwrap();
}

fn rotate_until(host: &Host, what: &str, mut is_so: impl FnMut(&Output) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so(&host.rotate(&[ZONE])) {
        assert!(Instant::now() < deadline, "waited in vain until {what}: {:#}", host.status());
        thread::sleep(Duration::from_millis(300));
    }
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_record_of_another_is_never_overwritten_and_when_it_goes_rotation_goes_on() {
    let host = Host::new();
    let selector = rsa(&host.keys("generated"));
    let name = name_of(&selector);
    host.by_hand(&format!("update add {name} 1 TXT \"{FOREIGN}\""));
    let held = host.rotate(&[ZONE]);
    assert!(printed(&held).contains("something else stands there"), "{}", printed(&held));
    for _ in 0..3 {
        host.rotate(&[ZONE]);
        assert_eq!(txt_at(host.bind.servers()[0], &name), [FOREIGN]);
        assert_eq!(host.keys("generated"), std::slice::from_ref(&selector));
    }
    host.by_hand(&format!("update delete {name} TXT"));
    age_holds(&host);
    host.rotate_until(1, |host| drop(host.rotate(&[ZONE])));
    assert!(host.check_signs().contains(&selector));
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_record_that_was_changed_by_hand_while_its_key_signs_is_an_alarm_and_no_more() {
    let host = Host::with_standby();
    let active = host.check_signs();
    let selector = rsa(&active);
    let (name, server) = (name_of(&selector), host.bind.servers()[0]);
    let ours = txt_at(server, &name).concat();
    host.by_hand(&format!("update delete {name} TXT\nupdate add {name} 1 TXT \"{FOREIGN}\""));
    for _ in 0..3 {
        let drifted = host.rotate(&[ZONE]);
        assert_eq!(drifted.status.code(), Some(1));
        assert!(printed(&drifted).contains("it has another key"), "{}", printed(&drifted));
        assert_eq!(txt_at(server, &name), [FOREIGN]);
        assert_eq!(host.keys("active"), active);
    }
    // Mended by hand, in strings of their own.
    let (start, end) = ours.split_at(200);
    host.by_hand(&format!("update delete {name} TXT\nupdate add {name} 1 TXT \"{start}\" \"{end}\""));
    age_holds(&host);
    rotate_until(&host, "it is held no longer", |done| done.status.success());
    assert_eq!(host.check_signs(), active);

    // Deleted by hand: published again.
    host.by_hand(&format!("update delete {name} TXT"));
    let gone = host.rotate(&[ZONE]);
    assert!(printed(&gone).contains("its record was published"), "{}", printed(&gone));
    assert_eq!(txt_at(server, &name), [ours]);
    assert_eq!(host.check_signs(), active);

    // The successor's, deleted by hand on the day of the change: the old key goes on until the new one is back.
    let standby = rsa(&host.keys("ready"));
    host.by_hand(&format!("update delete {} TXT", name_of(&standby)));
    host.set_key_age("1s");
    host.rotate(&[ZONE]);
    assert_eq!(host.keys("active"), active);
    rotate_until(&host, "the successor signs", |_| host.check_signs().contains(&standby));
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_store_of_a_newer_version_is_left_as_it_is() {
    let host = Host::with_standby();
    let old = fs::read_to_string(host.manifest()).unwrap();
    let newer = old.replacen("\"version\": 1", "\"version\": 2", 1);
    assert_ne!(old, newer);
    fs::write(host.manifest(), &newer).unwrap();
    host.set_key_age("1s");
    for arguments in [&[ZONE][..], &[]] {
        let refused = host.rotate(arguments);
        assert!(printed(&refused).contains("written by a newer waxseal"), "{}", printed(&refused));
        assert_eq!(fs::read_to_string(host.manifest()).unwrap(), newer);
    }
    fs::write(host.manifest(), old).unwrap();
    let active = host.check_signs();
    rotate_until(&host, "the successor signs", |_| host.check_signs() != active);
}

#[test]
#[ignore = "needs BIND and faketime; tests/run-all installs them"]
fn a_clock_that_is_set_by_a_year_costs_one_run_and_says_so() {
    let faketime = installed(&["/usr/bin/faketime"], "faketime");
    for by in ["+366d", "-366d"] {
        let host = Host::with_standby();
        let active = host.check_signs();
        let rotate = |by: &str| {
            let mut command = Command::new(&faketime);
            command.args(["-f", by, env!("CARGO_BIN_EXE_waxseal"), "--config"]).arg(host.scratch.join("waxseal.toml"));
            command.args(["rotate", "--servers", &host.servers]).output().unwrap()
        };
        let paused = rotate(by);
        assert_eq!(paused.status.code(), Some(0), "{}", printed(&paused));
        let said = printed(&paused);
        assert!(said.contains("pauses until the next run, for the wall clock was set"), "{said}");
        assert!(said.contains(if by.starts_with('+') { "forward by" } else { "back by" }), "{said}");
        assert_eq!(host.check_signs(), active);
        // Then on. By that clock BIND refuses our updates (BADTIME), which no key that signs depends on.
        for _ in 0..3 {
            assert!(!printed(&rotate(by)).contains("pauses"));
            assert_eq!(host.check_signs().len(), 2);
        }
        let mended = host.rotate(&[]);
        assert!(printed(&mended).contains("pauses until the next run"), "{}", printed(&mended));
        rotate_until(&host, "there is a standby key again", |_| host.keys("ready").len() >= 2);
        assert_eq!(host.check_signs().len(), 2);
    }
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn without_its_audit_log_rotation_stops_and_goes_on_with_it() {
    let host = Host::with_standby();
    let (log, away) = (host.scratch.join("state/audit.jsonl"), host.scratch.join("away"));
    fs::rename(&log, &away).unwrap();
    fs::create_dir(&log).unwrap();
    host.set_key_age("1s");
    let refused = host.rotate(&[ZONE]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(printed(&refused).contains("cannot write the audit log"), "{}", printed(&refused));
    assert_eq!(host.check_signs().len(), 2);
    fs::remove_dir(&log).unwrap();
    fs::rename(&away, &log).unwrap();
    host.set_key_age("180d");
    rotate_until(&host, "there is a standby key again", |_| host.keys("ready").len() >= 2);
    assert_eq!(host.check_signs().len(), 2);
    // What could not be written then is there now, once.
    let lines = host.audit();
    for selector in host.keys("active") {
        let activated = lines.iter().filter(|line| line["selector"] == *selector && line["after"] == "active");
        assert_eq!(activated.count(), 1, "{lines:#?}");
    }

    // The whole directory: it is made again, and nothing that signs rests on it.
    let active = host.check_signs();
    fs::remove_dir_all(host.scratch.join("state")).unwrap();
    assert!(host.rotate(&[]).status.success());
    assert!(log.exists());
    assert_eq!(host.check_signs(), active);
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_successor_whose_private_key_is_lost_does_not_take_over() {
    let host = Host::with_standby();
    let active = host.check_signs();
    let standby = rsa(&host.keys("ready"));
    let is_its_key = |path: &Path| path.file_name().unwrap().to_string_lossy().starts_with(&format!("{standby}."));
    let mut files = fs::read_dir(host.manifest().parent().unwrap()).unwrap().map(|file| file.unwrap().path());
    let key = files.find(|path| is_its_key(path)).unwrap();
    let away = host.scratch.join("away.pem");
    fs::rename(&key, &away).unwrap();
    host.set_key_age("1s");
    for _ in 0..2 {
        let refused = host.rotate(&[ZONE]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(printed(&refused).contains("is missing; restore it from a backup"), "{}", printed(&refused));
        assert_eq!(host.check_signs(), active);
    }
    // Another's key under that name is no better.
    fs::copy(host.scratch.join("dns.secret"), &key).unwrap();
    assert_eq!(host.rotate(&[ZONE]).status.code(), Some(1));
    assert_eq!(host.check_signs(), active);
    fs::rename(&away, &key).unwrap();
    rotate_until(&host, "the successor signs", |_| host.check_signs().contains(&standby));
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn with_dead_servers_or_a_dead_resolver_the_old_key_goes_on() {
    let mut host = Host::with_standby();
    let active = host.check_signs();
    let path = host.scratch.join("waxseal.toml");
    let configuration = fs::read_to_string(&path).unwrap();
    let configuration = configuration.replace("key_age", "reseen_within = \"2s\"\nkey_age");
    fs::write(&path, &configuration).unwrap();
    thread::sleep(Duration::from_secs(3));
    let dead = format!("127.0.0.1:{}", free_port());

    let servers = std::mem::replace(&mut host.servers, dead.clone());
    host.set_key_age("1s");
    for _ in 0..2 {
        let silent = host.rotate(&[ZONE]);
        assert!(printed(&silent).contains("none of the servers answers"), "{}", printed(&silent));
        assert_eq!(host.check_signs(), active);
    }
    host.servers = servers;

    // The zone's own servers cannot be found out.
    let resolver = configuration.lines().find(|line| line.starts_with("resolvers")).unwrap();
    fs::write(&path, configuration.replace(resolver, &format!("resolvers = [\"{dead}\"]"))).unwrap();
    host.set_key_age("1s");
    let blind = host.waxseal(&["rotate", ZONE]).output().unwrap();
    assert!(printed(&blind).contains("could not be found out"), "{}", printed(&blind));
    assert_eq!(host.check_signs(), active);

    fs::write(&path, configuration).unwrap();
    host.set_key_age("1s");
    rotate_until(&host, "the successor signs", |_| host.check_signs() != active);
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn of_many_runs_at_once_one_works_and_all_end_well() {
    let host = Host::new();
    let runs: Vec<_> = (0..6).map(|_| host.waxseal(&["rotate", "--servers", &host.servers]).spawn().unwrap()).collect();
    for mut run in runs {
        assert!(run.wait().unwrap().success());
    }
    assert_eq!(host.keys("published").len(), 2);
    let lines = host.audit();
    let published = lines.iter().filter(|line| line["what"] == "published");
    assert_eq!(published.count(), 2, "{lines:#?}");
}

#[test]
#[ignore = "needs root and BIND; tests/run-all installs it"]
fn what_root_makes_belongs_to_the_owner_of_the_store_who_goes_on() {
    const OWNER: u32 = 23_456;
    let host = Host::new();
    let program = host.scratch.join("waxseal");
    fs::copy(env!("CARGO_BIN_EXE_waxseal"), &program).unwrap();
    let mut folders = vec![host.scratch.join("keys")];
    chown(host.scratch.join("dns.secret"), Some(OWNER), Some(OWNER)).unwrap();
    let give = |path: &Path| chown(path, Some(OWNER), Some(OWNER)).unwrap();
    give(&folders[0]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            give(&entry);
            if entry.is_dir() {
                folders.push(entry);
            }
        }
    }
    let done = host.rotate(&[ZONE]);
    assert!(done.status.success(), "{}", printed(&done));
    for made in ["state", "state/audit.jsonl", "state/rotate.lock"] {
        assert_eq!(fs::metadata(host.scratch.join(made)).unwrap().uid(), OWNER, "{made}");
    }
    assert_eq!(fs::metadata(host.manifest()).unwrap().uid(), OWNER);
    let id = OWNER.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).arg(program).arg("--config");
    command.arg(host.scratch.join("waxseal.toml")).args(["rotate", ZONE, "--servers", &host.servers]);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", printed(&done));
    assert!(!printed(&done).contains("due.jsonl"), "{}", printed(&done));
}
