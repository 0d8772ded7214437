//! Who may read.
//!
//! With a token, who shows it: `Authorization: Bearer TOKEN` (RFC 6750), or as the password of `Basic` (RFC 7617), which
//! browsers ask for. Without one, over TCP, who asks for this machine by its address or as localhost: a page of some other
//! site could have its own name lead here, and read along in a browser on this machine.

use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST};

use crate::files::token::Token;

/// Whether somebody may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// Yes.
    Welcome,
    /// Only with the token.
    TokenMissing,
    /// Not by the name that was asked for.
    ForeignName,
}

/// How somebody came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By a Unix socket, which the file system guards.
    Unix,
    /// Over TCP.
    Tcp,
}

/// Judges a request by its header.
pub(super) fn admit(headers: &HeaderMap, token: Option<&Token>, way: Way) -> Admission {
    match (token, way) {
        (Some(token), _) if shows(headers, token) => Admission::Welcome,
        (Some(_), _) => Admission::TokenMissing,
        (None, Way::Unix) => Admission::Welcome,
        (None, Way::Tcp) if names_this_machine(headers) => Admission::Welcome,
        (None, Way::Tcp) => Admission::ForeignName,
    }
}

fn shows(headers: &HeaderMap, token: &Token) -> bool {
    let Some((scheme, credentials)) =
        headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| value.split_once(' '))
    else {
        return false;
    };
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return token.is(credentials.as_bytes());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let Ok(pair) = STANDARD.decode(credentials) else { return false };
        let password = pair.splitn(2, |octet| *octet == b':').nth(1);
        return password.is_some_and(|password| token.is(password));
    }
    false
}

/// Host (RFC 9110 §7.2) is an address or localhost. HTTP/1.0 has none.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|octet| octet.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost")
        || host.parse::<SocketAddr>().is_ok()
        || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use hyper::header::HeaderValue;

    use super::*;

    fn header(name: hyper::header::HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn without_a_token_only_this_machine_is_asked_for() {
        for host in ["localhost", "LOCALHOST:8893", "127.0.0.1", "127.0.0.1:8893", "[::1]:8893", "[::1]", "192.0.2.1"] {
            assert_eq!(admit(&header(HOST, host), None, Way::Tcp), Admission::Welcome, "{host}");
        }
        for host in ["evil.example", "evil.example:8893", "localhost.evil.example", "127.0.0.1.evil.example", ""] {
            assert_eq!(admit(&header(HOST, host), None, Way::Tcp), Admission::ForeignName, "{host}");
            assert_eq!(admit(&header(HOST, host), None, Way::Unix), Admission::Welcome, "{host}");
        }
    }

    #[test]
    fn a_token_is_taken_from_machines_and_from_browsers() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "0123456789abcdef").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let token = Token::read(&path).unwrap();
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for good in ["Bearer 0123456789abcdef".into(), "bearer 0123456789abcdef".into(), basic("me:0123456789abcdef")] {
            assert_eq!(admit(&header(AUTHORIZATION, &good), Some(&token), Way::Tcp), Admission::Welcome, "{good}");
        }
        let bad = [
            "Bearer 0123456789abcdeg".into(),
            "Bearer".into(),
            "Basic !".into(),
            basic("0123456789abcdef"),
            "x y".into(),
        ];
        for bad in bad {
            assert_eq!(admit(&header(AUTHORIZATION, &bad), Some(&token), Way::Unix), Admission::TokenMissing, "{bad}");
        }
        assert_eq!(admit(&header(HOST, "localhost"), Some(&token), Way::Tcp), Admission::TokenMissing);
    }
}
