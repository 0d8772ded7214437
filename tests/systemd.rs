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
fn the_services_are_hardened_to_an_exposure_under_two() {
    for name in ["waxseald.service", "waxseal-rotate.service"] {
        let (output, said) = systemd_analyze(&["security", "--offline=yes", "--threshold=20", &unit(name)]);
        assert!(output.status.success(), "{said}");
        assert!(said.contains(&format!("Overall exposure level for {name}")), "{said}");
    }
}

#[test]
#[ignore = "needs systemd-analyze; tests/run-all installs it"]
fn the_units_hold_nothing_that_systemd_does_not_know() {
    for name in ["waxseald.service", "waxseald.socket", "waxseal-rotate.service", "waxseal-rotate.timer"] {
        let (_, said) = systemd_analyze(&["verify", "--recursive-errors=no", &unit(name)]);
        // The program need not be installed where the tests run.
        let complaints: Vec<_> = said.lines().filter(|line| !line.contains("/usr/bin/waxseal")).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

/// docs/operating.md, typed as root with a narrow umask, on a copy of /etc that nobody else sees; the store made by
/// systemd-tmpfiles, then by `init` alone.
const INSTALLATION: &str = r#"
set -eu
units=$1 waxseal=$2
umask 077
mount -t tmpfs -o mode=0755 tmpfs /mnt
cp -a /etc /mnt/etc
mount --bind /mnt/etc /etc
mount -t tmpfs -o mode=0755 tmpfs /run
rm -rf /etc/waxseal
systemd-sysusers "$units/waxseal.sysusers.conf"
systemd-tmpfiles --create "$units/waxseal.tmpfiles.conf"
install -m 0755 "$waxseal" /mnt/waxseal
as_daemon() { setpriv --reuid waxseal --regid waxseal --init-groups /mnt/waxseal "$@"; }
for store in made missing; do
    [ "$store" = made ] || rm -rf /etc/waxseal
    /mnt/waxseal init --yes --listen unix:/run/waxseal/milter.sock example.com
    /mnt/waxseal activate --yes example.com
    as_daemon show example.com
    as_daemon config check
    [ "$(stat -c %U:%G:%a /etc/waxseal/keys/domains/example.com/manifest.json)" = waxseal-keys:waxseal:640 ]
    grep 'group = "waxseal-milter"' /etc/waxseal/waxseal.toml
done
"#;

#[test]
#[ignore = "needs root, systemd-sysusers and systemd-tmpfiles; tests/run-all installs them"]
fn the_installation_of_the_guide_ends_with_keys_that_the_daemon_can_read() {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", INSTALLATION, "sh"])
        .arg(units)
        .arg(env!("CARGO_BIN_EXE_waxseal"))
        .output()
        .expect("unshare is missing: run tests/run-all, or install Debian's package util-linux");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(said.matches("0 errors, 0 warnings").count(), 2, "{said}");
}
