//! What `waxseal verify` judges: evidence in, findings out. Nothing here looks anything up.
//!
//! ```text
//! Subject (what we hold, and what was seen) ──judge──▶ Judgement (findings; what could not be found out)
//! ```

mod judgement;
mod subject;

pub use judgement::{Judgement, KeyJudgement};
pub use subject::{Dnssec, HeldKey, KeySubject, PrivateKeyAccess, Standby, Subject, Wishes};
