//! The tables of decisions in tests/data/decisions: who is signed for, and why not.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use waxseal::message::{Headers, Spacing};
use waxseal::policy::Peer;

/// One file of tests/data/decisions: a configuration, what the key store has, and cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// The configuration, without its version.
    #[serde(default)]
    pub(crate) config: String,
    /// Maps by their names in the configuration.
    #[serde(default)]
    pub(crate) maps: BTreeMap<String, String>,
    /// What the store has of each domain: the selectors that sign with blanks between, or `not-active`, `unusable`,
    /// `unavailable`; `in-part` before the selectors if others cannot be used.
    #[serde(default)]
    pub(crate) keys: BTreeMap<String, String>,
    pub(crate) case: Vec<Case>,
}

/// What is known of a message, and what it comes to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// An address, `local` or `unknown`.
    #[serde(default = "loopback")]
    pub(crate) client: String,
    /// Its name.
    #[serde(default)]
    pub(crate) host: String,
    #[serde(default)]
    pub(crate) macros: BTreeMap<String, String>,
    /// The envelope sender.
    #[serde(default)]
    pub(crate) sender: String,
    /// The recipients; left out, the MTA was not asked for them.
    pub(crate) rcpt: Option<Vec<String>>,
    /// What the listener says of mail that was received before.
    pub(crate) listener_sign_relayed: Option<bool>,
    /// The From field.
    pub(crate) from: Option<String>,
    /// Other fields, or all where `from` is left out.
    #[serde(default)]
    pub(crate) header: Vec<String>,
    /// Whether the header was over its limits.
    #[serde(default)]
    pub(crate) header_too_large: bool,
    pub(crate) expect: Expected,
}

/// What a message comes to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    pub(crate) decision: String,
    pub(crate) reason: String,
    pub(crate) origin: Option<String>,
    /// The rule that decides; left out, none does.
    pub(crate) rule: Option<String>,
    /// The file and line that decides, the file by its name.
    pub(crate) line: Option<String>,
    /// Domains that sign, with the selector behind a slash where only one key does.
    #[serde(default)]
    pub(crate) signers: Vec<String>,
    /// i= of each, where a rule wants one.
    #[serde(default)]
    pub(crate) identities: Vec<String>,
}

/// All tables, with their files.
pub(crate) fn tables() -> Vec<(PathBuf, Table)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/decisions");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let table = |file: PathBuf| {
        let text = fs::read_to_string(&file).unwrap();
        let table = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        (file, table)
    };
    files.into_iter().map(table).collect()
}

impl Case {
    /// The header, as far as it is within its limits.
    pub(crate) fn headers(&self) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in self.fields() {
            headers.push(name.as_bytes(), value.as_bytes(), Spacing::AsReceived);
        }
        headers
    }

    /// Where the MTA's client is.
    pub(crate) fn peer(&self) -> Peer {
        match self.client.as_str() {
            "local" => Peer::Local,
            "unknown" => Peer::Unknown,
            address => Peer::Address(address.parse().unwrap()),
        }
    }

    /// A message with this header.
    pub(crate) fn message(&self) -> Vec<u8> {
        let mut message = String::new();
        for (name, value) in self.fields() {
            message.push_str(&format!("{name}:{value}\r\n"));
        }
        if self.header_too_large {
            message.push_str(&format!("X-Large: {}\r\n", "x".repeat(300 << 10)));
        }
        message.push_str("\r\nHello.\r\n");
        message.into_bytes()
    }

    fn fields(&self) -> Vec<(String, String)> {
        let from = self.from.iter().map(|from| ("From".to_owned(), format!(" {from}")));
        let others = self.header.iter().map(|field| {
            let (name, value) = field.split_once(':').unwrap();
            (name.to_owned(), value.to_owned())
        });
        from.chain(others).collect()
    }
}

fn loopback() -> String {
    "127.0.0.1".into()
}
