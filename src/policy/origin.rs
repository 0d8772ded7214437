//! May we sign what this client sends?

use std::net::IpAddr;

use super::trust::Trust;
use crate::message::Headers;

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

/// What the MTA tells of a message's origin.
#[derive(Debug, Clone, Copy)]
pub struct Submission<'a> {
    /// The client.
    pub peer: Peer,
    /// `{auth_type}`: how the client logged in.
    pub auth_type: Option<&'a [u8]>,
    /// `{auth_authen}`: as whom. (`{auth_author}`, AUTH= of MAIL, is only the client's word.)
    pub auth_authen: Option<&'a [u8]>,
    /// `{daemon_name}`: the service it came through.
    pub daemon_name: Option<&'a [u8]>,
}

/// Why a submission is trusted, the strongest cause first, or that it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The client logged in.
    Authenticated,
    /// It came through a daemon that only our own senders use.
    Daemon,
    /// It came from a trusted network beyond this machine.
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
            Self::Network => "network",
            Self::ThisMachine => "this_machine",
            Self::Untrusted => "untrusted",
        }
    }

    /// Judges a submission.
    pub fn of(submission: &Submission<'_>, trust: &Trust) -> Self {
        let given = |value: Option<&[u8]>| value.is_some_and(|value| !value.is_empty());
        if trust.authenticated && (given(submission.auth_authen) || given(submission.auth_type)) {
            return Self::Authenticated;
        }
        let from_daemon = |name: &[u8]| trust.daemon_names.iter().any(|trusted| trusted.as_bytes() == name);
        if submission.daemon_name.is_some_and(from_daemon) {
            return Self::Daemon;
        }
        match submission.peer {
            Peer::Address(address) => {
                if !trust.covers(address) {
                    Self::Untrusted
                } else if address.to_canonical().is_loopback() {
                    Self::ThisMachine
                } else {
                    Self::Network
                }
            }
            Peer::Local if trust.local_submission => Self::ThisMachine,
            Peer::Local | Peer::Unknown => Self::Untrusted,
        }
    }
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

    fn trust() -> Trust {
        Trust {
            authenticated: true,
            networks: ["127.0.0.0/8", "::1/128", "192.0.2.0/24"].map(|network| network.parse().unwrap()).into(),
            ..Trust::default()
        }
    }

    fn from(peer: Peer) -> Submission<'static> {
        Submission { peer, auth_type: None, auth_authen: None, daemon_name: None }
    }

    fn address(address: &str) -> Peer {
        Peer::Address(address.parse().unwrap())
    }

    #[test]
    fn a_login_is_trusted_from_anywhere_and_an_empty_one_is_none() {
        let submission = Submission { auth_authen: Some(b"joe"), ..from(address("203.0.113.9")) };
        assert_eq!(Origin::of(&submission, &trust()), Origin::Authenticated);
        let submission = Submission { auth_type: Some(b"PLAIN"), ..from(Peer::Unknown) };
        assert_eq!(Origin::of(&submission, &trust()), Origin::Authenticated);
        let submission = Submission { auth_authen: Some(b""), auth_type: Some(b""), ..from(address("203.0.113.9")) };
        assert_eq!(Origin::of(&submission, &trust()), Origin::Untrusted);
    }

    #[test]
    fn daemon_names_are_compared_exactly() {
        let submission = Submission { daemon_name: Some(b"ORIGINATING"), ..from(address("203.0.113.9")) };
        assert_eq!(Origin::of(&submission, &trust()), Origin::Daemon);
        let submission = Submission { daemon_name: Some(b"ORIGINATING2"), ..from(address("203.0.113.9")) };
        assert_eq!(Origin::of(&submission, &trust()), Origin::Untrusted);
    }

    #[test]
    fn networks_know_loopback_and_mapped_addresses() {
        assert_eq!(Origin::of(&from(address("192.0.2.7")), &trust()), Origin::Network);
        assert_eq!(Origin::of(&from(address("::ffff:192.0.2.7")), &trust()), Origin::Network);
        assert_eq!(Origin::of(&from(address("127.0.0.1")), &trust()), Origin::ThisMachine);
        assert_eq!(Origin::of(&from(address("::1")), &trust()), Origin::ThisMachine);
        assert_eq!(Origin::of(&from(address("203.0.113.9")), &trust()), Origin::Untrusted);
    }

    #[test]
    fn an_unknown_client_is_never_trusted_for_its_place() {
        assert_eq!(Origin::of(&from(Peer::Unknown), &trust()), Origin::Untrusted);
        assert_eq!(Origin::of(&from(Peer::Local), &trust()), Origin::ThisMachine);
        let trust = Trust { local_submission: false, ..trust() };
        assert_eq!(Origin::of(&from(Peer::Local), &trust), Origin::Untrusted);
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
