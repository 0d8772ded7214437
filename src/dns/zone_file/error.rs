//! What can be wrong with a zone file.

use std::path::PathBuf;

/// A zone file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {problem}", path.display())]
pub struct ZoneFileError {
    /// The file.
    pub path: PathBuf,
    /// The line on which the record or string begins, counted from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub problem: ZoneFileProblem,
}

/// What is wrong in a zone file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZoneFileProblem {
    /// A quotation mark has no partner on its line.
    #[error("a quoted string has no end on its line; close it with \"")]
    OpenQuote,
    /// A parenthesis has no partner.
    #[error("a parenthesis is not closed, or was never opened; put ( and ) in pairs")]
    Parenthesis,
    /// A backslash that quotes nothing.
    #[error("an escape is wrong; write \\ and three decimal digits up to 255, or \\ and the character itself")]
    Escape,
    /// A string longer than its length octet can say.
    #[error("a string of {length} octets; split it into quoted strings of at most 255 octets each")]
    StringTooLong {
        /// Octets.
        length: usize,
    },
    /// A relative name where no origin is known.
    #[error(
        "the name {name:?} is relative and no origin is known; begin the file with $ORIGIN, or end the name with a dot"
    )]
    NoOrigin {
        /// The name.
        name: String,
    },
    /// A name that is none.
    #[error("{name:?} is no domain name; its labels have 1 to 63 octets, and it has at most 253")]
    Name {
        /// The name.
        name: String,
    },
    /// The first record begins with a blank.
    #[error("the record has no name and there is none before it; begin the line with a name or @")]
    NoOwner,
    /// No TTL anywhere.
    #[error("the record has no TTL; begin the file with one such as $TTL 3600")]
    NoTtl,
    /// A TTL that is none.
    #[error("{ttl:?} is no TTL; write seconds, or a number with s, m, h, d or w")]
    Ttl {
        /// What stands there.
        ttl: String,
    },
    /// There is no type.
    #[error("the record has no type; write it as: name TTL IN TXT \"...\"")]
    NoType,
    /// The data does not fit the type.
    #[error("the data does not fit the type {record_type}; {expected}")]
    Data {
        /// The type.
        record_type: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
    /// A directive that is not followed.
    #[error("{directive} is not followed here; give a file that holds the records themselves")]
    Directive {
        /// The directive.
        directive: &'static str,
    },
    /// Two SOA records.
    #[error("a second SOA record; give the file of one zone")]
    SecondSoa,
}
