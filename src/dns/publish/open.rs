//! From a publisher's settings to the publisher.

use std::sync::Arc;

use super::{
    ExecHook, Manual, PowerDns, PowerDnsSettings, Publisher, Rfc2136, Rfc2136Settings, TsigKey, TsigKeyError,
    ZoneInclude,
};
use crate::clock::Clock;
use crate::config::{self, PublishingMethod};
use crate::files::secret::Secret;

/// Why a publisher cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its secret was not given.
    #[error("the publisher {name:?} has no secret")]
    NoSecret {
        /// The publisher's name.
        name: String,
    },
    /// Its TSIG key cannot be one.
    #[error("the publisher {name:?} cannot sign updates")]
    TsigKey {
        /// The publisher's name.
        name: String,
        /// Why.
        source: TsigKeyError,
    },
}

/// The publisher of these settings. Connects to nothing.
///
/// # Errors
/// When its secret is missing or cannot be one.
pub fn open(
    settings: &config::Publisher,
    secret: Option<&Secret>,
    clock: Clock,
) -> Result<Arc<dyn Publisher>, OpenError> {
    let name = || settings.name.clone();
    let secret = || secret.ok_or_else(|| OpenError::NoSecret { name: name() });
    let timeout = settings.timeout;
    Ok(match settings.method.clone() {
        PublishingMethod::Rfc2136 { server, zone, key_name, algorithm, .. } => {
            let key = TsigKey::new(&key_name, algorithm, secret()?.expose());
            let key = key.map_err(|source| OpenError::TsigKey { name: name(), source })?;
            Arc::new(Rfc2136::new(Rfc2136Settings { server, zone, key, timeout, clock }))
        }
        PublishingMethod::PowerDns { api_url, zone, .. } => {
            let key = secret()?.clone();
            Arc::new(PowerDns::new(PowerDnsSettings { api: api_url, zone, key, timeout }))
        }
        PublishingMethod::ZoneInclude { path, zone, reload, server } => {
            Arc::new(ZoneInclude { path, zone, reload, server, timeout })
        }
        PublishingMethod::Exec { program, zone } => Arc::new(ExecHook { program, zone, timeout }),
        PublishingMethod::Manual => Arc::new(Manual),
    })
}
