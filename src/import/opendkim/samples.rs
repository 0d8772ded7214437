//! Messages that show what OpenDKIM's setup does, and where Waxseal is meant to do otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::line::Lines;
use super::setup::Setup;
use crate::import::proof::{Sample, Selection, Signature, header};
use crate::message::Spacing;
use crate::names::DomainName;
use crate::policy::Reason;

/// Authors enough to try each line with several.
const MANY: usize = 2_000;

/// Lines are tried by so many comparisons of an author with a line, at most: some seconds.
const COMPARISONS: usize = 200_000_000;

/// So many authors are tried of any setup.
const FEW: usize = 200;

/// Where Waxseal does not follow OpenDKIM.
pub fn by_design(theirs: &Selection, ours: &Result<Vec<Signature>, Reason>) -> Option<&'static str> {
    Some(match (theirs, ours) {
        (Selection::Signs(theirs), Ok(ours)) if theirs.len() == 2 && ours.len() > 2 => {
            "of three or more signatures OpenDKIM writes only the first and the last"
        }
        (_, Err(Reason::SeveralFrom | Reason::SeveralDomains)) => {
            "OpenDKIM signs for the first of several authors, and readers may be shown another"
        }
        (_, Err(Reason::NoFrom | Reason::UnparsableFrom)) => {
            "no author can be told from such a header without guessing"
        }
        _ => return None,
    })
}

/// Messages made from a setup: from each author that its tables name and some that they do not, and, from the first few,
/// from every kind of client, to the recipients not signed for, and with headers that go wrong.
pub fn samples(setup: &Setup, domains: &[DomainName]) -> Vec<Sample> {
    let mut authors: BTreeSet<String> = BTreeSet::new();
    let lines = Lines::of(setup, domains, &mut Vec::new());
    for line in &lines {
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
    let most = (COMPARISONS / lines.len().max(1)).max(FEW);
    let mut samples: Vec<Sample> = authors
        .iter()
        .step_by(authors.len().div_ceil(most).max(1))
        .map(|author| {
            let headers = header(&[author]);
            Sample { name: format!("from {author}, logged in"), ..Sample::logged_in(headers) }
        })
        .collect();
    let few: Vec<&String> = authors.iter().filter(|author| author.starts_with("someone@")).take(5).collect();
    for author in few {
        samples.extend(of_origins(setup, author));
    }
    samples.push(Sample { name: "without From, logged in".into(), ..Sample::logged_in(header(&[])) });
    for field in setup.sender_headers.iter().filter(|field| !field.eq_ignore_ascii_case("from")) {
        for author in authors.iter().take(2) {
            let mut ours = Sample::logged_in(header(&[author]));
            ours.headers.push(field.as_bytes(), b"elsewhere@sample.invalid", Spacing::OneSpaceRemoved);
            samples.push(Sample { name: format!("from {author}, with another {field}, logged in"), ..ours });
            let mut theirs = Sample::logged_in(header(&["elsewhere@sample.invalid"]));
            theirs.headers.push(field.as_bytes(), author.as_bytes(), Spacing::OneSpaceRemoved);
            samples.push(Sample { name: format!("from elsewhere, with {field} {author}, logged in"), ..theirs });
        }
    }
    if let [first, second, ..] = &authors.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        let headers = header(&[first, second]);
        samples.push(Sample {
            name: format!("with two From, {first} and {second}, logged in"),
            ..Sample::logged_in(headers)
        });
    }
    samples
}

/// From an author, by every kind of client and to recipients of every kind.
fn of_origins(setup: &Setup, author: &str) -> Vec<Sample> {
    let from = |name: &str, host: &str, client: Option<IpAddr>| Sample {
        name: format!("from {author}, {name}"),
        host: host.into(),
        client,
        macros: BTreeMap::new(),
        ..Sample::logged_in(header(&[author]))
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
        // The far end of a network, and what lies beyond.
        if let Ok(network) = text.parse::<IpNet>() {
            let last = network.broadcast();
            samples.push(from(&format!("{name}, its last"), "unknown", Some(last)));
            if let Some(beyond) = after(last) {
                samples.push(from(&format!("{name}, beyond it"), "unknown", Some(beyond)));
            }
        }
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
    for entry in setup.macros.entries.iter().take(10) {
        let value = entry.value.split('|').next().filter(|value| !value.is_empty()).unwrap_or("x");
        let name = entry.key.trim_matches(['{', '}']).to_owned();
        let mut sample = from(&format!("with the macro {}", entry.key), "unknown", Some([198, 51, 100, 10].into()));
        // A login is never told without its mechanism.
        if name == "auth_authen" {
            sample.macros.insert("auth_type".into(), b"PLAIN".to_vec());
        }
        sample.macros.insert(name, value.into());
        samples.push(sample);
    }
    for entry in setup.unsigned_recipients.entries.iter().take(50) {
        let recipient = entry.key.replace('*', "x");
        let recipient =
            if recipient.contains('@') { recipient } else { format!("x@{}", recipient.trim_start_matches('.')) };
        let name = format!("from {author} to {recipient}, logged in");
        samples.push(Sample { name, recipients: vec![recipient], ..Sample::logged_in(header(&[author])) });
    }
    samples
}

fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_add(1).map(|next| IpAddr::V4(next.into())),
        IpAddr::V6(address) => u128::from(address).checked_add(1).map(|next| IpAddr::V6(next.into())),
    }
}
