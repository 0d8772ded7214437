//! Looking at records, as deeply as the plan wants it.

use std::net::SocketAddr;

use tokio::task::JoinSet;

use crate::config::FixedSlots;
use crate::dns::{Observer, Recursion, Resolvers, Settings, SetupError};
use crate::lifecycle::{Depth, Observed, Witnessed};
use crate::names::{DomainName, Selector};
use crate::observation::{Observation, Outcome, Recursive, RecursiveAnswer, Response, Txt};

/// All who are asked. Cheap to clone; for one run, since zones are remembered.
#[derive(Debug, Clone)]
pub struct Eyes {
    servers: Observer,
    resolvers: Observer,
    /// The resolver alone, for zones of which a server is dead.
    resolver: Observer,
    outside: Vec<Observer>,
    /// Which domains have fixed slots, and where their CNAMEs lead.
    slots: FixedSlots,
}

impl Eyes {
    /// `settings` say how the DNS is asked; resolvers elsewhere are asked last of all.
    ///
    /// # Errors
    /// When no resolver is known.
    pub fn new(settings: &Settings, outside: &[SocketAddr]) -> Result<Self, SetupError> {
        let observer = |recursion, resolvers: &Resolvers| {
            Observer::new(&Settings { recursion, resolvers: resolvers.clone(), ..settings.clone() })
        };
        let elsewhere = |server: &SocketAddr| observer(Recursion::Only, &Resolvers::Servers(vec![*server]));
        Ok(Self {
            servers: observer(Recursion::Never, &settings.resolvers)?,
            resolvers: observer(Recursion::AfterAgreement, &settings.resolvers)?,
            resolver: observer(Recursion::Only, &settings.resolvers)?,
            outside: outside.iter().map(elsewhere).collect::<Result<_, _>>()?,
            slots: FixedSlots::default(),
        })
    }

    /// The same, which also look at where the CNAMEs of fixed slots are to lead when they do not.
    #[must_use]
    pub fn knowing(self, slots: FixedSlots) -> Self {
        Self { slots, ..self }
    }

    /// Looks at the records of some selectors together. Resolvers are asked only where all servers agree.
    pub async fn look(
        &self,
        domain: &DomainName,
        selectors: &[Selector],
        depth: Depth,
        at: &Witnessed,
    ) -> Vec<(Selector, Observed)> {
        let mut looks = JoinSet::new();
        for selector in selectors {
            let (eyes, domain, selector, at) = (self.clone(), domain.clone(), selector.clone(), at.clone());
            looks.spawn(async move {
                let observed = eyes.look_at(&domain, &selector, depth, at).await;
                (selector, observed)
            });
        }
        let mut seen = Vec::with_capacity(selectors.len());
        while let Some(look) = looks.join_next().await {
            seen.extend(look.ok());
        }
        seen
    }

    async fn look_at(&self, domain: &DomainName, selector: &Selector, depth: Depth, at: Witnessed) -> Observed {
        let observer = match depth {
            Depth::Servers => &self.servers,
            Depth::Resolvers => &self.resolvers,
        };
        let mut observation = observer.observe(domain, selector).await;
        if let Some(target) = self.slots.of(domain).as_ref().and_then(|slots| slots.target(selector))
            && !observation.hops.iter().any(|hop| hop.name == target.as_str())
        {
            observation.hops.extend(observer.observe_target(target).await);
        }
        let is_asked = observation.recursive.answer != RecursiveAnswer::NotAsked;
        // The plan asks for resolvers only when all servers have the record but those whose silence is excused.
        if depth == Depth::Resolvers && !is_asked && all_who_answer_have_it(&observation) {
            observation.recursive = self.resolver.observe(domain, selector).await.recursive;
        }
        let mut outside: Vec<Recursive> = Vec::new();
        if observation.recursive.answer != RecursiveAnswer::NotAsked {
            for resolver in &self.outside {
                outside.push(resolver.observe(domain, selector).await.recursive);
            }
        }
        Observed { observation, outside, at }
    }
}

/// Whether every server that answers has the same text or alias at each name on the way, so that no resolver can learn from any
/// of them that there is nothing.
fn all_who_answer_have_it(observation: &Observation) -> bool {
    observation.hops.iter().all(|hop| {
        let mut answers = hop.answers.iter().filter_map(|answer| match &answer.outcome {
            Outcome::Answered(response) => Some(response),
            Outcome::Silent(_) | Outcome::NoRoute => None,
        });
        let Some(first) = answers.next() else { return false };
        let texts = |response: &Response| response.txt.iter().map(Txt::joined).collect::<Vec<_>>();
        let target = |response: &Response| response.cname.as_ref().map(|cname| cname.target.clone());
        let has_any = !first.txt.is_empty() || first.cname.is_some();
        has_any && answers.all(|other| texts(other) == texts(first) && target(other) == target(first))
    }) && !observation.hops.is_empty()
}
