//! The life of keys: which step is legal, which is due, and what must never happen. docs/lifecycle.md has the table.
//!
//! ```text
//! Generated ──▶ Published ──▶ Ready ──▶ Active ──▶ Retiring ──▶ Revoked ──▶ Withdrawn ──▶ (tombstone)
//! ```
//!
//! Deliberately absent: publishers, stores, clocks. What was seen and what time it is are arguments.

mod alias;
mod answers;
mod change;
mod event;
mod invariants;
mod plan;
mod planner;
mod schedule;
mod sighting;
mod silence;
mod slots;
mod step;
#[cfg(test)]
pub(crate) mod tests;
mod waits;

pub use change::{ChangeError, Emergency, apply, bind, bind_slot, compromise, declarable, gone, leave};
pub use event::{Event, EventName};
pub use invariants::{Hand, Violation, violations};
pub use plan::{Action, Alarm, Automation, Change, Depth, Evidence, Plan, Threat, Wait, WaitReason};
pub use planner::plan;
pub use schedule::{Caches, Schedule, Standby};
pub use sighting::{Excuse, Observations, Observed, Resolvers, Seen, Sighting};
pub use silence::Silences;
pub use step::{Circumstances, Daemons, Refused, Step, remaining, step};
pub use waits::{ClockTrouble, Elapsed, Witnessed};
