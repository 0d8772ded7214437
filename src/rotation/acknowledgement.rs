//! Waiting until no daemon signs by an older manifest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::effect::{Outcome, Refusal, RefusalKind};
use super::runner::{KnownUse, RunError, Runner};
use crate::evidence;
use crate::evidence::file::Status;
use crate::keystore::StoreError;
use crate::names::DomainName;

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A question that is older is asked again: daemons are not waited for so long.
const STILL_ASKED: i64 = 600;

/// Asks all daemons to read the domain anew, and waits at most `seconds` for what they say. Zero takes what they say now.
pub(super) async fn await_daemons(
    runner: &Arc<Runner>,
    domain: &DomainName,
    revision: u64,
    seconds: u64,
) -> Result<Outcome, RunError> {
    if matches!(runner.evidence, KnownUse::Nothing) {
        let detail = "no daemon writes evidence of its signatures that is readable here".to_owned();
        return Ok(Outcome::Refused(Refusal { kind: RefusalKind::Unheard, detail }));
    }
    let (asking, wanted) = (Arc::clone(runner), domain.clone());
    tokio::task::spawn_blocking(move || ask(&asking, wanted, revision)).await??;
    let deadline = runner.clock.monotonic() + Duration::from_secs(seconds);
    loop {
        let directory = runner.evidence_directory.clone();
        let silent = match tokio::task::spawn_blocking(move || evidence::read(&directory)).await? {
            Ok(evidence) if evidence.acknowledged(domain).is_some_and(|seen| seen >= revision) => {
                return Ok(Outcome::Acknowledged);
            }
            Ok(evidence) => silent(&evidence, domain, revision),
            Err(error) => crate::finding::Chain(&error).to_string(),
        };
        if runner.clock.monotonic() >= deadline {
            let detail = format!("not all daemons say that they have revision {revision} of {domain}: {silent}");
            return Ok(Outcome::Refused(Refusal { kind: RefusalKind::Unheard, detail }));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn ask(runner: &Runner, domain: DomainName, revision: u64) -> Result<(), StoreError> {
    let now = runner.clock.now();
    // What cannot be read is written anew.
    if let Ok(Some(asked)) = runner.store.asked()
        && asked.domains.get(&domain).is_some_and(|known| *known >= revision)
        && now.duration_since(asked.asked).as_secs().abs() < STILL_ASKED
    {
        return Ok(());
    }
    runner.store.ask(&BTreeMap::from([(domain, revision)]), now)
}

fn silent(evidence: &evidence::Evidence, domain: &DomainName, revision: u64) -> String {
    let lags = |acknowledged: Option<&u64>| acknowledged.is_none_or(|seen| *seen < revision);
    let running = evidence.daemons().iter().filter(|daemon| daemon.status == Status::Running);
    let late = running.filter(|daemon| lags(daemon.acknowledged.get(domain)));
    let late: Vec<String> =
        late.map(|daemon| format!("{} (last heard of {:.0})", daemon.daemon, daemon.written)).collect();
    if late.is_empty() { "none runs".to_owned() } else { late.join(", ") }
}
