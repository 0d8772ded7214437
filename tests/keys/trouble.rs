//! A disk that is full, a store that is another's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::house::{House, fails, files, stderr};

/// A user id that has no account and no rights.
const STRANGER: u32 = 61003;

#[test]
#[ignore = "needs root; tests/run-all runs it"]
fn on_a_full_disk_the_store_is_as_it_was_and_what_was_made_is_kept() {
    let house = House::new();
    let names: Vec<_> = (0..200).map(|number| format!("d{number}.example")).collect();
    let list = house.write("list", names.join("\n"));
    let script = format!(
        "mount --make-rprivate / && mount -t tmpfs -o size=1m,mode=0700 waxseal {keys} && \
         mkdir -m 0700 {keys}/domains {keys}/shared && \
         {waxseal} -c {config} generate --no-dns-check --missing --algorithm ed25519 --from {list} >/dev/null; \
         echo first $? >&2; {waxseal} -c {config} key check >&2 || exit 9; \
         {waxseal} -c {config} list --format json",
        keys = house.text("keys"),
        waxseal = env!("CARGO_BIN_EXE_waxseal"),
        config = house.text("waxseal.toml"),
    );
    let output = Command::new("unshare").args(["-m", "sh", "-ec", &format!("set +e; {script}")]).output().unwrap();
    let told = stderr(&output);
    assert!(output.status.success(), "{told}");
    for says in ["first 1", "no space left", "domains got keys", "--missing", "sound:"] {
        assert!(told.contains(says), "{says}: {told}");
    }
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = listed.as_array().unwrap().len();
    assert!((10..200).contains(&count), "{count}");
}

#[test]
#[ignore = "needs root; tests/run-all runs it"]
fn a_store_of_another_user_is_left_alone() {
    let house = House::with(&["a.example"]);
    fs::set_permissions(house.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = house.path("waxseal");
    fs::copy(env!("CARGO_BIN_EXE_waxseal"), &program).unwrap();
    let before = files(&house.path("keys"));
    let key = house.write("key.pem", include_str!("../data/keys/rsa-2048-pkcs8.pem"));
    for args in [
        &["generate", "--no-dns-check", "b.example"][..],
        &["import", "key", &key, "--domain", "b.example", "--selector", "s"],
        &["remove", "a.example", "--yes", "--even-if-needed"],
        &["key", "check"],
    ] {
        let output = Command::new(&program)
            .args(["--config", &house.text("waxseal.toml")])
            .args(args)
            .uid(STRANGER)
            .gid(STRANGER)
            .output()
            .unwrap();
        fails(&output, 1, &[&format!("user id {STRANGER} may not"), "keys"]);
    }
    assert_eq!(files(&house.path("keys")), before);
}
