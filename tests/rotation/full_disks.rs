//! Disks that are full in the middle of a rotation: small ones of the test's own, in mounts that nobody else sees.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;

use crate::common::ZONE;
use crate::host::{Host, text};
use crate::support::run;

/// Set where mounts are the test's own.
const INSIDE: &str = "WAXSEAL_FULL_DISKS_INSIDE";

/// Runs the test of this name again with mounts of its own, or says that it is there.
fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let mut command = Command::new("unshare");
    command.arg("--mount").arg(std::env::current_exe().unwrap()).args(["--include-ignored", "--nocapture", "--exact"]);
    let output = run(command.arg(format!("full_disks::{test}")).env(INSIDE, "yes"));
    assert!(text(&output.stdout).contains("1 passed"), "{}", text(&output.stdout));
    false
}

/// Puts a directory of the installation on a disk of its own, as it is.
fn on_small_disk(host: &Host, directory: &str) {
    let (path, away) = (host.scratch.join(directory), host.scratch.join("away"));
    fs::rename(&path, &away).unwrap();
    fs::create_dir(&path).unwrap();
    run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=128k,mode=0700", "tmpfs"]).arg(&path));
    run(Command::new("cp").arg("-a").arg(away.join(".")).arg(&path));
    fs::remove_dir_all(away).unwrap();
}

/// Fills the disk of a directory to the last octet.
fn fill(host: &Host, directory: &str) {
    let mut filler = File::create(host.scratch.join(directory).join("filler")).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    // What room is left in the last page of files that grow.
    let log = host.scratch.join(directory).join("audit.jsonl");
    if let Ok(mut log) = File::options().append(true).open(log) {
        while log.write_all(b"\n").is_ok() {}
    }
}

fn empty(host: &Host, directory: &str) {
    fs::remove_file(host.scratch.join(directory).join("filler")).unwrap();
}

/// The change of keys with that directory full, then with room again.
fn rotate_on_a_full_disk(directory: &str) {
    let host = Host::with_standby();
    let manifest = || serde_json::from_slice::<serde_json::Value>(&fs::read(host.manifest()).unwrap()).unwrap();
    on_small_disk(&host, directory);
    assert_eq!(host.check_signs().len(), 2);
    fill(&host, directory);
    host.set_key_age("1s");
    for _ in 0..3 {
        let refused = host.rotate(&[ZONE]);
        let said = text(&refused.stdout) + &text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("No space left on device"), "{said}");
        assert!(said.contains(directory), "{said}");
        assert_eq!(host.check_signs().len(), 2);
        assert!(manifest()["bindings"].as_array().unwrap().len() >= 4);
    }
    empty(&host, directory);
    let before = host.check_signs();
    let more = host.rotate_until(2, |host| drop(host.rotate(&[ZONE])));
    assert!(more.len() >= 2 || !before.is_empty());
    assert_eq!(host.check_signs().len(), 2);
    // Whatever was cut short, each line is whole or is there again, once.
    let log = fs::read_to_string(host.scratch.join("state/audit.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let signed = lines.iter().filter(|line| line["after"] == "active");
    let signed: Vec<_> = signed.map(|line| line["selector"].as_str().unwrap().to_owned()).collect();
    for selector in host.keys("active") {
        assert_eq!(signed.iter().filter(|one| **one == selector).count(), 1, "{selector}: {log}");
    }
}

#[test]
#[ignore = "needs root and BIND; tests/run-all installs it"]
fn a_full_key_store_loses_nothing_and_goes_on_when_there_is_room() {
    if is_inside("a_full_key_store_loses_nothing_and_goes_on_when_there_is_room") {
        rotate_on_a_full_disk("keys");
    }
}

#[test]
#[ignore = "needs root and BIND; tests/run-all installs it"]
fn a_full_state_directory_loses_nothing_and_goes_on_when_there_is_room() {
    if is_inside("a_full_state_directory_loses_nothing_and_goes_on_when_there_is_room") {
        rotate_on_a_full_disk("state");
    }
}
