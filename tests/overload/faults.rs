//! Faults while there is much to sign: each ends with every message accounted for, and with a daemon that signs again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::bench::{Bench, Figures, counted};
use crate::support::*;

/// Some hundred messages a second for some seconds, which is less than can be signed: so the fault decides, not the load.
const LOAD: &str = "--rate 100 --duration 4 --connections 40 --per-connection 2 --auth anna";

/// Lets the fault happen under load; what became of the messages.
fn under_load(daemon: &Daemon, fault: impl FnOnce()) -> Figures {
    let load = Bench::start(daemon.socket(), LOAD);
    thread::sleep(Duration::from_secs(1));
    fault();
    let figures = load.finish();
    figures.assert_accounted();
    figures
}

fn assert_signs_again(daemon: &mut Daemon) {
    assert!(daemon.server.is_running());
    let after = Bench::start(daemon.socket(), "--messages 20 --connections 2 --auth bert").finish();
    assert_eq!((after.signed, after.lost), (20, 0), "{after:#?}");
}

fn assert_lines(daemon: &Daemon, figures: &Figures) {
    daemon.wait_for_log("\"event\":\"message\"", usize::try_from(figures.messages).unwrap());
    assert!(counted(daemon, "sign") >= figures.signed && counted(daemon, "pass") == 0);
}

fn keys_of(scratch: &Scratch, domain: &str) -> PathBuf {
    scratch.join("waxseal").join("keys/domains").join(domain)
}

fn moved(from: &Path, to: &Path, during: impl FnOnce()) {
    fs::rename(from, to).unwrap();
    during();
    fs::rename(to, from).unwrap();
}

#[test]
fn with_the_key_directory_away_known_keys_go_on_signing() {
    let scratch = Scratch::new("fault");
    let mut daemon = Installation::new(&scratch).start(&scratch);
    let keys = scratch.join("waxseal").join("keys");
    let figures = under_load(&daemon, || moved(&keys, &scratch.join("away"), a_while));
    assert_eq!(figures.deferred, 0, "{figures:#?}");
    assert_lines(&daemon, &figures);
    assert!(daemon.server.output().contains("key store cannot be read"));
    assert_signs_again(&mut daemon);
}

#[test]
fn a_domain_whose_manifest_cannot_be_read_or_is_corrupt_costs_no_other_domain_its_signatures() {
    let scratch = Scratch::new("fault");
    let mut daemon = Installation::new(&scratch).start(&scratch);
    let manifest = keys_of(&scratch, "sub.example.test").join("manifest.json");
    let manifest = if manifest.exists() { manifest } else { another_manifest(&scratch) };
    let aside = scratch.join("aside");
    let figures = under_load(&daemon, || {
        moved(&manifest, &aside, || {
            // Reading a directory is an error of its own.
            fs::create_dir(&manifest).unwrap();
            a_moment();
            fs::remove_dir(&manifest).unwrap();
            fs::write(&manifest, "{ no manifest").unwrap();
            a_moment();
            fs::remove_file(&manifest).unwrap();
        });
    });
    assert_eq!(figures.deferred, 0, "{figures:#?}");
    assert_lines(&daemon, &figures);
    assert_signs_again(&mut daemon);
}

/// A manifest of another domain than the load's.
fn another_manifest(scratch: &Scratch) -> PathBuf {
    let domains = fs::read_dir(keys_of(scratch, "")).unwrap().map(|entry| entry.unwrap());
    let other =
        domains.filter(|entry| entry.file_name() != "example.test").map(|entry| entry.path().join("manifest.json"));
    other.filter(|manifest| manifest.exists()).min().expect("the message set has several domains")
}

#[test]
fn a_full_disk_under_the_log_and_under_the_evidence_stops_no_mail() {
    let scratch = Scratch::new("fault");
    let installation = Installation::new(&scratch);
    let socket = scratch.join("milter.sock");
    // Each write to it fails with ENOSPC; so does what is written below what is no directory.
    installation.configure(&format!(
        "[[listener]]\nsocket = \"unix:{}\"\n[daemon]\nstate = \"/dev/full/state\"\nevidence_interval = \"1s\"\n",
        socket.display()
    ));
    let words = format!(
        "exec {} --config {} 2>/dev/full",
        env!("CARGO_BIN_EXE_waxseald"),
        installation.configuration().display()
    );
    let mut server = Server::start(Command::new("sh").args(["-c", &words]), &scratch.join("waxseald.log"));
    server.wait_until("waxseald to listen", || socket.exists());
    let mut daemon = Daemon::of(server, &socket);
    let figures = under_load(&daemon, || {});
    assert_eq!(figures.deferred, 0, "{figures:#?}");
    assert_signs_again(&mut daemon);
}

#[test]
fn with_file_descriptors_exhausted_connections_wait_and_none_is_lost() {
    let scratch = Scratch::new("fault");
    let mut daemon = Installation::new(&scratch).start(&scratch);
    let pid = daemon.server.pid().to_string();
    let limit = |descriptors: &str| {
        run(Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={descriptors}:")]));
    };
    // What is known when there are none left.
    assert_signs_again(&mut daemon);
    let figures = under_load(&daemon, || {
        limit("24");
        a_while();
        limit("1024");
    });
    assert_eq!(figures.lost, 0);
    assert!(daemon.server.output().contains("a connection could not be accepted"), "no descriptor was missing");
    assert_signs_again(&mut daemon);
}

#[test]
fn where_files_are_limited_from_the_start_fewer_connections_are_taken_and_the_log_says_what_to_change() {
    let scratch = Scratch::new("fault");
    let installation = Installation::new(&scratch);
    let mut daemon = installation.start_by(&["prlimit", "--nofile=96:96"], &scratch, "");
    let load = Bench::start(daemon.socket(), "--messages 400 --connections 60 --per-connection 5 --auth anna").finish();
    load.assert_accounted();
    assert!(daemon.server.output().contains("raise LimitNOFILE= of the service"));
    assert_signs_again(&mut daemon);
}

#[test]
fn half_of_the_clients_may_be_killed() {
    let scratch = Scratch::new("fault");
    let mut daemon = Installation::new(&scratch).start(&scratch);
    let killed = Bench::start(daemon.socket(), LOAD);
    under_load(&daemon, || killed.kill());
    assert_eq!(counted(&daemon, "pass"), 0);
    assert_signs_again(&mut daemon);
}

#[test]
fn a_daemon_that_stands_still_for_seconds_goes_on_where_it_stood() {
    let scratch = Scratch::new("fault");
    let mut daemon = Installation::new(&scratch).start(&scratch);
    let figures = under_load(&daemon, || {
        daemon.server.signal(Signal::STOP);
        thread::sleep(Duration::from_secs(3));
        daemon.server.signal(Signal::CONT);
    });
    assert_lines(&daemon, &figures);
    assert_signs_again(&mut daemon);
}

#[test]
fn a_clock_that_jumps_a_day_forth_and_a_week_back_costs_no_message() {
    let scratch = Scratch::new("fault");
    let installation = Installation::new(&scratch);
    let clock = scratch.write("clock", "+0");
    let library = "LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
    let file = format!("FAKETIME_TIMESTAMP_FILE={}", clock.display());
    let program =
        ["env", library, &file, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1"];
    let mut daemon = installation.start_by(&program, &scratch, "");
    let figures = under_load(&daemon, || {
        for offset in ["+1d", "-7d", "+0"] {
            fs::write(&clock, offset).unwrap();
            a_moment();
        }
    });
    assert_eq!(figures.deferred, 0, "{figures:#?}");
    let days: std::collections::BTreeSet<String> = days_in(&daemon.server.output());
    assert!(days.len() >= 3, "the clock did not jump: {days:?}");
    assert_signs_again(&mut daemon);
}

fn days_in(log: &str) -> std::collections::BTreeSet<String> {
    let day = |line: &str| Some(line.split_once("\"time\":\"")?.1.get(..10)?.to_owned());
    log.lines().filter_map(day).collect()
}

/// Longer than what is known counts as confirmed.
fn a_while() {
    thread::sleep(Duration::from_secs(2));
}

fn a_moment() {
    thread::sleep(Duration::from_millis(700));
}
