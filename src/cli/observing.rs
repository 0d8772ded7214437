//! The DNS as commands ask it: by the configuration.

use std::num::{NonZeroU32, NonZeroUsize};

use crate::config;
use crate::dns::{Resolvers, Settings};

/// What the configuration says of the DNS.
pub(super) fn settings(config: &config::Dns) -> Settings {
    Settings {
        resolvers: match &config.resolvers[..] {
            [] => Resolvers::System,
            given => Resolvers::Servers(given.to_vec()),
        },
        extra_servers: config.extra_servers.clone(),
        timeout: config.timeout,
        attempts: number(config.attempts),
        queries_per_second: number(config.queries_per_second),
        ..Settings::default()
    }
}

/// A number of the configuration; more than the DNS layer can count is as good as the most it can.
pub(super) fn number(count: NonZeroUsize) -> NonZeroU32 {
    count.try_into().unwrap_or(NonZeroU32::MAX)
}
