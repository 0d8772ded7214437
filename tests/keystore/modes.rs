//! Modes: what is made has them, what has others is refused.

use std::fs;
use std::time::Duration;

use waxseal::clock::Clock;
use waxseal::keystore::{Access, CacheOptions, Directory, KeyCache, KeyStore, StoreError};

use crate::common::*;

#[test]
fn a_one_user_store_is_closed_to_everybody_else() {
    let (_scratch, store) = scratch();
    let manifest = add_active(&store, &example(), "a").unwrap();
    for path in [store.root().to_owned(), store.root().join("domains"), store.root().join("shared")] {
        assert_eq!(mode(&path), 0o700, "{path:?}");
    }
    assert_eq!(mode(&store.root().join("domains/example.com")), 0o700);
    assert_eq!(mode(&store.manifest_path(&example())), 0o600);
    assert_eq!(mode(&key_path(&store, &manifest, "a")), 0o600);
    assert_eq!(names(&store.root().join("domains/example.com")).len(), 2);
}

#[test]
fn a_two_user_store_lets_the_group_read() {
    let scratch = tempfile::tempdir().unwrap();
    let ids = fs::metadata(scratch.path()).map(|meta| {
        use std::os::unix::fs::MetadataExt;
        (meta.uid(), meta.gid())
    });
    let (owner, group) = ids.unwrap();
    let store = Directory::create(&scratch.path().join("keys"), Access::TwoUsers { owner, group }).unwrap();
    let manifest = add_active(&store, &example(), "a").unwrap();
    for directory in ["", "domains", "shared", "domains/example.com"] {
        assert_eq!(mode(&store.root().join(directory)), 0o2750, "{directory:?}");
    }
    assert_eq!(mode(&store.manifest_path(&example())), 0o640);
    assert_eq!(mode(&key_path(&store, &manifest, "a")), 0o640);
}

#[test]
fn wide_modes_are_refused_with_path_mode_and_fix() {
    let (_scratch, store) = scratch();
    let manifest = add_active(&store, &example(), "a").unwrap();
    let binding = &manifest.bindings()[0];
    let directory = store.root().join("domains/example.com");
    let cases = [
        (store.root().to_owned(), 0o755, 0o700),
        (store.root().join("domains"), 0o701, 0o700),
        (directory.clone(), 0o770, 0o700),
        (store.manifest_path(&example()), 0o644, 0o600),
        (store.manifest_path(&example()), 0o620, 0o600),
    ];
    for (path, wide, right) in cases {
        chmod(&path, wide);
        let error = store.manifest(&example()).unwrap_err();
        assert!(matches!(error, StoreError::WideMode { .. }), "{error}");
        let fix = format!("chmod {right:04o} {}", path.display());
        let message = error.to_string();
        assert!(message.contains(&fix) && message.contains(&format!("{wide:04o}")), "{message}");
        let (key, is_wide) = (ed25519(), |error| matches!(error, StoreError::WideMode { .. }));
        assert!(store.commit(&bind(&manifest, "b", &key), &[&key]).is_err_and(is_wide));
        chmod(&path, right);
        assert!(store.manifest(&example()).unwrap().is_some());
    }
    let key = key_path(&store, &manifest, "a");
    chmod(&key, 0o604);
    assert!(matches!(store.private_key(&example(), binding), Err(StoreError::WideMode { .. })));
}

#[test]
fn an_open_root_is_refused_when_the_store_is_opened() {
    let (_scratch, store) = scratch();
    chmod(store.root(), 0o755);
    let message = Directory::open(store.root()).unwrap_err().to_string();
    assert!(message.ends_with(&format!("chmod 0700 {}", store.root().display())), "{message}");
}

#[test]
fn a_mode_that_opens_up_is_noticed_by_the_cache_and_closes_again() {
    let (_scratch, store) = scratch();
    add_active(&store, &example(), "a").unwrap();
    let (manifest, start) = (store.manifest_path(&example()), Clock::System.monotonic());
    let cache = KeyCache::new(store, CacheOptions::default());
    chmod(&manifest, 0o644);
    assert!(matches!(cache.load(&example(), start), Err(StoreError::WideMode { .. })));
    chmod(&manifest, 0o600);
    assert_eq!(cache.load(&example(), start).unwrap().keys.len(), 1);
    chmod(&manifest, 0o644);
    assert_eq!(cache.load(&example(), start + Duration::from_secs(2)).unwrap().keys.len(), 1);
    assert_eq!(cache.statistics().failures_bridged, 1);
}

#[test]
fn a_directory_with_other_things_in_it_does_not_become_a_store() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("keys");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("README.md"), "").unwrap();
    fs::write(root.join(".gitignore"), "").unwrap();
    chmod(&root, 0o755);
    fs::write(root.join("photo.jpg"), "").unwrap();
    assert!(matches!(Directory::create(&root, Access::OneUser), Err(StoreError::NotEmpty { .. })));
    fs::remove_file(root.join("photo.jpg")).unwrap();
    assert!(matches!(Directory::open(&root), Err(StoreError::WideMode { .. })));
    Directory::create(&root, Access::OneUser).unwrap();
    assert_eq!(mode(&root), 0o700);
    assert!(matches!(Directory::create(&root, Access::OneUser), Err(StoreError::NotEmpty { .. })));
}

#[test]
fn a_missing_store_is_told_from_a_missing_domain() {
    let (scratch, store) = scratch();
    let message = Directory::open(&scratch.path().join("elsewhere")).unwrap_err().to_string();
    assert!(message.contains("elsewhere") && message.contains("waxseal init"), "{message}");
    assert!(store.stamp(&example()).unwrap().is_none());
    fs::rename(store.root().join("domains"), store.root().join("gone")).unwrap();
    assert!(matches!(store.stamp(&example()), Err(StoreError::Missing { .. })));
    assert!(matches!(store.manifest(&example()), Err(StoreError::Missing { .. })));
    fs::rename(store.root(), scratch.path().join("moved")).unwrap();
    assert!(matches!(store.stamp(&example()), Err(StoreError::Missing { .. })));
}
