//! What a reload can change, and what it cannot.

use super::running::Config;

impl Config {
    /// The settings that differ and that a running daemon cannot change: sockets are open, threads are running, queues
    /// and caches have their size. Everything else takes hold with the next message.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let differences = [
            ("listener", self.listeners != new.listeners),
            ("keys.store", self.keys.store != new.keys.store),
            ("keys.cache", self.keys.cache != new.keys.cache),
            ("keys.revalidate_after", self.keys.revalidate_after != new.keys.revalidate_after),
            ("keys.max_staleness", self.keys.max_staleness != new.keys.max_staleness),
            ("keys.threads", self.keys.threads != new.keys.threads),
            ("limits.connections", self.limits.connections != new.limits.connections),
            ("limits.signing_queue", self.limits.signing_queue != new.limits.signing_queue),
            ("limits.signing_threads", self.limits.signing_threads != new.limits.signing_threads),
            ("limits.runtime_threads", self.limits.runtime_threads != new.limits.runtime_threads),
            ("log", self.log != new.log),
        ];
        differences.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::path::Path;

    use super::*;
    use crate::config::running::Threads;

    #[test]
    fn only_what_cannot_be_reloaded_is_named() {
        let old = Config::default_in(Path::new("/etc/waxseal"));
        let mut new = old.clone();
        new.trust.authenticated = false;
        new.limits.header_bytes = 1;
        assert!(old.needs_restart(&new).is_empty());
        new.limits.signing_threads = Threads::Count(NonZeroUsize::MIN);
        new.keys.cache += 1;
        assert_eq!(old.needs_restart(&new), ["keys.cache", "limits.signing_threads"]);
    }
}
