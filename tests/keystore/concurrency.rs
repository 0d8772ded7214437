//! Several writers, and readers meanwhile.

use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use waxseal::keystore::{KeyStore, StoreError};
use waxseal::manifest::DomainManifest;

use crate::common::*;

#[test]
fn of_several_writers_none_loses_anothers_change() {
    let (_scratch, store) = scratch();
    let conflicts = AtomicU32::new(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..6)
            .map(|writer| {
                let (store, conflicts) = (&store, &conflicts);
                scope.spawn(move || {
                    for number in 0..4 {
                        let name = format!("w{writer}n{number}");
                        loop {
                            match add_active(store, &example(), &name) {
                                Ok(_) => break,
                                Err(StoreError::Conflict { .. }) => conflicts.fetch_add(1, Ordering::Relaxed),
                                Err(error) => panic!("{error}"),
                            };
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if store.manifest(&example()).unwrap().is_some() {
                    assert_whole(&store, &example());
                }
            }
        });
        let results: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(results.iter().all(Result::is_ok));
    });
    let manifest = assert_whole(&store, &example());
    assert_eq!((manifest.bindings().len(), manifest.revision()), (24, 24));
    assert_eq!(manifest.signing().count(), 1);
    assert!(conflicts.load(Ordering::Relaxed) > 0, "the writers never met");
}

#[test]
fn a_change_made_from_an_old_revision_is_refused() {
    let (_scratch, store) = scratch();
    let first = add_active(&store, &example(), "a").unwrap();
    add_active(&store, &example(), "b").unwrap();
    let key = ed25519();
    let error = store.commit(&bind(&first, "c", &key), &[&key]).unwrap_err();
    assert!(matches!(error, StoreError::Conflict { expected: 1, found: 2, .. }), "{error}");
    let unseen = DomainManifest::new(example());
    let error = store.commit(&bind(&unseen, "c", &key), &[&key]).unwrap_err();
    assert!(matches!(error, StoreError::Conflict { expected: 0, found: 2, .. }), "{error}");
    assert_eq!(assert_whole(&store, &example()).bindings().len(), 2);
}

#[test]
fn a_key_is_committed_only_with_its_private_part() {
    let (_scratch, store) = scratch();
    let manifest = bind(&DomainManifest::new(example()), "a", &ed25519());
    let error = store.commit(&manifest, &[&ed25519()]).unwrap_err();
    assert!(matches!(error, StoreError::KeyNotGiven { .. }), "{error}");
    assert!(store.manifest(&example()).unwrap().is_none());
}

/// Takes the 5 s that a writer waits.
#[test]
fn a_lock_that_another_keeps_is_named_after_a_while() {
    let (_scratch, store) = scratch();
    add_active(&store, &example(), "a").unwrap();
    let directory = File::open(store.root().join("domains/example.com")).unwrap();
    directory.lock().unwrap();
    let error = add_active(&store, &example(), "b").unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert_whole(&store, &example());
    drop(directory);
    add_active(&store, &example(), "b").unwrap();
}
