//! The life of keys: which step is legal, which is due, and what must never happen. docs/lifecycle.md has the table.
//!
//! ```text
//! Generated ──▶ Published ──▶ Ready ──▶ Active ──▶ Retiring ──▶ Revoked ──▶ Withdrawn ──▶ (tombstone)
//! ```
//!
//! Deliberately absent: publishers, stores, clocks. What was seen and what time it is are arguments.

mod event;
mod plan;
mod schedule;
mod sighting;
mod silence;
mod waits;

pub use event::{Event, EventName};
pub use plan::{Action, Alarm, Automation, Change, Depth, Evidence, Plan, Threat, Wait, WaitReason, plan};
pub use schedule::{Schedule, Standby};
pub use sighting::{Excuse, Observations, Observed, Resolvers, Seen, Sighting};
pub use silence::Silences;
pub use waits::{ClockTrouble, Elapsed, Witnessed};
