//! `[[slots]]`: domains whose zones have a few CNAMEs to names that we can write.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use super::Config;
use super::file::v1;
use super::parse::Accounts;
use super::publisher::{DomainPattern, Publisher};
use super::resolve::Resolver;
use super::source::Step;
use crate::dkim::Algorithm;
use crate::manifest::{Slot, Slots};
use crate::names::{DomainName, DomainNameError, Selector};

/// One signs, the next stands ready, and the one before has not run its course.
const FEWEST: usize = 3;

/// All `[[slots]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FixedSlots(pub(super) Vec<SlotTable>);

/// One `[[slots]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotTable {
    /// Whose zones have the CNAMEs.
    pub domains: Vec<DomainPattern>,
    /// Selectors of RSA keys.
    pub rsa: Vec<Selector>,
    /// Selectors of Ed25519 keys.
    pub ed25519: Vec<Selector>,
    /// Where the CNAMEs lead.
    pub target: TargetTemplate,
}

/// The name that the CNAME of a selector leads to: text with `{selector}` and `{domain}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetTemplate(String);

/// Why a text is no template of names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetTemplateError {
    /// All selectors would share one name.
    #[error("{given:?} has no {{selector}}, so all keys would share one record")]
    NoSelector {
        /// The text.
        given: String,
    },
    /// What it makes is no name.
    #[error("{given:?} makes no name: {source}")]
    Name {
        /// The text.
        given: String,
        /// Why.
        source: DomainNameError,
    },
}

impl TargetTemplate {
    /// The name for one selector of a domain.
    ///
    /// # Errors
    /// If it would be longer than DNS can carry.
    pub fn name(&self, selector: &Selector, domain: &DomainName) -> Result<DomainName, DomainNameError> {
        DomainName::parse(&self.0.replace("{selector}", selector.as_str()).replace("{domain}", domain.as_str()))
    }

    fn names_domain(&self) -> bool {
        self.0.contains("{domain}")
    }
}

impl FromStr for TargetTemplate {
    type Err = TargetTemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.contains("{selector}") {
            return Err(TargetTemplateError::NoSelector { given: text.into() });
        }
        // What is left of any other word in braces is no name either.
        match DomainName::parse(&text.replace("{selector}", "s").replace("{domain}", "example.com")) {
            Ok(_) => Ok(Self(text.to_ascii_lowercase())),
            Err(source) => Err(TargetTemplateError::Name { given: text.into(), source }),
        }
    }
}

impl fmt::Display for TargetTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SlotTable {
    fn selectors(&self, algorithm: Algorithm) -> &[Selector] {
        match algorithm {
            Algorithm::RsaSha256 => &self.rsa,
            Algorithm::Ed25519Sha256 => &self.ed25519,
        }
    }

    /// A slot whose target's name DNS could not carry is none.
    fn slots(&self, domain: &DomainName) -> Slots {
        let of = |algorithm| {
            let slot = |selector: &Selector| {
                let target = self.target.name(selector, domain).ok()?;
                Some(Slot { selector: selector.clone(), target })
            };
            self.selectors(algorithm).iter().filter_map(slot).collect()
        };
        Slots::new(of(Algorithm::RsaSha256), of(Algorithm::Ed25519Sha256))
    }
}

impl FixedSlots {
    /// The slots of a domain: those of the closest pattern that fits it, of equal ones the first. None: its keys have
    /// whatever selectors they are given.
    pub fn of(&self, domain: &DomainName) -> Option<Slots> {
        let closeness = |table: &SlotTable| table.domains.iter().filter_map(|pattern| pattern.closeness(domain)).max();
        let mut best: Option<(usize, &SlotTable)> = None;
        for table in &self.0 {
            if let Some(closeness) = closeness(table)
                && best.is_none_or(|(so_far, _)| closeness > so_far)
            {
                best = Some((closeness, table));
            }
        }
        best.map(|(_, table)| table.slots(domain))
    }
}

impl Config {
    /// Where the record of a selector's key stands, if that is not at the selector's own name: where the CNAME of its slot leads.
    pub fn target_of(&self, domain: &DomainName, selector: &Selector) -> Option<DomainName> {
        self.slots.of(domain)?.target(selector).cloned()
    }

    /// Who publishes the record of a selector's key: the publisher for the name where it stands.
    pub fn publisher_of(&self, domain: &DomainName, selector: &Selector) -> Option<&Publisher> {
        self.publisher_for(self.target_of(domain, selector).as_ref().unwrap_or(domain))
    }
}

impl<A: Accounts> Resolver<'_, '_, A> {
    pub(super) fn slots(&mut self, specs: Option<&[v1::Slots]>) -> FixedSlots {
        let mut tables = Vec::new();
        for (index, spec) in specs.unwrap_or_default().iter().enumerate() {
            let (domains, target) = (spec.domains.clone(), spec.target.clone());
            let example = "domains = [\"example.com\"]";
            let domains =
                self.wanted_of_slots(domains.filter(|domains| !domains.is_empty()), "domains", index, example);
            let example = "target = \"{selector}.{domain}._dkim.example.net\"";
            let target = self.wanted_of_slots(target, "target", index, example);
            let (rsa, ed25519) = (spec.rsa.clone().unwrap_or_default(), spec.ed25519.clone().unwrap_or_default());
            self.check_selectors(&rsa, &ed25519, spec, index);
            let (Some(domains), Some(target)) = (domains, target) else { continue };
            let is_one = matches!(&domains[..], [DomainPattern::Exactly(_)]);
            if !is_one && !target.names_domain() {
                let evidence = format!("{target} has no {{domain}}, so all domains would share one record");
                self.error("config.slots_target", &at(index, "target"), evidence, &format!("for example {example}"));
            }
            tables.push(SlotTable { domains, rsa, ed25519, target });
        }
        FixedSlots(tables)
    }

    fn wanted_of_slots<T>(&mut self, given: Option<T>, setting: &str, index: usize, example: &str) -> Option<T> {
        if given.is_none() && !self.source().was_removed(&at(index, setting)) {
            let evidence = "slots need it".to_owned();
            self.error("config.slots_missing", &at(index, setting), evidence, &format!("for example {example}"));
        }
        given
    }

    /// At least three of an algorithm, if any, and none twice.
    fn check_selectors(&mut self, rsa: &[Selector], ed25519: &[Selector], spec: &v1::Slots, index: usize) {
        let mut seen = HashSet::new();
        for (setting, selectors, letter) in [("rsa", rsa, 's'), ("ed25519", ed25519, 'e')] {
            let example = format!("for example {setting} = [\"{letter}1\", \"{letter}2\", \"{letter}3\"]");
            let is_given = if setting == "rsa" { spec.rsa.is_some() } else { spec.ed25519.is_some() };
            if self.source().was_removed(&at(index, setting)) {
                continue;
            }
            if is_given && selectors.len() < FEWEST {
                let evidence = format!(
                    "{} of at least {FEWEST} selectors: while one signs and the next stands ready, the one before rests \
                     until no mail and no cache has anything of its key",
                    selectors.len()
                );
                let remedy = format!("{example}; the domains need a CNAME for each");
                self.error("config.slots_few", &at(index, setting), evidence, &remedy);
            }
            for (place, selector) in selectors.iter().enumerate() {
                if !seen.insert(selector) {
                    let path = [Step::from("slots"), index.into(), setting.into(), place.into()];
                    let evidence = format!("{selector} is there twice; a selector has one key at a time");
                    self.error("config.slots_twice", &path, evidence, "name each selector once");
                }
            }
        }
        let is_removed = |setting| self.source().was_removed(&at(index, setting));
        if spec.rsa.is_none() && spec.ed25519.is_none() && !is_removed("rsa") && !is_removed("ed25519") {
            let evidence = "slots need selectors for at least one algorithm".to_owned();
            let remedy = "for example rsa = [\"s1\", \"s2\", \"s3\"]";
            self.error("config.slots_missing", &at(index, "rsa"), evidence, remedy);
        }
    }
}

fn at(index: usize, setting: &str) -> [Step; 3] {
    [Step::from("slots"), index.into(), setting.into()]
}

/// As the file has it.
pub(super) fn shown(slots: &FixedSlots) -> Option<Vec<v1::Slots>> {
    let list = |selectors: &[Selector]| (!selectors.is_empty()).then(|| selectors.to_vec());
    let tables = slots.0.iter().map(|table| v1::Slots {
        domains: Some(table.domains.clone()),
        rsa: list(&table.rsa),
        ed25519: list(&table.ed25519),
        target: Some(table.target.clone()),
    });
    (!slots.0.is_empty()).then(|| tables.collect())
}
