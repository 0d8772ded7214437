//! What people, backups and other programs do to a store: each fault is named, and stays with its domain or key.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use waxseal::clock::Clock;
use waxseal::dkim::key::{Algorithm, KeyKind, PrivateKey};
use waxseal::finding::Place;
use waxseal::keystore::{CacheOptions, Directory, KeyCache, KeyStore, Listed, Presence, StoreError};
use waxseal::manifest::{Choice, DomainManifest, ManifestError, PrivateKeyPlace, RetirementWaits};

use crate::common::*;

fn edit(store: &Directory, change: impl FnOnce(String) -> String) -> StoreError {
    let path = store.manifest_path(&example());
    let text = change(fs::read_to_string(&path).unwrap());
    fs::write(&path, text).unwrap();
    store.manifest(&example()).unwrap_err()
}

#[test]
fn a_broken_manifest_is_named_with_line_and_column() {
    let (_scratch, store) = scratch();
    add_active(&store, &example(), "a").unwrap();
    let error = edit(&store, |text| text.replacen("\"status\": \"enabled\"", "\"status\": enabled", 1));
    let StoreError::Manifest { place: Place::Line { path, line, column }, .. } = &error else { panic!("{error}") };
    assert_eq!((path, *line), (&store.manifest_path(&example()), 5));
    assert!(*column > 1);
    assert!(error.to_string().starts_with(&format!("{}:5:", path.display())), "{error}");
}

#[test]
fn a_manifest_of_a_newer_waxseal_is_named_as_such_and_not_overwritten() {
    let (_scratch, store) = scratch();
    let manifest = add_active(&store, &example(), "a").unwrap();
    let error = edit(&store, |text| text.replacen("\"version\": 1", "\"version\": 2", 1));
    let newer = |error: &StoreError| {
        let StoreError::Manifest { source, .. } = error else { return false };
        matches!(**source, ManifestError::NewerVersion { found: 2 })
    };
    assert!(newer(&error), "{error}");
    let key = ed25519();
    assert!(newer(&store.commit(&bind(&manifest, "b", &key), &[&key]).unwrap_err()));
}

#[test]
fn a_manifest_in_another_domains_directory_is_refused() {
    let (_scratch, store) = scratch();
    add_active(&store, &example(), "a").unwrap();
    fs::rename(store.root().join("domains/example.com"), store.root().join("domains/example.net")).unwrap();
    let error = store.manifest(&domain("example.net")).unwrap_err();
    assert!(matches!(error, StoreError::OtherDomain { .. }), "{error}");
}

#[test]
fn an_edit_that_contradicts_itself_is_refused() {
    let (_scratch, store) = scratch();
    add_active(&store, &example(), "a").unwrap();
    let error = edit(&store, |text| text.replacen("\"tombstones\": []", "\"tombstones\": [], \"more\": 1", 1));
    assert!(error.to_string().contains("unknown field `more`"), "{error}");
}

#[test]
fn every_fault_of_a_key_file_is_told_apart() {
    let (_scratch, store) = scratch();
    let manifest = add_active(&store, &example(), "a").unwrap();
    let (path, binding) = (key_path(&store, &manifest, "a"), &manifest.bindings()[0]);
    let read = || store.private_key(&example(), binding).unwrap_err();
    let put = |pem: &str| fs::write(&path, pem).unwrap();

    put(&ed25519().to_pem());
    assert!(matches!(read(), StoreError::KeyMismatch { .. }));
    put(&PrivateKey::generate(KeyKind::default()).unwrap().to_pem());
    let error = read();
    assert!(matches!(error, StoreError::KeyWrongType { found: Algorithm::RsaSha256, .. }), "{error}");
    put("-----BEGIN PRIVATE KEY-----\n");
    let error = read();
    assert!(matches!(error, StoreError::KeyBroken { .. }) && error.to_string().contains("a."), "{error}");
    put(&"x".repeat(100_000));
    assert!(matches!(read(), StoreError::TooLarge { .. }));
    fs::remove_file(&path).unwrap();
    assert!(matches!(read(), StoreError::KeyMissing { .. }));
    symlink("/etc/hostname", &path).unwrap();
    assert!(matches!(read(), StoreError::WrongKind { .. }));
    fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert!(matches!(read(), StoreError::WrongKind { .. }), "and nobody waits for its writer");
}

#[test]
fn a_fault_stays_with_its_domain_and_its_key() {
    let (_scratch, store) = scratch();
    let domains = ["sound.example", "broken.example", "keyless.example", "missing.example"].map(domain);
    for domain in &domains[..3] {
        add_active(&store, domain, "a").unwrap();
    }
    fs::write(store.manifest_path(&domains[1]), "{").unwrap();
    let manifest = store.manifest(&domains[2]).unwrap().unwrap();
    fs::remove_file(key_path(&store, &manifest, "a")).unwrap();
    let (cache, now) = (KeyCache::new(store, CacheOptions::default()), Clock::System.monotonic());
    assert_eq!(cache.load(&domains[0], now).unwrap().keys.len(), 1);
    assert!(matches!(cache.load(&domains[1], now), Err(StoreError::Manifest { .. })));
    let keyless = cache.load(&domains[2], now).unwrap();
    assert_eq!((keyless.keys.len(), keyless.unusable.len(), keyless.presence), (0, 1, Presence::Active));
    assert_eq!(cache.load(&domains[3], now).unwrap().presence, Presence::NoSuchDomain);
}

#[test]
fn a_shared_key_is_kept_once_and_signs_for_all_its_domains() {
    let (_scratch, store) = scratch();
    let key = ed25519();
    let domains = ["one.example", "two.example"].map(domain);
    for (index, domain) in domains.iter().enumerate() {
        let bound = DomainManifest::new(domain.clone())
            .bind_generated(selector("mail"), key.public().clone(), PrivateKeyPlace::Shared, 3600, NOW)
            .unwrap();
        let active = bound.activate(Choice::Newest, RetirementWaits::default(), NOW).unwrap().manifest;
        // The second domain finds it there.
        let keys: &[&PrivateKey] = if index == 0 { &[&key] } else { &[] };
        store.commit(&active, keys).unwrap();
    }
    let shared = store.root().join("shared");
    assert_eq!(names(&shared), [format!("{}.pem", key.public().id())]);
    assert_eq!(mode(&shared.join(&names(&shared)[0])), 0o600);
    let (cache, now) = (KeyCache::new(store, CacheOptions::default()), Clock::System.monotonic());
    for domain in &domains {
        assert_eq!(cache.load(domain, now).unwrap().keys[0].key.id(), key.public().id());
    }
    assert_eq!(cache.statistics().keys_parsed, 1);

    let unknown = ed25519();
    let bound = DomainManifest::new(domain("three.example"))
        .bind_generated(selector("mail"), unknown.public().clone(), PrivateKeyPlace::Shared, 3600, NOW)
        .unwrap();
    assert!(matches!(cache.store().commit(&bound, &[]), Err(StoreError::KeyMissing { .. })));
}

#[test]
fn foreign_entries_among_the_domains_are_found_and_skipped() {
    let (_scratch, store) = scratch();
    add_active(&store, &example(), "a").unwrap();
    let domains = store.root().join("domains");
    fs::write(domains.join("file.example"), "").unwrap();
    fs::create_dir(domains.join("Upper.Example")).unwrap();
    fs::create_dir(domains.join("lost+found")).unwrap();
    let mut listed = Vec::new();
    let mut foreign = Vec::new();
    for entry in store.domains().unwrap() {
        match entry.unwrap() {
            Listed::Domain(domain) => listed.push(domain),
            Listed::Foreign(finding) => foreign.push(finding.to_string()),
        }
    }
    assert_eq!(listed, [example()]);
    foreign.sort();
    assert_eq!(foreign.len(), 3, "{foreign:?}");
    assert!(foreign[0].contains("upper.example") && foreign[1].contains("is no directory"), "{foreign:?}");
}

#[test]
fn a_domains_directory_that_is_a_link_is_not_followed() {
    let (scratch, store) = scratch();
    add_active(&store, &example(), "a").unwrap();
    let outside = scratch.path().join("outside");
    fs::rename(store.root().join("domains/example.com"), &outside).unwrap();
    symlink(&outside, store.root().join("domains/example.com")).unwrap();
    assert!(matches!(store.manifest(&example()), Err(StoreError::WrongKind { .. })));
    assert!(matches!(add_active_to_link(&store), StoreError::WrongKind { .. }));
}

fn add_active_to_link(store: &Directory) -> StoreError {
    let key = ed25519();
    store.commit(&bind(&DomainManifest::new(example()), "b", &key), &[&key]).unwrap_err()
}
