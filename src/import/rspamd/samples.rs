//! Messages that show what rspamd's setup does, and where Waxseal is meant to do otherwise.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::setup::{Setup, Who};
use crate::import::carried::CarriedKey;
use crate::import::proof::{Sample, Selection, Signature, header};
use crate::message::Spacing;
use crate::policy::Reason;

/// Domains that are tried with every kind of login, sender and client.
const FEW: usize = 5;

/// Domains that are tried at all, spread over all there are.
const MANY: usize = 20_000;

/// Where Waxseal does not follow rspamd.
pub fn by_design(_: &Selection, ours: &Result<Vec<Signature>, Reason>) -> Option<&'static str> {
    match ours {
        Err(Reason::SeveralFrom | Reason::SeveralDomains) => {
            Some("with several authors readers may be shown another than the one who is signed for")
        }
        Err(Reason::NoFrom | Reason::UnparsableFrom) => {
            Some("no author can be told from such a header without guessing")
        }
        _ => None,
    }
}

/// Messages of each domain that has a key and of those beside it; of the first few with every kind of login, envelope
/// sender and client.
pub fn samples(setup: &Setup, keys: &[CarriedKey]) -> Vec<Sample> {
    let mut domains: Vec<&str> = keys.iter().map(|key| key.domain.as_str()).collect();
    domains.dedup();
    let mut samples = Vec::new();
    for domain in domains.iter().step_by(domains.len().div_ceil(MANY).max(1)) {
        for author in [format!("joe@{domain}"), format!("joe@below.{domain}")] {
            let name = format!("from {author}, logged in as {author}");
            samples.push(from(&author, &author, Some(&author), [203, 0, 113, 77].into(), name));
        }
    }
    for domain in domains.into_iter().take(FEW) {
        samples.extend(of_origins(setup, &format!("joe@{domain}"), domain));
    }
    let stranger = "joe@elsewhere.invalid";
    samples.push(from(
        stranger,
        stranger,
        Some(stranger),
        [203, 0, 113, 77].into(),
        format!("from {stranger}, logged in"),
    ));
    samples.push(Sample { name: "without From, logged in".into(), ..Sample::logged_in(header(&[])) });
    samples
}

fn of_origins(setup: &Setup, author: &str, domain: &str) -> Vec<Sample> {
    let away: IpAddr = [203, 0, 113, 77].into();
    let logged_in = |login: &str, sender: &str| {
        let name = format!("from {author}, envelope sender <{sender}>, logged in as {login}");
        from(author, sender, Some(login), away, name)
    };
    let without = |client: IpAddr| from(author, author, None, client, format!("from {author}, of the client {client}"));
    let mut samples = vec![
        logged_in("joe", author),
        logged_in("ann@other.invalid", author),
        logged_in(&format!("ann@below.{domain}"), author),
        logged_in(author, ""),
        logged_in(author, "bounce@other.invalid"),
        logged_in(author, &format!("bounce@below.{domain}")),
        without(away),
        without([127, 0, 0, 1].into()),
        without(std::net::Ipv6Addr::LOCALHOST.into()),
    ];
    samples.extend(
        setup
            .local
            .iter()
            .chain(setup.sign_networks.iter().flatten())
            .take(50)
            .flat_map(|network| [without(network.addr()), without(network.broadcast())]),
    );
    let mut local = without([127, 0, 0, 1].into());
    local.headers.push(b"Received", b"from x by y; Thu, 1 Jan 2026 00:00:00 +0000", Spacing::OneSpaceRemoved);
    samples.push(Sample { name: format!("from {author}, over loopback, received before"), ..local });
    samples.push(Sample {
        client: None,
        name: format!("from {author}, of a program on this machine"),
        ..without(away)
    });
    let two = Sample { headers: header(&[author, "ann@other.invalid"]), ..logged_in(author, author) };
    samples.push(Sample { name: format!("with two From, the first {author}"), ..two });
    if let Who::Tables(_) = setup.who {
        let exact = logged_in(&format!("other@{domain}"), &format!("other@{domain}"));
        samples.push(Sample {
            headers: header(&[&format!("other@{domain}")]),
            name: format!("from other@{domain}"),
            ..exact
        });
    }
    samples
}

fn from(author: &str, sender: &str, login: Option<&str>, client: IpAddr, name: String) -> Sample {
    let macros = login.map(|login| [("auth_type", "PLAIN"), ("auth_authen", login)]);
    let macros: BTreeMap<String, Vec<u8>> =
        macros.into_iter().flatten().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let host = if client.is_loopback() { "localhost" } else { "unknown" };
    Sample {
        name,
        sender: sender.to_owned(),
        client: Some(client),
        host: host.into(),
        macros,
        ..Sample::logged_in(header(&[author]))
    }
}
