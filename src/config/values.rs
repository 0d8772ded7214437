//! Values as people write them: durations, sizes, networks, modes, accounts. Every error names the value and shows a
//! right one.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use ipnet::IpNet;
use jiff::{SignedDuration, SpanRelativeTo};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::publisher::{ApiUrl, DomainPattern, NameServer};
use super::running::Threads;
use super::slots::TargetTemplate;
use super::socket::ListenAddress;
use crate::dkim::CanonicalizationPair;
use crate::manifest::SelectorTemplate;
use crate::policy::{AddressPattern, HostPattern, Identity, MacroCondition, PeerPattern, Share, Signer};

/// A duration such as `5s`, `100ms`, `1h 30m` or `5d` (days of 24 hours).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(pub Duration);

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no duration; write a number and its unit, such as \"5s\", \"100ms\", \"1h 30m\" or \"5d\"")]
pub struct PeriodError {
    given: String,
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::Span>()
            .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
            .ok()
            .and_then(|duration| Duration::try_from(duration).ok())
            .map(Self)
            .ok_or_else(|| PeriodError { given: text.into() })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: u64 = 24 * 60 * 60;
        let seconds = self.0.as_secs();
        if self.0.subsec_nanos() == 0 && seconds >= DAY && seconds.is_multiple_of(DAY) {
            return write!(f, "{}d", seconds / DAY);
        }
        match SignedDuration::try_from(self.0) {
            Ok(duration) => write!(f, "{duration:#}"),
            Err(_) => write!(f, "{seconds}s"),
        }
    }
}

/// How long a signature is valid: a duration, or `never` to give it no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// No x=.
    Never,
    /// x= so long after t=.
    After(Duration),
}

impl FromStr for Expiry {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "never" => Ok(Self::Never),
            _ => text.parse::<Period>().map(|period| Self::After(period.0)),
        }
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::After(duration) => Period(*duration).fmt(f),
        }
    }
}

/// A number of octets such as `64 KiB`, `1 MiB` or `500 kB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no size; write a number and its unit, such as \"64 KiB\" or \"1 MiB\"")]
pub struct SizeError {
    given: String,
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<ByteSize>().map(|size| Self(size.as_u64())).map_err(|_| SizeError { given: text.into() })
    }
}

impl fmt::Display for Size {
    /// Exactly, in the largest unit that allows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, name) in [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
            if self.0 >= unit && self.0.is_multiple_of(unit) {
                return write!(f, "{} {name}", self.0 / unit);
            }
        }
        write!(f, "{} B", self.0)
    }
}

/// A network such as `192.0.2.0/24` or `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(pub IpNet);

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Not an address, or no such prefix length.
    #[error(
        "{given:?} is no network; write an address and a prefix length, such as \"192.0.2.0/24\" or \"2001:db8::/32\""
    )]
    Form {
        /// The text as given.
        given: String,
    },
    /// More of the address is given than the prefix says.
    #[error(
        "network {given:?} has bits set beyond its prefix; write \"{network}\" for the network, \"{address}\" for the one address"
    )]
    HostBits {
        /// The text as given.
        given: String,
        /// The network alone.
        network: IpNet,
        /// The address alone.
        address: std::net::IpAddr,
    },
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<std::net::IpAddr>() {
            return Ok(Self(address.into()));
        }
        let network: IpNet = text.parse().map_err(|_| NetworkError::Form { given: text.into() })?;
        if network.trunc() != network {
            return Err(NetworkError::HostBits {
                given: text.into(),
                network: network.trunc(),
                address: network.addr(),
            });
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The address of a DNS server, with its port where that is not 53: `192.0.2.53`, `192.0.2.53:5353`,
/// `[2001:db8::53]:5353`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DnsServer(pub SocketAddr);

/// Why a text is no address of a DNS server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no address; write one such as \"192.0.2.53\", \"192.0.2.53:5353\" or \"[2001:db8::53]:5353\"")]
pub struct DnsServerError {
    given: String,
}

impl DnsServer {
    /// The port on which the DNS is served (RFC 1035 §4.2).
    pub const PORT: u16 = 53;
}

impl FromStr for DnsServer {
    type Err = DnsServerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let alone = || text.parse::<IpAddr>().map(|address| SocketAddr::new(address, Self::PORT));
        text.parse().or_else(|_| alone()).map(Self).map_err(|_| DnsServerError { given: text.into() })
    }
}

impl fmt::Display for DnsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.port() {
            Self::PORT => self.0.ip().fmt(f),
            _ => self.0.fmt(f),
        }
    }
}

/// Permission bits in octal, such as `0660`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

/// Why a text is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no mode; write permission bits in octal, such as \"0660\"")]
pub struct ModeError {
    given: String,
}

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|octet| (b'0'..=b'7').contains(&octet));
        let bits = if octal { u32::from_str_radix(text, 8).ok() } else { None };
        bits.filter(|bits| *bits <= 0o777).map(Self).ok_or_else(|| ModeError { given: text.into() })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// A user or a group, by name or by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// By name.
    Name(String),
    /// By id.
    Id(u32),
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Id(id) => id.fmt(f),
        }
    }
}

impl Serialize for Account {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Name(name) => serializer.serialize_str(name),
            Self::Id(id) => serializer.serialize_u32(*id),
        }
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AccountVisitor;

        impl Visitor<'_> for AccountVisitor {
            type Value = Account;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name or the id of a user or group")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Account, E> {
                if text.is_empty() {
                    return Err(E::invalid_value(de::Unexpected::Str(text), &self));
                }
                Ok(text.parse().map_or_else(|_| Account::Name(text.to_owned()), Account::Id))
            }

            fn visit_i64<E: de::Error>(self, id: i64) -> Result<Account, E> {
                u32::try_from(id).map(Account::Id).map_err(|_| E::invalid_value(de::Unexpected::Signed(id), &self))
            }
        }

        deserializer.deserialize_any(AccountVisitor)
    }
}

impl Serialize for Threads {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Automatic => serializer.serialize_u64(0),
            Self::Count(count) => count.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Threads {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let threads = |number| Some(NonZeroUsize::new(number).map_or(Self::Automatic, Self::Count));
        counted(deserializer, "a number of threads, or 0 for as many as there are cores", threads)
    }
}

/// A share of a hundred, from 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(pub u8);

impl Percent {
    /// So many of a number, rounded up.
    pub fn of(self, number: usize) -> usize {
        number.saturating_mul(usize::from(self.0)).div_ceil(100)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let share = |number| u8::try_from(number).ok().filter(|share| *share <= 100).map(Self);
        counted(deserializer, "a number from 0 to 100", share)
    }
}

/// A number of at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub NonZeroUsize);

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        counted(deserializer, "a number of at least 1", |number| NonZeroUsize::new(number).map(Self))
    }
}

/// Reads a number that is not negative and takes it if it can be taken.
fn counted<'de, T, D: Deserializer<'de>>(
    deserializer: D,
    expecting: &'static str,
    take: impl FnOnce(usize) -> Option<T>,
) -> Result<T, D::Error> {
    struct Counted<F>(&'static str, F);

    impl<T, F: FnOnce(usize) -> Option<T>> Visitor<'_> for Counted<F> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
            let Self(expecting, take) = self;
            let taken = usize::try_from(number).ok().and_then(take);
            taken.ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &expecting))
        }
    }

    deserializer.deserialize_i64(Counted(expecting, take))
}

/// The schema of a type: what it is in TOML, and what the reference calls it.
macro_rules! titled {
    ($name:ident, $type:tt, $title:literal) => {
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": $type, "title": $title })
            }
        }
    };
}

titled!(Account, ["string", "integer"], "name or id");
titled!(Threads, "integer", "number");
titled!(Count, "integer", "number");
titled!(Percent, "integer", "percent");
titled!(ListenAddress, "string", "socket");

/// Serde as a string, for each type.
macro_rules! as_string {
    ($($name:ident called $title:literal expecting $expecting:literal),* $(,)?) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                parsed(deserializer, $expecting)
            }
        }

        titled!($name, "string", $title);
    )*};
}

as_string!(
    Period called "duration" expecting "a duration in quotes such as \"5s\"",
    Expiry called r#"duration or `"never"`"# expecting "a duration in quotes such as \"14d\", or \"never\"",
    Size called "size" expecting "a size in quotes such as \"64 KiB\"",
    Network called "network" expecting "a network in quotes such as \"192.0.2.0/24\"",
    DnsServer called "address" expecting "an address in quotes such as \"192.0.2.53\"",
    NameServer called "server" expecting "a server in quotes such as \"192.0.2.53\" or \"ns1.example.com\"",
    ApiUrl called "URL" expecting "a URL in quotes such as \"http://127.0.0.1:8081\"",
    DomainPattern called "domain pattern" expecting "a domain in quotes such as \"example.com\" or \"*.example.com\"",
    SelectorTemplate called "selector template" expecting "a template in quotes such as \"{date}{algorithm}\"",
    TargetTemplate called "name template" expecting "a name in quotes such as \"{selector}.{domain}._dkim.example.net\"",
    AddressPattern called "pattern" expecting "a pattern in quotes such as \"example.com\" or \"joe@example.com\"",
    HostPattern called "host pattern" expecting "a host in quotes such as \"mail.example.com\" or \"*.example.com\"",
    PeerPattern called "network or host pattern"
        expecting "a network or a host in quotes such as \"192.0.2.0/24\" or \"mail.example.com\"",
    MacroCondition called "macro" expecting "a macro in quotes such as \"{name}\" or \"{name}=value\"",
    Signer called "signer"
        expecting "a domain in quotes such as \"example.com\", or a key such as \"selector._domainkey.example.com\"",
    Identity called r#"i=, `"author"` or `"author-domain"`"#
        expecting "an identity in quotes such as \"@example.com\", or \"author\"",
    Share called "share" expecting "a percentage in quotes such as \"50%\"",
    Mode called "octal mode" expecting "a mode in octal and in quotes such as \"0660\"",
    CanonicalizationPair called "`\"relaxed\"` or `\"simple\"`, twice"
        expecting "a canonicalization in quotes such as \"relaxed/relaxed\"",
);

/// Reads a string and parses it.
pub(super) fn parsed<'de, T, D>(deserializer: D, expecting: &'static str) -> Result<T, D::Error>
where
    T: FromStr,
    T::Err: fmt::Display,
    D: Deserializer<'de>,
{
    struct Parsed<T>(&'static str, PhantomData<T>);

    impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Parsed<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Parsed(expecting, PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them_and_written_again() {
        for (text, seconds) in
            [("5s", 5), ("1h 30m", 5400), ("5d", 432_000), ("7260s", 7260), ("0s", 0), ("2 weeks", 1_209_600)]
        {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.0, Duration::from_secs(seconds), "{text}");
            assert_eq!(period.to_string().parse(), Ok(period), "{text}");
        }
        assert_eq!("100ms".parse(), Ok(Period(Duration::from_millis(100))));
        assert_eq!(Period(Duration::from_secs(432_000)).to_string(), "5d");
        for wrong in ["", "5", "5 months", "-5s", "5s ago", "soon"] {
            assert!(wrong.parse::<Period>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_expiry_may_be_never() {
        assert_eq!("never".parse(), Ok(Expiry::Never));
        assert_eq!("14d".parse(), Ok(Expiry::After(Duration::from_secs(14 * 86_400))));
    }

    #[test]
    fn sizes_are_exact() {
        for text in ["64 KiB", "1 MiB", "1025 B", "3 GiB", "0 B"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        assert_eq!("500 kB".parse(), Ok(Size(500_000)));
        assert!("many".parse::<Size>().is_err());
        assert!("-1 KiB".parse::<Size>().is_err());
    }

    #[test]
    fn a_network_with_host_bits_is_corrected() {
        let error = "127.0.0.1/8".parse::<Network>().unwrap_err().to_string();
        assert!(error.contains("write \"127.0.0.0/8\" for the network, \"127.0.0.1\" for the one address"), "{error}");
        assert_eq!("192.0.2.1".parse::<Network>().unwrap().to_string(), "192.0.2.1/32");
        assert_eq!("::1".parse::<Network>().unwrap().to_string(), "::1/128");
        assert!("192.0.2.0/33".parse::<Network>().is_err());
        assert!("localhost".parse::<Network>().is_err());
    }

    #[test]
    fn a_dns_server_has_a_port_where_it_is_not_53() {
        for text in ["192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]:5353"] {
            assert_eq!(text.parse::<DnsServer>().unwrap().to_string(), text);
        }
        assert_eq!("[2001:db8::53]:53".parse::<DnsServer>().unwrap().to_string(), "2001:db8::53");
        for wrong in ["", "ns.example.com", "192.0.2.53:", "192.0.2"] {
            assert!(wrong.parse::<DnsServer>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn modes_are_octal_permission_bits() {
        assert_eq!("0660".parse(), Ok(Mode(0o660)));
        assert_eq!("600".parse(), Ok(Mode(0o600)));
        for wrong in ["", "0668", "1777", "0o660", "rw-rw----", "00660", "+660"] {
            assert!(wrong.parse::<Mode>().is_err(), "{wrong}");
        }
    }
}
