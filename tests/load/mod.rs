//! What the tests under load stand on.
//!
//! ```text
//!                            ┌─ hooks: wait for the test's word ─▶ rotations: verifies again, or kills
//!  waxseal rotate ───────────┤
//!    │   ▲ cuts: where it is └─ relay ─▶ primary: BIND | Knot | PowerDNS ──transfer, late──▶ secondary
//!    ▼   │ watch                            ▲                                                  ▲
//!  key store                                └──────────────── Unbound (caches) ────────────────┘
//!    │ revalidated                                                  ▲
//!    ▼                                                              │ key records
//!  waxseald ◀──milter── client: signs without pause ──▶ dkimpy, Mail::DKIM ──▶ ledger
//! ```

pub(crate) mod client;
pub(crate) mod cuts;
pub(crate) mod hooks;
pub(crate) mod host;
pub(crate) mod ledger;
pub(crate) mod relay;
pub(crate) mod rotations;
pub(crate) mod watch;
