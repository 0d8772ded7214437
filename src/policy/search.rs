//! Whose keys sign: asks for one domain after the other, and says from the answers what is signed, or why not.

use std::collections::VecDeque;

use super::author::signing_parents;
use super::decision::Reason;
use super::rule::Signer;
use super::trace::{Presence, Role, Step, Trace};
use crate::names::{DomainName, Selector};

/// The keys of a domain, as whoever looks for them has them.
pub trait SigningKeys {
    /// The selectors that sign.
    fn selectors(&self) -> Vec<Selector>;
}

impl SigningKeys for Vec<Selector> {
    fn selectors(&self) -> Vec<Selector> {
        self.clone()
    }
}

/// What was found of a domain.
#[derive(Debug, Clone)]
pub enum Found<K> {
    /// Keys that sign.
    Usable(K),
    /// Keys that sign, though others that should cannot.
    UsableInPart(K),
    /// The key store does not know it.
    Unknown,
    /// It has keys, none of which is active.
    NotActive,
    /// It has active keys, none of which can be used.
    Unusable,
    /// The key store does not answer.
    Unavailable,
}

/// The search for the keys of one message. Ask it for a domain, tell what was found with
/// [`Hunt::answer`], until there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    author: DomainName,
    /// Whether a rule or its map says who signs in the author's stead.
    is_named: bool,
    wanted: VecDeque<Wanted>,
}

/// A [`Search`] under way, with the keys found so far.
#[derive(Debug)]
pub struct Hunt<K> {
    search: Search,
    /// What was asked last.
    asked: Option<Wanted>,
    signatures: Vec<PlannedSignature<K>>,
    /// What is missing of those who sign in the author's stead or as the author, and of those who sign as well.
    missing: Vec<(Role, Presence)>,
    selectors_missed: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    role: Role,
    signer: Signer,
}

/// What is to be signed.
#[derive(Debug)]
pub struct Plan<K> {
    /// Signed, or signed in part, or by others, if all goes well.
    pub reason: Reason,
    /// By whom, in the order wanted; at least one.
    pub signatures: Vec<PlannedSignature<K>>,
    /// How many selectors that rules want do not sign.
    pub selectors_missed: u32,
}

/// One domain that signs.
#[derive(Debug)]
pub struct PlannedSignature<K> {
    /// d=
    pub domain: DomainName,
    /// The one key that is to sign; none for all.
    pub selector: Option<Selector>,
    /// Why it signs.
    pub role: Role,
    /// Its keys.
    pub keys: K,
}

impl Search {
    /// A search for the author's domain, or those that sign `instead`, and for those that sign as well.
    pub(super) fn new(author: DomainName, instead: Vec<Signer>, also: Vec<Signer>) -> Self {
        let mut wanted = VecDeque::new();
        let is_named = !instead.is_empty();
        if instead.is_empty() {
            let signer = Signer { domain: author.clone(), selector: None };
            wanted.push_back(Wanted { role: Role::Author, signer });
        }
        wanted.extend(instead.into_iter().map(|signer| Wanted { role: Role::Rule, signer }));
        wanted.extend(also.into_iter().map(|signer| Wanted { role: Role::Also, signer }));
        Self { author, is_named, wanted }
    }

    /// A search for the keys of one domain, whoever the author is.
    pub fn of_domain(domain: DomainName) -> Self {
        let signer = Signer { domain: domain.clone(), selector: None };
        Self { is_named: false, ..Self::new(domain, vec![signer], Vec::new()) }
    }

    /// Begins it.
    pub fn begin<K>(self) -> Hunt<K> {
        Hunt { search: self, asked: None, signatures: Vec::new(), missing: Vec::new(), selectors_missed: 0 }
    }
}

impl<K: SigningKeys> Hunt<K> {
    /// The next domain to look for; none if all are answered.
    pub fn next_domain(&mut self) -> Option<&DomainName> {
        while let Some(wanted) = self.search.wanted.pop_front() {
            // Never two signatures with one key: the author may be the provider.
            let overlaps = |planned: &PlannedSignature<K>| {
                planned.domain == wanted.signer.domain
                    && (planned.selector.is_none()
                        || wanted.signer.selector.is_none()
                        || planned.selector == wanted.signer.selector)
            };
            if !self.signatures.iter().any(overlaps) {
                return Some(&self.asked.insert(wanted).signer.domain);
            }
        }
        None
    }

    /// Takes what was found of the domain that was asked for last. `signs_for_subdomains` tells which of the author's
    /// parents may sign, where the author's own domain is not known.
    pub fn answer(
        &mut self,
        found: Found<K>,
        signs_for_subdomains: impl Fn(&DomainName) -> bool,
        trace: &mut impl Trace,
    ) {
        let Some(Wanted { role, signer }) = self.asked.take() else { return };
        let presence = found.presence();
        trace.note(|| Step::Keys {
            domain: signer.domain.to_string(),
            role,
            found: presence,
            selectors: found.keys().map(selectors_of).unwrap_or_default(),
        });
        match found {
            Found::Usable(keys) => self.plan(role, signer, keys, trace),
            Found::UsableInPart(keys) => {
                self.missing.push((role, presence));
                self.plan(role, signer, keys, trace);
            }
            Found::Unknown if role == Role::Author => {
                let parents = signing_parents(&self.search.author, signs_for_subdomains);
                let of_parent = |domain| Wanted { role: Role::Parent, signer: Signer { domain, selector: None } };
                let others = std::mem::take(&mut self.search.wanted);
                self.search.wanted = parents.map(of_parent).chain(others).collect();
                self.missing.push((role, presence));
            }
            Found::Unknown if role == Role::Parent => {}
            _ => {
                if role == Role::Parent {
                    self.settle_parents();
                }
                self.missing.push((role, presence));
            }
        }
    }

    /// What is signed, or why nothing is.
    pub fn finish(self, trace: &mut impl Trace) -> Result<Plan<K>, Reason> {
        let outcome = self.reason();
        let reason = outcome.unwrap_or_else(|reason| reason);
        trace.note(|| Step::Decided { reason });
        let Self { signatures, selectors_missed, .. } = self;
        outcome.map(|reason| Plan { reason, signatures, selectors_missed })
    }

    fn plan(&mut self, role: Role, signer: Signer, keys: K, trace: &mut impl Trace) {
        let Signer { domain, mut selector } = signer;
        if let Some(wanted) = selector.take_if(|wanted| !keys.selectors().contains(wanted)) {
            self.selectors_missed += 1;
            trace.note(|| Step::SelectorNotActive { domain: domain.to_string(), selector: wanted.as_str().to_owned() });
        }
        if role == Role::Parent {
            self.settle_parents();
        }
        self.signatures.push(PlannedSignature { domain, selector, role, keys });
    }

    /// One parent has answered for the author's domain: no other is asked, and the author's own is not missing.
    fn settle_parents(&mut self) {
        self.search.wanted.retain(|wanted| wanted.role != Role::Parent);
        self.missing.retain(|(role, _)| *role != Role::Author);
    }

    fn reason(&self) -> Result<Reason, Reason> {
        let is_also = |role: Role| role == Role::Also;
        let by_author = self.signatures.iter().any(|planned| !is_also(planned.role));
        if by_author {
            return Ok(if self.missing.is_empty() { Reason::Signed } else { Reason::SignedInPart });
        }
        let lacks = |also: bool, presence: Presence| {
            self.missing.iter().any(|(role, missing)| is_also(*role) == also && *missing == presence)
        };
        // What waiting can mend goes before what an operator must do.
        for also in [false, true] {
            if also && !self.signatures.is_empty() {
                return Ok(Reason::SignedByOthers);
            }
            if lacks(also, Presence::Unavailable) {
                return Err(Reason::StoreUnavailable);
            }
            if lacks(also, Presence::Unusable) {
                return Err(Reason::KeysUnusable);
            }
            // Whoever named it wants it, and nobody else's signature stands in for it.
            if !also && self.search.is_named {
                return Err(Reason::NoNamedKey);
            }
        }
        Err(if lacks(false, Presence::NotActive) { Reason::NoActiveKey } else { Reason::NoKey })
    }
}

impl<K> Found<K> {
    fn presence(&self) -> Presence {
        match self {
            Self::Usable(_) => Presence::Usable,
            Self::UsableInPart(_) => Presence::UsableInPart,
            Self::Unknown => Presence::Unknown,
            Self::NotActive => Presence::NotActive,
            Self::Unusable => Presence::Unusable,
            Self::Unavailable => Presence::Unavailable,
        }
    }

    fn keys(&self) -> Option<&K> {
        match self {
            Self::Usable(keys) | Self::UsableInPart(keys) => Some(keys),
            _ => None,
        }
    }
}

fn selectors_of(keys: &impl SigningKeys) -> Vec<String> {
    keys.selectors().iter().map(|selector| selector.as_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Recorded, Untraced};

    fn domain(name: &str) -> DomainName {
        DomainName::parse(name).unwrap()
    }

    fn signers(texts: &[&str]) -> Vec<Signer> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// What a store with these domains comes to: who signs with which selector, or why nobody does.
    fn sought(author: &str, instead: &[&str], also: &[&str], store: &[(&str, Presence)]) -> Result<String, Reason> {
        let mut hunt = Search::new(domain(author), signers(instead), signers(also)).begin();
        while let Some(asked) = hunt.next_domain() {
            let keys = vec![Selector::parse("s1").unwrap(), Selector::parse("s2").unwrap()];
            let presence = store.iter().find(|(name, _)| *name == asked.as_str()).map(|(_, presence)| *presence);
            let found = match presence.unwrap_or(Presence::Unknown) {
                Presence::Usable => Found::Usable(keys),
                Presence::UsableInPart => Found::UsableInPart(keys),
                Presence::Unknown => Found::Unknown,
                Presence::NotActive => Found::NotActive,
                Presence::Unusable => Found::Unusable,
                Presence::Unavailable => Found::Unavailable,
            };
            hunt.answer(found, |parent| parent.as_str() != "b.example.com", &mut Untraced);
        }
        let plan = hunt.finish(&mut Untraced)?;
        let shown = |planned: &PlannedSignature<_>| match &planned.selector {
            Some(selector) => format!("{}/{}", planned.domain, selector),
            None => planned.domain.to_string(),
        };
        let signed: Vec<String> = plan.signatures.iter().map(shown).collect();
        Ok(format!("{} {} {}", plan.reason, signed.join(" "), plan.selectors_missed))
    }

    use Presence::{NotActive, Unavailable, Unusable, Usable, UsableInPart};

    #[test]
    fn the_author_signs_or_else_the_closest_parent_that_may() {
        let store = [("example.com", Usable), ("b.example.com", Usable)];
        assert_eq!(sought("example.com", &[], &[], &store).unwrap(), "signed example.com 0");
        assert_eq!(sought("a.b.example.com", &[], &[], &store).unwrap(), "signed example.com 0");
        assert_eq!(sought("a.example.org", &[], &[], &store), Err(Reason::NoKey));
        let store = [("a.b.example.com", NotActive), ("example.com", Usable)];
        assert_eq!(sought("a.b.example.com", &[], &[], &store), Err(Reason::NoActiveKey));
        let store = [("c.example.com", Unusable), ("example.com", Usable)];
        assert_eq!(sought("d.c.example.com", &[], &[], &store), Err(Reason::KeysUnusable));
    }

    #[test]
    fn a_provider_signs_as_well_and_alone_where_the_author_has_no_key() {
        let also = ["mail.example.net"];
        let both = [("example.com", Usable), ("mail.example.net", Usable)];
        assert_eq!(sought("example.com", &[], &also, &both).unwrap(), "signed example.com mail.example.net 0");
        let one = [("example.com", NotActive), ("mail.example.net", Usable)];
        assert_eq!(sought("example.com", &[], &also, &one).unwrap(), "signed_by_others mail.example.net 0");
        // The author's keys exist: waiting mends it, and the provider's signature does not stand in for them.
        let broken = [("example.com", Unusable), ("mail.example.net", Usable)];
        assert_eq!(sought("example.com", &[], &also, &broken), Err(Reason::KeysUnusable));
    }

    #[test]
    fn of_several_that_a_rule_names_those_sign_that_can() {
        let instead = ["a.example", "s2._domainkey.b.example"];
        let store = [("a.example", UsableInPart), ("b.example", Usable)];
        assert_eq!(sought("x.test", &instead, &[], &store).unwrap(), "signed_in_part a.example b.example/s2 0");
        assert_eq!(sought("x.test", &instead, &[], &store[..1]).unwrap(), "signed_in_part a.example 0");
        assert_eq!(sought("x.test", &instead, &[], &[("b.example", Unavailable)]), Err(Reason::StoreUnavailable));
        assert_eq!(sought("x.test", &instead, &[], &[]), Err(Reason::NoNamedKey));
        assert_eq!(sought("x.test", &instead, &[], &[("a.example", NotActive)]), Err(Reason::NoNamedKey));
    }

    #[test]
    fn a_selector_that_does_not_sign_gives_way_to_those_that_do() {
        let store = [("a.example", Usable)];
        assert_eq!(sought("x.test", &["old._domainkey.a.example"], &[], &store).unwrap(), "signed a.example 1");
    }

    #[test]
    fn nobody_signs_twice() {
        let store = [("example.com", Usable)];
        let also = ["s1._domainkey.example.com", "example.com"];
        assert_eq!(sought("example.com", &[], &also, &store).unwrap(), "signed example.com 0");
    }

    #[test]
    fn the_trace_has_every_domain_that_was_asked_for() {
        let mut trace = Recorded::default();
        let mut hunt = Search::new(domain("a.example.com"), Vec::new(), Vec::new()).begin::<Vec<Selector>>();
        while let Some(asked) = hunt.next_domain() {
            let found = if asked.as_str() == "example.com" {
                Found::Usable(vec![Selector::parse("s1").unwrap()])
            } else {
                Found::Unknown
            };
            hunt.answer(found, |_| true, &mut trace);
        }
        hunt.finish(&mut trace).unwrap();
        let said: Vec<String> = trace.steps.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "a.example.com (the author's domain): the key store does not have it",
                "example.com (above the author's domain, and signs for its subdomains): signs: s1",
                "decided: signed",
            ]
        );
    }
}
