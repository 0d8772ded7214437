//! Rotation in a simulated world: servers, resolvers, daemons, clocks and operators with their faults, from a seed.
//!
//! docs/simulation.md says what can go wrong in this world and what is checked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

#[path = "simulation/checks.rs"]
mod checks;
#[path = "simulation/daemon.rs"]
mod daemon;
#[path = "simulation/faults.rs"]
mod faults;
#[path = "simulation/guard.rs"]
mod guard;
#[path = "simulation/keys.rs"]
mod keys;
#[path = "simulation/look.rs"]
mod look;
#[path = "simulation/mail.rs"]
mod mail;
#[path = "simulation/operators.rs"]
mod operators;
#[path = "simulation/publisher.rs"]
mod publisher;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/resolver.rs"]
mod resolver;
#[path = "simulation/runner.rs"]
mod runner;
#[path = "simulation/store.rs"]
mod store;
#[path = "simulation/tally.rs"]
mod tally;
#[path = "simulation/time.rs"]
mod time;
#[path = "simulation/world.rs"]
mod world;
#[path = "simulation/zone.rs"]
mod zone;

use tally::Tally;
use time::DAY;
use world::World;

#[test]
fn thousands_of_rotations_lose_no_mail() {
    let mut all = Tally::default();
    for seed in 0..20 {
        let mut world = World::new(seed, None);
        world.run(100, 400 * DAY);
        all.add(&world.tally);
    }
    println!("{all}");
    assert!(all.violations.is_empty(), "{:#?}", all.violations);
}
