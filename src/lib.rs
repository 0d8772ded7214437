//! Waxseal signs outgoing mail with DKIM and looks after the keys it signs with.
//!
//! The map of the house, from the ground up. A module uses modules of lower lines only; docs/architecture.md says why,
//! and tests/architecture.rs holds it.
//!
//! Words everyone uses: [`names`], [`clock`], [`finding`].
//!
//! Protocols, pure (bytes and facts in, values out): [`message`] as received, [`milter`] on the wire, [`dkim`]
//! signatures, keys and records, [`observation`], what was seen in DNS.
//!
//! Decisions, pure: [`policy`] (who is signed, with what, and why not), [`manifest`] (what a domain's keys are), [`lifecycle`] (what
//! becomes of them),
//! [`config`] (what is on disk, and what runs), [`import`] (what other signers leave behind), [`check`] (evidence to findings), [`report`] (findings for people and
//! machines), [`record_format`] (a record as DNS tools take it), [`control`] (what is asked of the daemon, and answered).
//!
//! Adapters, the only I/O: [`files`], [`keystore`], [`evidence`] (when each key last signed), [`audit`] (the log of changes), [`dns`], [`observe`].
//!
//! Services: [`filter`], one message through policy, keys and signing; [`inspect`], published records gathered and judged,
//! [`rotation`], what the life cycle plans, carried out.
//!
//! Shells: [`daemon`] is `waxseald`, [`cli`] is `waxseal`.

pub mod clock;
pub mod finding;
pub mod names;

pub mod dkim;
pub mod message;
pub mod milter;
pub mod observation;

pub mod check;
pub mod config;
pub mod control;
pub mod import;
pub mod lifecycle;
pub mod manifest;
pub mod policy;
pub mod record_format;
pub mod report;

pub mod audit;
pub mod dns;
pub mod evidence;
pub mod files;
pub mod keystore;
pub mod observe;

pub mod filter;
pub mod inspect;
pub mod rotation;

pub mod cli;
pub mod daemon;

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
compile_error!("choose a crypto backend: the feature aws-lc-rs (default) or ring");
#[cfg(all(feature = "aws-lc-rs", feature = "ring"))]
compile_error!("choose one crypto backend: for ring add --no-default-features");
