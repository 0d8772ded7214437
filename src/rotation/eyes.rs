//! Looking at records, as deeply as the plan wants it.

use std::net::SocketAddr;

use tokio::task::JoinSet;

use crate::dns::{Observer, Recursion, Resolvers, Settings, SetupError};
use crate::lifecycle::{Depth, Observed, Witnessed};
use crate::names::{DomainName, Selector};
use crate::observation::{Recursive, RecursiveAnswer};

/// All who are asked. Cheap to clone; for one run, since zones are remembered.
#[derive(Debug, Clone)]
pub struct Eyes {
    servers: Observer,
    resolvers: Observer,
    outside: Vec<Observer>,
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
            outside: outside.iter().map(elsewhere).collect::<Result<_, _>>()?,
        })
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
        let observation = observer.observe(domain, selector).await;
        let mut outside: Vec<Recursive> = Vec::new();
        if observation.recursive.answer != RecursiveAnswer::NotAsked {
            for resolver in &self.outside {
                outside.push(resolver.observe(domain, selector).await.recursive);
            }
        }
        Observed { observation, outside, at }
    }
}
