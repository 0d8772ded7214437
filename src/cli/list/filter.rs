//! Which domains and keys a command is about.

use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use jiff::Timestamp;

use crate::clock::Clock;
use crate::config::values::Period;
use crate::dkim::Algorithm;
use crate::manifest::{Binding, StateName};
use crate::names::{DomainName, DomainNameError};

/// Which keys.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct KeyFilter {
    /// Only keys in this state. May be given several times.
    #[arg(long, value_name = "STATE")]
    state: Vec<KeyState>,

    /// Only keys of this algorithm.
    #[arg(long, value_name = "ALGORITHM")]
    algorithm: Option<KeyAlgorithm>,

    /// Only keys made longer ago than this, such as 180d.
    #[arg(long, value_name = "TIME")]
    older_than: Option<Period>,
}

/// A state, as people type it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KeyState {
    Generated,
    Published,
    Ready,
    Active,
    Retiring,
    Revoked,
    Withdrawn,
}

/// An algorithm, as people type it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KeyAlgorithm {
    Rsa,
    Ed25519,
}

impl KeyFilter {
    /// Whether a key is one of those.
    pub(in crate::cli) fn takes(&self, binding: &Binding) -> bool {
        self.takes_at(binding, Clock::System.now())
    }

    fn takes_at(&self, binding: &Binding, now: Timestamp) -> bool {
        let state = state_of(binding.state.name());
        let algorithm = match binding.algorithm() {
            Algorithm::RsaSha256 => KeyAlgorithm::Rsa,
            Algorithm::Ed25519Sha256 => KeyAlgorithm::Ed25519,
        };
        // A key made in the future is of age 0.
        let age = || Duration::try_from(now.duration_since(binding.created)).unwrap_or_default();
        (self.state.is_empty() || self.state.contains(&state))
            && self.algorithm.is_none_or(|wanted| wanted == algorithm)
            && self.older_than.is_none_or(|Period(limit)| age() > limit)
    }
}

fn state_of(state: StateName) -> KeyState {
    match state {
        StateName::Generated => KeyState::Generated,
        StateName::Published => KeyState::Published,
        StateName::Ready => KeyState::Ready,
        StateName::Active => KeyState::Active,
        StateName::Retiring => KeyState::Retiring,
        StateName::Revoked => KeyState::Revoked,
        StateName::Withdrawn => KeyState::Withdrawn,
    }
}

/// A domain, or those that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum DomainPattern {
    Exact(DomainName),
    /// A * stands for any octets, also none and also dots. Lower case, A-labels.
    Glob(String),
}

impl FromStr for DomainPattern {
    type Err = DomainNameError;

    fn from_str(text: &str) -> Result<Self, DomainNameError> {
        if text.contains('*') { Ok(Self::Glob(text.to_ascii_lowercase())) } else { Ok(Self::Exact(text.parse()?)) }
    }
}

impl DomainPattern {
    /// Whether one of these is this domain; none at all is every domain.
    pub(in crate::cli) fn any(patterns: &[Self], domain: &DomainName) -> bool {
        patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(domain))
    }

    /// The domains that are named outright, each once.
    pub(in crate::cli) fn exact(patterns: &[Self]) -> Vec<DomainName> {
        let mut exact = Vec::new();
        for pattern in patterns {
            if let Self::Exact(domain) = pattern
                && !exact.contains(domain)
            {
                exact.push(domain.clone());
            }
        }
        exact
    }

    fn matches(&self, domain: &DomainName) -> bool {
        match self {
            Self::Exact(exact) => exact == domain,
            Self::Glob(glob) => matches_glob(glob, domain.as_str()),
        }
    }
}

/// Each piece between stars is found at its first place: no backtracking.
fn matches_glob(glob: &str, name: &str) -> bool {
    let mut pieces = glob.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut pieces = pieces.peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::PublicKey;
    use crate::manifest::{DomainManifest, PrivateKeyPlace};
    use crate::names::Selector;

    #[test]
    fn a_star_stands_for_anything() {
        for (glob, name, matches) in [
            ("*", "a.example", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("mail*.example", "mail.example", true),
            ("*a*b*", "xaxbx", true),
            ("*a*b*", "xbxax", false),
            ("a*a", "a", false),
        ] {
            let pattern: DomainPattern = glob.parse().unwrap();
            assert_eq!(pattern.matches(&DomainName::parse(name).unwrap()), matches, "{glob} {name}");
        }
        assert!("exa mple".parse::<DomainPattern>().is_err());
    }

    #[test]
    fn keys_are_taken_by_state_algorithm_and_age() {
        let key = PublicKey::from_octets(Algorithm::Ed25519Sha256, &[1; 32]).unwrap();
        let manifest = DomainManifest::new(DomainName::parse("example.com").unwrap())
            .bind_generated(Selector::parse("a").unwrap(), key, PrivateKeyPlace::Own, 3600, Timestamp::UNIX_EPOCH)
            .unwrap();
        let now = Timestamp::from_second(100).unwrap();
        let takes = |state: &[KeyState], algorithm, seconds: Option<u64>| {
            let older_than = seconds.map(|seconds| Period(Duration::from_secs(seconds)));
            KeyFilter { state: state.to_vec(), algorithm, older_than }.takes_at(&manifest.bindings()[0], now)
        };
        assert!(takes(&[], None, None));
        assert!(takes(&[KeyState::Active, KeyState::Generated], Some(KeyAlgorithm::Ed25519), Some(99)));
        assert!(!takes(&[KeyState::Active], None, None));
        assert!(!takes(&[], Some(KeyAlgorithm::Rsa), None));
        assert!(!takes(&[], None, Some(100)));
    }
}
