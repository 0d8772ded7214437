//! May we sign what this client sends?

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use super::pattern::PeerPattern;
use super::trace::{Cause, Step, Trace};
use super::trust::Trust;
use crate::message::Headers;
use crate::names::DomainName;

/// Where the MTA's client is, as far as the MTA says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A network address.
    Address(IpAddr),
    /// No network was involved: a Unix socket, or a program on this machine.
    Local,
    /// The MTA does not say, or says what cannot be understood.
    Unknown,
}

/// What the MTA says of a message in its macros.
pub trait MacroValues {
    /// A macro's value, its name without braces.
    fn value(&self, name: &str) -> Option<&[u8]>;
}

impl MacroValues for BTreeMap<String, Vec<u8>> {
    fn value(&self, name: &str) -> Option<&[u8]> {
        self.get(name).map(Vec::as_slice)
    }
}

/// What the MTA tells of a message's origin.
#[derive(Clone, Copy)]
pub struct Submission<'a> {
    /// The client.
    pub peer: Peer,
    /// The client's name as the MTA found and verified it, or something else that is no name.
    pub host: &'a [u8],
    /// The macros, of which count: `{auth_type}` (how the client logged in), `{auth_authen}` (as whom; `{auth_author}`,
    /// AUTH= of MAIL, is only the client's word), `{daemon_name}` (the service it came through), `{client_addr}`, and those
    /// that the configuration trusts.
    pub macros: &'a dyn MacroValues,
}

/// Why a submission is trusted, the strongest cause first, or that it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The client logged in.
    Authenticated,
    /// It came through a daemon that only our own senders use.
    Daemon,
    /// The MTA has a macro for it that is trusted.
    Macro,
    /// It came from a trusted network or host beyond this machine.
    Network,
    /// It came from this machine: from loopback, or without a network.
    ThisMachine,
    /// None of these.
    Untrusted,
}

impl Origin {
    /// The origin's stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authenticated => "authenticated",
            Self::Daemon => "daemon",
            Self::Macro => "macro",
            Self::Network => "network",
            Self::ThisMachine => "this_machine",
            Self::Untrusted => "untrusted",
        }
    }

    /// Judges a submission.
    pub fn of(submission: &Submission<'_>, trust: &Trust, trace: &mut impl Trace) -> Self {
        let (origin, cause) = judge(submission, trust);
        trace.note(|| Step::Origin { origin, because: cause.described() });
        origin
    }
}

impl Submission<'_> {
    /// As whom the client logged in; empty where the MTA says only that it did, none where it did not.
    pub fn login(&self) -> Option<&[u8]> {
        let given = |name| self.macros.value(name).filter(|value| !value.is_empty());
        given("auth_authen").or_else(|| given("auth_type").map(|_| &b""[..]))
    }

    /// The entry of a list of clients that has this one.
    pub fn among<'p>(&self, patterns: &'p [PeerPattern]) -> Option<&'p PeerPattern> {
        if patterns.is_empty() {
            return None;
        }
        let by_name = patterns.iter().any(|pattern| matches!(pattern, PeerPattern::Host(_)));
        let host = if by_name { self.host_name() } else { None };
        patterns.iter().find(|pattern| pattern.matches(self.address(), host.as_ref()))
    }

    fn address(&self) -> Option<IpAddr> {
        match self.peer {
            Peer::Address(address) => Some(address.to_canonical()),
            Peer::Local | Peer::Unknown => None,
        }
    }

    /// The client's name; none where the MTA has only its address, or found no name that leads back to it.
    fn host_name(&self) -> Option<DomainName> {
        let host = DomainName::from_octets(self.host).ok()?;
        (host.as_str() != "unknown").then_some(host)
    }

    /// Whether `{client_addr}` names another client than CONNECT does, as when one of them knows of a proxy.
    fn has_two_addresses(&self) -> bool {
        let stated = || {
            let text = std::str::from_utf8(self.macros.value("client_addr")?).ok()?;
            let tagged = text.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("ipv6:"));
            let text = if tagged { &text[5..] } else { text };
            text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
        };
        self.address().is_some_and(|address| stated().is_some_and(|stated| stated != address))
    }
}

/// What [`Cause`] describes, not yet in words.
enum Because<'a> {
    Login(&'a [u8]),
    DaemonName(&'a [u8]),
    Macro(&'a dyn std::fmt::Display),
    Network(&'a dyn std::fmt::Display),
    Host(&'a dyn std::fmt::Display),
    LocalSubmission,
    Except(&'a dyn std::fmt::Display),
    TwoAddresses,
    Nothing,
}

impl Because<'_> {
    fn described(&self) -> Cause {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        match self {
            Self::Login(login) => Cause::Login { login: text(login) },
            Self::DaemonName(name) => Cause::DaemonName { name: text(name) },
            Self::Macro(condition) => Cause::Macro { condition: condition.to_string() },
            Self::Network(network) => Cause::Network { network: network.to_string() },
            Self::Host(host) => Cause::Host { host: host.to_string() },
            Self::LocalSubmission => Cause::LocalSubmission,
            Self::Except(by) => Cause::Except { by: by.to_string() },
            Self::TwoAddresses => Cause::TwoAddresses,
            Self::Nothing => Cause::Nothing,
        }
    }
}

fn judge<'a>(submission: &'a Submission<'_>, trust: &'a Trust) -> (Origin, Because<'a>) {
    if trust.authenticated
        && let Some(login) = submission.login()
    {
        return (Origin::Authenticated, Because::Login(login));
    }
    let daemon_name = submission.macros.value("daemon_name").unwrap_or_default();
    if trust.daemon_names.iter().any(|trusted| trusted.as_bytes() == daemon_name && !daemon_name.is_empty()) {
        return (Origin::Daemon, Because::DaemonName(daemon_name));
    }
    if let Some(condition) = trust.macros.iter().find(|wanted| wanted.holds(submission.macros.value(wanted.name()))) {
        return (Origin::Macro, Because::Macro(condition));
    }
    match submission.peer {
        Peer::Local if trust.local_submission => (Origin::ThisMachine, Because::LocalSubmission),
        Peer::Local | Peer::Unknown => (Origin::Untrusted, Because::Nothing),
        Peer::Address(_) => by_place(submission, trust),
    }
}

/// What a client's address and name are worth.
fn by_place<'a>(submission: &Submission<'_>, trust: &'a Trust) -> (Origin, Because<'a>) {
    let Some(address) = submission.address() else { return (Origin::Untrusted, Because::Nothing) };
    let network = trust.networks.iter().find(|network| network.contains(&address));
    let host = || {
        let name = if trust.hosts.is_empty() { None } else { submission.host_name() }?;
        trust.hosts.iter().find(|pattern| pattern.matches(&name))
    };
    let because = match network {
        Some(network) => Because::Network(network),
        None => match host() {
            Some(host) => Because::Host(host),
            None => return (Origin::Untrusted, Because::Nothing),
        },
    };
    if let Some(by) = submission.among(&trust.except) {
        return (Origin::Untrusted, Because::Except(by));
    }
    if submission.has_two_addresses() {
        return (Origin::Untrusted, Because::TwoAddresses);
    }
    (if address.is_loopback() { Origin::ThisMachine } else { Origin::Network }, because)
}

/// Whether a message has been received before: it has a Received field that its own submission does not explain.
///
/// Both MTAs show a filter only Received fields from before their own. One exception is no relay: Sendmail's submission
/// program hands local mail to the daemon with a single field that begins `(from user@host)`. Mail that came from
/// outside always has another above it, written by the MTA that took it in.
pub fn is_relayed(headers: &Headers) -> bool {
    let mut received = headers.named("Received");
    match (received.next(), received.next()) {
        (None, _) => false,
        (Some(only), None) => !only.value().trim_ascii_start().starts_with(b"(from "),
        (Some(_), Some(_)) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Spacing;
    use crate::policy::{Recorded, Untraced};

    fn trust() -> Trust {
        Trust {
            networks: ["127.0.0.0/8", "::1/128", "192.0.2.0/24"].map(|network| network.parse().unwrap()).into(),
            hosts: vec!["*.example.net".parse().unwrap()],
            except: vec!["192.0.2.66".parse().unwrap(), "proxy.example.net".parse().unwrap()],
            macros: vec!["{ours}=yes".parse().unwrap(), "{cert_subject}".parse().unwrap()],
            ..Trust::default()
        }
    }

    fn of(peer: Peer, host: &str, macros: &[(&str, &str)]) -> Origin {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        let macros: BTreeMap<String, Vec<u8>> = macros.iter().map(owned).collect();
        let submission = Submission { peer, host: host.as_bytes(), macros: &macros };
        Origin::of(&submission, &trust(), &mut Untraced)
    }

    fn address(address: &str) -> Peer {
        Peer::Address(address.parse().unwrap())
    }

    #[test]
    fn a_login_is_trusted_from_anywhere_and_an_empty_one_is_none() {
        assert_eq!(of(address("203.0.113.9"), "", &[("auth_authen", "joe")]), Origin::Authenticated);
        assert_eq!(of(Peer::Unknown, "", &[("auth_type", "PLAIN")]), Origin::Authenticated);
        assert_eq!(of(address("192.0.2.66"), "", &[("auth_authen", "joe")]), Origin::Authenticated);
        let none = [("auth_authen", ""), ("auth_type", ""), ("auth_author", "joe")];
        assert_eq!(of(address("203.0.113.9"), "", &none), Origin::Untrusted);
    }

    #[test]
    fn daemon_names_and_macros_are_compared_exactly() {
        let stranger = address("203.0.113.9");
        assert_eq!(of(stranger, "", &[("daemon_name", "ORIGINATING")]), Origin::Daemon);
        assert_eq!(of(stranger, "", &[("daemon_name", "ORIGINATING2")]), Origin::Untrusted);
        assert_eq!(of(stranger, "", &[("ours", "yes")]), Origin::Macro);
        assert_eq!(of(stranger, "", &[("ours", "YES")]), Origin::Untrusted);
        assert_eq!(of(stranger, "", &[("cert_subject", "/CN=x")]), Origin::Macro);
        assert_eq!(of(stranger, "", &[("cert_subject", "")]), Origin::Untrusted);
    }

    #[test]
    fn networks_know_loopback_and_mapped_addresses() {
        assert_eq!(of(address("192.0.2.7"), "", &[]), Origin::Network);
        assert_eq!(of(address("::ffff:192.0.2.7"), "", &[]), Origin::Network);
        assert_eq!(of(address("127.0.0.1"), "", &[]), Origin::ThisMachine);
        assert_eq!(of(address("::1"), "", &[]), Origin::ThisMachine);
        assert_eq!(of(address("203.0.113.9"), "", &[]), Origin::Untrusted);
    }

    #[test]
    fn a_proxy_is_never_trusted_for_its_place() {
        assert_eq!(of(address("192.0.2.66"), "", &[]), Origin::Untrusted);
        assert_eq!(of(address("::ffff:192.0.2.66"), "", &[]), Origin::Untrusted);
        assert_eq!(of(address("203.0.113.9"), "mail.example.net", &[]), Origin::Network);
        assert_eq!(of(address("203.0.113.9"), "proxy.example.net", &[]), Origin::Untrusted);
        for unverified in ["[203.0.113.9]", "unknown", "", "a b", "mail.example.net.evil.example"] {
            assert_eq!(of(address("203.0.113.9"), unverified, &[]), Origin::Untrusted, "{unverified}");
        }
        // The MTA knows the client behind the proxy, and says so only here.
        assert_eq!(of(address("127.0.0.1"), "", &[("client_addr", "203.0.113.9")]), Origin::Untrusted);
        assert_eq!(of(address("127.0.0.1"), "", &[("client_addr", "127.0.0.1")]), Origin::ThisMachine);
        assert_eq!(of(address("::1"), "", &[("client_addr", "IPv6:0:0:0:0:0:0:0:1")]), Origin::ThisMachine);
        assert_eq!(of(address("127.0.0.1"), "", &[("client_addr", "unknown")]), Origin::ThisMachine);
    }

    #[test]
    fn an_unknown_client_is_never_trusted_for_its_place() {
        assert_eq!(of(Peer::Unknown, "localhost", &[]), Origin::Untrusted);
        assert_eq!(of(Peer::Local, "localhost", &[]), Origin::ThisMachine);
        let macros = BTreeMap::new();
        let submission = Submission { peer: Peer::Local, host: b"localhost", macros: &macros };
        let trust = Trust { local_submission: false, ..trust() };
        assert_eq!(Origin::of(&submission, &trust, &mut Untraced), Origin::Untrusted);
    }

    #[test]
    fn the_trace_says_which_entry_it_was() {
        let macros = BTreeMap::new();
        let submission = Submission { peer: address("192.0.2.66"), host: b"", macros: &macros };
        let mut trace = Recorded::default();
        Origin::of(&submission, &trust(), &mut trace);
        let said: Vec<String> = trace.steps.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["origin untrusted: trust.except has 192.0.2.66/32, so its address and name do not count"]);
    }

    fn with_received(values: &[&str]) -> Headers {
        let mut headers = Headers::new();
        for value in values {
            headers.push(b"Received", value.as_bytes(), Spacing::AsReceived);
        }
        headers
    }

    #[test]
    fn a_received_field_means_relayed_save_that_of_a_local_submission() {
        assert!(!is_relayed(&with_received(&[])));
        assert!(is_relayed(&with_received(&[" from mx.example by mail.example; Mon, 1 Jan 2024 00:00:00 +0000"])));
        assert!(!is_relayed(&with_received(&[" (from joe@localhost)\n\tby mail.example (8.17.1.9/Submit) id 1"])));
        assert!(is_relayed(&with_received(&[" from mx.example by mail.example", " (from joe@localhost) by forged"])));
    }
}
