//! Many domains: nothing is scanned, a look-up costs the same.

use std::fs;
use std::time::Duration;

use waxseal::clock::Clock;
use waxseal::keystore::{CacheOptions, Directory, KeyCache, Listed, Presence};

use crate::common::*;

#[test]
fn a_store_of_a_hundred_thousand_domains_opens_at_once() {
    let (_scratch, store) = scratch();
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
