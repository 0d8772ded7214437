//! What the system allows this process, raised to what it may be and held against the configuration.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// File descriptors beside those of connections: listeners, log, store, epoll, resolver.
const RESERVE: u64 = 64;

/// What an idle connection takes, in octets.
const CONNECTION: u64 = 4 << 10;

/// What a log line that waits takes, in octets.
const LOG_LINE: u64 = 1 << 10;

/// The program itself and its threads, in octets.
const PROGRAM: u64 = 32 << 20;

/// Threads beside those that are configured: main, log, reload, evidence and its acknowledgements, and the runtime's own
/// for what blocks.
const OTHER_THREADS: u64 = 8;

/// Where version 2 of control groups is mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// What the configuration may come to need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Needs {
    /// In octets.
    memory: u64,
    threads: u64,
}

/// What there is, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Allowed {
    /// In octets.
    memory: Option<u64>,
    threads: Option<u64>,
}

/// What there is too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Short {
    Memory { needed: u64, allowed: u64 },
    Threads { needed: u64, allowed: u64 },
}

/// Says in the log what the configuration may come to need and the system does not allow. Threads are as many as start.
pub(super) fn check(config: &Config, signing_threads: usize, runtime_threads: usize) {
    for short in Needs::of(config, signing_threads, runtime_threads).beyond(Allowed::here()) {
        match short {
            Short::Memory { needed, allowed } => tracing::warn!(
                needed_mib = needed >> 20,
                allowed_mib = allowed >> 20,
                remedy = "lower keys.cache or limits.header_memory, or raise MemoryMax= of the service",
                "the configuration may need more memory than there is"
            ),
            Short::Threads { needed, allowed } => tracing::warn!(
                needed,
                allowed,
                remedy = "raise TasksMax= or LimitNPROC= of the service, or lower limits.signing_threads",
                "the configuration needs more threads than are allowed"
            ),
        }
    }
}

impl Needs {
    fn of(config: &Config, signing_threads: usize, runtime_threads: usize) -> Self {
        let limits = &config.limits;
        let connections = (limits.connections.get() as u64).saturating_mul(CONNECTION);
        let log = (config.log.queue.get() as u64).saturating_mul(LOG_LINE);
        let bounded = [config.keys.cache, limits.header_memory, connections, log, PROGRAM];
        Self {
            memory: bounded.into_iter().fold(0, u64::saturating_add),
            threads: (signing_threads + runtime_threads + config.keys.threads.get()) as u64 + OTHER_THREADS,
        }
    }

    fn beyond(self, allowed: Allowed) -> Vec<Short> {
        let memory = allowed.memory.filter(|allowed| *allowed < self.memory);
        let threads = allowed.threads.filter(|allowed| *allowed < self.threads);
        let memory = memory.map(|allowed| Short::Memory { needed: self.memory, allowed });
        memory.into_iter().chain(threads.map(|allowed| Short::Threads { needed: self.threads, allowed })).collect()
    }
}

impl Allowed {
    fn here() -> Self {
        let machine = rustix::system::sysinfo();
        let machine = (machine.totalram as u64).saturating_mul(u64::from(machine.mem_unit));
        let group = control_group();
        let memory = [Some(machine), getrlimit(Resource::As).current, least_of(&group, "memory.max")];
        // Root is not held to it.
        let of_user = getrlimit(Resource::Nproc).current.filter(|_| !rustix::process::geteuid().is_root());
        let threads = [of_user, least_of(&group, "pids.max")];
        Self { memory: memory.into_iter().flatten().min(), threads: threads.into_iter().flatten().min() }
    }
}

/// This process' control group, below [`CGROUPS`].
fn control_group() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(CGROUPS).join(group))
}

/// The least that the group and those above it are limited to; none where none is.
fn least_of(group: &Option<PathBuf>, limit: &str) -> Option<u64> {
    let groups = group.as_deref()?.ancestors().take_while(|group| group.starts_with(CGROUPS));
    groups.filter_map(|group| fs::read_to_string(group.join(limit)).ok()?.trim().parse().ok()).min()
}

/// Raises the soft limit on file descriptors to the hard one and returns how many connections fit.
pub(super) fn connections_allowed(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let needed = (wanted as u64).saturating_add(RESERVE);
    let allowed = match (limit.current, limit.maximum) {
        (None, _) => return wanted,
        (Some(current), _) if current >= needed => return wanted,
        (Some(current), maximum) => {
            let raised = maximum.map_or(needed, |maximum| maximum.min(needed));
            match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }) {
                Ok(()) => raised,
                Err(_) => current,
            }
        }
    };
    let connections = allowed.saturating_sub(RESERVE).clamp(1, wanted as u64) as usize;
    if connections < wanted {
        tracing::warn!(
            wanted,
            connections,
            remedy = "raise LimitNOFILE= of the service, or lower limits.connections",
            "the limit on open files allows fewer connections than configured"
        );
    }
    connections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_the_sum_of_what_is_bounded() {
        let config = Config::default_in(Path::new("/"));
        let needs = Needs::of(&config, 4, 2);
        let bounded = config.keys.cache + config.limits.header_memory + (10_000 << 12);
        assert!(needs.memory > bounded && needs.memory < 2 * bounded, "{needs:?}");
        assert_eq!(needs.threads, 4 + 2 + 2 + OTHER_THREADS);
    }

    #[test]
    fn only_what_is_known_to_be_too_little_is_named() {
        let needs = Needs { memory: 100, threads: 10 };
        assert_eq!(needs.beyond(Allowed { memory: None, threads: None }), []);
        assert_eq!(needs.beyond(Allowed { memory: Some(100), threads: Some(10) }), []);
        let short = needs.beyond(Allowed { memory: Some(99), threads: Some(9) });
        let expected = [Short::Memory { needed: 100, allowed: 99 }, Short::Threads { needed: 10, allowed: 9 }];
        assert_eq!(short, expected);
    }

    #[test]
    fn the_limits_of_a_group_are_those_of_all_above_it() {
        assert_eq!(least_of(&None, "memory.max"), None);
        assert_eq!(least_of(&Some("/elsewhere/x".into()), "memory.max"), None);
        assert!(Allowed::here().memory.is_some_and(|memory| memory > 0));
    }
}
