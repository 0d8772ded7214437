//! The status page and its search, from what the site knows.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::site::Site;
use crate::finding::Chain;
use crate::keystore::KeyStore;
use crate::manifest::{Binding, DomainManifest, Status};
use crate::names::{DomainName, QueueId};
use crate::observe::history::{HOUR, SAMPLE_EVERY};
use crate::observe::page::{DomainFound, Found, KeyFound, Searched, View, found_page, status_page};
use crate::observe::snapshot::TallyCounts;

/// How long the key store may take to answer.
const STORE: Duration = Duration::from_secs(2);

/// The status page.
pub(super) fn status<S: KeyStore + 'static>(site: &Site<S>) -> String {
    let now = site.filter.clock.monotonic();
    let snapshot = site.snapshot();
    let counts = TallyCounts { decisions: snapshot.decisions, answers: snapshot.answers };
    let (problems, rotation_problem) = (site.problems(), site.rotation_problem());
    let view = site.with_history(|history| View {
        now: history.lately(now, counts, SAMPLE_EVERY),
        minute: history.lately(now, counts, Duration::from_secs(60)),
        hour: history.lately(now, counts, HOUR),
        minutes: history.minutes(now, counts),
        problems,
        rotation_problem,
        snapshot,
    });
    status_page(&view)
}

/// What is known of a domain, or of a message.
pub(super) async fn search<S: KeyStore + 'static>(site: &Site<S>, asked: &str) -> String {
    let asked = asked.trim().to_owned();
    let found = match DomainName::parse(&asked) {
        _ if asked.is_empty() => Found::Nothing,
        // A queue id has no dot.
        Ok(domain) if asked.contains('.') => find(site, domain).await,
        _ => message(site, &asked),
    };
    found_page(&Searched { asked, found, at: site.filter.clock.now(), host: site.host().to_owned() })
}

/// The messages of that queue id, as far as they are remembered.
fn message<S: KeyStore + 'static>(site: &Site<S>, asked: &str) -> Found {
    let messages = QueueId::from_octets(asked.as_bytes()).map(|id| site.filter.recorder.of_queue_id(&id));
    messages.filter(|messages| !messages.is_empty()).map_or(Found::QueueId, Found::Messages)
}

async fn find<S: KeyStore + 'static>(site: &Site<S>, domain: DomainName) -> Found {
    let filter = Arc::clone(&site.filter);
    let read = spawn_blocking(move || filter.keys.cache().store().manifest(&domain));
    match timeout(STORE, read).await {
        Ok(Ok(Ok(Some(manifest)))) => Found::Domain(shown(&manifest)),
        Ok(Ok(Ok(None))) => Found::NoSuchDomain,
        Ok(Ok(Err(error))) => Found::StoreFails(Chain(&error).to_string()),
        Ok(Err(_)) | Err(_) => Found::StoreFails(format!("it did not answer within {} s", STORE.as_secs())),
    }
}

fn shown(manifest: &DomainManifest) -> DomainFound {
    let key = |binding: &Binding| KeyFound {
        selector: binding.selector.to_string(),
        algorithm: binding.algorithm().a_tag(),
        state: binding.state.name().as_str(),
        since: binding.state.since(),
        held: binding
            .held
            .as_ref()
            .map(|held| held.evidence.clone().unwrap_or_else(|| "its record is not changed".into())),
        is_compromised: binding.compromised.is_some(),
    };
    DomainFound {
        domain: manifest.domain().to_string(),
        status: match manifest.status() {
            Status::Enabled => "enabled",
            Status::Leaving => "leaving",
            Status::Gone => "gone",
        },
        keys: manifest.bindings().iter().map(key).collect(),
    }
}
