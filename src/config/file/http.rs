//! The section `[http]` of version 1.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::socket::ListenAddress;
use crate::config::values::{Account, Mode, Network};

/// Metrics for Prometheus, whether the daemon is well, and a status page for people, over HTTP: docs/metrics.md,
/// docs/status-page.md. Off, unless `listen` says where. A change needs a restart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Where: `unix:/path`, `inet:port@address`, `inet6:port@address`. Unset: nowhere. Domain names and logins of your users
    /// can be read there: a TCP port of loopback is open to every user of this machine, so where it has others, take a Unix
    /// socket or a token.
    #[schemars(example = &"inet:8893@127.0.0.1")]
    pub listen: Option<ListenAddress>,
    /// Permission bits of a Unix socket, in octal. The default lets the socket's group connect, and nobody else.
    #[schemars(example = &"0660")]
    pub mode: Option<Mode>,
    /// The group a Unix socket is given to, by name or id; the daemon's own where unset. The daemon's user must be a
    /// member of it. Do not put a monitoring user into the daemon's own group instead: that one may read the keys.
    #[schemars(example = &"waxseal-monitoring")]
    pub group: Option<Account>,
    /// The networks that may connect over TCP. Where unset, only this machine may. An address that other machines can
    /// reach must have it, and `token_file`.
    #[schemars(example = ["192.0.2.0/24"])]
    pub allow: Option<Vec<Network>>,
    /// A file with a token of 16 characters or more, relative to the directory of this file, not readable by others. Who asks
    /// must show it: `Authorization: Bearer`, or as the password that a browser asks for; the user name does not matter.
    /// `/healthz` and `/readyz` need none. Unset: no token is asked for.
    #[schemars(example = &"http.token")]
    pub token_file: Option<PathBuf>,
}
