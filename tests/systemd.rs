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

/// What a unit says for a setting, in its order.
fn settings(name: &str, setting: &str) -> Vec<String> {
    let text = std::fs::read_to_string(unit(name)).unwrap();
    let values = text.lines().filter_map(|line| line.strip_prefix(setting)?.strip_prefix('=').map(str::to_owned));
    values.collect()
}

#[test]
fn rotation_alone_has_the_secrets_and_writes_the_keys() {
    assert_eq!(settings("waxseal-rotate.service", "User"), ["waxseal-keys"]);
    assert_eq!(settings("waxseal-rotate.service", "LoadCredential"), ["dns:/etc/waxseal/credentials"]);
    assert_eq!(settings("waxseal-rotate.service", "ReadWritePaths"), ["/etc/waxseal/keys"]);
    assert_eq!(settings("waxseald.service", "User"), ["waxseal"]);
    for setting in ["LoadCredential", "SetCredential", "ReadWritePaths", "EnvironmentFile", "SupplementaryGroups"] {
        assert_eq!(settings("waxseald.service", setting), Vec::<String>::new(), "{setting}");
    }
    // Root's alone: systemd reads them.
    let tmpfiles = std::fs::read_to_string(unit("waxseal.tmpfiles.conf")).unwrap();
    let line = tmpfiles.lines().find(|line| line.contains("/etc/waxseal/credentials")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>()[2..5], ["0700", "root", "root"]);
}

#[test]
fn the_units_directories_are_the_defaults() {
    let state = |name: &str| Path::new("/var/lib").join(&settings(name, "StateDirectory")[0]);
    assert_eq!(state("waxseal-rotate.service"), waxseal::config::Rotation::default().state);
    // Where rotation looks for what daemons write down, if [daemon] says nothing.
    assert_eq!(state("waxseald.service"), Path::new("/var/lib/waxseal"));
    // The daemon goes through that of rotation, for the summary.
    for (name, mode) in [("waxseal-rotate.service", "0751"), ("waxseald.service", "0750")] {
        assert!(settings(name, "ExecStart")[0].contains("--config /etc/waxseal/waxseal.toml"));
        assert_eq!(settings(name, "StateDirectoryMode"), [mode]);
    }
    assert_eq!(settings("waxseal-rotate.timer", "OnUnitInactiveSec"), ["5min"]);
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

/// The rotation unit's user with its credentials, after that: it writes where the unit lets it, and the daemon's user can
/// read no secret. No DNS server answers here.
const ROTATION: &str = r#"
mount -t tmpfs -o mode=0755 tmpfs /var/lib
install -d -m 0700 /etc/waxseal/credentials
echo d2F4c2VhbCB0ZXN0cyB1c2UgdGhpcyBzZWNyZXQgb25seQ== > /etc/waxseal/credentials/primary
install -d -o waxseal-keys -g waxseal-keys -m 0751 /var/lib/waxseal-rotate
install -d -o waxseal-keys -m 0500 /run/credentials
install -o waxseal-keys -m 0400 /etc/waxseal/credentials/primary /run/credentials/dns_primary
cat >> /etc/waxseal/waxseal.toml << 'END'
[dns]
resolvers = ["127.0.0.1:9"]
timeout = "200ms"
[[publisher]]
name = "primary"
kind = "rfc2136"
server = "127.0.0.1:9"
key_name = "waxseal"
credential = "dns_primary"
END
rotate() { setpriv --reuid waxseal-keys --regid waxseal-keys --init-groups /mnt/waxseal rotate "$@" || true; }
echo "== without systemd"
rotate example.com
echo "== with its credentials"
CREDENTIALS_DIRECTORY=/run/credentials rotate example.com
CREDENTIALS_DIRECTORY=/run/credentials rotate
[ "$(stat -c %U /var/lib/waxseal-rotate/audit.jsonl)" = waxseal-keys ]
! setpriv --reuid waxseal --regid waxseal --init-groups cat /etc/waxseal/credentials/primary /run/credentials/dns_primary
as_daemon show example.com
setpriv --reuid waxseal --regid waxseal --init-groups cat /var/lib/waxseal-rotate/summary.json > /dev/null
! setpriv --reuid waxseal --regid waxseal --init-groups ls /var/lib/waxseal-rotate
! setpriv --reuid waxseal --regid waxseal --init-groups cat /var/lib/waxseal-rotate/audit.jsonl
"#;

#[test]
#[ignore = "needs root, systemd-sysusers and systemd-tmpfiles; tests/run-all installs them"]
fn the_installation_of_the_guide_ends_with_keys_that_the_daemon_can_read() {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    let said = typed(INSTALLATION, &units);
    assert_eq!(said.matches("0 errors, 0 warnings").count(), 2, "{said}");
}

#[test]
#[ignore = "needs root, systemd-sysusers and systemd-tmpfiles; tests/run-all installs them"]
fn rotation_runs_as_its_user_with_credentials_that_nobody_else_reads() {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    let said = typed(&format!("{INSTALLATION}{ROTATION}"), &units);
    let (_, runs) = said.split_once("== without systemd").unwrap();
    let (without, with) = runs.split_once("== with its credentials").unwrap();
    assert!(without.contains("is only there where systemd passes it"), "{said}");
    assert!(with.contains("127.0.0.1:9") && !with.contains("is only there"), "{said}");
}

/// Types a script in mounts of its own, and what it said.
fn typed(script: &str, units: &Path) -> String {
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(units)
        .arg(env!("CARGO_BIN_EXE_waxseal"))
        .output()
        .expect("unshare is missing: run tests/run-all, or install Debian's package util-linux");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    said
}
