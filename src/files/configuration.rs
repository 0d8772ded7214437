//! Reads the configuration file.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::accounts::SystemAccounts;
use crate::config::{self, Config, MAX_OCTETS};
use crate::finding::{Finding, Place, Severity};

/// Where the configuration is when nobody says.
pub const DEFAULT_PATH: &str = "/etc/waxseal/waxseal.toml";

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be opened or read.
    #[error("cannot read the configuration file {}{}", path.display(), remedy(.source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a directory, a pipe or a device.
    #[error("{} is no file; give the path of a configuration file", path.display())]
    NotAFile {
        /// What was given.
        path: PathBuf,
    },
    /// It was read, and this is wrong with it. Warnings are among the errors.
    #[error("the configuration cannot be used:{}", Lines(.0))]
    Invalid(Vec<Finding>),
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; make one with: waxseal init DOMAIN, or name another with --config",
        io::ErrorKind::PermissionDenied => "; see its owner, its mode and the directories above it",
        _ => "",
    }
}

/// Reads a configuration file, resolving the names of users and groups. Blocks on the file system. With the
/// configuration come warnings.
pub fn read(path: &Path) -> Result<(Config, Vec<Finding>), ConfigError> {
    let text = read_text(path)?;
    config::parse(path, &text, &SystemAccounts).map_err(ConfigError::Invalid)
}

/// The text of the file, at most [`MAX_OCTETS`] of UTF-8.
fn read_text(path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    // Opening a pipe would wait for somebody to write to it.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(ConfigError::NotAFile { path: path.to_owned() });
    }
    let mut octets = Vec::new();
    let limit = MAX_OCTETS as u64 + 1;
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut octets)).map_err(failed)?;
    if octets.len() > MAX_OCTETS {
        return Err(ConfigError::Invalid(vec![config::too_long(path)]));
    }
    String::from_utf8(octets).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        ConfigError::Invalid(vec![not_utf8(path, error.as_bytes(), good)])
    })
}

fn not_utf8(path: &Path, octets: &[u8], good: usize) -> Finding {
    let before = String::from_utf8_lossy(octets.get(..good).unwrap_or_default());
    let octet = octets.get(good).copied().unwrap_or_default();
    Finding::new(
        "config.not_utf8",
        Severity::Error,
        Place::Line {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
        },
        format!("the octet 0x{octet:02x} is no UTF-8, so the file is no TOML"),
        "save the file as UTF-8, or give the path of a configuration file",
    )
}

/// Findings, each on a line of its own.
struct Lines<'f>(&'f [Finding]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|finding| write!(f, "\n{finding}"))
    }
}
