//! Many domains: nothing is scanned, a look-up costs the same.

use std::fs;
use std::time::Duration;

use waxseal::clock::Clock;
use waxseal::keystore::{Access, CacheOptions, Directory, KeyCache, Listed, Presence};

use crate::common::*;

#[test]
fn a_store_of_a_hundred_thousand_domains_opens_at_once() {
    // In memory where there is such a place: this is not about the disk, and a disk takes a minute.
    let scratch = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let store = Directory::create(&scratch.path().join("keys"), Access::OneUser).unwrap();
    let domains = store.root().join("domains");
    for number in 0..100_000 {
        fs::create_dir(domains.join(format!("d{number}.example"))).unwrap();
    }
    add_active(&store, &example(), "a").unwrap();
    let (clock, began) = (Clock::System, Clock::System.monotonic());
    let store = Directory::open(store.root()).unwrap();
    let cache = KeyCache::new(store, CacheOptions::default());
    let keys = cache.load(&example(), began).unwrap();
    let took = clock.monotonic() - began;
    println!("opened, and one domain loaded, in {took:?}");
    assert_eq!(keys.presence, Presence::Active);
    // A scan takes 30 ms and more; this, about 0.2.
    assert!(took < Duration::from_millis(20), "{took:?}");
    let listed = cache.store().domains().unwrap().filter(|entry| matches!(entry, Ok(Listed::Domain(_)))).count();
    assert_eq!(listed, 100_001);
}
