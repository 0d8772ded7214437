//! Evidence of signatures for rotation: where it is written, and what is acknowledged in it.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::notify;
use crate::config::Daemon;
use crate::evidence::{self, Acknowledged, Writer};
use crate::filter::Filter;
use crate::keystore::{Asked, Directory};
use crate::names::DomainName;

/// How often daemons look whether they are asked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Starts to write evidence, if there is a place for it. Without one the daemon signs all the same.
pub(super) fn start(filter: &Arc<Filter<Directory>>, settings: &Daemon) -> io::Result<Option<Writer>> {
    let Some(directory) = settings.state.clone().or_else(|| notify::state_directory().map(PathBuf::from)) else {
        tracing::warn!(
            remedy = "set state in [daemon], or StateDirectory= in the unit",
            "no state directory: nobody will know when keys last signed, and rotation waits longer"
        );
        return Ok(None);
    };
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let recorder = Arc::clone(&filter.evidence);
    match evidence::start(&directory, &host, recorder, settings.evidence_interval, filter.clock) {
        Ok(writer) => {
            let (filter, acknowledge) = (Arc::downgrade(filter), writer.acknowledger());
            thread::Builder::new().name("acknowledge".into()).spawn(move || answer(&filter, acknowledge))?;
            Ok(Some(writer))
        }
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                remedy = "give the directory to the daemon's user, then restart the daemon",
                "the evidence of signatures cannot be written; signing goes on, and rotation waits longer"
            );
            Ok(None)
        }
    }
}

/// Reads anew what it is asked to, until the daemon ends. On a thread of its own, for the store may hang.
fn answer(filter: &Weak<Filter<Directory>>, acknowledge: impl Fn(Acknowledged)) {
    let mut last: Option<Asked> = None;
    let mut seen = Acknowledged::new();
    loop {
        thread::sleep(LOOK_EVERY);
        let Some(filter) = filter.upgrade() else { return };
        // A store that cannot be read is told of where keys are looked for.
        let Ok(Some(asked)) = filter.keys.cache().store().asked() else { continue };
        if last.as_ref() != Some(&asked) {
            seen.retain(|domain, _| asked.domains.contains_key(domain));
        }
        let before = seen.clone();
        for (domain, &wanted) in &asked.domains {
            if seen.get(domain).is_none_or(|seen| *seen < wanted)
                && let Some(revision) = read_anew(&filter, domain).filter(|revision| *revision >= wanted)
            {
                seen.insert(domain.clone(), revision);
            }
        }
        if seen != before {
            acknowledge(seen.clone());
        }
        last = Some(asked);
    }
}

/// The revision that messages from now on are signed with; none if the store does not confirm it.
fn read_anew(filter: &Filter<Directory>, domain: &DomainName) -> Option<u64> {
    let keys = filter.keys.cache().load(domain, filter.clock.monotonic()).ok()?;
    keys.unconfirmed.is_none().then_some(keys.revision)
}
