//! All that decides who is signed, as OpenDKIM has it at hand.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::dataset::{DataSet, Entry, Kind};
use super::key::KeyEntry;
use super::known;
use super::settings::{Setting, Settings, whole};
use crate::finding::{Finding, Place, Severity};
use crate::import::Sources;

/// A configuration of OpenDKIM with all it names.
#[derive(Debug)]
pub struct Setup {
    pub(super) settings: Settings,
    /// What relative paths are relative to.
    pub(super) base: PathBuf,
    pub(super) who: Who,
    pub(super) matches: Matches,
    pub(super) internal: DataSet,
    pub(super) peers: DataSet,
    pub(super) mta: DataSet,
    pub(super) macros: DataSet,
    pub(super) unsigned_recipients: DataSet,
    pub(super) exempt: DataSet,
    /// The header fields that may say whose mail it is, the first that is there.
    pub(super) sender_headers: Vec<String>,
    /// SignHeaders, OmitHeaders and OversignHeaders, by their names in lower case.
    pub(super) header_lists: HashMap<&'static str, DataSet>,
    path: PathBuf,
}

/// Who is signed for.
#[derive(Debug)]
pub(super) enum Who {
    /// Domain, Selector and KeyFile.
    Domains {
        domains: DataSet,
        below: Below,
        key: KeyEntry,
        place: Place,
    },
    /// SigningTable and KeyTable.
    Table {
        lines: DataSet,
        keys: HashMap<String, (KeyEntry, Place)>,
    },
    Nobody,
}

/// SubDomains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Below {
    Sign,
    Leave,
}

/// MultipleSignatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matches {
    First,
    All,
}

impl Setup {
    /// Reads `opendkim.conf` and all it names but keys. What is wrong with it, or will be lost, goes to `findings`; with
    /// an error among them the setup is not whole.
    pub fn read(path: &Path, sources: &mut impl Sources, findings: &mut Vec<Finding>) -> Self {
        let settings = Settings::read(path, sources, findings);
        known::survey(&settings, findings);
        let folder = path.parent().unwrap_or(Path::new("/"));
        let base = settings.value("basedirectory").map_or_else(|| folder.to_owned(), |base| folder.join(base));
        let mut list = |name: &str| {
            settings.get(name).and_then(|setting| DataSet::read(setting, &base, sources, findings)).unwrap_or_default()
        };
        let mut internal = list("internalhosts");
        if settings.get("internalhosts").is_none() {
            let place = whole(path);
            let entry = |key: &str| Entry { key: key.into(), value: String::new(), place: place.clone() };
            internal = DataSet::new(Kind::Exact, vec![entry("127.0.0.1"), entry("::1")]);
        }
        let (peers, mta, macros) = (list("peerlist"), list("mta"), list("macrolist"));
        let (unsigned_recipients, exempt) = (list("dontsignmailto"), list("exemptdomains"));
        let sender_headers = list("senderheaders").entries.into_iter().map(|entry| entry.key).collect();
        let names = ["signheaders", "omitheaders", "oversignheaders"];
        let given = names.into_iter().filter(|name| settings.get(name).is_some());
        let header_lists = given.map(|name| (name, list(name))).collect();
        let matches = if settings.is_true("multiplesignatures") { Matches::All } else { Matches::First };
        let who = who(&settings, &base, sources, findings);
        if let (Who::Nobody, true) = (&who, findings.iter().all(|finding| finding.severity < Severity::Error)) {
            let evidence = "OpenDKIM signs for nobody here: there is neither a SigningTable nor a Domain with Selector and KeyFile";
            let remedy = "nothing need be taken over; begin with waxseal init DOMAIN";
            findings.push(Finding::new("import.signs_nobody", Severity::Error, whole(path), evidence, remedy));
        }
        let path = path.to_owned();
        Self {
            settings,
            base,
            who,
            matches,
            internal,
            peers,
            mta,
            macros,
            unsigned_recipients,
            exempt,
            sender_headers,
            header_lists,
            path,
        }
    }

    /// Tables alone, with which others sign as OpenDKIM does: patterns of authors with names of keys, and keys by their names.
    /// Each text has its place; relative paths are relative to `base`.
    pub(in crate::import) fn of_tables(
        base: &Path,
        signing: Vec<(String, String, Place)>,
        keys: Vec<(String, String, Place)>,
        findings: &mut Vec<Finding>,
    ) -> Self {
        let entries = |table: Vec<(String, String, Place)>| {
            table.into_iter().map(|(key, value, place)| Entry { key, value, place }).collect()
        };
        let lines = DataSet::new(Kind::Patterns, entries(signing));
        let keys = key_table(DataSet::new(Kind::Exact, entries(keys)), findings);
        Self {
            settings: Settings::default(),
            base: base.to_owned(),
            who: Who::Table { lines, keys },
            matches: Matches::First,
            internal: DataSet::default(),
            peers: DataSet::default(),
            mta: DataSet::default(),
            macros: DataSet::default(),
            unsigned_recipients: DataSet::default(),
            exempt: DataSet::default(),
            sender_headers: Vec::new(),
            header_lists: HashMap::new(),
            path: base.to_owned(),
        }
    }

    /// The user whom OpenDKIM becomes, perhaps with a group.
    pub fn user(&self) -> Option<&str> {
        self.settings.value("userid")
    }

    /// Where it stands.
    pub(super) fn place(&self) -> Place {
        whole(&self.path)
    }
}

fn who(settings: &Settings, base: &Path, sources: &mut impl Sources, findings: &mut Vec<Finding>) -> Who {
    if let Some(mode) = settings.get("mode").filter(|mode| !mode.value.contains(['s', 'S'])) {
        let evidence = format!("mode is {:?}: OpenDKIM signs nothing, so nothing can be taken over", mode.value);
        findings.push(Finding::new(
            "import.mode",
            Severity::Error,
            mode.place.clone(),
            evidence,
            "set Mode s, if it should",
        ));
        return Who::Nobody;
    }
    if let (Some(table), Some(keys)) = (settings.get("signingtable"), settings.get("keytable")) {
        for unused in ["domain", "selector", "keyfile", "subdomains"].iter().filter_map(|name| settings.get(name)) {
            let evidence = format!("{} counts for nothing beside a KeyTable", unused.name);
            findings.push(Finding::new("import.unused", Severity::Info, unused.place.clone(), evidence, ""));
        }
        // Both, so that what is wrong with either is said at once.
        let lines = DataSet::read(table, base, sources, findings);
        let keys = DataSet::read(keys, base, sources, findings);
        return match (lines, keys) {
            (Some(lines), Some(keys)) => Who::Table { lines, keys: key_table(keys, findings) },
            _ => Who::Nobody,
        };
    }
    for (alone, other) in [("signingtable", "KeyTable"), ("keytable", "SigningTable")] {
        if let Some(setting) = settings.get(alone) {
            let evidence = format!("{alone} without a {other}: OpenDKIM does not sign with it");
            let remedy = format!("name the {other}");
            findings.push(Finding::new("import.incomplete", Severity::Error, setting.place.clone(), evidence, remedy));
            return Who::Nobody;
        }
    }
    match (settings.get("domain"), settings.value("selector"), settings.value("keyfile")) {
        (Some(domain), Some(selector), Some(file)) => {
            let below = if settings.is_true("subdomains") { Below::Sign } else { Below::Leave };
            let file = base.join(file);
            let key = KeyEntry::new("%", selector, &file.to_string_lossy());
            match DataSet::read(domain, base, sources, findings) {
                Some(domains) => {
                    Who::Domains { domains: patterns_of(domains), below, key, place: domain.place.clone() }
                }
                None => Who::Nobody,
            }
        }
        (None, None, None) => Who::Nobody,
        (domain, ..) => {
            let present = ["domain", "selector", "keyfile"].iter().find_map(|name| settings.get(name));
            let Some(present) = domain.or(present) else { return Who::Nobody };
            let evidence = "Domain, Selector and KeyFile go together, and one of them is missing";
            let place = present.place.clone();
            findings.push(Finding::new(
                "import.incomplete",
                Severity::Error,
                place,
                evidence,
                "set all three, or leave all out",
            ));
            Who::Nobody
        }
    }
}

/// In the list of domains `*` is a pattern, whatever the list is kept in.
fn patterns_of(domains: DataSet) -> DataSet {
    let has_wildcards = domains.entries.iter().any(|entry| entry.key.contains('*'));
    if has_wildcards { DataSet::new(Kind::Patterns, domains.entries) } else { domains }
}

fn key_table(table: DataSet, findings: &mut Vec<Finding>) -> HashMap<String, (KeyEntry, Place)> {
    let mut keys: HashMap<String, (KeyEntry, Place)> = HashMap::new();
    for entry in table.entries {
        let place = entry.place.clone();
        let mut find = |rule, severity, evidence: String, remedy: &str| {
            findings.push(Finding::new(rule, severity, place.clone(), evidence, remedy));
        };
        if table.kind == Kind::Patterns && entry.key.contains('*') {
            let evidence = format!("the key name {:?} is a pattern", entry.key);
            find("import.key_pattern", Severity::Error, evidence, "name each key in the KeyTable");
            continue;
        }
        match KeyEntry::parse(&entry) {
            Some(key) => match keys.entry(entry.key.to_ascii_lowercase()) {
                std::collections::hash_map::Entry::Vacant(vacant) => _ = vacant.insert((key, entry.place)),
                std::collections::hash_map::Entry::Occupied(first) => {
                    let evidence =
                        format!("the key name {:?} is at {} already; the first is taken", entry.key, first.get().1);
                    find("import.key_twice", Severity::Warning, evidence, "leave one of them out");
                }
            },
            // What stands there may be a key: it is not repeated.
            None => {
                let evidence =
                    format!("the key {:?} has no domain, selector and key: OpenDKIM fails with it", entry.key);
                find("import.key_line", Severity::Warning, evidence, "write domain:selector:/path/to/key");
            }
        }
    }
    keys
}

/// The setting of that name, or the file as a whole.
pub(super) fn place_of(setup: &Setup, name: &str) -> Place {
    setup.settings.get(name).map_or_else(|| setup.place(), |Setting { place, .. }| place.clone())
}
