//! The shipped units, judged by systemd itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

use std::path::Path;
use std::process::{Command, Output};

fn unit(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name).display().to_string()
}

fn systemd_analyze(args: &[&str]) -> (Output, String) {
    let output = Command::new("systemd-analyze").args(args).env("SYSTEMD_PAGER", "").output();
    let output = output.expect("systemd-analyze is missing: run tests/run-all, or install Debian's package systemd");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output, said)
}

#[test]
#[ignore = "needs systemd-analyze; tests/run-all installs it"]
fn the_service_is_hardened_to_an_exposure_under_two() {
    let (output, said) = systemd_analyze(&["security", "--offline=yes", "--threshold=20", &unit("waxseald.service")]);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("Overall exposure level for waxseald.service"), "{said}");
}

#[test]
#[ignore = "needs systemd-analyze; tests/run-all installs it"]
fn the_units_hold_nothing_that_systemd_does_not_know() {
    for name in ["waxseald.service", "waxseald.socket"] {
        let (_, said) = systemd_analyze(&["verify", "--recursive-errors=no", &unit(name)]);
        // The program need not be installed where the tests run.
        let complaints: Vec<_> = said.lines().filter(|line| !line.contains("/usr/bin/waxseald")).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}
