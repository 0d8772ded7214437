//! Who is trusted with our signatures.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::login::{EnvelopeMatch, Logins};
use super::pattern::{HostPattern, PeerPattern};
use crate::names::DomainName;

/// Who is trusted with our signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// Clients that logged in.
    pub authenticated: bool,
    /// Networks whose clients are trusted.
    pub networks: Vec<IpNet>,
    /// Names of clients that are trusted, as the MTA found and verified them.
    pub hosts: Vec<HostPattern>,
    /// Clients never trusted for their address or name, whatever `networks` and `hosts` say: proxies, behind which
    /// anybody may be.
    pub except: Vec<PeerPattern>,
    /// Values of `{daemon_name}`, compared octet by octet, whose clients are trusted.
    pub daemon_names: Vec<String>,
    /// Macros whose presence or value makes a message trusted.
    pub macros: Vec<MacroCondition>,
    /// Mail submitted on this machine without a network.
    pub local_submission: bool,
    /// Whether mail that is trusted only because it came from this machine is signed though it has been received
    /// before. Listeners and rules may differ.
    pub sign_relayed: bool,
    /// Clients whose mail is none of our business, whatever else is known of it.
    pub ignore: Vec<PeerPattern>,
    /// Which authors a login may write as.
    pub logins: Logins,
    /// How the envelope sender must fit the author.
    pub match_envelope: EnvelopeMatch,
}

impl Trust {
    /// Whether a client's address is in a trusted network, proxies aside.
    pub fn covers(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.networks.iter().any(|network| network.contains(&client)) && !self.excepts(Some(client), None)
    }

    /// Whether a client is never trusted for its address or name.
    pub fn excepts(&self, client: Option<IpAddr>, host: Option<&DomainName>) -> bool {
        self.except.iter().any(|pattern| pattern.matches(client, host))
    }
}

/// A macro that makes a message trusted: `{name}` if it has a value at all, `{name}=value` if it has that one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MacroCondition {
    name: String,
    value: Option<String>,
}

/// Why a text is no condition on a macro.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no macro; write \"{{name}}\" to trust any value of it, \"{{name}}=value\" to trust that one")]
pub struct MacroConditionError {
    given: String,
}

impl MacroCondition {
    /// The macro's name, without braces.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name as it stands in a list for the MTA: letters alone as they are, longer ones in braces.
    pub fn listed_name(&self) -> String {
        if self.name.len() == 1 { self.name.clone() } else { format!("{{{}}}", self.name) }
    }

    /// The value that is trusted; none where any is that is not empty.
    pub fn wanted(&self) -> Option<&str> {
        self.value.as_deref()
    }

    /// Whether the macro's value makes a message trusted. Values are compared octet by octet.
    pub fn holds(&self, value: Option<&[u8]>) -> bool {
        match (&self.value, value) {
            (Some(wanted), Some(value)) => wanted.as_bytes() == value,
            (None, Some(value)) => !value.is_empty(),
            (_, None) => false,
        }
    }
}

impl FromStr for MacroCondition {
    type Err = MacroConditionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || MacroConditionError { given: text.into() };
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let in_braces = name.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
        let name = in_braces.unwrap_or(name);
        let is_name = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_')
            || name.len() == 1
                && name.bytes().all(|octet| octet.is_ascii_graphic() && !matches!(octet, b'{' | b'}' | b'='));
        let is_value = value.is_none_or(|value| !value.is_empty() && !value.contains('\0'));
        if is_name && is_value {
            Ok(Self { name: name.to_owned(), value: value.map(str::to_owned) })
        } else {
            Err(fail())
        }
    }
}

impl fmt::Display for MacroCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{{{}}}={value}", self.name),
            None => write!(f, "{{{}}}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_macro_is_trusted_for_having_a_value_or_for_one_value() {
        let any: MacroCondition = "{auth_ssf}".parse().unwrap();
        assert!(any.holds(Some(b"128")) && !any.holds(Some(b"")) && !any.holds(None));
        let one: MacroCondition = "mail_mailer=smtp=x".parse().unwrap();
        assert_eq!((one.name(), one.wanted()), ("mail_mailer", Some("smtp=x")));
        assert!(one.holds(Some(b"smtp=x")) && !one.holds(Some(b"SMTP=x")) && !one.holds(None));
        assert_eq!("j".parse::<MacroCondition>().unwrap().listed_name(), "j");
        assert_eq!(any.listed_name(), "{auth_ssf}");
        assert_eq!("_=x".parse::<MacroCondition>().unwrap().name(), "_");
    }

    #[test]
    fn what_no_mta_could_send_is_no_condition() {
        for wrong in ["", "{}", "{a b}", "{a}=", "=x", "{a", "a\0", "{a}=\0", "{a-b}"] {
            assert!(wrong.parse::<MacroCondition>().is_err(), "{wrong:?}");
        }
    }
}
