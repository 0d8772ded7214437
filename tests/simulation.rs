//! Rotation in a simulated world: servers, resolvers, daemons, clocks and operators with their faults, from a seed.
//!
//! docs/simulation.md says what can go wrong in this world and what is checked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test program, which tells what it simulated"
)]

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

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use guard::Guard;
use tally::{Cut, Tally};
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

fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Runs worlds of consecutive seeds until there were so many rotations, and tells what happened.
fn simulate(rotations: u64) -> Tally {
    let first = seed();
    let (next, all) = (AtomicU64::new(first), Mutex::new(Tally::default()));
    thread::scope(|scope| {
        for _ in 0..threads() {
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
    eprintln!("{all}, seed {first}");
    assert!(all.violations.is_empty(), "run with the seed of a world to see it alone:\n{}", all.violations.join("\n"));
    assert!(all.rotations >= rotations, "rotation is held up");
    assert!(all.faults > 0 && all.verified > 0 && all.overtaken > 0, "nothing was put to the test");
    all
}

#[test]
fn rotations_among_faults_and_crashes_lose_no_mail() {
    simulate(2000);
}

#[test]
#[ignore = "takes minutes"]
fn a_hundred_thousand_rotations_among_faults_and_crashes_lose_no_mail() {
    let all = simulate(100_000);
    let mut of_effects: BTreeMap<&str, Vec<Cut>> = BTreeMap::new();
    for (effect, cut) in all.cuts.keys() {
        of_effects.entry(effect).or_default().push(*cut);
    }
    assert_eq!(of_effects.len(), 10, "each effect was cut: {of_effects:?}");
    assert!(of_effects.values().all(|cuts| *cuts == Cut::ALL), "before it, after it, and its answer: {of_effects:?}");
}

#[test]
fn the_same_seed_gives_the_same_events() {
    let run = |seed| {
        let mut world = World::new(seed, None).told();
        world.run(20, 400 * DAY);
        world.log.unwrap()
    };
    let first = run(seed());
    assert!(first.len() > 1000);
    assert!(first == run(seed()));
    assert!(first != run(seed() + 1));
}

/// Worlds in which a guard that is switched off must be missed.
const WORLDS: u64 = 200;

/// How long each of them lasts, whether it rotates or not.
const LONG_ENOUGH: Duration = Duration::from_secs(100 * 86_400);

#[test]
#[ignore = "takes minutes"]
fn without_any_one_of_its_guards_rotation_fails() {
    let is_missed = |guard: Guard| {
        (0..WORLDS).find_map(|number| {
            let mut world = World::new(SEED + number, Some(guard));
            world.run_for(LONG_ENOUGH);
            world.tally.violations.first().map(|violation| (number, violation.clone()))
        })
    };
    let (next, unmissed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                while let Some(guard) = Guard::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match is_missed(*guard) {
                        Some((number, violation)) => eprintln!("without {guard}, world {number}: at {violation}"),
                        None => unmissed.lock().unwrap().push(*guard),
                    }
                }
            });
        }
    });
    let unmissed = unmissed.into_inner().unwrap();
    assert!(unmissed.is_empty(), "nothing fails without {unmissed:?}");
}

#[test]
fn the_documentation_lists_each_guard_and_how_it_is_switched_off() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/simulation.md")).unwrap();
    let table = page.split_once("| guard | switched off by |\n| --- | --- |\n").unwrap().1;
    let documented: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).collect();
    let actual: Vec<String> = Guard::ALL.iter().map(|guard| format!("| {guard} | {} |", guard.how())).collect();
    assert_eq!(documented, actual);
}

#[test]
#[ignore = "for whoever looks into one world, of WAXSEAL_SEED, perhaps without a guard, WAXSEAL_WITHOUT"]
fn one_world_is_told() {
    let without = std::env::var("WAXSEAL_WITHOUT").ok();
    let guard = without.map(|name| *Guard::ALL.iter().find(|guard| guard.to_string() == name).expect("a guard"));
    let mut world = World::new(seed(), guard).told();
    world.run(EACH, 4000 * DAY);
    world.log.iter().flatten().for_each(|line| eprintln!("{line}"));
    eprintln!("{}", world.tally);
    assert_eq!(world.tally.violations, [""; 0]);
}
