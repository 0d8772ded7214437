//! A runner, as the configuration says.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use crate::audit::{Actor, AuditLog};
use crate::cli::output::WARN;
use crate::cli::{Installation, Undetermined, observing};
use crate::clock::Clock;
use crate::config::values::DnsServer;
use crate::config::{Config, Publisher};
use crate::dns::{AskedServers, Settings, publish};
use crate::evidence::{self, EvidenceError};
use crate::files::accounts::user_name;
use crate::files::secret::{self, credentials_directory};
use crate::finding::Chain;
use crate::rotation::{Eyes, KnownUse, LetGo, Opened, Pace, Runner};

/// Where daemons write evidence with the shipped unit.
const EVIDENCE: &str = "/var/lib/waxseal";

/// Who is asked for records, and who may change them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hands {
    /// Secrets are read, publishers opened.
    Free,
    /// Nothing is changed, so no secret is needed.
    Tied,
}

/// A runner for this installation.
pub(crate) fn runner(installation: Installation, servers: &[DnsServer], hands: Hands) -> anyhow::Result<Arc<Runner>> {
    let Installation { config, store } = installation;
    let settings = Settings {
        servers: match servers {
            [] => AskedServers::OfTheZone,
            given => AskedServers::Exactly(given.iter().map(|server| server.0).collect()),
        },
        ..observing::settings(&config.dns)
    };
    let eyes = Eyes::new(&settings, &config.dns.outside_resolvers)
        .context("no resolver is known; set dns.resolvers")
        .map_err(Undetermined)?
        .knowing(config.slots.clone());
    let publishers = match hands {
        Hands::Free => config.publishers.iter().map(|publisher| (publisher.name.clone(), opened(publisher))).collect(),
        Hands::Tied => BTreeMap::new(),
    };
    let evidence_directory = config.daemon.state.clone().unwrap_or_else(|| PathBuf::from(EVIDENCE));
    Ok(Arc::new(Runner {
        eyes,
        publishers,
        audit: AuditLog::at(audit_path(&config)),
        pace: Pace::per_second(config.rotation.waves.domains_per_second),
        let_go: LetGo::at(config.rotation.state.join("let-go")),
        actor: actor(),
        evidence: known_use(&evidence_directory),
        evidence_directory,
        clock: Clock::System,
        boot_id: crate::files::boot::boot_id()?,
        emergency: None,
        store,
        config,
    }))
}

/// Makes the state directory where it is missing. Root makes it, and what lasts in it, for the owner of the key store, who
/// runs rotation by timer and must be able to write there afterwards.
pub(crate) fn make_state_directory(config: &Config) -> anyhow::Result<()> {
    let path = &config.rotation.state;
    let is_missing = !path.exists();
    let made = fs::DirBuilder::new().recursive(true).mode(0o750).create(path);
    made.with_context(|| {
        format!("cannot make {}; set state in [rotation] to a directory that is yours", path.display())
    })?;
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let not_given = || format!("cannot give {} to the owner of the key store", path.display());
    if is_missing {
        let store = fs::metadata(&config.keys.store).with_context(not_given)?;
        std::os::unix::fs::chown(path, Some(store.uid()), Some(store.gid())).with_context(not_given)?;
    }
    let directory = fs::metadata(path).with_context(not_given)?;
    for file in [audit_path(config), lock_path(config)] {
        let mut options = fs::OpenOptions::new();
        options.append(true).create_new(true).mode(0o640);
        match options.open(&file) {
            Ok(file) => std::os::unix::fs::fchown(&file, Some(directory.uid()), Some(directory.gid())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
        .with_context(|| format!("cannot make {}", file.display()))?;
    }
    Ok(())
}

/// The lock of the one run at a time.
pub(crate) fn lock_path(config: &Config) -> PathBuf {
    config.rotation.state.join("rotate.lock")
}

fn audit_path(config: &Config) -> PathBuf {
    config.rotation.state.join("audit.jsonl")
}

fn opened(publisher: &Publisher) -> Opened {
    let secret =
        publisher.method.secret().map(|place| secret::read(place, credentials_directory().as_deref())).transpose();
    let unusable = |error: &(dyn std::error::Error + 'static)| Opened::Unusable {
        reason: format!("the publisher {:?} cannot be used: {}", publisher.name, Chain(error)),
    };
    match secret {
        Ok(secret) => match publish::open(publisher, secret.as_ref(), Clock::System) {
            Ok(publisher) => Opened::Usable(publisher),
            Err(error) => unusable(&error),
        },
        Err(error) => unusable(&error),
    }
}

fn known_use(directory: &Path) -> KnownUse {
    match evidence::read(directory) {
        Ok(evidence) => KnownUse::Written(evidence),
        Err(EvidenceError::Missing { .. }) => KnownUse::Nothing,
        Err(EvidenceError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => KnownUse::Nothing,
        Err(error) => {
            anstream::eprintln!(
                "{WARN}warning:{WARN:#} {}; until it can be read, every key counts as used just now",
                Chain(&error)
            );
            KnownUse::Unreadable
        }
    }
}

fn actor() -> Actor {
    let uid = rustix::process::geteuid().as_raw();
    let user = user_name(uid);
    Actor { uid, user, login: None }
}
