//! Whose mail OpenDKIM signs, and how, as sections of Waxseal's configuration.

use ipnet::IpNet;

use super::dataset::{DataSet, Entry, Kind};
use super::setup::{Setup, place_of};
use crate::config::file::v1;
use crate::config::values::Expiry;
use crate::dkim::header_selection::NEVER_SIGNED;
use crate::finding::{Finding, Severity};
use crate::policy::{HostPattern, MacroCondition, PeerPattern};

/// `[trust]`, no wider than OpenDKIM's.
pub(super) fn trust(setup: &Setup, findings: &mut Vec<Finding>) -> v1::Trust {
    let signs_locally = setup.internal.has_client("", Some([127, 0, 0, 1].into()));
    let mut trust = v1::Trust {
        authenticated: Some(true),
        networks: Some(Vec::new()),
        daemon_names: Some(setup.mta.entries.iter().map(|entry| entry.key.clone()).collect()),
        local_submission: Some(signs_locally),
        // As OpenDKIM does; the finding says what that means.
        sign_relayed: signs_locally.then_some(true),
        ..v1::Trust::default()
    };
    if signs_locally {
        let evidence =
            "OpenDKIM signs whatever comes from this machine, inbound mail too that a content filter hands back";
        let remedy = "taken over as sign_relayed = true; take that out if no mail of your own comes back from filters";
        findings.push(Finding::new(
            "import.relayed",
            Severity::Warning,
            place_of(setup, "internalhosts"),
            evidence,
            remedy,
        ));
    }
    let mut clients = Clients { findings };
    let (mut hosts, mut except) = (Vec::<HostPattern>::new(), Vec::new());
    for (entry, pattern, sense) in clients.read(&setup.internal) {
        match (sense, pattern) {
            (Sense::Is, PeerPattern::Network(network)) => {
                if network.prefix_len() == 0 {
                    let evidence = format!("{} is everybody: whoever reaches the MTA has mail signed", entry.key);
                    clients.find("import.everybody", &entry, evidence, "name your own networks");
                }
                if let Ok(network) = network.to_string().parse() {
                    trust.networks.get_or_insert_default().push(network);
                }
            }
            (Sense::Is, PeerPattern::Host(host)) => hosts.push(host),
            (Sense::IsNot, pattern) => except.push(pattern),
        }
    }
    let mut ignore = Vec::new();
    for (entry, pattern, sense) in clients.read(&setup.peers) {
        match sense {
            Sense::Is => ignore.push(pattern),
            Sense::IsNot => {
                let evidence = format!("{} is not carried over: what trust.ignore has it has wholly", entry.key);
                clients.find("import.except", &entry, evidence, "write the networks around it instead");
            }
        }
    }
    trust.hosts = (!hosts.is_empty()).then_some(hosts);
    trust.except = (!except.is_empty()).then_some(except);
    trust.ignore = (!ignore.is_empty()).then_some(ignore);
    let macros = macros(setup, findings);
    trust.macros = (!macros.is_empty()).then_some(macros);
    trust
}

/// Whether an entry is for a client or excepts it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sense {
    Is,
    IsNot,
}

struct Clients<'f> {
    findings: &'f mut Vec<Finding>,
}

impl Clients<'_> {
    /// The entries that can ever be found, as patterns.
    fn read(&mut self, list: &DataSet) -> Vec<(Entry, PeerPattern, Sense)> {
        let mut patterns: Vec<(Entry, PeerPattern, Sense)> = Vec::new();
        for entry in &list.entries {
            if entry.key == "-" {
                continue;
            }
            let (text, sense) =
                entry.key.strip_prefix('!').map_or((&*entry.key, Sense::Is), |rest| (rest, Sense::IsNot));
            if let Some(pattern) = self.pattern(text, list.kind, entry) {
                patterns.push((entry.clone(), pattern, sense));
            }
        }
        let is_network = |pattern: &PeerPattern| matches!(pattern, PeerPattern::Network(_));
        let exceptions: Vec<_> =
            patterns.iter().filter(|(_, _, sense)| *sense == Sense::IsNot).map(|(entry, ..)| entry.clone()).collect();
        for exception in exceptions {
            if patterns.iter().any(|(_, pattern, sense)| *sense == Sense::Is && !is_network(pattern)) {
                let evidence =
                    format!("{} holds for Waxseal against names too, and against narrower networks", exception.key);
                self.find(
                    "import.except",
                    &exception,
                    evidence,
                    "fewer clients are trusted; name those that should be",
                );
            }
        }
        patterns
    }

    fn pattern(&mut self, text: &str, kind: Kind, entry: &Entry) -> Option<PeerPattern> {
        let text = text.replace(['[', ']'], "");
        if kind == Kind::Exact && text.contains('*') {
            let evidence =
                format!("{:?} never matches: without refile: wildcards count for nothing; it is left out", entry.key);
            self.find("import.never_matches", entry, evidence, "if it should, add it to [trust]");
            return None;
        }
        let text = text.strip_prefix('.').map_or(text.clone(), |parent| format!("*.{parent}"));
        match text.parse::<PeerPattern>() {
            // Texts are compared: a network in another spelling is never found.
            Ok(PeerPattern::Network(network)) if !is_spelling(&text, network) => {
                let evidence =
                    format!("{:?} never matches in OpenDKIM, which writes {network}; it is left out", entry.key);
                self.find("import.never_matches", entry, evidence, "if it should, add it to [trust]");
                None
            }
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let evidence = format!("{:?} never matches in OpenDKIM and is left out: {error}", entry.key);
                self.find("import.never_matches", entry, evidence, "if it should, write it as that says into [trust]");
                None
            }
        }
    }

    fn find(&mut self, rule: &'static str, entry: &Entry, evidence: String, remedy: &str) {
        self.findings.push(Finding::new(rule, Severity::Warning, entry.place.clone(), evidence, remedy));
    }
}

fn is_spelling(text: &str, network: IpNet) -> bool {
    let text = text.to_ascii_lowercase();
    text == network.to_string() || text == network.addr().to_string()
}

fn macros(setup: &Setup, findings: &mut Vec<Finding>) -> Vec<MacroCondition> {
    let mut conditions = Vec::new();
    for entry in &setup.macros.entries {
        let mut find = |rule, evidence: String, remedy: &str| {
            findings.push(Finding::new(rule, Severity::Warning, entry.place.clone(), evidence, remedy));
        };
        if entry.key.contains(['{', '}']) {
            let evidence = format!("{} never matches: OpenDKIM wants names of macros without braces", entry.key);
            find("import.never_matches", evidence, "it is left out; if it should count, add it to trust.macros");
            continue;
        }
        if entry.key == "auth_author" {
            let evidence = "auth_author is what the client says in AUTH= of MAIL: anybody can set it".to_owned();
            find("import.macro_untrusted", evidence, "it is left out; clients that log in are trusted without it");
            continue;
        }
        for value in entry.value.split('|') {
            let text = if value.is_empty() { entry.key.clone() } else { format!("{}={value}", entry.key) };
            match text.parse() {
                Ok(condition) => conditions.push(condition),
                Err(error) => find("import.macro", format!("left out: {error}"), "add it to trust.macros as that says"),
            }
        }
    }
    conditions
}

/// `[signing]`.
pub(super) fn signing(setup: &Setup, findings: &mut Vec<Finding>) -> v1::Signing {
    let mut find = |rule, severity, name: &str, evidence: String, remedy: &str| {
        findings.push(Finding::new(rule, severity, place_of(setup, name), evidence, remedy));
    };
    let settings = &setup.settings;
    let canonicalization = settings.value("canonicalization").unwrap_or("simple/simple");
    let canonicalization = canonicalization.parse().ok().or_else(|| {
        let evidence = format!("{canonicalization:?} is no canonicalization");
        find(
            "import.value",
            Severity::Error,
            "canonicalization",
            evidence,
            "write simple or relaxed, or a pair such as relaxed/simple",
        );
        None
    });
    let expire_after =
        settings.value("signaturettl").filter(|ttl| *ttl != "0").and_then(|ttl| match ttl.parse::<u32>() {
            Ok(seconds) => Some(Expiry::After(std::time::Duration::from_secs(seconds.into()))),
            Err(_) => {
                find(
                    "import.value",
                    Severity::Error,
                    "signaturettl",
                    format!("{ttl:?} is no number of seconds"),
                    "correct it",
                );
                None
            }
        });
    if let Some(name) = settings.value("signaturealgorithm").filter(|name| !name.eq_ignore_ascii_case("rsa-sha256")) {
        let evidence =
            format!("a={name} is not carried over: in Waxseal the key says the algorithm, always with SHA-256");
        find("import.algorithm", Severity::Warning, "signaturealgorithm", evidence, "nothing to do: verifiers know it");
    }
    let sender = setup.sender_headers.iter().find(|name| !name.eq_ignore_ascii_case("from"));
    if let Some(name) = sender {
        let evidence = format!("SenderHeaders has {name}: for Waxseal From alone says whose mail it is");
        find(
            "import.sender_headers",
            Severity::Warning,
            "senderheaders",
            evidence,
            "mail whose From is of another domain is signed by that, if it has keys",
        );
    }
    let lists = Lists::of(setup, findings);
    v1::Signing { canonicalization, expire_after, subdomains: Some(false), ..lists.settings() }
}

/// What OpenDKIM 2.11 signs where SignHeaders is not set, beside From.
const SIGNED_BY_DEFAULT: [&str; 19] = [
    "reply-to",
    "subject",
    "date",
    "to",
    "cc",
    "resent-date",
    "resent-from",
    "resent-sender",
    "resent-to",
    "resent-cc",
    "in-reply-to",
    "references",
    "list-id",
    "list-help",
    "list-unsubscribe",
    "list-subscribe",
    "list-post",
    "list-owner",
    "list-archive",
];

/// What OpenDKIM's three lists of header fields say.
#[derive(Default)]
struct Lists {
    signed: Option<Vec<String>>,
    oversigned: Option<Vec<String>>,
    left_out: Vec<String>,
}

impl Lists {
    fn of(setup: &Setup, findings: &mut Vec<Finding>) -> Self {
        let mut lists = Self::default();
        let all: Vec<String> = SIGNED_BY_DEFAULT.iter().map(|&name| name.to_owned()).collect();
        lists.signed = Some(words(setup, "signheaders").map_or_else(|| all.clone(), |given| delta(&given, &all)));
        if let Some(given) = words(setup, "oversignheaders") {
            lists.oversigned = Some(delta(&given, &[]));
        }
        if let Some(given) = words(setup, "omitheaders") {
            lists.left_out = delta(&given, &[]);
        }
        for (name, list) in [("signheaders", &mut lists.signed), ("oversignheaders", &mut lists.oversigned)] {
            for field in list.iter_mut().flatten() {
                if NEVER_SIGNED.contains(&field.as_str()) {
                    let evidence =
                        format!("{field} is never signed by Waxseal: it changes on the way (RFC 6376 §5.4.1)");
                    findings.push(Finding::new(
                        "import.header",
                        Severity::Warning,
                        place_of(setup, name),
                        evidence,
                        "",
                    ));
                    field.clear();
                }
            }
            if let Some(list) = list {
                list.retain(|field| is_field(field));
            }
        }
        lists.left_out.retain(|field| is_field(field) && field != "from" && !NEVER_SIGNED.contains(&field.as_str()));
        let guards_from = lists.oversigned.iter().flatten().any(|field| field == "from");
        if !guards_from {
            let evidence = "OversignHeaders has no From: OpenDKIM lets others add a second From to what it signed, Waxseal never does";
            let place = place_of(setup, "oversignheaders");
            findings.push(Finding::new(
                "import.oversign",
                Severity::Info,
                place,
                evidence,
                "h= has From once more; d=, s= and i= do not differ",
            ));
        }
        let evidence = "header fields are signed as OpenDKIM does, so that signatures can be compared; Message-ID, MIME-Version, \
                        Content-Type and others of Waxseal's own list are not among them unless SignHeaders names them";
        let remedy = "once OpenDKIM is gone, take oversign, sign_present and oversign_absent out of [signing]";
        findings.push(Finding::new("import.headers", Severity::Info, place_of(setup, "signheaders"), evidence, remedy));
        lists
    }

    fn settings(self) -> v1::Signing {
        // Once more whether there is one or not.
        let guarded: Vec<String> =
            self.oversigned.unwrap_or_default().into_iter().filter(|field| field != "from").collect();
        let signed = self.signed.unwrap_or_default().into_iter().filter(|field| !guarded.contains(field)).collect();
        v1::Signing {
            oversign: Some(guarded.clone()),
            sign_present: Some(signed),
            oversign_absent: (!guarded.is_empty()).then_some(guarded),
            leave_out: (!self.left_out.is_empty()).then_some(self.left_out),
            ..v1::Signing::default()
        }
    }
}

fn words(setup: &Setup, name: &str) -> Option<Vec<String>> {
    let set = setup.header_lists.get(name)?;
    Some(set.entries.iter().map(|entry| entry.key.to_ascii_lowercase()).collect())
}

/// A list, or with `*` in it what is added to the defaults (`+x`) and taken away (`-x`).
fn delta(given: &[String], defaults: &[String]) -> Vec<String> {
    let mut list: Vec<String> = if given.iter().any(|word| word == "*") { defaults.to_vec() } else { Vec::new() };
    for word in given.iter().filter(|word| *word != "*" && *word != ".") {
        match word.strip_prefix('-') {
            Some(word) => list.retain(|other| other != word),
            None => {
                let word = word.trim_start_matches('+').to_owned();
                if !list.contains(&word) {
                    list.push(word);
                }
            }
        }
    }
    list
}

fn is_field(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
        || name.strip_suffix('*').is_some_and(is_field)
}
