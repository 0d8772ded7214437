//! Rotation in a simulated world: servers, resolvers, daemons, clocks and operators with their faults, from a seed.
//!
//! docs/simulation.md says what can go wrong in this world and what is checked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/resolver.rs"]
mod resolver;
#[path = "simulation/time.rs"]
mod time;
#[path = "simulation/zone.rs"]
mod zone;
