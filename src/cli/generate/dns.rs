//! Whether a name is free in DNS, before a selector is chosen: the store knows only what was made here.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::names::{DomainName, Selector};

/// What DNS says about a selector's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "nothing here speaks to authoritative servers yet"))]
pub(in crate::cli) enum Taken {
    /// Something is there, if only a wildcard.
    Yes,
    /// Every server that is asked says that there is nothing.
    No,
    /// No server answers, or they differ.
    Unknown,
}

/// Whom to ask.
type Ask<'a> = dyn Fn(&DomainName, &Selector) -> Taken + Sync + 'a;

/// Asks DNS, or not, and counts where no answer came.
pub(in crate::cli) struct Dns<'a> {
    ask: Option<Box<Ask<'a>>>,
    unknown: AtomicUsize,
}

impl<'a> Dns<'a> {
    /// Asks nobody.
    pub(in crate::cli) fn unasked() -> Self {
        Self { ask: None, unknown: AtomicUsize::new(0) }
    }

    /// Asks by this function, from many threads.
    pub(in crate::cli) fn asked(ask: impl Fn(&DomainName, &Selector) -> Taken + Sync + 'a) -> Self {
        Self { ask: Some(Box::new(ask)), unknown: AtomicUsize::new(0) }
    }

    /// Whether a selector may be used as far as DNS tells. No answer is no obstacle: it is counted, to be told.
    pub(super) fn is_free(&self, domain: &DomainName, selector: &Selector) -> bool {
        match self.ask.as_ref().map(|ask| ask(domain, selector)) {
            None | Some(Taken::No) => true,
            Some(Taken::Yes) => false,
            Some(Taken::Unknown) => {
                self.unknown.fetch_add(1, Ordering::Relaxed);
                true
            }
        }
    }

    /// How many names got no answer.
    pub(super) fn unknown(&self) -> usize {
        self.unknown.load(Ordering::Relaxed)
    }
}

/// Asks the authoritative servers of the domain. Nothing here speaks to them yet, so no answer comes.
pub(super) fn ask_authoritative_servers(_domain: &DomainName, _selector: &Selector) -> Taken {
    Taken::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_that_something_is_there_stands_in_the_way() {
        let domain = DomainName::parse("example.com").unwrap();
        let selector = |name: &str| Selector::parse(name).unwrap();
        let dns = Dns::asked(|_, selector| match selector.as_str() {
            "taken" => Taken::Yes,
            "free" => Taken::No,
            _ => Taken::Unknown,
        });
        assert!(!dns.is_free(&domain, &selector("taken")));
        assert!(dns.is_free(&domain, &selector("free")));
        assert_eq!(dns.unknown(), 0);
        assert!(dns.is_free(&domain, &selector("silent")));
        assert_eq!(dns.unknown(), 1);
        assert!(Dns::unasked().is_free(&domain, &selector("taken")));
    }
}
