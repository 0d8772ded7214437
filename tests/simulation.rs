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

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use guard::Guard;
use tally::Tally;
use time::DAY;
use world::World;

/// The first world's seed where none is given.
const SEED: u64 = 20_261_123;

/// Rotations of one world.
const EACH: u64 = 50;

/// The first world's seed: `WAXSEAL_SEED`, if that is set.
fn seed() -> u64 {
    std::env::var("WAXSEAL_SEED").map_or(SEED, |seed| seed.parse().expect("WAXSEAL_SEED is a number"))
}

/// Runs worlds of consecutive seeds until there were so many rotations, and tells what happened.
fn simulate(rotations: u64) {
    let first = seed();
    let (next, all) = (AtomicU64::new(first), Mutex::new(Tally::default()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while all.lock().unwrap().wants_more(rotations) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed - first > 10 + 2 * rotations / EACH {
                        break;
                    }
                    let mut world = World::new(seed, None);
                    world.run(EACH, 4000 * DAY);
                    all.lock().unwrap().add(seed, &world.tally);
                }
            });
        }
    });
    let all = all.into_inner().unwrap();
    println!("{all}, seed {first}");
    assert!(all.violations.is_empty(), "run with the seed of a world to see it alone:\n{}", all.violations.join("\n"));
    assert!(all.rotations >= rotations, "rotation is held up");
    assert!(all.crashes > 0 && all.faults > 0 && all.verified > 0 && all.overtaken > 0, "nothing was put to the test");
}

#[test]
fn rotations_among_faults_and_crashes_lose_no_mail() {
    simulate(2000);
}

#[test]
#[ignore = "takes minutes: cargo test --release --test simulation -- --ignored --nocapture"]
fn a_hundred_thousand_rotations_among_faults_and_crashes_lose_no_mail() {
    simulate(100_000);
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let run = || {
        let mut world = World::new(seed(), None);
        world.run(20, 400 * DAY);
        world.tally.to_string()
    };
    assert_eq!(run(), run());
}

/// Worlds in which a guard that is switched off must be missed.
const WORLDS: u64 = 300;

#[test]
fn without_any_one_of_its_guards_rotation_loses_mail() {
    let is_missed = |guard: Guard| {
        (0..WORLDS).find_map(|world| {
            let mut world = World::new(SEED + world, Some(guard));
            world.run(EACH, 1000 * DAY);
            world.tally.violations.first().cloned()
        })
    };
    let mut unmissed = Vec::new();
    for guard in Guard::ALL {
        match is_missed(guard) {
            Some(violation) => println!("without {guard:?}: {violation}"),
            None => unmissed.push(guard),
        }
    }
    assert!(unmissed.is_empty(), "nothing fails without {unmissed:?}");
}

#[test]
#[ignore = "for whoever looks into one world: WAXSEAL_SEED=… WAXSEAL_WATCH=1"]
fn one_world() {
    let mut world = World::new(seed(), None);
    world.run(EACH, 4000 * DAY);
    println!("{}\n{}", world.tally, world.tally.violations.join("\n"));
}
