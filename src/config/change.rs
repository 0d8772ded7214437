//! What a reload can change, and what it cannot.

use super::running::Config;

impl Config {
    /// The settings that differ and that a running daemon cannot change: sockets are open, threads are running, queues
    /// and caches have their size. Everything else takes hold with the next message.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let differences = [
            ("listener", self.listeners != new.listeners),
            ("daemon.state", self.daemon.state != new.daemon.state),
            ("daemon.evidence_interval", self.daemon.evidence_interval != new.daemon.evidence_interval),
            ("control.socket", self.control.socket != new.control.socket),
            ("control.group", self.control.group != new.control.group),
            ("recorder.messages", self.recorder.messages != new.recorder.messages),
            ("recorder.memory", self.recorder.memory != new.recorder.memory),
            ("keys.store", self.keys.store != new.keys.store),
            ("keys.cache", self.keys.cache != new.keys.cache),
            ("keys.revalidate_after", self.keys.revalidate_after != new.keys.revalidate_after),
            ("keys.max_staleness", self.keys.max_staleness != new.keys.max_staleness),
            ("keys.threads", self.keys.threads != new.keys.threads),
            ("limits.connections", self.limits.connections != new.limits.connections),
            ("limits.signing_queue", self.limits.signing_queue != new.limits.signing_queue),
            ("limits.signing_threads", self.limits.signing_threads != new.limits.signing_threads),
            ("limits.runtime_threads", self.limits.runtime_threads != new.limits.runtime_threads),
            ("log.target", self.log.target != new.log.target),
            ("log.format", self.log.format != new.log.format),
            ("log.level", self.log.level != new.log.level),
            ("log.queue", self.log.queue != new.log.queue),
            ("http", self.http != new.http),
        ];
        differences.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::config::http::Http;
    use crate::config::reference;
    use crate::config::running::{
        Control, ControlSocket, Daemon, Keys, Limits, Listener, Listeners, Log, LogFormat, LogLevel, LogTarget,
        Recorder, Threads,
    };
    use crate::config::socket::ListenAddress;
    use crate::policy::Trust;

    #[test]
    fn only_what_cannot_be_reloaded_is_named() {
        let old = Config::default_in(Path::new("/etc/waxseal"));
        let mut new = old.clone();
        new.trust.sign_relayed = true;
        new.keys.revalidate_wait *= 2;
        assert!(old.needs_restart(&new).is_empty());
        new.limits.signing_threads = Threads::Count(NonZeroUsize::MIN);
        new.keys.cache += 1;
        assert_eq!(old.needs_restart(&new), ["keys.cache", "limits.signing_threads"]);
    }

    #[test]
    fn the_reference_says_of_each_setting_whether_it_needs_a_restart() {
        let old = Config::default_in(Path::new("/etc/waxseal"));
        let trust = Trust { sign_relayed: true, ..old.trust.clone() };
        let all = Config {
            listeners: Listeners::Named(vec![Listener::at(ListenAddress::Systemd(None))]),
            daemon: Daemon { state: Some("/elsewhere".into()), evidence_interval: Duration::ZERO },
            control: Control { socket: ControlSocket::Off, group: Some(1) },
            recorder: Recorder { messages: NonZeroUsize::MIN, memory: 1 },
            keys: Keys {
                store: "/elsewhere".into(),
                cache: 1,
                revalidate_after: Duration::ZERO,
                revalidate_wait: Duration::ZERO,
                max_staleness: Duration::ZERO,
                threads: NonZeroUsize::MIN,
            },
            limits: Limits {
                connections: NonZeroUsize::MIN,
                header_bytes: 1,
                header_fields: NonZeroUsize::MIN,
                frame: 1,
                signing_queue: NonZeroUsize::MIN,
                queue_deadline: Duration::ZERO,
                signing_threads: Threads::Count(NonZeroUsize::MIN),
                runtime_threads: Threads::Count(NonZeroUsize::MIN),
            },
            log: Log {
                target: LogTarget::Journald,
                format: LogFormat::Json,
                level: LogLevel::Trace,
                queue: NonZeroUsize::MIN,
            },
            http: Http { listener: Some(Listener::at(ListenAddress::Systemd(None))), token_file: None },
            trust,
            ..old.clone()
        };
        let mut named: Vec<String> = old.needs_restart(&all).into_iter().map(str::to_owned).collect();
        named.sort();
        assert_eq!(named, documented());
    }

    /// The settings of which the reference says that they need a restart.
    fn documented() -> Vec<String> {
        let mut section = String::new();
        let mut settings = Vec::new();
        let page = reference();
        let sections = page.split_once("in alphabetical order:").unwrap().1;
        for line in sections.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                section = heading.trim_matches(['`', '[', ']']).to_owned();
            } else if line.contains("A change needs a restart.") {
                let setting = line.strip_prefix("| `").and_then(|line| line.split_once('`'));
                settings.push(setting.map_or_else(|| section.clone(), |(setting, _)| format!("{section}.{setting}")));
            }
        }
        settings.sort();
        settings
    }
}
