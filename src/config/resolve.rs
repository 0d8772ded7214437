//! From what is on disk to what runs: defaults filled in, settings held against each other.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::file::v1;
use super::parse::Accounts;
use super::running::{
    Config, Control, ControlSocket, Daemon, Dns, DomainSettings, Keys, Limits, Listener, Listeners, Log, Permissions,
    Recorder, Signing, Timeouts, Verify,
};
use super::socket::ListenAddress;
use super::source::{Dotted, Source, Step};
use super::values::{Account, Count, DnsServer, Expiry, Period, Size};
use crate::dkim::header_selection::SelectionError;
use crate::dkim::{Auid, HeaderSelection};
use crate::finding::{Finding, Place, Severity};
use crate::names::DomainName;

/// A signature that expires sooner may expire in a queue: MTAs keep trying for five days.
const SHORT_EXPIRY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// libmilter's own time-out for the next command; MTAs count on it.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(7_210);

/// The largest frame every MTA may send (command octet and payload), rounded up.
const SMALLEST_FRAME: u64 = 64 << 10;

/// Postfix' milter_command_timeout and Sendmail's default for a reply are 30 s and 10 s; beyond this no MTA waits.
const LONGEST_QUEUE_DEADLINE: Duration = Duration::from_secs(300);

/// The configuration that a file describes; what is wrong with it goes to `findings`, and a default stands in its place.
pub(super) fn resolve(
    spec: &v1::Spec,
    source: &Source<'_>,
    accounts: &impl Accounts,
    findings: &mut Vec<Finding>,
) -> Config {
    let mut resolver = Resolver { source, accounts, findings };
    let directory = source.path().parent().unwrap_or(Path::new(""));
    let trust = resolver.trust(&spec.trust.clone().unwrap_or_default(), spec.login.as_ref(), directory);
    let signing = resolver.signing(&spec.signing.clone().unwrap_or_default());
    Config {
        listeners: resolver.listeners(spec.listener.as_deref()),
        daemon: resolver.daemon(&spec.daemon.clone().unwrap_or_default(), directory),
        control: resolver.control(&spec.control.clone().unwrap_or_default(), directory),
        recorder: resolver.recorder(&spec.recorder.clone().unwrap_or_default()),
        keys: resolver.keys(&spec.keys.clone().unwrap_or_default(), directory),
        domains: resolver.domains(spec.domain.as_ref(), &signing),
        limits: resolver.limits(&spec.limits.clone().unwrap_or_default()),
        timeouts: resolver.timeouts(&spec.timeouts.clone().unwrap_or_default()),
        dns: resolver.dns(&spec.dns.clone().unwrap_or_default()),
        publishers: resolver.publishers(spec.publisher.as_deref(), directory),
        rotation: resolver.rotation(spec, directory),
        slots: resolver.slots(spec.slots.as_deref()),
        verify: verify(&spec.verify.clone().unwrap_or_default()),
        log: log(&spec.log.clone().unwrap_or_default()),
        http: resolver.http(spec.http.as_ref(), directory),
        rules: resolver.rules(spec.rule.as_deref(), &signing, directory),
        trust,
        signing,
    }
}

pub(super) struct Resolver<'r, 't, A> {
    source: &'r Source<'t>,
    accounts: &'r A,
    findings: &'r mut Vec<Finding>,
}

impl<'t, A: Accounts> Resolver<'_, 't, A> {
    pub(super) fn source(&self) -> &Source<'t> {
        self.source
    }

    pub(super) fn error(&mut self, rule: &'static str, path: &[Step], evidence: String, remedy: &str) {
        self.find(rule, Severity::Error, path, evidence, remedy);
    }

    pub(super) fn warning(&mut self, rule: &'static str, path: &[Step], evidence: String, remedy: &str) {
        self.find(rule, Severity::Warning, path, evidence, remedy);
    }

    fn find(&mut self, rule: &'static str, severity: Severity, path: &[Step], evidence: String, remedy: &str) {
        let place = self.source.place_of(path);
        let evidence = format!("{}: {evidence}", Dotted(path));
        self.findings.push(Finding::new(rule, severity, place, evidence, remedy));
    }

    fn listeners(&mut self, listeners: Option<&[v1::Listener]>) -> Listeners {
        let mut named: Vec<Listener> = Vec::new();
        for (index, spec) in listeners.unwrap_or_default().iter().enumerate() {
            let at = |setting: &str| [Step::from("listener"), index.into(), setting.into()];
            let Some(address) = spec.socket.clone() else {
                if !self.source.was_removed(&at("socket")) {
                    let evidence = "a listener must say where it listens".to_owned();
                    self.error(
                        "config.listener_socket",
                        &at("socket"),
                        evidence,
                        "add socket = \"unix:/run/waxseal/milter.sock\"",
                    );
                }
                continue;
            };
            if named.iter().any(|other| other.address == address) {
                let evidence = format!("{address} is listened to already");
                self.error("config.listener_twice", &at("socket"), evidence, "leave one of the two listeners out");
            }
            if spec.name.is_some() && named.iter().any(|other| other.name == spec.name) {
                let evidence = format!("{:?} is another listener's name", spec.name.as_deref().unwrap_or_default());
                self.error("config.listener_name", &at("name"), evidence, "give each its own");
            }
            let listener = self.listener(spec, index, address);
            named.push(listener);
        }
        if named.is_empty() {
            return Listeners::PassedOr(Listener::at(super::defaults::default_address()));
        }
        Listeners::Named(named)
    }

    fn listener(&mut self, spec: &v1::Listener, index: usize, address: ListenAddress) -> Listener {
        let at = |setting: &str| [Step::from("listener"), index.into(), setting.into()];
        let mut listener = Listener::at(address);
        listener.name.clone_from(&spec.name);
        listener.allow = spec.allow.iter().flatten().map(|network| network.0).collect();
        listener.sign_relayed = spec.sign_relayed;

        let unix = matches!(listener.address, ListenAddress::Unix(_));
        let file_settings =
            [("mode", spec.mode.is_some()), ("owner", spec.owner.is_some()), ("group", spec.group.is_some())];
        for (setting, given) in file_settings {
            if given && !unix {
                let evidence = format!("{} has no file to give it to", listener.address);
                let remedy = "leave it out; for sockets that systemd passes, set it in the socket unit";
                self.error("config.listener_permissions", &at(setting), evidence, remedy);
            }
        }
        if unix && spec.allow.is_some() {
            let evidence = "a Unix socket has no network addresses".to_owned();
            self.error("config.listener_allow", &at("allow"), evidence, "set mode, owner and group instead");
        }
        if listener.lacks_allow_list() && !self.source.was_removed(&at("allow")) {
            let evidence = format!("other machines can reach {}, and no network is allowed to", listener.address);
            let remedy = "add allow = [\"192.0.2.0/24\"] with your MTAs' networks, or listen at localhost";
            self.error("config.listener_open", &at("socket"), evidence, remedy);
        }
        let defaults = Permissions::default();
        listener.permissions = Permissions {
            mode: spec.mode.map_or(defaults.mode, |mode| mode.0),
            owner: spec.owner.as_ref().and_then(|owner| self.account(owner, Kind::User, &at("owner"))),
            group: spec.group.as_ref().and_then(|group| self.account(group, Kind::Group, &at("group"))),
        };
        if unix && listener.permissions.mode & 0o002 != 0 {
            let evidence =
                format!("mode {:04o} lets every user of this machine have mail signed", listener.permissions.mode);
            self.warning(
                "config.listener_mode",
                &at("mode"),
                evidence,
                "set \"0660\" and put the MTA's user into the group",
            );
        }
        listener
    }

    pub(super) fn account(&mut self, account: &Account, kind: Kind, path: &[Step]) -> Option<u32> {
        let (name, id, what) = match (account, kind) {
            (Account::Id(id), _) => return Some(*id),
            (Account::Name(name), Kind::User) => (name, self.accounts.user(name), "user"),
            (Account::Name(name), Kind::Group) => (name, self.accounts.group(name), "group"),
        };
        if id.is_none() {
            let evidence = format!("there is no {what} {name:?} on this machine");
            self.error("config.account", path, evidence, "create it, or give a name or id that exists");
        }
        id
    }

    fn daemon(&mut self, spec: &v1::Daemon, directory: &Path) -> Daemon {
        let at = |setting: &str| [Step::from("daemon"), setting.into()];
        let evidence_interval = period(spec.evidence_interval, Daemon::default().evidence_interval);
        if spec.state.as_ref().is_some_and(|state| state.as_os_str().is_empty()) {
            self.error("config.state", &at("state"), "is empty".into(), "for example state = \"/var/lib/waxseal\"");
        }
        if evidence_interval.is_zero() {
            let evidence = "0s leaves no time in between".to_owned();
            self.error("config.timeout", &at("evidence_interval"), evidence, "for example \"1m\"");
        }
        Daemon { state: spec.state.as_ref().map(|state| directory.join(state)), evidence_interval }
    }

    fn control(&mut self, spec: &v1::Control, directory: &Path) -> Control {
        let at = |setting: &str| [Step::from("control"), setting.into()];
        let defaults = Control::default();
        let socket = match &spec.socket {
            None => defaults.socket,
            Some(path) if path == Path::new("off") => ControlSocket::Off,
            Some(path) => ControlSocket::At(directory.join(path)),
        };
        if spec.socket.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            let remedy = "for example socket = \"/run/waxseal/control.sock\", or \"off\"";
            self.error("config.control_socket", &at("socket"), "is empty".into(), remedy);
        }
        let group = spec.group.as_ref().and_then(|group| self.account(group, Kind::Group, &at("group")));
        Control { socket, group }
    }

    fn recorder(&mut self, spec: &v1::Recorder) -> Recorder {
        let defaults = Recorder::default();
        Recorder { messages: count(spec.messages, defaults.messages), memory: size(spec.memory, defaults.memory) }
    }

    fn keys(&mut self, spec: &v1::Keys, directory: &Path) -> Keys {
        let defaults = Keys::default_in(directory);
        let keys = Keys {
            store: spec.store.as_ref().map_or(defaults.store, |store| directory.join(store)),
            cache: size(spec.cache, defaults.cache),
            revalidate_after: period(spec.revalidate_after, defaults.revalidate_after),
            revalidate_wait: period(spec.revalidate_wait, defaults.revalidate_wait),
            max_staleness: period(spec.max_staleness, defaults.max_staleness),
            threads: count(spec.threads, defaults.threads),
        };
        if spec.store.as_ref().is_some_and(|store| store.as_os_str().is_empty()) {
            self.error(
                "config.store",
                &["keys".into(), "store".into()],
                "is empty".into(),
                "for example store = \"keys\"",
            );
        }
        if keys.cache < 1 << 20 {
            let evidence = format!("{} hold few keys", Size(keys.cache));
            self.warning(
                "config.cache_small",
                &["keys".into(), "cache".into()],
                evidence,
                "give it 6 KB for each key in daily use",
            );
        }
        if keys.max_staleness < keys.revalidate_after {
            let evidence = format!(
                "{} is shorter than revalidate_after, {}: every domain would defer in between",
                Period(keys.max_staleness),
                Period(keys.revalidate_after)
            );
            self.error(
                "config.staleness",
                &["keys".into(), "max_staleness".into()],
                evidence,
                "for example max_staleness = \"1h\"",
            );
        }
        keys
    }

    fn signing(&mut self, spec: &v1::Signing) -> Signing {
        let defaults = Signing::default();
        let given = HeaderLists {
            oversign: spec.oversign.as_ref(),
            sign_present: spec.sign_present.as_ref(),
            oversign_absent: spec.oversign_absent.as_ref(),
        };
        let section = [Step::from("signing")];
        let lists = self.header_lists(&given, &HeaderSelection::default(), &section);
        let left_out = [Step::from("signing"), "leave_out".into()];
        let headers = HeaderSelection { left_out: self.left_out(spec.leave_out.as_ref(), &left_out), ..lists };
        Signing {
            domain: DomainSettings {
                canonicalization: spec.canonicalization.unwrap_or(defaults.domain.canonicalization),
                expire_after: self.expiry(spec.expire_after, &["signing".into(), "expire_after".into()], None),
                headers: Arc::new(headers),
                subdomains: spec.subdomains.unwrap_or(defaults.domain.subdomains),
                ..defaults.domain
            },
            on_failure: spec.on_failure.unwrap_or(defaults.on_failure),
            on_unsignable: spec.on_unsignable.unwrap_or(defaults.on_unsignable),
        }
    }

    /// The lists of a section that names fields to sign; `default` has those that it leaves out.
    pub(super) fn header_lists(
        &mut self,
        given: &HeaderLists<'_>,
        default: &HeaderSelection,
        section: &[Step],
    ) -> HeaderSelection {
        let at = |setting: &str| section.iter().cloned().chain([Step::from(setting)]).collect::<Vec<_>>();
        let oversigned = given.oversign.unwrap_or(&default.oversigned);
        let as_present = given.sign_present.unwrap_or(&default.as_present);
        let absent = given.oversign_absent.unwrap_or(&default.oversigned_absent);
        HeaderSelection {
            oversigned: self
                .names(oversigned, &at("oversign"), |oversigned| HeaderSelection { oversigned, ..no_headers() }),
            as_present: self
                .names(as_present, &at("sign_present"), |as_present| HeaderSelection { as_present, ..no_headers() }),
            oversigned_absent: self.names(absent, &at("oversign_absent"), |oversigned_absent| HeaderSelection {
                oversigned_absent,
                ..no_headers()
            }),
            left_out: Vec::new(),
        }
    }

    pub(super) fn expiry(
        &mut self,
        given: Option<Expiry>,
        path: &[Step],
        default: Option<Duration>,
    ) -> Option<Duration> {
        let duration = match given {
            None => return default,
            Some(Expiry::Never) => return None,
            Some(Expiry::After(duration)) => duration,
        };
        if duration < Duration::from_secs(1) {
            let evidence = format!("{} is over before the message is sent", Period(duration));
            self.error("config.expiry", path, evidence, "for example expire_after = \"14d\", or \"never\"");
        } else if duration < SHORT_EXPIRY {
            let evidence = format!(
                "{} is less than 7 days: mail that waits in a queue arrives with its signature expired",
                Period(duration)
            );
            self.warning("config.expiry_short", path, evidence, "set \"14d\", or \"never\"");
        }
        Some(duration)
    }

    /// Lower-case names, each once, for one of the lists. `select` makes a selection of that list alone, which judges it.
    fn names(
        &mut self,
        given: &[String],
        path: &[Step],
        select: impl FnOnce(Vec<String>) -> HeaderSelection,
    ) -> Vec<String> {
        let mut names: Vec<String> = Vec::with_capacity(given.len());
        for name in given {
            let name = name.to_ascii_lowercase();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for error in select(names.clone()).check() {
            let name = match &error {
                SelectionError::NoName { name }
                | SelectionError::NeverSigned { name }
                | SelectionError::AbsentFamily { name } => name,
                _ => "from",
            };
            let index = given.iter().position(|given| given.eq_ignore_ascii_case(name));
            let path: Vec<Step> = path.iter().cloned().chain(index.map(Step::from)).collect();
            self.error("config.header", &path, error.to_string(), "take it out of the list");
        }
        names
    }

    pub(super) fn left_out(&mut self, given: Option<&Vec<String>>, path: &[Step]) -> Vec<String> {
        let given = given.map_or(&[][..], Vec::as_slice);
        self.names(given, path, |left_out| HeaderSelection { left_out, ..no_headers() })
    }

    fn domains(
        &mut self,
        specs: Option<&BTreeMap<DomainName, v1::Domain>>,
        signing: &Signing,
    ) -> BTreeMap<DomainName, DomainSettings> {
        let mut domains = BTreeMap::new();
        let keys = self.source.keys_of("domain");
        if specs.is_some_and(|specs| specs.len() != keys.len()) {
            self.one_domain_twice(&keys);
        }
        let written: BTreeMap<DomainName, &str> =
            keys.into_iter().filter_map(|(key, _)| Some((DomainName::parse(key).ok()?, key))).collect();
        for (name, spec) in specs.into_iter().flatten() {
            let key = written.get(name).copied().unwrap_or(name.as_str());
            let settings = self.domain(name, spec, key, signing);
            domains.insert(name.clone(), settings);
        }
        domains
    }

    fn one_domain_twice(&mut self, keys: &[(&str, Place)]) {
        let mut seen: BTreeMap<DomainName, &str> = BTreeMap::new();
        for (key, place) in keys {
            let Ok(name) = DomainName::parse(key) else {
                continue;
            };
            if let Some(other) = seen.insert(name, key) {
                self.findings.push(Finding::new(
                    "config.domain_twice",
                    Severity::Error,
                    place.clone(),
                    format!("{key:?} and {other:?} are one domain"),
                    "put their settings into one section",
                ));
            }
        }
    }

    fn domain(&mut self, name: &DomainName, spec: &v1::Domain, key: &str, signing: &Signing) -> DomainSettings {
        let at = |setting: &str| [Step::from("domain"), key.into(), setting.into()];
        let left_out = self.left_out(spec.leave_out.as_ref(), &at("leave_out"));
        let headers = if left_out.is_empty() {
            Arc::clone(&signing.domain.headers)
        } else {
            let mut headers = HeaderSelection::clone(&signing.domain.headers);
            for field in left_out {
                if !headers.left_out.contains(&field) {
                    headers.left_out.push(field);
                }
            }
            Arc::new(headers)
        };
        DomainSettings {
            subdomains: spec.subdomains.unwrap_or(signing.domain.subdomains),
            identity: spec.identity.as_ref().and_then(|identity| self.identity(identity, name, &at("identity"))),
            canonicalization: spec.canonicalization.unwrap_or(signing.domain.canonicalization),
            expire_after: self.expiry(spec.expire_after, &at("expire_after"), signing.domain.expire_after),
            headers,
        }
    }

    /// i= (RFC 6376 §3.5), written as it will stand in the signature.
    fn identity(&mut self, given: &str, signing_domain: &DomainName, path: &[Step]) -> Option<Auid> {
        let remedy = format!("for example \"@{signing_domain}\" or \"mail@{signing_domain}\"");
        let auid = match Auid::parse(given, signing_domain) {
            Ok(auid) => auid,
            Err(error) => {
                self.error("config.identity", path, format!("{given:?}: {error}"), &remedy);
                return None;
            }
        };
        let local_part = |text: &str| text.rsplit_once('@').map(|(local, _)| local.to_owned());
        if local_part(auid.as_str()) != local_part(given) {
            let evidence = format!("{given:?} has letters before the @ that i= must encode, and few verifiers decode");
            self.error("config.identity", path, evidence, &remedy);
            return None;
        }
        Some(auid)
    }

    fn limits(&mut self, spec: &v1::Limits) -> Limits {
        let defaults = Limits::default();
        let limits = Limits {
            connections: count(spec.connections, defaults.connections),
            header_bytes: size(spec.header_bytes, defaults.header_bytes),
            header_fields: count(spec.header_fields, defaults.header_fields),
            frame: size(spec.frame, defaults.frame),
            signing_queue: count(spec.signing_queue, defaults.signing_queue),
            queue_deadline: period(spec.queue_deadline, defaults.queue_deadline),
            signing_threads: spec.signing_threads.unwrap_or(defaults.signing_threads),
            runtime_threads: spec.runtime_threads.unwrap_or(defaults.runtime_threads),
        };
        let at = |setting: &str| [Step::from("limits"), setting.into()];
        if limits.frame < SMALLEST_FRAME || limits.frame > u64::from(u32::MAX) {
            let evidence = format!(
                "{} cannot be: MTAs send frames of 64 KiB, and 4 GiB is the protocol's end",
                Size(limits.frame)
            );
            self.error("config.frame", &at("frame"), evidence, "for example frame = \"1 MiB\"");
        }
        if limits.header_bytes < 32 << 10 {
            let evidence = format!(
                "{} is less than Sendmail's own limit of 32 KiB: some mail could not be signed",
                Size(limits.header_bytes)
            );
            self.warning(
                "config.header_small",
                &at("header_bytes"),
                evidence,
                "for example header_bytes = \"256 KiB\"",
            );
        }
        if limits.queue_deadline > LONGEST_QUEUE_DEADLINE {
            let evidence = format!("{} is longer than MTAs wait for a milter", Period(limits.queue_deadline));
            self.warning(
                "config.queue_deadline",
                &at("queue_deadline"),
                evidence,
                "for example queue_deadline = \"5s\"",
            );
        }
        limits
    }

    fn timeouts(&mut self, spec: &v1::Timeouts) -> Timeouts {
        let defaults = Timeouts::default();
        let timeouts = Timeouts {
            frame: period(spec.frame, defaults.frame),
            command: period(spec.command, defaults.command),
            write: period(spec.write, defaults.write),
            drain: period(spec.drain, defaults.drain),
        };
        let at = |setting: &str| [Step::from("timeouts"), setting.into()];
        for (setting, timeout) in [("frame", timeouts.frame), ("command", timeouts.command), ("write", timeouts.write)]
        {
            if timeout.is_zero() {
                self.error("config.timeout", &at(setting), "0s leaves no time at all".into(), "for example \"30s\"");
            }
        }
        if timeouts.command < COMMAND_TIMEOUT && !timeouts.command.is_zero() {
            let evidence = format!(
                "{} is less than the 7210s that MTAs count on: sessions will break while a client is slow",
                Period(timeouts.command)
            );
            self.warning("config.timeout_command", &at("command"), evidence, "for example command = \"7260s\"");
        }
        timeouts
    }

    fn dns(&mut self, spec: &v1::Dns) -> Dns {
        let defaults = Dns::default();
        let servers = |servers: &Option<Vec<DnsServer>>| servers.iter().flatten().map(|server| server.0).collect();
        let dns = Dns {
            resolvers: servers(&spec.resolvers),
            extra_servers: servers(&spec.extra_servers),
            outside_resolvers: servers(&spec.outside_resolvers),
            timeout: period(spec.timeout, defaults.timeout),
            attempts: count(spec.attempts, defaults.attempts),
            queries_per_second: count(spec.queries_per_second, defaults.queries_per_second),
            concurrency: count(spec.concurrency, defaults.concurrency),
        };
        if dns.timeout.is_zero() {
            let at = [Step::from("dns"), "timeout".into()];
            self.error("config.timeout", &at, "0s leaves no time at all".into(), "for example \"2s\"");
        }
        dns
    }
}

/// The lists of fields to sign that a section gives.
pub(super) struct HeaderLists<'s> {
    pub(super) oversign: Option<&'s Vec<String>>,
    pub(super) sign_present: Option<&'s Vec<String>>,
    pub(super) oversign_absent: Option<&'s Vec<String>>,
}

pub(super) enum Kind {
    User,
    Group,
}

fn verify(spec: &v1::Verify) -> Verify {
    let defaults = Verify::default();
    Verify {
        max_key_age: period(spec.max_key_age, defaults.max_key_age),
        want_dnssec: spec.want_dnssec.unwrap_or(defaults.want_dnssec),
    }
}

fn log(spec: &v1::Log) -> Log {
    let defaults = Log::default();
    Log {
        target: spec.target.unwrap_or(defaults.target),
        format: spec.format.unwrap_or(defaults.format),
        level: spec.level.unwrap_or(defaults.level),
        queue: count(spec.queue, defaults.queue),
    }
}

/// Lists without a name.
fn no_headers() -> HeaderSelection {
    HeaderSelection {
        oversigned: Vec::new(),
        as_present: Vec::new(),
        oversigned_absent: Vec::new(),
        left_out: Vec::new(),
    }
}

fn size(given: Option<Size>, default: u64) -> u64 {
    given.map_or(default, |size| size.0)
}

fn count(given: Option<Count>, default: NonZeroUsize) -> NonZeroUsize {
    given.map_or(default, |count| count.0)
}

fn period(given: Option<Period>, default: Duration) -> Duration {
    given.map_or(default, |period| period.0)
}
