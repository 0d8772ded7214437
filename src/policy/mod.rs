//! Who may have mail signed, for which domain, and what the MTA is told otherwise.
//!
//! ```text
//! end of header ─▶ origin: may we? ─▶ author: whose mail? ─▶ rule ─▶ login, envelope ─▶ keys ─▶ Sign
//!                     │ no              │ unclear             │ never   │ do not fit      │ none, or none usable
//!                     ▼                 ▼                     ▼         ▼                 ▼
//!                    Pass         Pass or Refuse             Pass      Pass           Pass or Defer
//! ```
//!
//! Every message ends in one [`Decision`]: what was done, and the one [`Reason`] for it. [`Policy::judge`] takes the steps up
//! to the keys, a [`Hunt`] asks for these; each notes its steps in a [`Trace`], if anybody wants them.
//!
//! Architecture invariant: nothing here looks anything up. Facts come in, a decision goes out, so that a decision can be
//! explained from the same facts later.

mod author;
mod compile;
mod cutover;
mod decision;
mod difference;
mod fragile;
mod glob;
mod index;
mod judge;
mod login;
mod map;
mod origin;
mod pattern;
mod rule;
mod search;
mod table;
mod trace;
mod trust;
mod warning;

pub use author::{Author, signing_parents};
pub use cutover::{Cutover, CutoverSettings, Share, ShareError, SigningMode};
pub use decision::{Action, Decision, OnFailure, OnRelayed, OnUnsignable, Reason};
pub use difference::DifferenceKind;
pub use fragile::{Announced, FragileBody, Mta, fragile_header, is_signed_by};
pub use judge::{Decider, Facts, Header, Judgement, Policy, Recipients};
pub use login::{EnvelopeMatch, LoginBinding, Logins};
pub use map::{MapLineError, MapSource, included};
pub use origin::{MacroValues, Origin, Peer, Submission, is_relayed};
pub use pattern::{AddressPattern, HostPattern, HostPatternError, PatternError, PeerPattern, PeerPatternError};
pub use rule::{Identity, IdentityError, Lifetime, Rule, RuleAction, RuleSettings, Signer, SignerError, Spot};
pub use search::{Found, Hunt, Plan, PlannedSignature, Search, SigningKeys};
pub use trace::{Cause, Line, Presence, Recorded, RelayedOutcome, Role, Step, Trace, Untraced};
pub use trust::{MacroCondition, MacroConditionError, Trust};
pub use warning::{Warning, Warnings};
