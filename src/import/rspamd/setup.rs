//! All that decides who is signed, as rspamd has it at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::config::{Options, Reader};
use super::map::Line;
use super::ucl::{Kind, Value};
use crate::finding::{Finding, Place, Severity};
use crate::import::{Sources, opendkim};
use crate::names::DomainName;

/// Whom rspamd takes for local where nothing is set.
const LOCAL: [&str; 6] = ["192.168.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "fd00::/8", "169.254.0.0/16", "fe80::/10"];

/// Options that are taken over, each by its own code, or that say what Waxseal does anyway.
const CARRIED: &[&str] = &[
    "allow_envfrom_empty",
    "allow_hdrfrom_mismatch",
    "allow_hdrfrom_mismatch_local",
    "allow_hdrfrom_mismatch_sign_networks",
    "allow_hdrfrom_multiple",
    "allow_username_mismatch",
    "domain",
    "enabled",
    "key_table",
    "path",
    "path_map",
    "selector",
    "selector_map",
    "sign_authenticated",
    "auth_only",
    "sign_headers",
    "sign_local",
    "sign_networks",
    "signing_table",
    "symbol",
    "try_fallback",
    "use_domain",
    "use_domain_sign_local",
    "use_domain_sign_networks",
    "use_esld",
    "key_prefix",
];

/// Options that decide who is signed, or with what, by means that cannot be taken over.
const REFUSED: [(&str, &str); 6] = [
    ("use_redis", "keys are kept in Redis: write them to files, and take them over with waxseal import key --list"),
    ("use_vault", "keys are kept in Vault: write them to files, and take them over with waxseal import key --list"),
    ("use_http_headers", "who asks rspamd over HTTP names the key: say in [[rule]] sections who signs"),
    ("use_domain_custom", "a script names the domain: say in [[rule]] sections who signs"),
    ("sign_condition", "a script decides who is signed: say it in [[rule]] sections"),
    ("settings_script", "a script decides who is signed: say it in [[rule]] sections"),
];

/// The configuration of rspamd's module dkim_signing with all it names.
#[derive(Debug)]
pub struct Setup {
    pub(super) options: Options,
    pub(super) who: Who,
    /// Clients that count as local, beside those on this machine.
    pub(super) local: Vec<IpNet>,
    /// Clients that are signed for wherever they are; none if the option is not set.
    pub(super) sign_networks: Option<Vec<IpNet>>,
    pub(super) directory: PathBuf,
}

/// Who is signed for.
#[derive(Debug)]
pub(super) enum Who {
    /// Domains, each with its selectors and key files.
    Domains(BTreeMap<DomainName, Vec<Signing>>),
    /// Tables as OpenDKIM has them.
    Tables(Box<opendkim::Setup>),
    Nobody,
}

/// One key of a domain.
#[derive(Debug, Clone)]
pub(super) struct Signing {
    pub(super) selector: String,
    pub(super) path: PathBuf,
    pub(super) place: Place,
}

impl Setup {
    /// Reads the directory, `/etc/rspamd` as it is installed, and all that its files name but keys. `domains` are looked
    /// for beside those that are named there. What is wrong, or will be lost, goes to `findings`; with an error among
    /// them the setup is not whole.
    pub fn read(
        directory: &Path,
        domains: &[DomainName],
        sources: &mut impl Sources,
        findings: &mut Vec<Finding>,
    ) -> Self {
        let mut reader = Reader::new(directory, sources, findings);
        let options = reader.options("modules.d/dkim_signing.conf", "dkim_signing", "dkim_signing.conf");
        let general = reader.options("options.inc", "options", "options.inc");
        survey(&options, &mut reader);
        let local = match general.get("local_addrs") {
            Some(value) => networks("local_addrs", value, &mut reader),
            None => LOCAL.iter().filter_map(|network| network.parse().ok()).collect(),
        };
        let sign_networks = options.get("sign_networks").map(|value| networks("sign_networks", value, &mut reader));
        let who = who(&options, domains, &mut reader);
        let is_nobody = match &who {
            Who::Domains(domains) => domains.is_empty(),
            Who::Tables(_) => false,
            Who::Nobody => true,
        };
        if is_nobody && reader.findings.iter().all(|finding| finding.severity < Severity::Error) {
            let evidence = "rspamd signs for nobody here: no domain has a key file".to_owned();
            let remedy =
                "nothing need be taken over, or name the domains with --domains; begin with waxseal init DOMAIN";
            let place = options.place("domain", directory);
            reader.find("import.signs_nobody", Severity::Error, place, evidence, remedy);
        }
        Self { options, who, local, sign_networks, directory: directory.to_owned() }
    }
}

fn survey<S: Sources>(options: &Options, reader: &mut Reader<'_, S>) {
    let directory = reader.directory.to_owned();
    for (name, remedy) in REFUSED {
        let is_script = ["use_domain_custom", "sign_condition", "settings_script"].contains(&name);
        if options.is(name, false) || is_script && options.get(name).is_some() {
            let evidence = format!("{name} is set, and cannot be taken over");
            reader.find("import.dataset", Severity::Error, options.place(name, &directory), evidence, remedy);
        }
    }
    if !options.is("enabled", true) {
        let evidence = "the module is switched off: rspamd signs nothing".to_owned();
        let place = options.place("enabled", &directory);
        reader.find("import.mode", Severity::Error, place, evidence, "nothing need be taken over");
    }
    for name in ["sign_inbound", "use_domain_sign_inbound"].iter().filter(|name| options.get(name).is_some()) {
        let evidence = format!("{name} is not carried over: Waxseal signs no mail of strangers");
        let place = options.place(name, &directory);
        reader.find("import.not_carried", Severity::Warning, place, evidence, "such mail passes unsigned");
    }
    if options.is("check_pubkey", false) {
        let evidence = "check_pubkey is not carried over: signing asks no DNS".to_owned();
        let place = options.place("check_pubkey", &directory);
        reader.find("import.not_carried", Severity::Info, place, evidence, "let waxseal verify run each day");
    }
    let known = |name: &str| {
        CARRIED.contains(&name)
            || REFUSED.iter().any(|(refused, _)| *refused == name)
            || name.starts_with("sign_inbound")
            || ["use_domain_sign_inbound", "check_pubkey", "allow_pubkey_mismatch"].contains(&name)
            || ["redis", "vault_", "http_", "servers", "password"].iter().any(|start| name.starts_with(start))
    };
    let others: Vec<String> = options.names().filter(|name| !known(name)).map(str::to_owned).collect();
    for name in others {
        let place = options.place(&name, &directory);
        reader.find("import.not_carried", Severity::Warning, place, format!("{name:?} is not carried over"), "");
    }
    for file in ["local.d/arc.conf", "override.d/arc.conf"].map(|file| directory.join(file)) {
        if reader.text(&file, super::config::Missing::Allowed).is_some() {
            let evidence = "ARC is not carried over: Waxseal makes no ARC seals".to_owned();
            reader.find("import.arc", Severity::Info, Place::Path { path: file }, evidence, "let rspamd go on with it");
        }
    }
}

fn networks<S: Sources>(option: &str, value: &Value, reader: &mut Reader<'_, S>) -> Vec<IpNet> {
    // A single network may stand there by itself.
    let lines = match value.text().filter(|text| text.parse::<IpNet>().is_ok() || is_address(text)) {
        Some(text) => vec![Line { key: text.to_owned(), value: String::new(), place: value.place.clone() }],
        None => reader.map(option, value),
    };
    let mut networks = Vec::new();
    for Line { key, place, .. } in lines {
        let parsed = key.parse::<IpNet>().or_else(|_| key.parse().map(|address: std::net::IpAddr| address.into()));
        match parsed {
            Ok(network) => {
                if network.prefix_len() == 0 {
                    let evidence =
                        format!("{option} has {key}, which is everybody: whoever reaches the MTA has mail signed");
                    reader.find("import.everybody", Severity::Warning, place, evidence, "name your own networks");
                }
                networks.push(network.trunc());
            }
            Err(_) => {
                let evidence = format!("{option}: {key:?} is no network");
                reader.find(
                    "import.value",
                    Severity::Warning,
                    place,
                    evidence,
                    "it is left out; add it to trust.networks as it should be",
                );
            }
        }
    }
    networks
}

fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}

fn who<S: Sources>(options: &Options, domains: &[DomainName], reader: &mut Reader<'_, S>) -> Who {
    if let (Some(signing), Some(keys)) = (options.get("signing_table"), options.get("key_table")) {
        let signing = reader.map("signing_table", signing);
        let keys = reader.map("key_table", keys);
        let selector = options.text("selector").unwrap_or("dkim");
        let row = |Line { key, value, place }| (key, value, place);
        let with_selector = |Line { key, value, place }: Line| {
            let parts = value.split(':').count();
            let whole = match value.split_once(':') {
                Some((domain, path)) if parts == 2 => format!("{domain}:{selector}:{path}"),
                _ => value,
            };
            (key, whole, place)
        };
        let signing = signing.into_iter().map(row).collect();
        let keys = keys.into_iter().map(with_selector).collect();
        let base = reader.directory.to_owned();
        return Who::Tables(Box::new(opendkim::Setup::of_tables(&base, signing, keys, reader.findings)));
    }
    match by_domain(options, domains, reader) {
        Some(found) => Who::Domains(found),
        None => Who::Nobody,
    }
}

/// What is said of one domain: selectors and paths, either of which may be left to others.
type Said = (Option<String>, Option<String>);

fn by_domain<S: Sources>(
    options: &Options,
    domains: &[DomainName],
    reader: &mut Reader<'_, S>,
) -> Option<BTreeMap<DomainName, Vec<Signing>>> {
    let mut blocks: BTreeMap<String, (Vec<Said>, Place)> = BTreeMap::new();
    for (name, block) in options.get("domain").map(Value::pairs).unwrap_or_default() {
        let mut said: Vec<Said> = Vec::new();
        let of = |value: &Value| {
            let pairs = value.pairs();
            let text = |key: &str| {
                pairs.iter().find(|(name, _)| name == key).and_then(|(_, value)| value.text()).map(str::to_owned)
            };
            (text("selector"), text("path"))
        };
        let plain = of(&block);
        if plain.0.is_some() || plain.1.is_some() {
            said.push(plain);
        }
        for (_, list) in block.pairs().into_iter().filter(|(key, _)| key == "selectors") {
            match &list.kind {
                Kind::List(items) => said.extend(items.iter().map(of)),
                _ => said.push(of(&list)),
            }
        }
        blocks.insert(name, (said, block.place));
    }
    let mut map = |name: &str| -> BTreeMap<String, (String, Place)> {
        let lines = options.get(name).map(|value| reader.map(name, value)).unwrap_or_default();
        lines.into_iter().map(|line| (line.key, (line.value, line.place))).collect()
    };
    let (selectors, paths) = (map("selector_map"), map("path_map"));
    let default_path =
        options.text("path").map_or_else(|| "$DBDIR/dkim/$domain.$selector.key".to_owned(), str::to_owned);
    let default_path = reader.expand(&default_path);
    let default_selector = options.text("selector").unwrap_or("dkim").to_owned();
    let has_fallback = options.is("try_fallback", true);

    let mut names: BTreeSet<String> = blocks.keys().chain(selectors.keys()).chain(paths.keys()).cloned().collect();
    let mut tried: BTreeSet<String> = BTreeSet::new();
    if has_fallback {
        tried.extend(domains.iter().map(DomainName::to_string));
        tried.extend(listed(&default_path, &default_selector, options, reader));
        names.extend(tried.iter().cloned());
    }
    let is_registrable = options.is("use_esld", true);
    let mut found = BTreeMap::new();
    for name in names {
        let place = blocks.get(&name).map(|(_, place)| place).or(selectors.get(&name).map(|(_, place)| place));
        let place = place.or(paths.get(&name).map(|(_, place)| place)).cloned();
        let place = place.unwrap_or_else(|| options.place("path", reader.directory));
        let domain = match DomainName::parse(&name) {
            Ok(domain) => domain,
            Err(error) => {
                let evidence = format!("{name:?} is no domain and never matches: {error}");
                reader.find("import.never_matches", Severity::Warning, place, evidence, "it is left out; correct it");
                continue;
            }
        };
        if is_registrable && domain.registrable().is_some_and(|registrable| registrable != domain) {
            let evidence = format!("{domain} never signs: use_esld has rspamd look for its registrable domain only");
            let remedy = "it is left out; if it should sign, import it with waxseal import key, and add it to the map";
            reader.find("import.never_matches", Severity::Warning, place, evidence, remedy);
            continue;
        }
        let mut said = blocks.get(&name).map(|(said, _)| said.clone()).unwrap_or_default();
        fill(&mut said, |said| &mut said.0, selectors.get(&name).map(|(value, _)| value));
        fill(&mut said, |said| &mut said.1, paths.get(&name).map(|(value, _)| value));
        if said.is_empty() && !has_fallback {
            continue;
        }
        fill(&mut said, |said| &mut said.1, Some(&default_path));
        fill(&mut said, |said| &mut said.0, Some(&default_selector));
        let keys = said.into_iter().filter_map(|(selector, path)| {
            let (selector, path) = (selector?, path?);
            let path = reader.expand(&path.replace("$domain", &name).replace("$selector", &selector));
            Some(Signing { selector, path: path.into(), place: place.clone() })
        });
        found.insert(domain, keys.collect());
    }
    Some(found)
}

/// Says it for all that say nothing; for one, if there is none yet.
fn fill(all: &mut Vec<Said>, part: impl Fn(&mut Said) -> &mut Option<String>, value: Option<&String>) {
    let Some(value) = value else { return };
    if all.is_empty() {
        all.push((None, None));
    }
    for said in all {
        part(said).get_or_insert_with(|| value.clone());
    }
}

/// The domains that have a file where keys are looked for without being named.
fn listed<S: Sources>(template: &str, selector: &str, options: &Options, reader: &mut Reader<'_, S>) -> Vec<String> {
    let template = template.replace("$selector", selector);
    let (folder, name) = template.rsplit_once('/').unwrap_or((".", &template));
    let Some((before, after)) = name.split_once("$domain") else { return Vec::new() };
    if folder.contains('$') {
        let place = options.place("path", reader.directory);
        let evidence = format!("whose keys are in {folder:?} cannot be listed");
        reader.find(
            "import.domains_unknown",
            Severity::Warning,
            place,
            evidence,
            "name the domains with --domains FILE",
        );
        return Vec::new();
    }
    match reader.sources.list(Path::new(folder)) {
        Ok(names) => names
            .iter()
            .filter_map(|name| Some(name.strip_prefix(before)?.strip_suffix(after)?.to_lowercase()))
            .collect(),
        Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            let place = options.place("path", reader.directory);
            let evidence = crate::finding::Chain(&error).to_string();
            reader.find("import.unreadable", Severity::Error, place, evidence, "run this as a user who can read it");
            Vec::new()
        }
    }
}
