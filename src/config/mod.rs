//! The configuration: what is on disk, and what runs.
//!
//! ```text
//! waxseal.toml ─text─▶ source ─▶ file::v1::Spec ─▶ resolve ─▶ Config ─▶ the daemon
//!                        │        (all optional)      │       (complete, typed, immutable)
//!                        └──────── Findings ──────────┘           └─▶ show, needs_restart
//! ```
//!
//! [`parse()`] reports every problem at once, each with its line, the value and what to do. A [`Config`] that exists is
//! valid. Nothing here reads a file: [`crate::files::configuration`] does, and answers which ids the names of users and
//! groups stand for ([`Accounts`]).

mod change;
mod defaults;
pub mod file;
mod http;
mod parse;
mod publisher;
mod reference;
mod resolve;
mod resolve_policy;
mod resolve_publisher;
mod rotation;
mod running;
mod show;
pub(crate) mod slots;
mod socket;
mod source;
pub mod values;

pub use http::Http;
pub(crate) use parse::too_long;
pub use parse::{Accounts, MAX_OCTETS, parse};
pub use publisher::{
    ApiUrl, ApiUrlError, DomainPattern, DomainPatternError, NameServer, NameServerError, Publisher, PublisherKind,
    PublishingMethod, SecretPlace, TsigHash,
};
pub use reference::reference;
pub use rotation::{DomainAutomation, DomainRotation, Hooks, Provenance, Rotation, Spans, Waves};
pub use running::{
    Config, Control, ControlSocket, Daemon, Dns, DomainSettings, Keys, Limits, Listener, Listeners, Log, LogFormat,
    LogLevel, LogTarget, Permissions, Recorder, Signing, Threads, Timeouts, Verify,
};
pub use slots::{FixedSlots, SlotTable, TargetTemplate, TargetTemplateError};
pub use socket::{ListenAddress, ListenAddressError};
