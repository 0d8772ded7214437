//! What a run would do: looks as a run does, and changes nothing.

use std::sync::Arc;

use super::machine::Start;
use super::runner::{RunError, Runner};
use super::waves::Wave;
use crate::keystore::KeyStore;
use crate::lifecycle::{Action, Observations, Plan, plan};
use crate::names::DomainName;

/// Servers are asked, then resolvers; more than that is going in circles.
const LOOKS: usize = 4;

/// A domain as it would be worked on.
#[derive(Debug)]
pub struct Preview {
    /// Which.
    pub domain: DomainName,
    /// What is known after looking; none: it is not in the store any more.
    pub result: Result<Option<Plan>, RunError>,
}

/// Looks again and again at what is not known of a domain.
pub(super) async fn preview(runner: &Arc<Runner>, wave: Wave) -> Result<Option<Plan>, RunError> {
    let Wave { domain, patrol, silences, audited, .. } = wave;
    let read = runner.blocking_on(&domain, |runner, domain| runner.store.manifest(domain)).await?;
    let Some(manifest) = read? else { return Ok(None) };
    let Start { manifest, schedule, automation, evidence, silences, .. } =
        runner.start(manifest, patrol, silences, audited);
    let mut observations = Observations { silences, ..Observations::default() };
    let mut planned = Plan::default();
    for round in 0..LOOKS {
        let now = runner.now();
        planned = plan(&manifest, &observations, &evidence, &now, &schedule, automation);
        let looks = planned.actions.iter().filter_map(|action| match action {
            Action::Observe { selector, depth } => Some((selector.clone(), *depth)),
            _ => None,
        });
        let looks: Vec<_> = looks.collect();
        if looks.is_empty() {
            break;
        }
        if round == 0 {
            runner.pace.turn().await;
        }
        for (selector, depth) in looks {
            for (selector, observed) in runner.eyes.look(&domain, &[selector], depth, &now).await {
                observations.silences.note(&observed.observation, &observed.at);
                observations.seen.insert(selector, observed);
            }
        }
    }
    Ok(Some(planned))
}
