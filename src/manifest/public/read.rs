//! Public manifests from text, a domain at a time.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::PublicManifestError;
use super::line::{Line, VERSION};
use crate::manifest::parse::{Spot, WrittenBinding, contradictions};
use crate::manifest::v1::{Binding, DomainManifest, PrivateKeyPlace, Status, Tombstone};
use crate::names::{DomainName, Selector};

/// A public manifest whose domains were found and not yet read. Borrows its text.
#[derive(Debug)]
pub struct PublicManifest<'a> {
    domains: Vec<PublicDomain<'a>>,
    by_name: HashMap<DomainName, usize, ahash::RandomState>,
}

/// A domain of a public manifest; cheap until it is read.
#[derive(Debug, Clone)]
pub struct PublicDomain<'a> {
    domain: DomainName,
    body: &'a str,
    position: Position,
}

/// Whether other domains are meant to have the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Shared,
    Own,
}

/// A domain of a public manifest that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKeys {
    /// Its keys. Their private parts are nowhere ([`PrivateKeyPlace::None`]); the revision is 0, for it is of no store.
    pub manifest: DomainManifest,
    /// The line of each binding, in their order, and whether other domains are meant to have its key.
    lines: Vec<(usize, Sharing)>,
}

impl<'a> PublicManifest<'a> {
    /// Finds the domains. Their keys are read, and what is wrong with those is found, by [`PublicDomain::read`].
    ///
    /// # Errors
    /// The first place where the text is not JSON or not of this format, a domain that is none or stands there twice.
    pub fn parse(text: &'a str) -> Result<Self, PublicManifestError> {
        let start = Position { line: 1, column: 1 };
        let syntax = |source: serde_json::Error| start.syntax(None, source);
        let Top { version, domains } = serde_json::from_str(text).map_err(syntax)?;
        match version {
            Some(VERSION) => {}
            Some(found) if found > VERSION => return Err(PublicManifestError::NewerVersion { found }),
            Some(found) => return Err(PublicManifestError::NoSuchVersion { found }),
            None => return Err(syntax(serde_json::Error::missing_field("version"))),
        }
        let entries = match domains {
            Domains::Found(Entries(entries)) => entries,
            Domains::Raw(raw) => {
                let mut cursor = Cursor::new(text, 0, start);
                let position = cursor.advance(raw.get());
                serde_json::from_str::<Entries<'a>>(raw.get()).map_err(|error| position.syntax(None, error))?.0
            }
            Domains::Missing => return Err(syntax(serde_json::Error::missing_field("domains"))),
        };

        let mut cursor = Cursor::new(text, 0, start);
        let mut domains: Vec<PublicDomain<'a>> = Vec::with_capacity(entries.len());
        let mut by_name = HashMap::with_capacity_and_hasher(entries.len(), ahash::RandomState::new());
        for (name, body) in entries {
            let body = body.get();
            let position = cursor.advance(body);
            let Position { line, column } = position;
            let domain =
                DomainName::parse(&name).map_err(|source| PublicManifestError::Domain { line, column, source })?;
            if let Some(first) = by_name.insert(domain.clone(), domains.len()) {
                let first = domains[first].line();
                return Err(PublicManifestError::DomainTwice { line, column, domain, first });
            }
            domains.push(PublicDomain { domain, body, position });
        }
        Ok(Self { domains, by_name })
    }

    /// All domains, in the order of the file.
    pub fn domains(&self) -> &[PublicDomain<'a>] {
        &self.domains
    }

    /// One domain; none if it is not in the file.
    pub fn domain(&self, domain: &DomainName) -> Option<&PublicDomain<'a>> {
        self.by_name.get(domain).map(|index| &self.domains[*index])
    }
}

impl PublicDomain<'_> {
    /// The domain.
    pub fn domain(&self) -> &DomainName {
        &self.domain
    }

    /// The line on which it begins, counted from 1.
    pub fn line(&self) -> usize {
        self.position.line
    }

    /// Reads its keys.
    ///
    /// # Errors
    /// All that is wrong, each with its line; never empty.
    pub fn read(&self) -> Result<PublicKeys, Vec<PublicManifestError>> {
        let domain = &self.domain;
        let syntax = |position: Position, error| position.syntax(Some(domain), error);
        let Body { status, keys, tombstones } =
            serde_json::from_str(self.body).map_err(|error| vec![syntax(self.position, error)])?;
        let mut cursor = Cursor::new(self.body, 0, self.position);
        let (mut bindings, mut places) = (Vec::with_capacity(keys.len()), Vec::with_capacity(keys.len()));
        let mut sharings = Vec::with_capacity(keys.len());
        let (mut stones, mut stone_places) = (Vec::new(), Vec::new());
        let mut wrong = Vec::new();
        for raw in keys {
            let position = cursor.advance(raw.get());
            match read_line(raw, position, domain) {
                Ok((binding, sharing)) => {
                    bindings.push(binding);
                    places.push(position);
                    sharings.push(sharing);
                }
                Err(error) => wrong.push(error),
            }
        }
        // Hand-edited, they may stand before the keys.
        let mut cursor = Cursor::new(self.body, 0, self.position);
        for raw in tombstones {
            let position = cursor.advance(raw.get());
            match serde_json::from_str::<Tombstone>(raw.get()) {
                Ok(stone) => {
                    stones.push(stone);
                    stone_places.push(position);
                }
                Err(error) => wrong.push(syntax(position, error)),
            }
        }
        for (spot, contradiction) in contradictions(&bindings, &stones) {
            let Position { line, column } = match spot {
                Spot::Binding(index) => places[index],
                Spot::Tombstone(index) => stone_places[index],
            };
            let domain = domain.clone();
            wrong.push(PublicManifestError::Contradiction { line, column, domain, contradiction });
        }
        if !wrong.is_empty() {
            wrong.sort_by_key(PublicManifestError::line);
            return Err(wrong);
        }
        let manifest = DomainManifest { revision: 0, domain: domain.clone(), status, bindings, tombstones: stones };
        let lines = places.into_iter().map(|position| position.line).zip(sharings).collect();
        Ok(PublicKeys { manifest, lines })
    }
}

impl PublicKeys {
    /// The line of a selector's key, counted from 1; none if it has no such selector.
    pub fn line(&self, selector: &Selector) -> Option<usize> {
        self.place(selector).map(|(line, _)| line)
    }

    /// Whether other domains are meant to have the same key.
    pub fn is_shared(&self, selector: &Selector) -> bool {
        self.place(selector).is_some_and(|(_, sharing)| sharing == Sharing::Shared)
    }

    fn place(&self, selector: &Selector) -> Option<(usize, Sharing)> {
        let index = self.manifest.bindings.iter().position(|binding| binding.selector == *selector)?;
        self.lines.get(index).copied()
    }
}

fn read_line(
    raw: &RawValue,
    position: Position,
    domain: &DomainName,
) -> Result<(Binding, Sharing), PublicManifestError> {
    let line: Line = serde_json::from_str(raw.get()).map_err(|error| position.syntax(Some(domain), error))?;
    let sharing = if line.shared { Sharing::Shared } else { Sharing::Own };
    let written = WrittenBinding {
        selector: line.selector,
        state: line.state,
        held: None,
        compromised: line.compromised,
        witness: None,
        key_id: line.key_id,
        algorithm: line.algorithm,
        bits: line.bits,
        public_key: line.public_key,
        private_key: PrivateKeyPlace::None,
        origin: line.origin,
        created: line.created,
        record_ttl: line.record_ttl,
    };
    written.check().map(|binding| (binding, sharing)).map_err(|contradiction| {
        let Position { line, column } = position;
        PublicManifestError::Contradiction { line, column, domain: domain.clone(), contradiction }
    })
}

/// A place in the text, counted from 1; columns in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    line: usize,
    column: usize,
}

impl Position {
    /// An error in the part of the text that begins here.
    fn syntax(self, domain: Option<&DomainName>, source: serde_json::Error) -> PublicManifestError {
        let column = source.column().max(1);
        let (line, column) = match source.line() {
            0 | 1 => (self.line, self.column + column - 1),
            further => (self.line + further - 1, column),
        };
        PublicManifestError::Syntax { line, column, domain: domain.cloned(), source }
    }
}

/// Walks through text and counts its lines.
struct Cursor<'a> {
    text: &'a str,
    offset: usize,
    position: Position,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str, offset: usize, position: Position) -> Self {
        Self { text, offset, position }
    }

    /// Goes on to `part`, a later part of the text.
    fn advance(&mut self, part: &str) -> Position {
        let offset = part.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        let passed = self.text.as_bytes().get(self.offset..offset).unwrap_or_default();
        match memchr::memrchr(b'\n', passed) {
            Some(last) => {
                self.position.line += memchr::memchr_iter(b'\n', passed).count();
                self.position.column = passed.len() - last;
            }
            None => self.position.column += passed.len(),
        }
        self.offset = offset.max(self.offset);
        self.position
    }
}

/// The file. Fields that a newer version adds are not judged before the version is known.
struct Top<'a> {
    version: Option<u64>,
    domains: Domains<'a>,
}

enum Domains<'a> {
    Missing,
    /// The version was not known yet.
    Raw(&'a RawValue),
    Found(Entries<'a>),
}

impl<'de> Deserialize<'de> for Top<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Top<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a public manifest: an object with version and domains")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Top<'de>, A::Error> {
                let (mut version, mut domains, mut unknown) = (None, Domains::Missing, None);
                while let Some(field) = map.next_key::<Cow<'de, str>>()? {
                    match &*field {
                        "version" if version.is_some() => return Err(A::Error::duplicate_field("version")),
                        "version" => version = Some(map.next_value()?),
                        "domains" if !matches!(domains, Domains::Missing) => {
                            return Err(A::Error::duplicate_field("domains"));
                        }
                        "domains" if version == Some(VERSION) => domains = Domains::Found(map.next_value()?),
                        "domains" => domains = Domains::Raw(map.next_value()?),
                        other => {
                            unknown = Some(A::Error::unknown_field(other, &["version", "domains"]));
                            map.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                match unknown {
                    Some(unknown) if version == Some(VERSION) => Err(unknown),
                    _ => Ok(Top { version, domains }),
                }
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// Domains with what is said of each, twice if they stand there twice.
struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object whose names are domains")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

/// What is said of a domain.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    status: Status,
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    tombstones: Vec<&'a RawValue>,
}
