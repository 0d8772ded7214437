//! Whether a name is free in DNS, before a selector is chosen: the store knows only what was made here.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;

use super::super::observing;
use crate::config;
use crate::dns::{Observer, Settings, Taken};
use crate::names::{DomainName, Selector};

/// For one answer. Shorter than elsewhere: nobody wants to wait for a question that need not be answered.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Questions without an answer, before there was ever one, after which nobody is asked any more: there is no way out from
/// here, and a thousand domains need not find that out one by one.
const HOPELESS: usize = 4;

/// Whom to ask.
type Ask<'a> = dyn Fn(&DomainName, &Selector) -> Taken + Sync + 'a;

/// Asks DNS, or not, and counts where no answer came.
pub(in crate::cli) struct Dns<'a> {
    ask: Option<Box<Ask<'a>>>,
    answered: AtomicUsize,
    unknown: AtomicUsize,
    /// Why the first of them is not known.
    why: Mutex<Option<String>>,
}

impl<'a> Dns<'a> {
    /// Asks nobody.
    pub(in crate::cli) fn unasked() -> Self {
        Self { ask: None, answered: AtomicUsize::new(0), unknown: AtomicUsize::new(0), why: Mutex::new(None) }
    }

    /// Asks by this function, from many threads.
    pub(super) fn asked(ask: impl Fn(&DomainName, &Selector) -> Taken + Sync + 'a) -> Self {
        Self { ask: Some(Box::new(ask)), ..Self::unasked() }
    }

    /// Asks the authoritative servers of each domain.
    pub(super) fn authoritative(runtime: &'a Runtime, config: &config::Dns) -> Self {
        let timeout = config.timeout.min(TIMEOUT);
        match Observer::new(&Settings { timeout, ..observing::settings(config) }) {
            Ok(observer) => Self::asked(move |domain, selector| runtime.block_on(observer.is_taken(domain, selector))),
            Err(error) => {
                let why = error.to_string();
                Self::asked(move |_, _| Taken::Unknown { why: why.clone() })
            }
        }
    }

    /// Whether answers are waited for.
    pub(super) fn is_asked(&self) -> bool {
        self.ask.is_some()
    }

    /// Whether a selector may be used as far as DNS tells. No answer is no obstacle: it is counted, to be told.
    pub(super) fn is_free(&self, domain: &DomainName, selector: &Selector) -> bool {
        let Some(ask) = &self.ask else { return true };
        let is_hopeless = self.answered.load(Ordering::Relaxed) == 0 && self.unknown() >= HOPELESS;
        match if is_hopeless { Taken::Unknown { why: String::new() } } else { ask(domain, selector) } {
            Taken::Free => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                true
            }
            Taken::Taken { what } => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                anstream::eprintln!("{what}: another selector is taken");
                false
            }
            Taken::Unknown { why } => {
                self.unknown.fetch_add(1, Ordering::Relaxed);
                if let Ok(mut first) = self.why.lock() {
                    first.get_or_insert(why);
                }
                true
            }
        }
    }

    /// How many names got no answer.
    pub(super) fn unknown(&self) -> usize {
        self.unknown.load(Ordering::Relaxed)
    }

    /// Why the first of them got none.
    pub(super) fn why(&self) -> String {
        self.why.lock().ok().and_then(|why| why.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(name: &str) -> Selector {
        Selector::parse(name).unwrap()
    }

    fn unknown() -> Taken {
        Taken::Unknown { why: "no answer".into() }
    }

    #[test]
    fn only_an_answer_that_something_is_there_stands_in_the_way() {
        let domain = DomainName::parse("example.com").unwrap();
        let dns = Dns::asked(|_, selector| match selector.as_str() {
            "taken" => Taken::Taken { what: "a TXT record".into() },
            "free" => Taken::Free,
            _ => unknown(),
        });
        assert!(!dns.is_free(&domain, &selector("taken")));
        assert!(dns.is_free(&domain, &selector("free")));
        assert_eq!(dns.unknown(), 0);
        assert!(dns.is_free(&domain, &selector("silent")));
        assert_eq!((dns.unknown(), dns.why().as_str()), (1, "no answer"));
        assert!(Dns::unasked().is_free(&domain, &selector("taken")));
    }

    #[test]
    fn who_never_answers_is_not_asked_for_ever() {
        let domain = DomainName::parse("example.com").unwrap();
        let asked = AtomicUsize::new(0);
        let dns = Dns::asked(|_, _| {
            asked.fetch_add(1, Ordering::Relaxed);
            unknown()
        });
        for _ in 0..100 {
            assert!(dns.is_free(&domain, &selector("s")));
        }
        assert_eq!(dns.unknown(), 100);
        drop(dns);
        assert_eq!(asked.into_inner(), HOPELESS);
    }
}
