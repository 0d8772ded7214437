//! The proof: the same messages put through OpenDKIM's selection and through Waxseal's policy.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use serde::Serialize;

use super::carry::{CarriedKey, KeyUse};
use super::line::Lines;
use super::selection::{Message, Selection, Signature};
use super::setup::Setup;
use crate::message::{Headers, Spacing};
use crate::names::{DomainName, Selector};
use crate::policy::{Facts, Found, Header, Peer, Policy, Reason, Recipients, Submission, Untraced};

/// Authors enough to try each line with several.
const MANY: usize = 2_000;

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
    /// The recipients, without angle brackets.
    pub recipients: Vec<String>,
}

/// A message of which the two think differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Of the sample.
    pub name: String,
    /// What OpenDKIM does.
    pub opendkim: String,
    /// What Waxseal will do.
    pub waxseal: String,
    /// Why it is meant to be so; empty where it is not.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub by_design: &'static str,
}

/// What came out of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Messages compared.
    pub messages: usize,
    /// Of which OpenDKIM signs so many.
    pub signed: usize,
    /// Where they differ.
    pub differences: Vec<Difference>,
}

/// Compares them over some messages.
pub fn compare(setup: &Setup, policy: &Policy, keys: &[CarriedKey], samples: &[Sample]) -> Comparison {
    let mut active: HashMap<&DomainName, Vec<Selector>> = HashMap::new();
    for key in keys.iter().filter(|key| key.usage == KeyUse::Signs) {
        active.entry(&key.domain).or_default().push(key.selector.clone());
    }
    let mut comparison = Comparison::default();
    for sample in samples {
        let theirs = setup.select(&Message {
            headers: &sample.headers,
            host: &sample.host,
            client: sample.client,
            macros: &sample.macros,
            recipients: &sample.recipients,
        });
        let ours = decide(policy, &active, sample);
        comparison.messages += 1;
        comparison.signed += usize::from(matches!(theirs, Selection::Signs(_)));
        let is_same = match (&theirs, &ours) {
            (Selection::Signs(theirs), Ok(ours)) => {
                let (theirs, ours): (BTreeSet<_>, BTreeSet<_>) = (theirs.iter().collect(), ours.iter().collect());
                theirs == ours
            }
            // What OpenDKIM defers for want of a key is signed by neither.
            (Selection::Passes | Selection::Defers, Err(_)) => true,
            _ => false,
        };
        if !is_same {
            comparison.differences.push(Difference {
                name: sample.name.clone(),
                opendkim: match &theirs {
                    Selection::Signs(signatures) => shown(signatures),
                    Selection::Passes => "does not sign".into(),
                    Selection::Defers => "defers: a key is missing".into(),
                },
                waxseal: match &ours {
                    Ok(signatures) => shown(signatures),
                    Err(reason) => format!("does not sign: {reason}"),
                },
                by_design: by_design(&theirs, &ours),
            });
        }
    }
    comparison
}

/// Where Waxseal does not follow OpenDKIM.
fn by_design(theirs: &Selection, ours: &Result<Vec<Signature>, Reason>) -> &'static str {
    match (theirs, ours) {
        (Selection::Signs(theirs), Ok(ours)) if theirs.len() == 2 && ours.len() > 2 => {
            "of three or more signatures OpenDKIM writes only the first and the last"
        }
        (_, Err(Reason::SeveralFrom | Reason::SeveralDomains)) => {
            "OpenDKIM signs for the first of several authors, and readers may be shown another"
        }
        (_, Err(Reason::NoFrom | Reason::UnparsableFrom)) => {
            "no author can be told from such a header without guessing"
        }
        _ => "",
    }
}

fn shown(signatures: &[Signature]) -> String {
    let one = |Signature { domain, selector, identity }: &Signature| {
        let identity = identity.as_ref().map(|identity| format!(" i={identity}")).unwrap_or_default();
        format!("d={domain} s={selector}{identity}")
    };
    signatures.iter().map(one).collect::<Vec<_>>().join(", ")
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
        sender: b"",
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

/// Messages made from a setup: from each author that its tables name and some that they do not, and, from the first few,
/// from every kind of client, to the recipients not signed for, and with headers that go wrong.
pub fn samples(setup: &Setup, domains: &[DomainName]) -> Vec<Sample> {
    let mut authors: BTreeSet<String> = BTreeSet::new();
    for line in Lines::of(setup, domains, &mut Vec::new()) {
        let domain = line.pattern.domain().trim_start_matches("*.").replace(['*', '?'], "x");
        let local_part = line.pattern.local_part().replace(['*', '?'], "someone");
        authors.insert(format!("{local_part}@{domain}"));
        // Each line costs time for each author.
        if authors.len() >= MANY {
            continue;
        }
        authors.insert(format!("another@{domain}"));
        authors.insert(format!("{local_part}@below.{domain}"));
        authors.insert(format!("{local_part}@not-{domain}"));
    }
    let mut samples: Vec<Sample> = authors
        .iter()
        .map(|author| {
            let headers = header(&[author]);
            Sample { name: format!("from {author}, logged in"), ..Sample::logged_in(headers) }
        })
        .collect();
    let few: Vec<&String> = authors.iter().filter(|author| author.starts_with("someone@")).take(5).collect();
    for author in few {
        samples.extend(Sample::of_origins(setup, author));
    }
    samples.push(Sample { name: "without From, logged in".into(), ..Sample::logged_in(header(&[])) });
    if let [first, second, ..] = &authors.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        let headers = header(&[first, second]);
        samples.push(Sample {
            name: format!("with two From, {first} and {second}, logged in"),
            ..Sample::logged_in(headers)
        });
    }
    samples
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
            recipients: vec!["somebody@recipient.invalid".into()],
        }
    }

    fn of_origins(setup: &Setup, author: &str) -> Vec<Self> {
        let from = |name: &str, host: &str, client: Option<IpAddr>| Self {
            name: format!("from {author}, {name}"),
            host: host.into(),
            client,
            macros: BTreeMap::new(),
            ..Self::logged_in(header(&[author]))
        };
        let mut samples = vec![
            from("of an unknown client", "unknown", Some([198, 51, 100, 7].into())),
            from("over loopback", "localhost", Some([127, 0, 0, 1].into())),
            from("over loopback in IPv6", "localhost", Some(std::net::Ipv6Addr::LOCALHOST.into())),
            from("of a program on this machine", "localhost", None),
        ];
        let mut back = from("over loopback, received before", "localhost", Some([127, 0, 0, 1].into()));
        back.headers.push(b"Received", b"from x by y; Thu, 1 Jan 2026 00:00:00 +0000", Spacing::OneSpaceRemoved);
        samples.push(back);
        for entry in setup.internal.entries.iter().chain(&setup.peers.entries).take(50) {
            let text = entry.key.trim_start_matches('!').replace(['[', ']'], "");
            let address = text.split('/').next().and_then(|address| address.parse().ok());
            let name = format!("of the client {}", entry.key);
            match address {
                Some(address) => samples.push(from(&name, "unknown", Some(address))),
                None if DomainName::parse(text.trim_start_matches('.')).is_err() => {}
                None => {
                    let host = text.strip_prefix('.').map_or(text.clone(), |parent| format!("host.{parent}"));
                    samples.push(from(&name, &host, Some([198, 51, 100, 8].into())));
                }
            }
        }
        for entry in setup.mta.entries.iter().take(10) {
            let mut sample = from(&format!("by the daemon {}", entry.key), "unknown", Some([198, 51, 100, 9].into()));
            sample.macros.insert("daemon_name".into(), entry.key.clone().into());
            samples.push(sample);
        }
        let mut originating = from("by the daemon ORIGINATING", "unknown", Some([198, 51, 100, 9].into()));
        originating.macros.insert("daemon_name".into(), b"ORIGINATING".to_vec());
        samples.push(originating);
        for entry in setup.macros.entries.iter().filter(|entry| !entry.key.contains('{')).take(10) {
            let value = entry.value.split('|').next().filter(|value| !value.is_empty()).unwrap_or("x");
            let name = entry.key.trim_matches(['{', '}']).to_owned();
            let mut sample = from(&format!("with the macro {}", entry.key), "unknown", Some([198, 51, 100, 10].into()));
            sample.macros.insert(name, value.into());
            samples.push(sample);
        }
        for entry in setup.unsigned_recipients.entries.iter().take(50) {
            let recipient = entry.key.replace('*', "x");
            let recipient =
                if recipient.contains('@') { recipient } else { format!("x@{}", recipient.trim_start_matches('.')) };
            let name = format!("from {author} to {recipient}, logged in");
            samples.push(Self { name, recipients: vec![recipient], ..Self::logged_in(header(&[author])) });
        }
        samples
    }
}

fn header(authors: &[&str]) -> Headers {
    let mut headers = Headers::new();
    for author in authors {
        headers.push(b"From", author.as_bytes(), Spacing::OneSpaceRemoved);
    }
    headers.push(b"Subject", b"A sample", Spacing::OneSpaceRemoved);
    headers
}
