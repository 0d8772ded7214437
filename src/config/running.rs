//! What runs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::http::Http;
use super::publisher::Publisher;
use super::rotation::Rotation;
use super::slots::FixedSlots;
use super::socket::ListenAddress;
use crate::dkim::{Auid, CanonicalizationPair, HeaderSelection};
use crate::names::DomainName;
use crate::policy::{OnFailure, OnRelayed, OnUnsignable, Rule, Trust};

/// A complete, valid configuration. What each setting means, and why its default is what it is, stands at its
/// namesake in [`super::file::v1`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where MTAs connect.
    pub listeners: Listeners,
    /// What the daemon writes down.
    pub daemon: Daemon,
    /// Where the daemon can be asked.
    pub control: Control,
    /// What it remembers of messages.
    pub recorder: Recorder,
    /// The key store and the cache in front of it.
    pub keys: Keys,
    /// Whose mail is ours to sign.
    pub trust: Trust,
    /// What becomes of mail of some authors, in the order of the file.
    pub rules: Vec<Rule>,
    /// How mail is signed, and what happens when it cannot be.
    pub signing: Signing,
    /// Settings of single domains, by signing domain; ask [`Config::domain`].
    pub domains: BTreeMap<DomainName, DomainSettings>,
    /// Bounds on what is held and done at once.
    pub limits: Limits,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How the DNS is asked.
    pub dns: Dns,
    /// What is wanted of published records beyond the standards.
    pub verify: Verify,
    /// Who puts records into DNS, in the order of the file; ask [`Config::publisher_for`].
    pub publishers: Vec<Publisher>,
    /// When and how keys are replaced.
    pub rotation: Rotation,
    /// Domains with fixed selectors.
    pub slots: FixedSlots,
    /// Where log lines go, and which.
    pub log: Log,
    /// Metrics and the status page.
    pub http: Http,
}

impl Config {
    /// What holds for one signing domain: its own table, or what [`Signing`] says for all.
    pub fn domain(&self, domain: &DomainName) -> &DomainSettings {
        self.domains.get(domain).unwrap_or(&self.signing.domain)
    }
}

/// Where MTAs connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listeners {
    /// The file names none: sockets passed by systemd if there are any, else this one.
    PassedOr(Listener),
    /// Those of the file, at least one.
    Named(Vec<Listener>),
}

/// One listening socket, and what is known of those who connect to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// What logs and metrics call it; the address where unset.
    pub name: Option<String>,
    /// The socket.
    pub address: ListenAddress,
    /// Of a Unix socket's file; unused for others.
    pub permissions: Permissions,
    /// Who may connect over TCP; ask [`Listener::admits`].
    pub allow: Vec<IpNet>,
    /// Whether mail trusted only by loopback or local submission is signed although it carries a Received field, where
    /// that differs from [`Trust`].
    pub sign_relayed: Option<bool>,
}

impl Listener {
    /// A listener as the command line names it: no name, default permissions, nobody allowed but loopback over TCP.
    pub fn at(address: ListenAddress) -> Self {
        Self { name: None, address, permissions: Permissions::default(), allow: Vec::new(), sign_relayed: None }
    }

    /// What to do with mail that was received before, where this listener differs from [`Trust`].
    pub fn on_relayed(&self) -> Option<OnRelayed> {
        self.sign_relayed.map(|sign| if sign { OnRelayed::Sign } else { OnRelayed::Pass })
    }

    /// What logs call it.
    pub fn label(&self) -> Cow<'_, str> {
        self.name.as_deref().map_or_else(|| self.address.to_string().into(), Cow::from)
    }

    /// Whether a TCP peer may talk to this listener: one of the allowed networks, or loopback where none is named.
    pub fn admits(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        if self.allow.is_empty() {
            return peer.is_loopback();
        }
        self.allow.iter().any(|network| network.contains(&peer))
    }

    /// Whether the address can be reached from other machines although nobody is allowed: the daemon refuses to start.
    pub fn lacks_allow_list(&self) -> bool {
        self.address.is_beyond_loopback() && self.allow.is_empty()
    }
}

/// Mode and ownership of a Unix socket's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permissions {
    /// Permission bits, such as `0o660`.
    pub mode: u32,
    /// User id to give it to.
    pub owner: Option<u32>,
    /// Group id to give it to.
    pub group: Option<u32>,
}

/// What the daemon writes down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Its own directory, joined to the configuration file's; none: the one that systemd gives.
    pub state: Option<PathBuf>,
    /// How often it is written.
    pub evidence_interval: Duration,
}

/// Where the daemon can be asked what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// The socket.
    pub socket: ControlSocket,
    /// Group id to give it to.
    pub group: Option<u32>,
}

/// A socket to ask the daemon at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlSocket {
    /// None.
    Off,
    /// A Unix socket, relative to the configuration file's directory in the file, joined to it here.
    At(PathBuf),
}

/// What the daemon remembers of the messages it decided about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorder {
    /// At most so many.
    pub messages: NonZeroUsize,
    /// In at most so many octets.
    pub memory: u64,
}

/// The key store and the cache in front of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The directory store's root; relative to the configuration file's directory in the file, joined to it here.
    pub store: PathBuf,
    /// Octets of parsed keys kept in memory, native memory counted.
    pub cache: u64,
    /// A cached entry older than this is compared with the store.
    pub revalidate_after: Duration,
    /// How long a message waits for that.
    pub revalidate_wait: Duration,
    /// A domain whose entry could not be revalidated for this long defers.
    pub max_staleness: Duration,
    /// Threads that read the store.
    pub threads: NonZeroUsize,
}

/// How mail is signed, and what happens when it cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signing {
    /// For every domain without a table of its own.
    pub domain: DomainSettings,
    /// No key can be used, or the store is away and nothing is cached.
    pub on_failure: OnFailure,
    /// The message cannot be signed whatever the keys are.
    pub on_unsignable: OnUnsignable,
}

/// How mail of one signing domain is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainSettings {
    /// Whether mail from a subdomain that has no keys of its own is signed with this domain's.
    pub subdomains: bool,
    /// i=, where it is to be written: within the signing domain of the table it stands in.
    pub identity: Option<Auid>,
    /// c=.
    pub canonicalization: CanonicalizationPair,
    /// x= minus t=; none: no x=.
    pub expire_after: Option<Duration>,
    /// Which header fields are signed, what this domain leaves out included.
    pub headers: Arc<HeaderSelection>,
}

/// Bounds on what is held and done at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once, over all listeners; more wait to be accepted.
    pub connections: NonZeroUsize,
    /// Octets of one message's header.
    pub header_bytes: u64,
    /// Fields of one message's header.
    pub header_fields: NonZeroUsize,
    /// Octets of one milter frame.
    pub frame: u64,
    /// Messages waiting for a signing thread.
    pub signing_queue: NonZeroUsize,
    /// How long a message waits in that queue.
    pub queue_deadline: Duration,
    /// Threads that make RSA signatures.
    pub signing_threads: Threads,
    /// Threads that talk to MTAs.
    pub runtime_threads: Threads,
}

/// How many threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// As many as suit the machine.
    Automatic,
    /// This many.
    Count(NonZeroUsize),
}

impl Threads {
    /// The number given, or this one.
    pub fn or(self, automatic: NonZeroUsize) -> NonZeroUsize {
        match self {
            Self::Automatic => automatic,
            Self::Count(count) => count,
        }
    }
}

/// How long to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// For the rest of a frame that has begun.
    pub frame: Duration,
    /// For the next command.
    pub command: Duration,
    /// For the MTA to take a reply.
    pub write: Duration,
    /// For messages in progress when the daemon is told to stop.
    pub drain: Duration,
}

/// How the DNS is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// The recursive resolvers; the system's where empty.
    pub resolvers: Vec<SocketAddr>,
    /// Name servers that are asked beside those that the zones name.
    pub extra_servers: Vec<SocketAddr>,
    /// Resolvers elsewhere that are asked before a new key signs.
    pub outside_resolvers: Vec<SocketAddr>,
    /// How long to wait for one answer.
    pub timeout: Duration,
    /// How often a server is asked before it counts as silent.
    pub attempts: NonZeroUsize,
    /// Questions a second to one server's address.
    pub queries_per_second: NonZeroUsize,
    /// Domains that are looked at together.
    pub concurrency: NonZeroUsize,
}

/// What is wanted of published records beyond the standards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    /// Keys that sign for longer are warned of.
    pub max_key_age: Duration,
    /// Whether a zone without DNSSEC is warned of.
    pub want_dnssec: bool,
}

/// Where log lines go, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Where.
    pub target: LogTarget,
    /// How a line looks on stderr.
    pub format: LogFormat,
    /// The least important lines that are written.
    pub level: LogLevel,
    /// Lines waiting to be written; more are dropped and counted.
    pub queue: NonZeroUsize,
}

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogTarget {
    /// The journal where stderr is connected to it, else stderr.
    Auto,
    /// Standard error.
    Stderr,
    /// The journal, with every field as one of its own.
    Journald,
}

/// How a log line looks on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// `key=value` pairs.
    Text,
    /// One JSON object a line.
    Json,
}

/// How important a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Something does not work.
    Error,
    /// Something will not work for long.
    Warn,
    /// One line a message, and what the daemon does.
    Info,
    /// What a decision rests on.
    Debug,
    /// Every command of every MTA.
    Trace,
}
