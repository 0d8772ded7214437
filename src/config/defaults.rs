//! What holds where the file says nothing. The reason of each stands in the documentation of the setting
//! ([`super::file::v1`]), which the reference prints.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::http::Http;
use super::rotation::Rotation;
use super::running::{
    Config, Control, ControlSocket, Daemon, Dns, DomainSettings, Keys, Limits, Listener, Listeners, Log, LogFormat,
    LogLevel, LogTarget, Permissions, Recorder, Signing, Threads, Timeouts, Verify,
};
use super::slots::FixedSlots;
use super::socket::ListenAddress;
use crate::dkim::{CanonicalizationPair, HeaderSelection};
use crate::policy::{EnvelopeMatch, Logins, OnFailure, OnUnsignable, Trust};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

impl Config {
    /// What runs with a file of that directory that says `version = 1` and nothing else.
    pub fn default_in(directory: &Path) -> Self {
        Self {
            listeners: Listeners::PassedOr(Listener::at(default_address())),
            daemon: Daemon::default(),
            control: Control::default(),
            recorder: Recorder::default(),
            keys: Keys::default_in(directory),
            trust: Trust::default(),
            rules: Vec::new(),
            signing: Signing::default(),
            domains: Default::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            dns: Dns::default(),
            verify: Verify::default(),
            publishers: Vec::new(),
            rotation: Rotation::default(),
            slots: FixedSlots::default(),
            log: Log::default(),
            http: Http::default(),
        }
    }
}

/// Where to listen when neither the file nor systemd says.
pub(super) fn default_address() -> ListenAddress {
    ListenAddress::Unix(PathBuf::from("/run/waxseal/milter.sock"))
}

impl Default for Permissions {
    fn default() -> Self {
        Self { mode: 0o660, owner: None, group: None }
    }
}

impl Default for Daemon {
    fn default() -> Self {
        Self { state: None, evidence_interval: Duration::from_secs(60) }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self { socket: ControlSocket::At(PathBuf::from("/run/waxseal/control.sock")), group: None }
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self { messages: at_least_one(10_000), memory: 8 * MIB }
    }
}

impl Keys {
    pub(super) fn default_in(directory: &Path) -> Self {
        Self {
            store: directory.join("keys"),
            cache: 256 * MIB,
            revalidate_after: Duration::from_secs(1),
            revalidate_wait: Duration::from_millis(100),
            max_staleness: Duration::from_secs(60 * 60),
            threads: at_least_one(2),
        }
    }
}

impl Default for Trust {
    fn default() -> Self {
        let loopback = [
            IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
            IpNet::new_assert(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
        ];
        Self {
            authenticated: true,
            networks: loopback.into(),
            hosts: Vec::new(),
            except: Vec::new(),
            daemon_names: vec!["ORIGINATING".into()],
            macros: Vec::new(),
            local_submission: true,
            sign_relayed: false,
            ignore: Vec::new(),
            logins: Logins::default(),
            match_envelope: EnvelopeMatch::Off,
        }
    }
}

impl Default for Signing {
    fn default() -> Self {
        Self { domain: DomainSettings::default(), on_failure: OnFailure::Defer, on_unsignable: OnUnsignable::Pass }
    }
}

impl Default for DomainSettings {
    fn default() -> Self {
        Self {
            subdomains: false,
            identity: None,
            canonicalization: CanonicalizationPair::default(),
            expire_after: None,
            headers: Arc::new(HeaderSelection::default()),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: at_least_one(10_000),
            header_bytes: 256 * KIB,
            header_fields: at_least_one(1_000),
            frame: MIB,
            signing_queue: at_least_one(1_000),
            queue_deadline: Duration::from_secs(5),
            signing_threads: Threads::Automatic,
            runtime_threads: Threads::Automatic,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            frame: Duration::from_secs(30),
            command: Duration::from_secs(7_260),
            write: Duration::from_secs(30),
            drain: Duration::from_secs(30),
        }
    }
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            resolvers: Vec::new(),
            extra_servers: Vec::new(),
            outside_resolvers: Vec::new(),
            timeout: Duration::from_secs(2),
            attempts: at_least_one(2),
            queries_per_second: at_least_one(2_000),
            concurrency: at_least_one(64),
        }
    }
}

impl Default for Verify {
    fn default() -> Self {
        Self { max_key_age: Duration::from_secs(180 * 24 * 60 * 60), want_dnssec: false }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { target: LogTarget::Auto, format: LogFormat::Text, level: LogLevel::Info, queue: at_least_one(10_000) }
    }
}

/// The number, which is not 0.
const fn at_least_one(number: usize) -> NonZeroUsize {
    match NonZeroUsize::new(number) {
        Some(number) => number,
        None => NonZeroUsize::MIN,
    }
}
