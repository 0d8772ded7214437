//! Records to their publishers, side by side.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use serde::Serialize;
use tokio::task::JoinSet;

use crate::dns::publish::{Outcome, Publisher, Record};
use crate::finding::Chain;
use crate::manifest::Binding;
use crate::names::DomainName;

/// One record and who publishes it.
pub(super) struct Task {
    pub(super) domain: DomainName,
    pub(super) binding: Binding,
    pub(super) record: Record,
    /// The selector's own name, where that is to be a CNAME to the record's.
    pub(super) alias: Option<String>,
    pub(super) publisher_name: String,
    pub(super) publisher: Arc<dyn Publisher>,
}

/// What was done with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Act {
    /// Nothing: a dry run.
    Planned,
    /// It was published.
    Done,
    /// It was there.
    AlreadySo,
    /// Another record stands there.
    Conflict,
    /// A human is to publish it.
    ByHand,
    /// A human says that it is published.
    Told,
    /// It could not be published.
    Failed,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Planned => "planned",
            Self::Done => "published",
            Self::AlreadySo => "was published already",
            Self::Conflict => "not published, something else stands there",
            Self::ByHand => "yours to publish",
            Self::Told => "published, as you say",
            Self::Failed => "not published",
        })
    }
}

/// Publishes them, so many side by side; what came of each, in their order.
pub(super) async fn publish_all(tasks: &[Task], side_by_side: NonZeroUsize) -> Vec<(Act, String)> {
    let mut running = JoinSet::new();
    // For one that ended before its work was done; none does.
    let mut outcomes = vec![(Act::Failed, "it was cut off; try again".to_owned()); tasks.len()];
    for (index, task) in tasks.iter().enumerate() {
        // One that takes long holds up nobody but itself.
        if running.len() == side_by_side.get()
            && let Some(Ok((index, outcome))) = running.join_next().await
        {
            outcomes[index] = outcome;
        }
        let (publisher, record) = (Arc::clone(&task.publisher), task.record.clone());
        running.spawn(async move { (index, publish(&*publisher, &record).await) });
    }
    while let Some(finished) = running.join_next().await {
        if let Ok((index, outcome)) = finished {
            outcomes[index] = outcome;
        }
    }
    outcomes
}

async fn publish(publisher: &dyn Publisher, record: &Record) -> (Act, String) {
    match publisher.present(record).await {
        Ok(Outcome::Done) => (Act::Done, String::new()),
        Ok(Outcome::AlreadySo) => (Act::AlreadySo, String::new()),
        Ok(Outcome::Conflict(standing)) => (Act::Conflict, standing.to_string()),
        Ok(Outcome::ByHand { instruction }) => (Act::ByHand, instruction),
        Err(error) => (Act::Failed, Chain(&error).to_string()),
    }
}
