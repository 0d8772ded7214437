//! Who may have mail signed, for which domain, and what the MTA is told otherwise.
//!
//! ```text
//! end of header ─▶ origin: may we? ─▶ author: whose mail? ─▶ keys ─▶ Sign
//!                     │ no              │ unclear             │ none, or none usable
//!                     ▼                 ▼                     ▼
//!                    Pass         Pass or Refuse         Pass or Defer
//! ```
//!
//! Every message ends in one [`Decision`]: what was done, and the one [`Reason`] for it.
//!
//! Architecture invariant: nothing here looks anything up. Facts come in, a decision goes out, so that a decision can be
//! explained from the same facts later.

mod author;
mod decision;
mod glob;
mod login;
mod origin;
mod pattern;
mod rule;
mod trust;

pub use author::{author_domain, signing_candidates};
pub use decision::{Action, Decision, OnFailure, OnRelayed, OnUnsignable, Reason};
pub use login::{EnvelopeMatch, LoginBinding, Logins};
pub use origin::{Origin, Peer, Submission, is_relayed};
pub use pattern::{AddressPattern, HostPattern, HostPatternError, PatternError, PeerPattern, PeerPatternError};
pub use rule::{Identity, IdentityError, Lifetime, Rule, RuleAction, RuleSettings, Signer, SignerError, Spot};
pub use trust::{MacroCondition, MacroConditionError, Trust};
