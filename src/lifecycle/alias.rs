//! Whether the CNAME of a fixed slot leads to where our record is.

use super::answers::{response, same_name};
use crate::names::DomainName;
use crate::observation::{Hop, Observation, presentation};

/// How a chain of CNAMEs stands to where it is to lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Alias {
    /// It leads there; also where no server says anything.
    AsItShould,
    /// It does not. From the hop of this index on, the name that it should lead to was looked at by itself, if it was.
    Wrong {
        /// Where the hops of the target begin.
        from: usize,
        /// What is wrong and who mends it, for people.
        fault: String,
    },
}

impl Alias {
    pub(super) fn of(observation: &Observation, target: &DomainName) -> Self {
        let hops = &observation.hops;
        let reached = hops.iter().position(|hop| same_name(&hop.name, target.as_str()));
        let end = reached.unwrap_or(hops.len());
        let broken = (0..end).find(|index| {
            let answers = hops.get(*index).into_iter().flat_map(|hop| &hop.answers);
            let mut said = answers.filter_map(|answer| response(&answer.outcome)).peekable();
            let next = hops.get(index + 1).map(|hop| hop.name.as_str());
            let leads = |target: &str| next.is_some_and(|next| same_name(target, next));
            said.peek().is_some() && !said.any(|said| said.cname.as_ref().is_some_and(|alias| leads(&alias.target)))
        });
        match (broken, hops.first()) {
            // The chain ends somewhere else, or goes on past what is looked at.
            (Some(_), Some(first)) => Self::Wrong { from: end, fault: fault(first, target) },
            _ => Self::AsItShould,
        }
    }
}

fn fault(first: &Hop, target: &DomainName) -> String {
    let name = presentation(first.name.as_bytes());
    let mut said = first.answers.iter().filter_map(|answer| response(&answer.outcome));
    let is = match said.find_map(|said| said.cname.as_ref()) {
        Some(alias) => format!("{name} leads to {}, not to {target}", presentation(alias.target.as_bytes())),
        None => format!("{name} has no CNAME"),
    };
    format!("{is}; whoever runs its zone is to publish: {name}. CNAME {target}.")
}
