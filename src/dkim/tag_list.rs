//! Tag lists (RFC 6376 §3.2): the syntax that signatures and key records share.

use std::collections::BTreeSet;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Padding may be missing: some providers' panels cut it off.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The tags of one list in their order, values without the white space around them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TagList<'a>(Vec<(&'a str, &'a [u8])>);

/// One part of a list between semicolons, right or wrong: for those who tell people what is wrong with a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawTag<'a> {
    /// Counted from 1.
    pub position: usize,
    /// Octets of the list before its value, or before the part where it has no `=`.
    pub offset: usize,
    /// What stands before the first `=`, without white space around it; all where there is none.
    pub name: &'a [u8],
    /// What stands after it, without white space around it.
    pub value: Option<&'a [u8]>,
}

/// The parts of a list in their order, whether they are tags or not. The semicolon at the end separates nothing.
pub fn raw_tags(octets: &[u8]) -> impl Iterator<Item = RawTag<'_>> {
    let start = octets.len() - octets.trim_ascii_start().len();
    let list = octets.trim_ascii();
    let list = list.strip_suffix(b";").unwrap_or(list);
    let mut next = start;
    list.split(|octet| *octet == b';').zip(1..).map(move |(part, position)| {
        let before = next;
        next += part.len() + 1;
        let equals = memchr::memchr(b'=', part);
        let name = part[..equals.unwrap_or(part.len())].trim_ascii();
        let value = equals.map(|equals| &part[equals + 1..]);
        let offset = before + value.map_or(0, |value| part.len() - value.trim_ascii_start().len());
        RawTag { position, offset, name, value: value.map(<[u8]>::trim_ascii) }
    })
}

/// Why octets are no tag list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TagListError {
    /// Nothing between two semicolons, or nothing at all.
    #[error("tag {position} is empty; separate tags by one semicolon")]
    Empty {
        /// Counted from 1.
        position: usize,
    },
    /// No equals sign.
    #[error("tag {position} has no `=`")]
    NoValue {
        /// Counted from 1.
        position: usize,
    },
    /// Not a letter followed by letters, digits and underscores.
    #[error("the name of tag {position} is not a letter followed by letters, digits and underscores")]
    Name {
        /// Counted from 1.
        position: usize,
    },
    /// The same name twice, which makes the whole list invalid.
    #[error("the tag `{name}=` stands there twice")]
    Duplicate {
        /// The tag's name.
        name: String,
    },
    /// A control character in a value.
    #[error("the value of `{name}=` holds the control character 0x{octet:02x}")]
    Octet {
        /// The tag's name.
        name: String,
        /// The octet.
        octet: u8,
    },
}

impl<'a> TagList<'a> {
    /// Parses a list; octets above ASCII are allowed in values (RFC 8616 §5).
    pub(super) fn parse(octets: &'a [u8]) -> Result<Self, TagListError> {
        let mut tags: Vec<(&str, &[u8])> = Vec::new();
        // A record of 64 KB can have more tags than should be held against one another.
        let mut names = BTreeSet::new();
        for RawTag { position, name, value, .. } in raw_tags(octets) {
            if name.is_empty() && value.is_none() {
                return Err(TagListError::Empty { position });
            }
            let value = value.ok_or(TagListError::NoValue { position })?;
            let name = as_name(name).ok_or(TagListError::Name { position })?;
            if !names.insert(name) {
                return Err(TagListError::Duplicate { name: name.into() });
            }
            let is_control = |octet: &u8| octet.is_ascii_control() && !octet.is_ascii_whitespace();
            if let Some(&octet) = value.iter().find(|octet| is_control(octet)) {
                return Err(TagListError::Octet { name: name.into(), octet });
            }
            tags.push((name, value));
        }
        Ok(Self(tags))
    }

    /// All tags in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.0.iter().copied()
    }

    /// One tag's value.
    pub(super) fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// One tag's value as text, other octets than UTF-8 replaced.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.value(name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// One tag's value as base64, white space in it ignored (RFC 6376 §2.10); `Some(None)` where it is not base64.
    pub(super) fn base64(&self, name: &str) -> Option<Option<Vec<u8>>> {
        self.value(name).map(base64_decode)
    }
}

/// The items of a list separated by colons, white space around them removed (h=, s=, t=).
pub(super) fn items(value: &[u8]) -> Vec<String> {
    value.split(|octet| *octet == b':').map(|item| String::from_utf8_lossy(item.trim_ascii()).into_owned()).collect()
}

fn as_name(name: &[u8]) -> Option<&str> {
    let (first, rest) = name.split_first()?;
    let is_name =
        first.is_ascii_alphabetic() && rest.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'_');
    if is_name { std::str::from_utf8(name).ok() } else { None }
}

/// Decodes base64 with white space in it (RFC 6376 §2.10).
fn base64_decode(value: &[u8]) -> Option<Vec<u8>> {
    // Most have none.
    BASE64.decode(value).ok().or_else(|| {
        let dense: Vec<u8> = value.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
        BASE64.decode(dense).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_names_and_values_is_no_part_of_them() {
        let list = TagList::parse(b" a =\r\n\t1 2 ;\tb_2= ; c=x=y;\r\n ").unwrap();
        let tags: Vec<_> = list.iter().collect();
        assert_eq!(tags, [("a", b"1 2".as_slice()), ("b_2", b""), ("c", b"x=y")]);
        assert_eq!(list.value("A"), None);
    }

    #[test]
    fn the_parts_of_a_broken_list_are_found_with_their_places() {
        let list = b" a= 1;;b; a=2=3 ; ";
        let parts: Vec<_> = raw_tags(list).map(|tag| (tag.position, tag.name, tag.value)).collect();
        let none: &[u8] = b"";
        let [one, two]: [&[u8]; 2] = [b"1", b"2=3"];
        assert_eq!(parts, [(1, b"a".as_slice(), Some(one)), (2, none, None), (3, b"b", None), (4, b"a", Some(two))]);
        for tag in raw_tags(list) {
            let expected = tag.value.unwrap_or(tag.name);
            assert_eq!(&list[tag.offset..][..expected.len()], expected);
        }
        assert_eq!(raw_tags(b"").count(), 1);
    }

    #[test]
    fn what_is_no_tag_list_is_told() {
        assert_eq!(TagList::parse(b""), Err(TagListError::Empty { position: 1 }));
        assert_eq!(TagList::parse(b"a=1;;b=2"), Err(TagListError::Empty { position: 2 }));
        assert_eq!(TagList::parse(b"a=1; b"), Err(TagListError::NoValue { position: 2 }));
        assert_eq!(TagList::parse(b"1a=1"), Err(TagListError::Name { position: 1 }));
        assert_eq!(TagList::parse(b"a=1;a=2"), Err(TagListError::Duplicate { name: "a".into() }));
        assert_eq!(TagList::parse(b"a=\0"), Err(TagListError::Octet { name: "a".into(), octet: 0 }));
    }
}
