//! How a decision was reached: each step, what matched in which file and line, and which keys.
//!
//! The decision notes its steps as it goes. Whoever only wants its outcome passes [`Untraced`], and the notes are never even
//! made; whoever wants to explain it passes a [`Recorded`]. So the explanation cannot differ from what is done.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::decision::Reason;
use super::origin::Origin;

/// Takes the steps of one decision.
pub trait Trace {
    /// Takes one step; `step` makes it, if it is wanted.
    fn note(&mut self, step: impl FnOnce() -> Step);
}

/// Takes no step.
#[derive(Debug, Clone, Copy, Default)]
pub struct Untraced;

impl Trace for Untraced {
    fn note(&mut self, _: impl FnOnce() -> Step) {}
}

/// Keeps every step.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// The steps, in their order.
    pub steps: Vec<Step>,
}

impl Trace for Recorded {
    fn note(&mut self, step: impl FnOnce() -> Step) {
        self.steps.push(step());
    }
}

/// The line that says so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Line {
    /// The configuration file or a map.
    pub path: PathBuf,
    /// Counted from 1.
    pub line: usize,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

/// One step of a decision. Displayed, it is one sentence without a full stop. Text from messages, macros and maps may hold
/// anything but is displayed with its control characters escaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// The client is one whose mail is not looked at.
    Ignored {
        /// The entry of `trust.ignore`.
        by: String,
    },
    /// Why the message is trusted, or not.
    Origin {
        /// The origin.
        origin: Origin,
        /// Because of what.
        because: Cause,
    },
    /// The message was received before, and is trusted only because it came from this machine.
    Relayed {
        /// What is done about it.
        outcome: RelayedOutcome,
    },
    /// The author in From.
    Author {
        /// The address, its domain in A-labels; of several authors of one domain the first.
        address: String,
    },
    /// No author can be made out.
    NoAuthor {
        /// Why not.
        reason: Reason,
    },
    /// A rule's pattern fits the author, but none of the recipients is the rule's.
    RulePassedOver {
        /// The rule.
        rule: String,
        /// The pattern that fits the author.
        pattern: String,
        /// Where that stands.
        at: Line,
    },
    /// The rule that decides.
    Rule {
        /// The rule.
        rule: String,
        /// The pattern that fits the author.
        pattern: String,
        /// Where that stands.
        at: Line,
        /// The pattern that fits a recipient, for a rule that asks for one, and where it stands.
        #[serde(skip_serializing_if = "Option::is_none")]
        recipient: Option<(String, Line)>,
        /// Whether it says that such mail is never signed.
        never: bool,
    },
    /// No rule fits.
    NoRule,
    /// Whether the login may write as the author.
    Login {
        /// The login; empty where the MTA does not say which.
        login: String,
        /// What allows it, and where that stands; none: nothing does.
        #[serde(skip_serializing_if = "Option::is_none")]
        allowed_by: Option<(String, Option<Line>)>,
    },
    /// Whether the envelope sender fits the author.
    Envelope {
        /// The envelope sender's domain; none of the null sender.
        #[serde(skip_serializing_if = "Option::is_none")]
        domain: Option<String>,
        /// Whether it fits.
        fits: bool,
    },
    /// A domain that may sign is looked for in the key store.
    Keys {
        /// The domain.
        domain: String,
        /// Why it may.
        role: Role,
        /// What the store has.
        found: Presence,
        /// The selectors that sign.
        selectors: Vec<String>,
    },
    /// The selector that a rule wants does not sign; the domain's other keys do.
    SelectorNotActive {
        /// The domain.
        domain: String,
        /// The selector.
        selector: String,
    },
    /// The end.
    Decided {
        /// Why.
        reason: Reason,
    },
}

/// What makes a message trusted, or keeps it from being so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// The client logged in.
    Login {
        /// As whom; empty where the MTA says only that.
        login: String,
    },
    /// `trust.daemon_names`.
    DaemonName {
        /// The name.
        name: String,
    },
    /// `trust.macros`.
    Macro {
        /// The entry.
        condition: String,
    },
    /// `trust.networks`.
    Network {
        /// The entry.
        network: String,
    },
    /// `trust.hosts`.
    Host {
        /// The entry.
        host: String,
    },
    /// `trust.local_submission`.
    LocalSubmission,
    /// `trust.except`: neither address nor name count.
    Except {
        /// The entry.
        by: String,
    },
    /// CONNECT and `{client_addr}` name different clients: one of them is a proxy's, and neither counts.
    TwoAddresses,
    /// Nothing.
    Nothing,
}

/// What is done with mail that was received before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RelayedOutcome {
    /// It passes, as `trust.sign_relayed` says, or says by default.
    Passed,
    /// The listener says that it is passed or signed.
    PassedByListener,
    /// The rule says that it is passed.
    PassedByRule,
    /// `trust.sign_relayed`.
    Signed,
    /// The listener's `sign_relayed`.
    SignedByListener,
    /// The rule's `sign_relayed`.
    SignedByRule,
}

/// Why a domain may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It is the author's.
    Author,
    /// It is above the author's and signs for its subdomains.
    Parent,
    /// A rule or a map says that it signs in place of the author's.
    Rule,
    /// A rule says that it signs as well.
    Also,
}

/// What the key store has of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// No such domain.
    Unknown,
    /// Keys, none of which is active.
    NotActive,
    /// Active keys, none of which can be used.
    Unusable,
    /// The store does not answer, and nothing is known of the domain.
    Unavailable,
    /// Active keys, some of which cannot be used.
    UsableInPart,
    /// Active keys.
    Usable,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ignored { by } => write!(f, "the client is ignored: trust.ignore has {by}"),
            Self::Origin { origin, because } => write!(f, "origin {origin}: {because}", origin = origin.as_str()),
            Self::Relayed { outcome } => {
                write!(f, "received before, and trusted only for coming from this machine: {outcome}")
            }
            Self::Author { address } => write!(f, "the author is {}", Plain(address)),
            Self::NoAuthor { reason } => write!(f, "no author can be made out: {reason}"),
            Self::RulePassedOver { rule, pattern, at } => {
                write!(f, "{} fits the author ({} at {at}), but no recipient", Plain(rule), Plain(pattern))
            }
            Self::Rule { rule, pattern, at, recipient, never } => {
                write!(f, "{} decides ({} at {at})", Plain(rule), Plain(pattern))?;
                if let Some((pattern, at)) = recipient {
                    write!(f, ", for a recipient ({} at {at})", Plain(pattern))?;
                }
                f.write_str(if *never { ": never signed" } else { "" })
            }
            Self::NoRule => f.write_str("no rule fits"),
            Self::Login { login, allowed_by } => {
                write!(f, "the login {} ", Plain(login))?;
                match allowed_by {
                    Some((by, Some(at))) => write!(f, "may write as the author ({} at {at})", Plain(by)),
                    Some((by, None)) => write!(f, "may write as the author ({by})"),
                    None => f.write_str("may not write as the author"),
                }
            }
            Self::Envelope { domain, fits } => match (domain, fits) {
                (None, _) => f.write_str("the null sender fits any author"),
                (Some(domain), true) => write!(f, "the envelope sender's domain {} fits", Plain(domain)),
                (Some(domain), false) => write!(f, "the envelope sender's domain {} does not fit", Plain(domain)),
            },
            Self::Keys { domain, role, found, selectors } => {
                write!(f, "{domain} ({role}): {found}")?;
                if selectors.is_empty() { Ok(()) } else { write!(f, ": {}", selectors.join(", ")) }
            }
            Self::SelectorNotActive { domain, selector } => {
                write!(f, "the key {selector} of {domain} does not sign; its other active keys do")
            }
            Self::Decided { reason } => write!(f, "decided: {reason}"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login { login } if login.is_empty() => f.write_str("the client logged in"),
            Self::Login { login } => write!(f, "the client logged in as {}", Plain(login)),
            Self::DaemonName { name } => write!(f, "trust.daemon_names has {}", Plain(name)),
            Self::Macro { condition } => write!(f, "trust.macros has {}", Plain(condition)),
            Self::Network { network } => write!(f, "trust.networks has {network}"),
            Self::Host { host } => write!(f, "trust.hosts has {host}"),
            Self::LocalSubmission => f.write_str("handed in by a program on this machine"),
            Self::Except { by } => write!(f, "trust.except has {by}, so its address and name do not count"),
            Self::TwoAddresses => {
                f.write_str("the MTA names two clients' addresses, one of them a proxy's, so neither counts")
            }
            Self::Nothing => f.write_str("nothing in [trust] covers it"),
        }
    }
}

impl fmt::Display for RelayedOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passes",
            Self::PassedByListener => "passes, as the listener says",
            Self::PassedByRule => "passes, as the rule says",
            Self::Signed => "signed all the same, as trust.sign_relayed says",
            Self::SignedByListener => "signed all the same, as the listener says",
            Self::SignedByRule => "signed all the same, as the rule says",
        })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Author => "the author's domain",
            Self::Parent => "above the author's domain, and signs for its subdomains",
            Self::Rule => "the rule says so",
            Self::Also => "the rule says as well",
        })
    }
}

impl fmt::Display for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "the key store does not have it",
            Self::NotActive => "has keys, none of which is active",
            Self::Unusable => "has active keys, none of which can be used",
            Self::Unavailable => "the key store does not answer",
            Self::UsableInPart => "signs, though some of its active keys cannot be used",
            Self::Usable => "signs",
        })
    }
}

/// Text of strangers: what could move a terminal's cursor or look like something else is escaped.
struct Plain<'t>(&'t str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(none)");
        }
        for letter in self.0.chars() {
            if letter.is_ascii_graphic() || letter == ' ' || (letter.is_alphanumeric() && !letter.is_control()) {
                write!(f, "{letter}")?;
            } else {
                write!(f, "{}", letter.escape_unicode())?;
            }
        }
        Ok(())
    }
}
