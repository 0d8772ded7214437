//! A running configuration as a file that would give it again.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::file::v1;
use super::http;
use super::resolve_publisher::shown;
use super::rotation::{self, DomainRotation};
use super::running::{
    Config, Control, ControlSocket, Daemon, Dns, DomainSettings, Keys, Limits, Listener, Listeners, Log, Recorder,
    Signing, Timeouts, Verify,
};
use super::slots;
use super::values::{Account, Count, DnsServer, Expiry, Mode, Network, Period, Size};
use crate::policy::{AddressPattern, Lifetime, Logins, Rule, RuleAction, Trust};

impl Config {
    /// Every setting, defaults included. Parsed again it is this configuration.
    pub fn to_spec(&self) -> v1::Spec {
        let domains = self
            .domains
            .iter()
            .map(|(name, domain)| (name.clone(), domain_table(domain, self.rotation.domains.get(name), &self.signing)));
        v1::Spec {
            version: Some(1),
            listener: match &self.listeners {
                Listeners::PassedOr(_) => None,
                Listeners::Named(listeners) => Some(listeners.iter().map(listener).collect()),
            },
            daemon: Some(daemon(&self.daemon)),
            control: Some(control(&self.control)),
            recorder: Some(recorder(&self.recorder)),
            keys: Some(keys(&self.keys)),
            trust: Some(trust(&self.trust)),
            login: (!self.trust.logins.listed.is_empty()).then(|| logins(&self.trust.logins)),
            rule: (!self.rules.is_empty()).then(|| self.rules.iter().map(rule).collect()),
            signing: Some(signing(&self.signing)),
            domain: Some(domains.collect()),
            limits: Some(limits(&self.limits)),
            timeouts: Some(timeouts(&self.timeouts)),
            dns: Some(dns(&self.dns)),
            verify: Some(verify(&self.verify)),
            publisher: (!self.publishers.is_empty()).then(|| self.publishers.iter().map(shown).collect()),
            rotation: Some(rotation::shown(&self.rotation)),
            slots: slots::shown(&self.slots),
            log: Some(log(&self.log)),
            http: http::shown(&self.http),
        }
    }
}

fn listener(listener: &Listener) -> v1::Listener {
    let unix = matches!(listener.address, super::socket::ListenAddress::Unix(_));
    v1::Listener {
        socket: Some(listener.address.clone()),
        name: listener.name.clone(),
        mode: unix.then_some(Mode(listener.permissions.mode)),
        owner: listener.permissions.owner.map(Account::Id),
        group: listener.permissions.group.map(Account::Id),
        allow: (!listener.allow.is_empty()).then(|| listener.allow.iter().copied().map(Network).collect()),
        sign_relayed: listener.sign_relayed,
    }
}

fn daemon(daemon: &Daemon) -> v1::Daemon {
    v1::Daemon { state: daemon.state.clone(), evidence_interval: Some(Period(daemon.evidence_interval)) }
}

fn control(control: &Control) -> v1::Control {
    v1::Control {
        socket: Some(match &control.socket {
            ControlSocket::Off => "off".into(),
            ControlSocket::At(path) => path.clone(),
        }),
        group: control.group.map(Account::Id),
    }
}

fn recorder(recorder: &Recorder) -> v1::Recorder {
    v1::Recorder { messages: Some(Count(recorder.messages)), memory: Some(Size(recorder.memory)) }
}

fn keys(keys: &Keys) -> v1::Keys {
    v1::Keys {
        store: Some(keys.store.clone()),
        cache: Some(Size(keys.cache)),
        revalidate_after: Some(Period(keys.revalidate_after)),
        revalidate_wait: Some(Period(keys.revalidate_wait)),
        max_staleness: Some(Period(keys.max_staleness)),
        threads: Some(Count(keys.threads)),
    }
}

fn trust(trust: &Trust) -> v1::Trust {
    v1::Trust {
        authenticated: Some(trust.authenticated),
        networks: Some(trust.networks.iter().copied().map(Network).collect()),
        hosts: Some(trust.hosts.clone()),
        except: Some(trust.except.clone()),
        daemon_names: Some(trust.daemon_names.clone()),
        macros: Some(trust.macros.clone()),
        local_submission: Some(trust.local_submission),
        sign_relayed: Some(trust.sign_relayed),
        ignore: Some(trust.ignore.clone()),
        bind_logins: Some(trust.logins.binding),
        login_maps: Some(trust.logins.maps.clone()),
        match_envelope: Some(trust.match_envelope),
    }
}

fn logins(logins: &Logins) -> BTreeMap<String, v1::Login> {
    let login = |may_send: &Vec<AddressPattern>| v1::Login { may_send: Some(may_send.clone()) };
    logins.listed.iter().map(|(name, may_send)| (name.clone(), login(may_send))).collect()
}

fn rule(rule: &Rule) -> v1::Rule {
    let shown = v1::Rule {
        name: rule.name.clone(),
        from: given(&rule.from),
        from_maps: given(&rule.from_maps),
        to: given(&rule.to),
        to_maps: given(&rule.to_maps),
        ..v1::Rule::default()
    };
    let settings = match &rule.action {
        RuleAction::Never => return v1::Rule { never: Some(true), ..shown },
        RuleAction::Sign(settings) => settings,
    };
    let headers = settings.headers.as_ref();
    v1::Rule {
        sign: given(&settings.sign),
        also: given(&settings.also),
        identity: settings.identity.clone(),
        canonicalization: settings.canonicalization,
        expire_after: settings.lifetime.map(|lifetime| match lifetime {
            Lifetime::Unlimited => Expiry::Never,
            Lifetime::Limited(after) => Expiry::After(after),
        }),
        oversign: headers.map(|headers| headers.oversigned.clone()),
        sign_present: headers.map(|headers| headers.as_present.clone()),
        oversign_absent: headers.map(|headers| headers.oversigned_absent.clone()),
        leave_out: given(&settings.leave_out),
        sign_relayed: settings.sign_relayed,
        ..shown
    }
}

fn given<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

fn signing(signing: &Signing) -> v1::Signing {
    let headers = &signing.domain.headers;
    v1::Signing {
        canonicalization: Some(signing.domain.canonicalization),
        subdomains: Some(signing.domain.subdomains),
        expire_after: Some(expiry(&signing.domain)),
        oversign: Some(headers.oversigned.clone()),
        sign_present: Some(headers.as_present.clone()),
        oversign_absent: Some(headers.oversigned_absent.clone()),
        leave_out: Some(headers.left_out.clone()),
        on_failure: Some(signing.on_failure),
        on_unsignable: Some(signing.on_unsignable),
    }
}

fn domain_table(domain: &DomainSettings, rotation: Option<&DomainRotation>, signing: &Signing) -> v1::Domain {
    let everywhere = &signing.domain.headers.left_out;
    v1::Domain {
        subdomains: Some(domain.subdomains),
        identity: domain.identity.as_ref().map(|auid| auid.as_str().to_owned()),
        expire_after: Some(expiry(domain)),
        canonicalization: Some(domain.canonicalization),
        leave_out: Some(domain.headers.left_out.iter().filter(|name| !everywhere.contains(name)).cloned().collect()),
        rotation: rotation.and_then(|own| own.automation),
        key_age: rotation.and_then(|own| own.key_age).map(Period),
        mail_life: rotation.and_then(|own| own.mail_life).map(Period),
        settle: rotation.and_then(|own| own.settle).map(Period),
        selector: rotation.and_then(|own| own.selector.clone()),
        record_ttl: rotation.and_then(|own| own.record_ttl).map(rotation::period_of),
    }
}

fn expiry(domain: &DomainSettings) -> Expiry {
    domain.expire_after.map_or(Expiry::Never, Expiry::After)
}

fn limits(limits: &Limits) -> v1::Limits {
    v1::Limits {
        connections: Some(Count(limits.connections)),
        header_bytes: Some(Size(limits.header_bytes)),
        header_fields: Some(Count(limits.header_fields)),
        frame: Some(Size(limits.frame)),
        signing_queue: Some(Count(limits.signing_queue)),
        queue_deadline: Some(Period(limits.queue_deadline)),
        signing_threads: Some(limits.signing_threads),
        runtime_threads: Some(limits.runtime_threads),
    }
}

fn timeouts(timeouts: &Timeouts) -> v1::Timeouts {
    v1::Timeouts {
        frame: Some(Period(timeouts.frame)),
        command: Some(Period(timeouts.command)),
        write: Some(Period(timeouts.write)),
        drain: Some(Period(timeouts.drain)),
    }
}

fn dns(dns: &Dns) -> v1::Dns {
    let servers = |servers: &[SocketAddr]| servers.iter().copied().map(DnsServer).collect::<Vec<_>>();
    v1::Dns {
        resolvers: (!dns.resolvers.is_empty()).then(|| servers(&dns.resolvers)),
        extra_servers: Some(servers(&dns.extra_servers)),
        outside_resolvers: Some(servers(&dns.outside_resolvers)),
        timeout: Some(Period(dns.timeout)),
        attempts: Some(Count(dns.attempts)),
        queries_per_second: Some(Count(dns.queries_per_second)),
        concurrency: Some(Count(dns.concurrency)),
    }
}

fn verify(verify: &Verify) -> v1::Verify {
    v1::Verify { max_key_age: Some(Period(verify.max_key_age)), want_dnssec: Some(verify.want_dnssec) }
}

fn log(log: &Log) -> v1::Log {
    v1::Log {
        target: Some(log.target),
        format: Some(log.format),
        level: Some(log.level),
        queue: Some(Count(log.queue)),
    }
}
