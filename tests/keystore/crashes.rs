//! Writers that are killed: the domain has its old keys or its new ones, and the next writer cleans up.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use waxseal::keystore::{Directory, KeyStore, StoreError};

use crate::common::*;

const STORE: &str = "WAXSEAL_TEST_STORE";

fn domain_directory(store: &Directory) -> std::path::PathBuf {
    store.root().join("domains/example.com")
}

fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    chmod(path, 0o600);
}

#[test]
fn leftovers_of_a_writer_that_was_cut_short_are_removed_by_the_next() {
    let (_scratch, store) = scratch();
    add_active(&store, &example(), "a").unwrap();
    let directory = domain_directory(&store);
    // Cut short after linking the key, with the manifest half written.
    put(&directory.join("b.0123abcd.pem"), "half a ke");
    put(&directory.join(".b.0123abcd.pem.new"), "half a ke");
    put(&directory.join(".manifest.json.new"), "{");
    // Another time, before linking.
    put(&directory.join(".c.0123abcd.pem.new"), "");
    // Not ours to remove: no mark, foreign names.
    put(&directory.join("d.0123abcd.pem"), "an orphan");
    put(&directory.join("notes.txt"), "mine");
    put(&directory.join(".hidden.new"), "mine");
    assert_whole(&store, &example());
    add_active(&store, &example(), "e").unwrap();
    let names = names(&directory);
    let left: Vec<_> = names.iter().filter(|name| !name.starts_with(['a', 'e'])).collect();
    assert_eq!(left, [".hidden.new", "d.0123abcd.pem", "manifest.json", "notes.txt"]);
    assert_whole(&store, &example());
}

#[test]
fn a_first_commit_that_was_cut_short_leaves_no_domain() {
    let (_scratch, store) = scratch();
    let directory = domain_directory(&store);
    fs::create_dir(&directory).unwrap();
    chmod(&directory, 0o700);
    assert!(store.manifest(&example()).unwrap().is_none());
    put(&directory.join(".a.0123abcd.pem.new"), "x");
    put(&directory.join("a.0123abcd.pem"), "x");
    assert!(store.manifest(&example()).unwrap().is_none());
    add_active(&store, &example(), "a").unwrap();
    assert_eq!(names(&directory).len(), 2);
}

#[test]
fn a_commit_that_lacked_only_its_last_step_is_complete() {
    let (_scratch, store) = scratch();
    let manifest = add_active(&store, &example(), "a").unwrap();
    let key = key_path(&store, &manifest, "a");
    let mark = key.with_file_name(format!(".{}.new", key.file_name().unwrap().to_str().unwrap()));
    fs::hard_link(&key, &mark).unwrap();
    assert_whole(&store, &example());
    add_active(&store, &example(), "b").unwrap();
    assert!(key.exists() && !mark.exists());
    assert_whole(&store, &example());
}

#[test]
fn a_domain_that_lost_its_manifest_does_not_pass_for_one_without_keys() {
    let (_scratch, store) = scratch();
    add_active(&store, &example(), "a").unwrap();
    fs::remove_file(store.manifest_path(&example())).unwrap();
    for error in [store.stamp(&example()).unwrap_err(), add_active_error(&store)] {
        assert!(matches!(error, StoreError::ManifestMissing { .. }), "{error}");
    }
}

fn add_active_error(store: &Directory) -> StoreError {
    let key = ed25519();
    let new = waxseal::manifest::DomainManifest::new(example());
    store.commit(&bind(&new, "z", &key), &[&key]).unwrap_err()
}

#[test]
#[ignore = "helper: commits until it is killed"]
fn commit_until_killed() {
    let Some(root) = std::env::var_os(STORE) else { return };
    let store = Directory::open(Path::new(&root)).unwrap();
    loop {
        let next = format!("s{}", manifest(&store, &example()).bindings().len());
        add_active(&store, &example(), &next).unwrap();
    }
}

#[test]
fn a_writer_may_be_killed_at_any_instant() {
    let (_scratch, store) = scratch();
    add_active(&store, &example(), "s0").unwrap();
    let mut revision = 1;
    for round in 0..20u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crashes::commit_until_killed", "--ignored"])
            .env(STORE, store.root())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Until it commits, however busy the machine is; then to an instant that is another one each time.
        let started = (0..10_000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            manifest(&store, &example()).revision() > revision
        });
        assert!(started, "the child came to commit nothing");
        std::thread::sleep(Duration::from_micros(round * 370));
        child.kill().unwrap();
        child.wait().unwrap();
        let manifest = assert_whole(&store, &example());
        assert!(manifest.revision() > revision);
        assert_eq!(manifest.bindings().len() as u64, manifest.revision());
        revision = manifest.revision();
    }
    let last = add_active(&store, &example(), "last").unwrap();
    assert_eq!(names(&domain_directory(&store)).len(), last.bindings().len() + 1);
}
