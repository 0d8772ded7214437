//! Selectors for keys that rotation makes.

use jiff::civil::Date;

use crate::dkim::Algorithm;
use crate::manifest::{DomainManifest, SelectorTemplate};
use crate::names::Selector;

/// What selectors of new keys look like, where a domain has no fixed slots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Naming {
    /// The template.
    pub template: SelectorTemplate,
    /// A random number, which all that the template wants are made of.
    pub random: u64,
}

impl Naming {
    /// A selector that was never used; none if the template makes only such as were.
    pub(super) fn selector(&self, manifest: &DomainManifest, date: Date, algorithm: Algorithm) -> Option<Selector> {
        let mut state = self.random;
        let random = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            Some(mixed(state))
        };
        manifest.free_selectors(&self.template, date, algorithm, random).next()
    }
}

/// Numbers that stand side by side become numbers that have nothing to do with each other (the finalizer of SplitMix64).
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::tests::world::{at, bound, domain, key};

    #[test]
    fn random_selectors_differ_by_the_number_and_by_what_was_used() {
        let date = jiff::civil::date(2026, 11, 23);
        let naming = |random| Naming { template: "k{random}".parse().unwrap(), random };
        let first = naming(1).selector(&domain(), date, Algorithm::RsaSha256).unwrap();
        assert_eq!(naming(1).selector(&domain(), date, Algorithm::RsaSha256), Some(first.clone()));
        assert_ne!(naming(2).selector(&domain(), date, Algorithm::RsaSha256), Some(first.clone()));
        let used = bound(&domain(), first.as_str(), key(Algorithm::RsaSha256, 1), &at(0));
        let next = naming(1).selector(&used, date, Algorithm::RsaSha256).unwrap();
        assert_ne!(next, first);
    }
}
