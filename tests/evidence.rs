//! What the daemon writes down of its signatures, for whoever rotates keys.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::Signal;
use support::*;
use waxseal::dkim::key::KeyId;
use waxseal::evidence::file::Status;
use waxseal::evidence::{Evidence, EvidenceError, read};
use waxseal::keystore::{Directory, KeyStore};
use waxseal::names::DomainName;

fn state(scratch: &Scratch, interval: &str) -> String {
    let folder = scratch.folder("state");
    format!("[daemon]\nstate = \"{}\"\nevidence_interval = \"{interval}\"\n", folder.display())
}

fn store(scratch: &Scratch) -> Directory {
    Directory::open(&scratch.join("waxseal/keys")).unwrap()
}

fn example() -> DomainName {
    DomainName::parse("example.test").unwrap()
}

/// The ids of the keys that sign for example.test.
fn signing(scratch: &Scratch) -> Vec<KeyId> {
    let manifest = store(scratch).manifest(&example()).unwrap().unwrap();
    manifest.signing().map(waxseal::manifest::Binding::key_id).collect()
}

/// Evidence that lists these keys; waits for it.
fn evidence_of(keys: &[KeyId], folder: &Path) -> Evidence {
    eventually("the keys' evidence", Duration::from_secs(10), || {
        let evidence = read(folder).unwrap();
        let listed = evidence.last_uses();
        keys.iter().all(|key| listed.contains_key(key)).then_some(evidence)
    })
}

fn sign(socket: &Path) {
    let Verdict::Signed(_) = Dialogue::open(socket).message("4KEYS") else { panic!("not signed") };
}

#[test]
fn what_signed_is_written_at_the_end_and_outlives_a_restart() {
    let scratch = Scratch::new("evidence");
    let installation = Installation::new(&scratch);
    let settings = state(&scratch, "1h");
    let folder = scratch.join("state");
    let keys = signing(&scratch);
    assert_eq!(keys.len(), 2);
    let mut daemon = installation.start_listening(&scratch, &settings);
    let began = Timestamp::now();
    sign(daemon.socket());
    let at_start = read(&folder).unwrap();
    assert!(at_start.last_uses().is_empty());
    assert_eq!(at_start.daemons()[0].status, Status::Running);
    daemon.terminate();
    assert!(daemon.server.wait(Duration::from_secs(10)).success());
    let evidence = read(&folder).unwrap();
    for key in &keys {
        let last = evidence.last_use(*key);
        assert!(last >= began && last.duration_since(began).as_secs() < 20, "{last} {began}");
    }
    assert_eq!(evidence.last_uses().len(), 2);
    assert_eq!(evidence.daemons()[0].status, Status::Stopped);
    // A key that nobody ever used counts as used until the daemon first began to write, and no later.
    assert!(evidence.last_use(KeyId::of(b"other")).duration_since(began).as_secs() <= 1);
    let file = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "json"));
    assert_eq!(fs::metadata(file.unwrap()).unwrap().permissions().mode() & 0o777, 0o640);
    drop(daemon);
    let mut daemon = installation.start_listening(&scratch, &settings);
    daemon.terminate();
    assert!(daemon.server.wait(Duration::from_secs(10)).success());
    assert_eq!(read(&folder).unwrap().last_uses(), evidence.last_uses());
}

#[test]
fn a_daemon_that_is_killed_loses_no_more_than_its_interval() {
    let scratch = Scratch::new("evidence-kill");
    let installation = Installation::new(&scratch);
    let settings = state(&scratch, "1s");
    let daemon = installation.start_listening(&scratch, &settings);
    sign(daemon.socket());
    let folder = scratch.join("state");
    let keys = signing(&scratch);
    let evidence = evidence_of(&keys, &folder);
    daemon.server.signal(Signal::KILL);
    drop(daemon);
    assert_eq!(read(&folder).unwrap().last_uses(), evidence.last_uses());
    let again = installation.start_listening(&scratch, &settings);
    assert_eq!(read(&folder).unwrap().last_uses(), evidence.last_uses());
    drop(again);
}

#[test]
fn two_daemons_of_one_host_write_a_file_each_and_the_newest_use_counts() {
    let scratch = Scratch::new("evidence-two");
    let installation = Installation::new(&scratch);
    let settings = state(&scratch, "1s");
    let first = installation.start_listening(&scratch, &settings);
    sign(first.socket());
    let keys = signing(&scratch);
    let before = evidence_of(&keys, &scratch.join("state")).last_use(keys[0]);
    let second = scratch.folder("second");
    let socket = second.join("milter.sock");
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxseald"));
    command.arg("--config").arg(installation.configuration()).arg("--listen").arg(format!("unix:{}", socket.display()));
    let mut server = Server::start(&mut command, &second.join("log"));
    server.wait_until("the second daemon", || socket.exists());
    std::thread::sleep(Duration::from_millis(1100));
    sign(&socket);
    let both = eventually("the second's evidence", Duration::from_secs(10), || {
        let evidence = read(&scratch.join("state")).unwrap();
        (evidence.last_use(keys[0]) > before).then_some(evidence)
    });
    let names: Vec<_> = both.daemons().iter().map(|daemon| daemon.daemon.clone()).collect();
    assert!(names.len() == 2 && names[1] == format!("{}.2", names[0]), "{names:?}");
}

#[test]
fn evidence_that_is_missing_or_broken_is_no_evidence_of_silence() {
    let scratch = Scratch::new("evidence-broken");
    let folder = scratch.folder("state");
    assert!(matches!(read(&folder), Err(EvidenceError::Missing { .. })));
    assert!(matches!(read(&scratch.join("nowhere")), Err(EvidenceError::Missing { .. })));
    let installation = Installation::new(&scratch);
    let settings = state(&scratch, "1h");
    drop(installation.start_listening(&scratch, &settings));
    let path = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "json"));
    let path = path.unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replace("\"version\":1", "\"version\":2")).unwrap();
    assert!(matches!(read(&folder), Err(EvidenceError::Version { version: 2, .. })));
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(read(&folder), Err(EvidenceError::Broken { .. })));
    // The daemon begins anew: any key may have been used until now.
    let before = Timestamp::now();
    let daemon = installation.start_listening(&scratch, &settings);
    daemon.wait_for_log("is lost", 1);
    assert!(read(&folder).unwrap().last_use(KeyId::of(b"any")) >= before);
}

#[test]
fn a_daemon_without_a_place_to_write_signs_and_says_so() {
    let scratch = Scratch::new("evidence-nowhere");
    let installation = Installation::new(&scratch);
    let daemon = installation.start(&scratch);
    daemon.wait_for_log("no state directory", 1);
    sign(daemon.socket());
    drop(daemon);
    let settings = format!("[daemon]\nstate = \"{}\"\n", scratch.join("missing").display());
    let daemon = installation.start_listening(&scratch, &settings);
    daemon.wait_for_log("cannot be written; signing goes on", 1);
    sign(daemon.socket());
}

#[test]
fn when_the_state_directory_fails_later_signing_goes_on_and_nothing_is_lost() {
    let scratch = Scratch::new("evidence-gone");
    let installation = Installation::new(&scratch);
    let settings = state(&scratch, "300ms");
    let daemon = installation.start_listening(&scratch, &settings);
    let (folder, away) = (scratch.join("state"), scratch.join("away"));
    fs::rename(&folder, &away).unwrap();
    sign(daemon.socket());
    daemon.wait_for_log("cannot be written; signing goes on, and it is kept in memory", 1);
    sign(daemon.socket());
    fs::rename(&away, &folder).unwrap();
    daemon.wait_for_log("is written again", 1);
    evidence_of(&signing(&scratch), &folder);
    assert_eq!(daemon.server.output().matches("kept in memory").count(), 1);
}

#[test]
#[ignore = "needs root and a private mount namespace; tests/run-all runs it"]
fn on_a_full_disk_the_daemon_goes_on_signing_and_says_so() {
    let scratch = Scratch::new("evidence-full");
    let installation = Installation::new(&scratch);
    let folder = scratch.folder("state");
    let socket = scratch.join("milter.sock");
    installation.configure(&state(&scratch, "300ms"));
    // Room for the lock and one file of one page: not for another beside it.
    let script = "mount -t tmpfs -o size=4k,mode=0755 state \"$1\" && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec", script, "sh"]).arg(&folder).arg(env!("CARGO_BIN_EXE_waxseald"));
    command.arg("--config").arg(installation.configuration()).arg("--listen").arg(format!("unix:{}", socket.display()));
    let mut server = Server::start(&mut command, &scratch.join("log"));
    server.wait_until("the daemon", || socket.exists());
    server.wait_until("its complaint", || server_said(&scratch, "kept in memory"));
    assert!(server_said(&scratch, "No space left"));
    for _ in 0..3 {
        sign(&socket);
    }
    server.signal(Signal::TERM);
    assert!(server.wait(Duration::from_secs(20)).success());
}

fn server_said(scratch: &Scratch, text: &str) -> bool {
    fs::read_to_string(scratch.join("log")).unwrap_or_default().contains(text)
}

#[test]
fn a_daemon_that_is_asked_acknowledges_what_it_signs_with() {
    let scratch = Scratch::new("acknowledge");
    let installation = Installation::new(&scratch);
    let settings = state(&scratch, "1h");
    let daemon = installation.start_listening(&scratch, &settings);
    sign(daemon.socket());
    let (store, folder) = (store(&scratch), scratch.join("state"));
    let before = store.manifest(&example()).unwrap().unwrap().revision();
    assert!(installation.command("generate").arg("example.test").output().unwrap().status.success());
    let revision = store.manifest(&example()).unwrap().unwrap().revision();
    assert!(revision > before);
    assert_eq!(read(&folder).unwrap().acknowledged(&example()), None);
    store.ask(&BTreeMap::from([(example(), revision)]), Timestamp::now()).unwrap();
    // Without any mail.
    let acknowledged =
        eventually("the acknowledgement", Duration::from_secs(10), || read(&folder).unwrap().acknowledged(&example()));
    assert_eq!(acknowledged, revision);
    // A revision that is not there is acknowledged by nobody.
    store.ask(&BTreeMap::from([(example(), revision + 1)]), Timestamp::now()).unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(read(&folder).unwrap().acknowledged(&example()), Some(revision));
}
