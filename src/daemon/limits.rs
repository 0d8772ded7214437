//! What the system allows this process, raised to what it may be and held against the configuration.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// File descriptors beside those of connections: listeners, log, store, epoll, resolver.
const RESERVE: u64 = 64;

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
