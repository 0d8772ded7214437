//! Two users, as the packages install it: one writes, one reads, nobody else does anything.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use waxseal::keystore::{Access, Directory, KeyStore, StoreError};

use crate::common::*;

const OWNER: u32 = 61001;
const READER: u32 = 61002;
const STRANGER: u32 = 61003;
const GROUP: u32 = 61010;
const STORE: &str = "WAXSEAL_TEST_STORE";
const PART: &str = "WAXSEAL_TEST_PART";

/// Runs a part of the test below as another user.
fn as_user(scratch: &Path, user: u32, group: u32, part: &str) {
    // The test binary may lie below a directory that only root enters.
    let program = scratch.join("test");
    if !program.exists() {
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let output = Command::new(program)
        .args(["--exact", "users::part", "--ignored", "--nocapture"])
        .env(STORE, scratch.join("keys"))
        .env(PART, part)
        .current_dir("/")
        .uid(user)
        .gid(group)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{part}: {text}{:?}", output.stderr);
}

#[test]
#[ignore = "helper: a part of the test below, as another user"]
fn part() {
    let Some(root) = std::env::var_os(STORE) else { return };
    let root = Path::new(&root);
    match std::env::var_os(PART).unwrap().to_str().unwrap() {
        "reader" => {
            let store = Directory::open(root).unwrap();
            assert_whole(&store, &example());
            let Err(error) = add_active(&store, &example(), "by-reader") else { panic!() };
            assert!(matches!(error, StoreError::PermissionDenied { uid: READER, .. }), "{error}");
            assert!(error.to_string().contains("user id 61002 may not"), "{error}");
            let Err(error) = add_active(&store, &domain("new.example"), "a") else { panic!() };
            assert!(matches!(error, StoreError::PermissionDenied { .. }), "{error}");
        }
        "stranger" => {
            let error = Directory::open(root).unwrap_err();
            assert!(matches!(error, StoreError::PermissionDenied { uid: STRANGER, .. }), "{error}");
        }
        "owner" => {
            let store = Directory::open(root).unwrap();
            add_active(&store, &example(), "by-owner").unwrap();
            add_active(&store, &domain("owner.example"), "a").unwrap();
            let elsewhere = Access::TwoUsers { owner: READER, group: GROUP };
            let error = Directory::create(&std::env::temp_dir().join("waxseal-not-mine"), elsewhere).unwrap_err();
            assert!(matches!(error, StoreError::PermissionDenied { .. }), "{error}");
        }
        other => panic!("{other}"),
    }
}

fn assert_owned(path: &Path) {
    let meta = fs::symlink_metadata(path).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (OWNER, GROUP), "{path:?}");
    assert_eq!(mode(path), if meta.is_dir() { 0o2750 } else { 0o640 }, "{path:?}");
    if meta.is_dir() {
        for name in names(path) {
            assert_owned(&path.join(name));
        }
    }
}

#[test]
#[ignore = "needs root, to be other users; tests/run-all runs it"]
fn the_owner_writes_the_group_reads_and_what_root_makes_is_theirs() {
    let scratch = tempfile::tempdir().unwrap();
    chmod(scratch.path(), 0o755);
    let root = scratch.path().join("keys");
    let store = Directory::create(&root, Access::TwoUsers { owner: OWNER, group: GROUP }).unwrap();
    add_active(&store, &example(), "by-root").unwrap();
    assert_owned(&root);

    as_user(scratch.path(), READER, GROUP, "reader");
    as_user(scratch.path(), STRANGER, STRANGER, "stranger");
    as_user(scratch.path(), OWNER, GROUP, "owner");
    assert_owned(&root);
    assert_eq!(assert_whole(&store, &example()).bindings().len(), 2);

    // A file that root copied in by hand has root's group.
    let manifest = store.manifest_path(&example());
    std::os::unix::fs::chown(&manifest, None, Some(0)).unwrap();
    let error = store.manifest(&example()).unwrap_err();
    assert!(error.to_string().contains(&format!("chgrp {GROUP} {}", manifest.display())), "{error}");
}
