//! A message that is asked about, as an MTA would describe it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::policy::Peer;

/// What the MTA says of a message, and its header.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Question {
    /// Where the MTA's client is.
    pub client: Client,
    /// The client's name as the MTA verified it; empty where it has none.
    pub host: String,
    /// Macros by their names without braces.
    pub macros: BTreeMap<String, String>,
    /// The envelope sender.
    pub sender: String,
    /// The parameters of MAIL, such as `BODY=8BITMIME`.
    pub parameters: Vec<String>,
    /// The envelope's recipients; none: the MTA does not tell.
    pub recipients: Option<Vec<String>>,
    /// The `name` of the `[[listener]]` it comes through, or its socket; none: one that says nothing of its own.
    pub listener: Option<String>,
    /// The header's octets, as in a message.
    pub header: Octets,
}

/// Where the MTA's client is: an address, `local` (no network was involved) or `unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client(pub Peer);

/// Why a text names no client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no IP address; name one, or \"local\" or \"unknown\"")]
pub struct ClientError {
    /// The text.
    pub given: String,
}

/// Any octets; in JSON as base64.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Octets(pub Vec<u8>);

impl Default for Client {
    fn default() -> Self {
        Self(Peer::Unknown)
    }
}

impl FromStr for Client {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "local" => Ok(Self(Peer::Local)),
            "unknown" => Ok(Self(Peer::Unknown)),
            address => match address.parse() {
                Ok(address) => Ok(Self(Peer::Address(address))),
                Err(_) => Err(ClientError { given: text.to_owned() }),
            },
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Peer::Address(address) => write!(f, "{address}"),
            Peer::Local => f.write_str("local"),
            Peer::Unknown => f.write_str("unknown"),
        }
    }
}

impl Serialize for Client {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Client {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_survives_its_way_whatever_octets_it_has() {
        let question = Question {
            client: "2001:db8::1".parse().unwrap(),
            macros: BTreeMap::from([("auth_authen".into(), "j\u{1b}oe\n".into())]),
            recipients: Some(Vec::new()),
            header: Octets(b"From: \xff\0\r\n".to_vec()),
            ..Question::default()
        };
        let line = serde_json::to_string(&question).unwrap();
        assert!(!line.contains('\n'), "{line}");
        assert_eq!(serde_json::from_str::<Question>(&line).unwrap(), question);
        assert_eq!(serde_json::from_str::<Question>("{\"newer\":1}").unwrap(), Question::default());
    }

    #[test]
    fn a_client_is_an_address_or_one_of_two_words() {
        for text in ["192.0.2.1", "2001:db8::1", "local", "unknown"] {
            assert_eq!(text.parse::<Client>().unwrap().to_string(), text);
        }
        assert!("mail.example.com".parse::<Client>().is_err());
    }
}
