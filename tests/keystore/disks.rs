//! Disks that are full or read-only.

use std::fs;
use std::path::Path;
use std::process::Command;

use waxseal::keystore::{Access, Directory, StoreError};

use crate::common::*;

const MOUNT: &str = "WAXSEAL_TEST_MOUNT";

/// Runs a helper with a tmpfs of 64 KiB at `MOUNT`, in a mount namespace of its own.
fn with_small_disk(helper: &str) {
    let scratch = tempfile::tempdir().unwrap();
    let script =
        r#"mount --make-rprivate / && mount -t tmpfs -o size=64k,mode=0700 waxseal "$WAXSEAL_TEST_MOUNT" && exec "$@""#;
    let output = Command::new("unshare")
        .args(["-m", "sh", "-ec", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", helper, "--ignored", "--nocapture"])
        .env(MOUNT, scratch.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
}

#[test]
#[ignore = "helper: runs on a disk of 64 KiB"]
fn on_a_full_disk() {
    let Some(mount) = std::env::var_os(MOUNT) else { return };
    let mount = Path::new(&mount);
    let store = Directory::create(&mount.join("keys"), Access::OneUser).unwrap();
    add_active(&store, &example(), "a").unwrap();
    let directory = store.root().join("domains/example.com");
    // From no room at all upwards, so that each step of a commit is the one that fails.
    let mut failures = 0;
    for free in 0..=5 {
        let filler = mount.join("filler");
        fs::write(&filler, []).unwrap();
        let mut fill = fs::OpenOptions::new().append(true).open(&filler).unwrap();
        while std::io::Write::write_all(&mut fill, &[0; 4096]).is_ok() {}
        let size = fill.metadata().unwrap().len();
        fill.set_len((size & !4095).saturating_sub(free * 4096)).unwrap();
        let before = names(&directory);
        match add_active(&store, &example(), &format!("b{free}")) {
            Ok(_) => {}
            Err(error) => {
                assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
                assert!(error.to_string().contains("no space left"), "{error}");
                assert_eq!(names(&directory), before, "nothing is left behind");
                failures += 1;
            }
        }
        assert_whole(&store, &example());
        fs::remove_file(&filler).unwrap();
    }
    assert!(failures >= 2, "{failures}");
    add_active(&store, &example(), "c").unwrap();
    assert_whole(&store, &example());
}

#[test]
#[ignore = "needs root and a private mount namespace; tests/run-all runs it"]
fn a_full_disk_is_named_and_leaves_everything_as_it_was() {
    with_small_disk("disks::on_a_full_disk");
}

#[test]
#[ignore = "helper: runs on a disk of its own"]
fn on_a_read_only_disk() {
    let Some(mount) = std::env::var_os(MOUNT) else { return };
    let store = Directory::create(&Path::new(&mount).join("keys"), Access::OneUser).unwrap();
    add_active(&store, &example(), "a").unwrap();
    let status = Command::new("mount").args(["-o", "remount,ro"]).arg(&mount).status().unwrap();
    assert!(status.success());
    for name in [example(), domain("new.example")] {
        let Err(error) = add_active(&store, &name, "b") else { panic!() };
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    }
    assert_whole(&store, &example());
}

#[test]
#[ignore = "needs root and a private mount namespace; tests/run-all runs it"]
fn a_read_only_disk_is_named_and_read_from() {
    with_small_disk("disks::on_a_read_only_disk");
}
