//! What every way of publishing does.

use std::fmt;
use std::pin::Pin;

use super::PublishError;
use crate::observation::{Txt, presentation};

/// What becomes of an operation, later.
pub type Publishing<'a> = Pin<Box<dyn Future<Output = Result<Outcome, PublishError>> + Send + 'a>>;

/// A way to change TXT records of key records, and of no others.
///
/// Every operation may be repeated and cut off at any moment; repeated, it does what is left to do. `Done` and `AlreadySo`
/// mean that the interface took it, not that any server shows it.
pub trait Publisher: fmt::Debug + Send + Sync {
    /// Makes the record stand at its name, where nothing else stands.
    fn present<'a>(&'a self, record: &'a Record) -> Publishing<'a>;

    /// Puts `new` in the place of `old`, which has the same name. `Conflict` unless exactly `old` stands there (or `new`
    /// already).
    fn replace<'a>(&'a self, old: &'a Record, new: &'a Record) -> Publishing<'a>;

    /// Takes the record away, if what stands there has this value.
    fn absent<'a>(&'a self, record: &'a Record) -> Publishing<'a>;
}

/// What a publisher is to do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation<'a> {
    Present(&'a Record),
    Replace { old: &'a Record, new: &'a Record },
    Absent(&'a Record),
}

impl<'a> Operation<'a> {
    /// The record that is to be there, or go, or the one that stands; they have one name.
    pub(super) fn record(self) -> &'a Record {
        match self {
            Self::Present(record) | Self::Replace { old: record, .. } | Self::Absent(record) => record,
        }
    }
}

/// A TXT record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its owner, without the final dot.
    pub name: String,
    /// Seconds.
    pub ttl: u32,
    /// Its text, all strings joined. Printable ASCII in all records of ours.
    pub value: String,
}

impl Record {
    /// A record as it is to stand in DNS.
    pub fn new(name: impl Into<String>, ttl: u32, value: impl Into<String>) -> Self {
        Self { name: name.into(), ttl, value: value.into() }
    }

    /// Its text as the character-strings of a TXT record (RFC 1035 §3.3.14): at most 255 octets each.
    pub(super) fn strings(&self) -> Vec<&[u8]> {
        if self.value.is_empty() {
            return vec![b""];
        }
        self.value.as_bytes().chunks(255).collect()
    }

    /// Its text as a zone file has it: strings in quotes (RFC 1035 §5.1).
    pub(super) fn quoted(&self) -> String {
        let quoted = |string: &&[u8]| format!("\"{}\"", presentation(string).replace('"', "\\\""));
        self.strings().iter().map(quoted).collect::<Vec<_>>().join(" ")
    }

    /// Whether a record that stands in DNS has this text, however it is cut into strings.
    pub(super) fn has_value_of(&self, standing: &Txt) -> bool {
        standing.joined() == self.value.as_bytes()
    }
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was changed.
    Done,
    /// There was nothing to change.
    AlreadySo,
    /// Something else stands there. Nothing was changed.
    Conflict(Standing),
    /// It takes a human. Nothing was changed.
    ByHand {
        /// What to do, for people.
        instruction: String,
    },
}

/// What stands at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Nothing,
    /// These TXT records.
    Txt(Vec<Txt>),
    /// An alias.
    Cname {
        /// Where it points.
        target: String,
    },
    /// No TXT record and no alias, but something.
    OtherTypes,
    /// Something that was not said.
    Unknown,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("no record"),
            Self::Txt(records) => {
                f.write_str("TXT")?;
                for (number, record) in records.iter().enumerate() {
                    write!(f, "{} \"{}\"", if number > 0 { " and" } else { "" }, presentation(&record.joined()))?;
                }
                Ok(())
            }
            Self::Cname { target } => write!(f, "CNAME {target}"),
            Self::Unknown => f.write_str("something else"),
            Self::OtherTypes => f.write_str("records of other types than TXT"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_is_shown_without_control_characters() {
        let txt = |text: &str| Txt { strings: vec![text.into()], ttl: 60 };
        let standing = Standing::Txt(vec![txt("v=spf1"), txt("\x1b[31m")]);
        assert_eq!(standing.to_string(), "TXT \"v=spf1\" and \"\\027[31m\"");
    }

    #[test]
    fn long_values_are_cut_at_255_octets() {
        let record = Record { name: "s._domainkey.example.test".into(), ttl: 60, value: "a".repeat(600) };
        assert_eq!(record.strings().iter().map(|string| string.len()).collect::<Vec<_>>(), [255, 255, 90]);
        let standing = Txt { strings: vec![vec![b'a'; 100], vec![b'a'; 500]], ttl: 60 };
        assert!(record.has_value_of(&standing));
    }
}
