//! The outcome of a message, in words that logs, metrics and explanations share.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Accepted with our signatures.
    Sign,
    /// Accepted as it came.
    Pass,
    /// Answered with a temporary failure (4xx): the client keeps the message and tries again.
    Defer,
    /// Answered with a permanent failure (5xx).
    Refuse,
}

impl Action {
    /// The action's stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Pass => "pass",
            Self::Defer => "defer",
            Self::Refuse => "refuse",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What to do with a message that is ours to sign while the means are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Defer it: it is signed when it comes again.
    #[default]
    Defer,
    /// Let it go unsigned, and count it.
    AcceptUnsigned,
}

/// What to do with a message that is ours and that nobody could sign, however often it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnsignable {
    /// Let it go unsigned, and count it.
    #[default]
    Pass,
    /// Refuse it (550), so that its sender learns of it.
    Refuse,
}

/// What to do with mail that is trusted only because it came from this machine, but has been received before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnRelayed {
    /// Let it pass: it may be inbound mail on its way back from a filter.
    #[default]
    Pass,
    /// Sign it: this path carries only mail of our own.
    Sign,
}

/// Why a message was signed or not: one per message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Signed with every active key of the domain.
    Signed,
    /// Signed, though some of the domain's active keys cannot be used.
    SignedInPart,
    /// Signed only by the domains that a rule adds: the author's own has no active key.
    SignedByOthers,
    /// The client is one whose mail is not looked at.
    IgnoredPeer,
    /// The client is neither authenticated nor in a trusted network, nor is its daemon trusted.
    NotTrusted,
    /// Trusted only because it came from this machine, but it has been received before: perhaps inbound mail coming
    /// back from a content filter, a redirect or a list.
    Relayed,
    /// A rule says that such mail is never signed.
    RuleNever,
    /// The client logged in, and may not write as this author.
    LoginNotBound,
    /// The envelope sender is of another domain than the author.
    EnvelopeMismatch,
    /// The key store does not know the author's domain.
    NoKey,
    /// The domain has keys, none of which was ever made active.
    NoActiveKey,
    /// The domain has active keys, none of which can be used.
    KeysUnusable,
    /// The key store does not answer, and nothing is known of the domain.
    StoreUnavailable,
    /// There is no From field.
    NoFrom,
    /// There are several From fields.
    SeveralFrom,
    /// The From field names no author that can be understood without guessing.
    UnparsableFrom,
    /// The authors in From belong to several domains.
    SeveralDomains,
    /// The header is over the limits on octets or fields, or has so many fields to sign that no MTA takes the signature.
    HeaderTooLarge,
    /// The signing queue did not take or finish the message within its deadline.
    Overload,
    /// A key could not make its signature.
    SigningFailed,
}

impl Reason {
    /// All reasons, in the order of their documentation.
    pub const ALL: [Self; 20] = [
        Self::Signed,
        Self::SignedInPart,
        Self::SignedByOthers,
        Self::IgnoredPeer,
        Self::NotTrusted,
        Self::Relayed,
        Self::RuleNever,
        Self::LoginNotBound,
        Self::EnvelopeMismatch,
        Self::NoKey,
        Self::NoActiveKey,
        Self::KeysUnusable,
        Self::StoreUnavailable,
        Self::NoFrom,
        Self::SeveralFrom,
        Self::UnparsableFrom,
        Self::SeveralDomains,
        Self::HeaderTooLarge,
        Self::Overload,
        Self::SigningFailed,
    ];

    /// The reason's stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::SignedInPart => "signed_in_part",
            Self::SignedByOthers => "signed_by_others",
            Self::IgnoredPeer => "ignored_peer",
            Self::NotTrusted => "not_trusted",
            Self::Relayed => "relayed",
            Self::RuleNever => "rule_never",
            Self::LoginNotBound => "login_not_bound",
            Self::EnvelopeMismatch => "envelope_mismatch",
            Self::NoKey => "no_key",
            Self::NoActiveKey => "no_active_key",
            Self::KeysUnusable => "keys_unusable",
            Self::StoreUnavailable => "store_unavailable",
            Self::NoFrom => "no_from",
            Self::SeveralFrom => "several_from",
            Self::UnparsableFrom => "unparsable_from",
            Self::SeveralDomains => "several_domains",
            Self::HeaderTooLarge => "header_too_large",
            Self::Overload => "overload",
            Self::SigningFailed => "signing_failed",
        }
    }

    /// What it means, in a sentence or two: the words of docs/reasons.md.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Signed => "Signed with every active key of the domain.",
            Self::SignedInPart => "Signed, though some active key of the domain cannot be used.",
            Self::SignedByOthers => {
                "Signed only by the domains that a rule adds (`also`): the author's own has no active key."
            }
            Self::IgnoredPeer => "The client is in `trust.ignore`; nothing of the message was looked at.",
            Self::NotTrusted => {
                "The client did not log in, is in no trusted network, and neither its daemon, its name nor a macro is \
                 trusted; or it is in `trust.except`; or the MTA names two addresses for it, one of them a proxy's. Most \
                 inbound mail."
            }
            Self::Relayed => {
                "Trusted only because it came from this machine, but it has been received before: inbound mail coming \
                 back from a filter, a redirect or a list would be signed as if it were ours."
            }
            Self::RuleNever => "The first rule that fits says `never`, or its map says `-`.",
            Self::LoginNotBound => {
                "The client logged in, `trust.bind_logins` is on, and the login may not write as an author in From."
            }
            Self::EnvelopeMismatch => {
                "`trust.match_envelope` is on, and the envelope sender is of another domain than the author."
            }
            Self::NoKey => "The store does not know the author's domain (nor a parent that signs for its subdomains).",
            Self::NoActiveKey => "The domain has keys, none of which is active.",
            Self::KeysUnusable => "The domain has active keys, none of which can be used.",
            Self::StoreUnavailable => {
                "The key store does not answer and nothing is known of the domain, or nothing was confirmed for \
                 `keys.max_staleness`."
            }
            Self::NoFrom => "No From field.",
            Self::SeveralFrom => "Several From fields: readers may show another than we would sign for.",
            Self::UnparsableFrom => "From names no author that can be understood without guessing.",
            Self::SeveralDomains => "Authors of several domains: no single domain answers for the message.",
            Self::HeaderTooLarge => {
                "The header is over `limits.header_bytes` or `limits.header_fields`, or the names of the fields to sign \
                 are over 32 KiB, more than an MTA takes in a signature."
            }
            Self::Overload => "The signing queue did not take or finish the message within `limits.queue_deadline`.",
            Self::SigningFailed => "A key could not make its signature.",
        }
    }

    /// What to change where this reason is not wanted: the words of docs/reasons.md. `DOMAIN` stands for the author's.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Signed => "Nothing to do.",
            Self::SignedInPart => {
                "The log names the key file and what is wrong; `waxseal show DOMAIN` shows all keys of the domain."
            }
            Self::SignedByOthers => {
                "If the author's domain is to sign as well: `waxseal generate DOMAIN`, publish, `waxseal activate DOMAIN`."
            }
            Self::IgnoredPeer => "If this client's mail is to be looked at, take it out of `trust.ignore`.",
            Self::NotTrusted => {
                "Let the client authenticate, or add it to `trust.networks`, or its daemon name to `trust.daemon_names`."
            }
            Self::RuleNever => "If it is to be signed, put a rule that signs it above the one that decided.",
            Self::LoginNotBound => {
                "If it may write so, list the author for the login in a map of `trust.login_maps` or in `[login.\"…\"]`."
            }
            Self::EnvelopeMismatch => {
                "Have it sent with an envelope sender of the author's domain, or change `trust.match_envelope`."
            }
            Self::Relayed => {
                "If that path carries only mail of yours, give it a `[[listener]]` of its own with `sign_relayed = true`, \
                 or its authors a `[[rule]]`."
            }
            Self::NoKey => "`waxseal generate DOMAIN`, publish the records, `waxseal activate DOMAIN`.",
            Self::NoActiveKey => {
                "Publish the record (`waxseal record DOMAIN`), then `waxseal activate DOMAIN`; `waxseal status DOMAIN` \
                 shows what each key waits for."
            }
            Self::KeysUnusable => "The log names the key file and what is wrong with it; `waxseal show DOMAIN`.",
            Self::StoreUnavailable => "The log names the path and the error; check the disk and the store's modes.",
            Self::NoFrom | Self::SeveralFrom | Self::UnparsableFrom => {
                "The sending program must write one From field with an address (RFC 5322 §3.6.2)."
            }
            Self::SeveralDomains => "Let it be sent with authors of one domain.",
            Self::HeaderTooLarge => {
                "Raise `limits.header_bytes` or `limits.header_fields`, if such mail is legitimate."
            }
            Self::Overload => {
                "More is offered than the machine can sign: add cores, or use Ed25519 or RSA-2048 rather than RSA-4096 \
                 keys."
            }
            Self::SigningFailed => "The log has the key and the cause.",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// What was done with one message, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What was done.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

impl Decision {
    /// The decision that follows from a reason.
    ///
    /// What can be mended by waiting is deferred; what cannot is passed or refused, never deferred, for that would only
    /// bounce it after five days. What is not ours, and what nobody has made ready yet, always passes.
    pub fn of(reason: Reason, on_failure: OnFailure, on_unsignable: OnUnsignable) -> Self {
        let action = match reason {
            Reason::Signed | Reason::SignedInPart | Reason::SignedByOthers => Action::Sign,
            Reason::IgnoredPeer
            | Reason::NotTrusted
            | Reason::Relayed
            | Reason::RuleNever
            | Reason::LoginNotBound
            | Reason::EnvelopeMismatch
            | Reason::NoKey
            | Reason::NoActiveKey => Action::Pass,
            Reason::KeysUnusable | Reason::StoreUnavailable | Reason::SigningFailed => match on_failure {
                OnFailure::Defer => Action::Defer,
                OnFailure::AcceptUnsigned => Action::Pass,
            },
            Reason::Overload => Action::Defer,
            Reason::NoFrom
            | Reason::SeveralFrom
            | Reason::UnparsableFrom
            | Reason::SeveralDomains
            | Reason::HeaderTooLarge => match on_unsignable {
                OnUnsignable::Pass => Action::Pass,
                OnUnsignable::Refuse => Action::Refuse,
            },
        };
        Self { action, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_all_are_listed() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.code());
        }
    }

    #[test]
    fn only_what_waiting_can_mend_is_deferred() {
        for reason in Reason::ALL {
            let decision = Decision::of(reason, OnFailure::Defer, OnUnsignable::Refuse);
            let can_be_mended = matches!(
                reason,
                Reason::KeysUnusable | Reason::StoreUnavailable | Reason::SigningFailed | Reason::Overload
            );
            assert_eq!(decision.action == Action::Defer, can_be_mended, "{reason}");
        }
    }

    #[test]
    fn what_is_not_ours_passes_whatever_is_configured() {
        for reason in [
            Reason::IgnoredPeer,
            Reason::NotTrusted,
            Reason::Relayed,
            Reason::RuleNever,
            Reason::LoginNotBound,
            Reason::EnvelopeMismatch,
            Reason::NoKey,
            Reason::NoActiveKey,
        ] {
            for on_failure in [OnFailure::Defer, OnFailure::AcceptUnsigned] {
                let decision = Decision::of(reason, on_failure, OnUnsignable::Refuse);
                assert_eq!(decision.action, Action::Pass);
            }
        }
    }

    #[test]
    fn overload_is_never_let_through_unsigned() {
        let decision = Decision::of(Reason::Overload, OnFailure::AcceptUnsigned, OnUnsignable::Pass);
        assert_eq!(decision.action, Action::Defer);
    }
}
