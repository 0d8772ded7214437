//! Zone files (RFC 1035 §5), seen as a server would serve them.
//!
//! Read here and not by hickory, whose parser knows no lines, takes `\DDD` for octal and follows `$INCLUDE` into any file.
//! Strings of TXT records are kept apart and to the octet. Types that matter to nobody here are read over.

mod error;
mod observe;
mod parse;
mod scan;

pub use error::{ZoneFileError, ZoneFileProblem};
pub use parse::ZoneFile;
