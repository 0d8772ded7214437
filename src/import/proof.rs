//! The proof: the same messages put through the other signer's selection and through Waxseal's policy.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use super::carried::{CarriedKey, KeyUse};
use crate::message::{Headers, Spacing};
use crate::names::{DomainName, Selector};
use crate::policy::{Facts, Found, Header, Peer, Policy, Reason, Recipients, Submission, Untraced};

/// One message with what an MTA says of it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What it shows.
    pub name: String,
    /// Its header.
    pub headers: Headers,
    /// The client's name.
    pub host: String,
    /// The client's address; none where no network was involved.
    pub client: Option<IpAddr>,
    /// Macros without braces.
    pub macros: BTreeMap<String, Vec<u8>>,
    /// The envelope sender, without angle brackets; empty for the null sender.
    pub sender: String,
    /// The recipients, without angle brackets.
    pub recipients: Vec<String>,
}

/// What another signer does with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// It signs.
    Signs(Vec<Signature>),
    /// It lets the message pass.
    Passes,
    /// A table names a key that is not there: the message is deferred.
    Defers,
}

/// A signature.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature {
    /// d=
    pub domain: String,
    /// s=
    pub selector: String,
    /// i=, if it has one.
    pub identity: Option<String>,
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Signs(signatures) = self else {
            return f.write_str(if *self == Self::Passes { "does not sign" } else { "defers: a key is missing" });
        };
        for (number, Signature { domain, selector, identity }) in signatures.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}d={domain} s={selector}")?;
            if let Some(identity) = identity {
                write!(f, " i={identity}")?;
            }
        }
        Ok(())
    }
}

/// A message of which the two think differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Of the sample.
    pub name: String,
    /// What the other does.
    pub theirs: String,
    /// What Waxseal will do.
    pub waxseal: String,
    /// Whether Waxseal signs what the other lets pass unsigned.
    pub is_wider: bool,
    /// Why it is meant to be so; empty where it is not.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub by_design: &'static str,
}

/// What came out of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Messages compared.
    pub messages: usize,
    /// Of which the other signs so many.
    pub signed: usize,
    /// Where they differ.
    pub differences: Vec<Difference>,
}

/// Why two that differ are meant to; none where they are not.
pub type ByDesign = fn(&Selection, &Result<Vec<Signature>, Reason>) -> Option<&'static str>;

/// Compares what the other signer does with samples, each with what it does, with what Waxseal will do.
pub fn compare<'s>(
    theirs: impl IntoIterator<Item = (&'s Sample, Selection)>,
    policy: &Policy,
    keys: &[CarriedKey],
    by_design: ByDesign,
) -> Comparison {
    let mut active: HashMap<&DomainName, Vec<Selector>> = HashMap::new();
    for key in keys.iter().filter(|key| key.usage == KeyUse::Signs) {
        active.entry(&key.domain).or_default().push(key.selector.clone());
    }
    let mut comparison = Comparison::default();
    for (sample, theirs) in theirs {
        let ours = decide(policy, &active, sample);
        comparison.messages += 1;
        comparison.signed += usize::from(matches!(theirs, Selection::Signs(_)));
        let is_same = match (&theirs, &ours) {
            (Selection::Signs(theirs), Ok(ours)) => {
                let (theirs, ours): (BTreeSet<_>, BTreeSet<_>) = (theirs.iter().collect(), ours.iter().collect());
                theirs == ours
            }
            // What the other defers for want of a key is signed by neither.
            (Selection::Passes | Selection::Defers, Err(_)) => true,
            _ => false,
        };
        if !is_same {
            comparison.differences.push(Difference {
                name: sample.name.clone(),
                theirs: theirs.to_string(),
                waxseal: match &ours {
                    Ok(signatures) => Selection::Signs(signatures.clone()).to_string(),
                    Err(reason) => format!("does not sign: {reason}"),
                },
                is_wider: theirs == Selection::Passes,
                by_design: by_design(&theirs, &ours).unwrap_or_default(),
            });
        }
    }
    comparison
}

fn decide(
    policy: &Policy,
    active: &HashMap<&DomainName, Vec<Selector>>,
    sample: &Sample,
) -> Result<Vec<Signature>, Reason> {
    let mut recipients = Recipients::default();
    for recipient in &sample.recipients {
        policy.recipient(recipient.as_bytes(), &mut recipients);
    }
    let facts = Facts {
        submission: Submission {
            peer: sample.client.map_or(Peer::Local, Peer::Address),
            host: sample.host.as_bytes(),
            macros: &sample.macros,
        },
        on_relayed: None,
        sender: sample.sender.as_bytes(),
        recipients: &recipients,
        header: Header::Whole(&sample.headers),
    };
    let keys = |domain: &DomainName| active.get(domain).map_or(Found::Unknown, |keys| Found::Usable(keys.clone()));
    let judgement = policy.decide(&facts, |_| false, keys, &mut Untraced);
    let plan = judgement.outcome?;
    let mut signatures = Vec::new();
    for planned in &plan.signatures {
        let identity = judgement.rule.zip(judgement.author.as_ref()).and_then(|(rule, author)| {
            policy.auid(rule, author, &planned.domain).flatten().map(|auid| auid.as_str().to_owned())
        });
        let wanted = |selector: &&Selector| planned.selector.as_ref().is_none_or(|wanted| wanted == *selector);
        for selector in planned.keys.iter().filter(wanted) {
            let (domain, selector) = (planned.domain.to_string(), selector.to_string());
            signatures.push(Signature { domain, selector, identity: identity.clone() });
        }
    }
    Ok(signatures)
}

impl Sample {
    /// From a client that logged in.
    pub fn logged_in(headers: Headers) -> Self {
        let macros = [("auth_type", "PLAIN"), ("auth_authen", "sample")];
        Self {
            name: String::new(),
            headers,
            host: "client.sample.invalid".into(),
            client: Some([203, 0, 113, 77].into()),
            macros: macros.map(|(name, value)| (name.to_owned(), value.into())).into(),
            sender: "sender@sample.invalid".into(),
            recipients: vec!["somebody@recipient.invalid".into()],
        }
    }
}

/// A header with these From fields.
pub(super) fn header(authors: &[&str]) -> Headers {
    let mut headers = Headers::new();
    for author in authors {
        headers.push(b"From", author.as_bytes(), Spacing::OneSpaceRemoved);
    }
    headers.push(b"Subject", b"A sample", Spacing::OneSpaceRemoved);
    headers
}
