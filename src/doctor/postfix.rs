//! Postfix: what `postconf -x` and `postconf -M` print.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::milter::{Endpoint, Milter, is_at};
use super::rules::Rule;
use crate::config::{Config, Listener, Listeners};
use crate::finding::{Finding, Place};

/// The settings that are looked at: what `postconf -x` is to print.
pub const PARAMETERS: &[&str] = &[
    "content_filter",
    "mail_owner",
    "mail_version",
    "milter_command_timeout",
    "milter_connect_macros",
    "milter_content_timeout",
    "milter_default_action",
    "milter_mail_macros",
    "milter_protocol",
    "non_smtpd_milters",
    "queue_directory",
    "receive_override_options",
    "smtp_body_checks",
    "smtp_discard_ehlo_keywords",
    "smtp_generic_maps",
    "smtp_header_checks",
    "smtp_line_length_limit",
    "smtp_mime_header_checks",
    "smtp_nested_header_checks",
    "smtpd_milters",
    "smtpd_proxy_filter",
    "smtpd_sasl_auth_enable",
];

/// Postfix's settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Postfix {
    /// Where main.cf and master.cf are.
    pub directory: PathBuf,
    /// Those of main.cf, and the defaults.
    pub main: BTreeMap<String, String>,
    /// Those of master.cf.
    pub services: Vec<Service>,
}

/// A service of master.cf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Such as `smtp`, `submission`, `127.0.0.1:10025`.
    pub name: String,
    /// Such as `inet`.
    pub kind: String,
    /// Whether it runs below the queue directory.
    pub is_chrooted: bool,
    /// Its program.
    pub command: String,
    /// What it has of its own with `-o`.
    pub settings: BTreeMap<String, String>,
}

impl Postfix {
    /// From what `postconf -x PARAMETER...` (`main`), `postconf -M` (`services`) and `postconf -x -P` (`overrides`) print.
    pub fn parse(directory: &Path, main: &str, services: &str, overrides: &str) -> Self {
        let main = main.lines().filter_map(setting).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut services: Vec<Service> = services.lines().filter_map(Service::parse).collect();
        for (path, value) in overrides.lines().filter_map(setting) {
            let mut parts = path.rsplitn(3, '/');
            let (Some(parameter), Some(kind), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            for service in services.iter_mut().filter(|service| service.name == name && service.kind == kind) {
                service.settings.insert(parameter.to_owned(), value.to_owned());
            }
        }
        Self { directory: directory.to_owned(), main, services }
    }

    fn get<'a>(&'a self, service: Option<&'a Service>, name: &str) -> &'a str {
        let own = service.and_then(|service| service.settings.get(name));
        own.or_else(|| self.main.get(name)).map_or("", String::as_str)
    }

    /// Where chrooted services look for their files.
    pub fn queue_directory(&self) -> PathBuf {
        PathBuf::from(self.get(None, "queue_directory"))
    }

    /// The user that its services run as.
    pub fn owner(&self) -> &str {
        self.get(None, "mail_owner")
    }

    /// Its version.
    pub fn version(&self) -> &str {
        self.get(None, "mail_version")
    }

    fn smtpds(&self) -> impl Iterator<Item = &Service> {
        self.services.iter().filter(|service| service.command == "smtpd")
    }

    fn milters(&self, service: Option<&Service>, setting: &str) -> Vec<Milter> {
        let is_none = self.get(service, "receive_override_options").contains("no_milters");
        if is_none && service.is_some() { Vec::new() } else { milters(self.get(service, setting)) }
    }

    /// All filters it is told of that are ours, with whether one who connects is chrooted.
    pub fn ours(&self, config: &Config) -> Vec<(Milter, bool)> {
        let mut ours: Vec<(Milter, bool)> = Vec::new();
        let of_services =
            self.smtpds().map(|service| (self.milters(Some(service), "smtpd_milters"), service.is_chrooted));
        let is_cleanup_chrooted =
            self.services.iter().any(|service| service.command == "cleanup" && service.is_chrooted);
        let of_local = (self.milters(None, "non_smtpd_milters"), is_cleanup_chrooted);
        for (milters, is_chrooted) in of_services.chain([of_local]) {
            for milter in milters.into_iter().filter(|milter| self.is_ours(milter, config)) {
                if !ours.iter().any(|known| *known == (milter.clone(), is_chrooted)) {
                    ours.push((milter, is_chrooted));
                }
            }
        }
        ours
    }

    /// Whether a service hands its mail to our daemon.
    fn has_ours(&self, service: &Service, config: &Config) -> bool {
        self.milters(Some(service), "smtpd_milters").iter().any(|milter| self.is_ours(milter, config))
    }

    fn is_ours(&self, milter: &Milter, config: &Config) -> bool {
        let queue = self.queue_directory();
        listeners(config).iter().any(|listener| is_at(&milter.endpoint, listener, Some(&queue)))
    }

    /// What is wrong with it for a signing milter.
    pub fn judge(&self, config: &Config) -> Vec<Finding> {
        let mut judged = Judge { postfix: self, config, findings: Vec::new() };
        judged.handed_over();
        judged.when_away();
        judged.told();
        judged.filters();
        judged.changed_later();
        judged.findings
    }
}

impl Service {
    /// A line of master.cf as `postconf -M` prints it.
    fn parse(line: &str) -> Option<Self> {
        let mut columns = line.split_ascii_whitespace();
        let name = columns.next().filter(|name| !name.starts_with('#'))?.to_owned();
        let kind = columns.next()?.to_owned();
        let is_chrooted = columns.nth(2)? == "y";
        let command = columns.nth(2)?.to_owned();
        Some(Self { name, kind, is_chrooted, command, settings: BTreeMap::new() })
    }

    /// Whether it is there for those who log in.
    fn is_submission(&self) -> bool {
        let port = self.name.rsplit(':').next().unwrap_or_default();
        matches!(port, "submission" | "submissions" | "smtps" | "587" | "465")
            || self.settings.get("smtpd_sasl_auth_enable").is_some_and(|value| value == "yes")
    }

    /// Whether it takes mail back from a content filter.
    fn takes_back(&self) -> bool {
        self.settings.get("content_filter").is_some_and(String::is_empty)
    }
}

/// The listeners of a configuration.
pub(super) fn listeners(config: &Config) -> &[Listener] {
    match &config.listeners {
        Listeners::PassedOr(listener) => std::slice::from_ref(listener),
        Listeners::Named(listeners) => listeners,
    }
}

/// `name = value`.
fn setting(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    Some((name.trim(), value.trim()))
}

/// A list of filters: separated by commas and blanks, with settings of their own in braces.
fn milters(list: &str) -> Vec<Milter> {
    let mut milters = Vec::new();
    let mut rest = list.trim();
    while !rest.is_empty() {
        let (item, after) = match rest.strip_prefix('{') {
            Some(inner) => inner.split_once('}').unwrap_or((inner, "")),
            None => rest.split_once([',', ' ', '\t']).unwrap_or((rest, "")),
        };
        let mut words = item.split([',', ' ', '\t']).map(str::trim).filter(|word| !word.is_empty());
        let joined: Vec<&str> = words.clone().collect();
        if let Some(written) = words.next() {
            // Blanks may stand around the equals sign.
            let settings = joined.join(" ").replace(" = ", "=").replace("= ", "=").replace(" =", "=");
            let default_action = settings.split(' ').find_map(|word| word.strip_prefix("default_action="));
            milters.push(Milter {
                written: written.to_owned(),
                endpoint: Endpoint::of_postfix(written),
                default_action: default_action.map(str::to_owned),
            });
        }
        rest = after.trim_start_matches([',', ' ', '\t']);
    }
    milters
}

/// A time as Postfix writes it: `30s`, `5m`, `300`.
fn time(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}

struct Judge<'a> {
    postfix: &'a Postfix,
    config: &'a Config,
    findings: Vec<Finding>,
}

impl<'a> Judge<'a> {
    fn find(&mut self, rule: Rule, file: &str, evidence: impl Into<String>, remedy: impl Into<String>) {
        let about = rule.description();
        let place = Place::Path { path: self.postfix.directory.join(file) };
        self.findings.push(Finding::new(about.id, about.severity, place, evidence, remedy));
    }

    fn main(&self, name: &str) -> &'a str {
        self.postfix.get(None, name)
    }

    /// How main.cf is to name our first listener.
    fn address(&self) -> String {
        use crate::config::ListenAddress::{Inet, Systemd, Unix};
        match listeners(self.config).first().map(|listener| &listener.address) {
            Some(Inet(address)) if address.ip().is_unspecified() => format!("inet:127.0.0.1:{}", address.port()),
            Some(Inet(address)) => format!("inet:{address}"),
            Some(Unix(path)) => match path.strip_prefix(self.postfix.queue_directory()) {
                Ok(relative) => format!("unix:{}", relative.display()),
                Err(_) => format!("unix:{}", path.display()),
            },
            Some(Systemd(_)) | None => "unix:waxseal/milter.sock".to_owned(),
        }
    }

    /// Whether each way in comes by our daemon.
    fn handed_over(&mut self) {
        let (postfix, config) = (self.postfix, self.config);
        let address = self.address();
        let services: Vec<&Service> = postfix.smtpds().collect();
        if !services.is_empty() && !services.iter().any(|service| postfix.has_ours(service, config)) {
            let set = self.main("smtpd_milters");
            let evidence = if set.is_empty() {
                "smtpd_milters is empty".to_owned()
            } else {
                format!("smtpd_milters is {set:?}, which is none of waxseald's listeners")
            };
            let remedy = format!("postconf -e smtpd_milters={address} && postfix reload");
            self.find(Rule::PostfixMilters, "main.cf", evidence, remedy);
        } else {
            for service in
                services.iter().filter(|service| service.is_submission() && !postfix.has_ours(service, config))
            {
                let has_filter = !postfix.get(Some(service), "content_filter").is_empty();
                let comes_back = services.iter().any(|other| other.takes_back() && postfix.has_ours(other, config));
                if has_filter && comes_back {
                    continue;
                }
                let name = &service.name;
                let what = ["smtpd_milters", "receive_override_options"]
                    .iter()
                    .find_map(|setting| Some(format!("-o {setting}={}", service.settings.get(*setting)?)))
                    .unwrap_or_else(|| "what it has of its own".to_owned());
                let evidence = format!("service {name}: {what} keeps its mail from waxseald");
                let remedy = format!(
                    "take that out of master.cf, or postconf -P {name}/{}/smtpd_milters={address} && postfix reload",
                    service.kind
                );
                self.find(Rule::PostfixSubmission, "master.cf", evidence, remedy);
            }
        }
        let local = milters(self.main("non_smtpd_milters"));
        if !local.iter().any(|milter| postfix.is_ours(milter, config)) {
            let evidence = format!("non_smtpd_milters is {:?}", self.main("non_smtpd_milters"));
            let remedy = format!("postconf -e non_smtpd_milters={address} && postfix reload");
            self.find(Rule::PostfixLocal, "main.cf", evidence, remedy);
        }
        self.chrooted();
    }

    fn chrooted(&mut self) {
        let queue = self.postfix.queue_directory();
        let mut said: Vec<PathBuf> = Vec::new();
        for (milter, is_chrooted) in self.postfix.ours(self.config) {
            let Endpoint::Unix(path) = &milter.endpoint else { continue };
            if !is_chrooted || path.is_relative() || said.contains(path) {
                continue;
            }
            let seen = queue.join(path.strip_prefix("/").unwrap_or(path));
            let is_there = listeners(self.config).iter().any(|listener| match &listener.address {
                crate::config::ListenAddress::Unix(ours) => *ours == seen,
                _ => false,
            });
            if !is_there {
                said.push(path.clone());
                let evidence = format!(
                    "{} is looked for at {} by services that are chrooted (y in the fifth column of master.cf)",
                    milter.written,
                    seen.display()
                );
                let remedy = format!(
                    "let waxseald listen at {0}/waxseal/milter.sock and write unix:waxseal/milter.sock here, or use \
                     inet:127.0.0.1:8892; docs/operating.md has the steps",
                    queue.display()
                );
                self.find(Rule::PostfixChroot, "master.cf", evidence, remedy);
            }
        }
    }

    /// What becomes of mail while the daemon is away, or slow.
    fn when_away(&mut self) {
        let mut said: Vec<String> = Vec::new();
        let services: Vec<Option<&Service>> = self.postfix.smtpds().map(Some).chain([None]).collect();
        for service in services {
            let list = if service.is_some() { "smtpd_milters" } else { "non_smtpd_milters" };
            for milter in self.postfix.milters(service, list) {
                if !self.postfix.is_ours(&milter, self.config) {
                    continue;
                }
                let general = self.postfix.get(service, "milter_default_action");
                let action = milter.default_action.as_deref().unwrap_or(general);
                if matches!(action, "tempfail" | "shutdown") || said.iter().any(|known| known == action) {
                    continue;
                }
                said.push(action.to_owned());
                let evidence = match service {
                    Some(service) => {
                        format!("the default action for {} is {action}, service {}", milter.written, service.name)
                    }
                    None => format!("the default action for {} is {action}", milter.written),
                };
                let remedy = "postconf -e milter_default_action=tempfail && postfix reload";
                self.find(Rule::PostfixDefaultAction, "main.cf", evidence, remedy);
            }
        }
        let needed = self.config.limits.queue_deadline + Duration::from_secs(5);
        for name in ["milter_command_timeout", "milter_content_timeout"] {
            if time(self.main(name)).is_some_and(|set| set < needed) {
                let evidence = format!("{name} is {}", self.main(name));
                let remedy = format!("postconf -X {name}, for its default; at least {} s", needed.as_secs());
                self.find(Rule::PostfixTimeouts, "main.cf", evidence, remedy);
            }
        }
    }

    /// What it tells the daemon.
    fn told(&mut self) {
        let has =
            |list: &str, name: &str| list.split([',', ' ', '\t']).any(|word| word.trim_matches(['{', '}']) == name);
        let mail = self.main("milter_mail_macros");
        if self.config.trust.authenticated && !has(mail, "auth_type") && !has(mail, "auth_authen") {
            let evidence = format!("milter_mail_macros is {mail:?}");
            self.find(Rule::PostfixMacros, "main.cf", evidence, "postconf -X milter_mail_macros && postfix reload");
        }
        let connect = self.main("milter_connect_macros");
        if !self.config.trust.daemon_names.is_empty() && !has(connect, "daemon_name") {
            let evidence = format!("milter_connect_macros is {connect:?}, without {{daemon_name}}");
            self.find(Rule::PostfixMacros, "main.cf", evidence, "postconf -X milter_connect_macros && postfix reload");
        }
        if self.main("milter_protocol").parse::<u32>().is_ok_and(|version| version < 6) {
            let evidence = format!("milter_protocol is {}", self.main("milter_protocol"));
            self.find(Rule::PostfixProtocol, "main.cf", evidence, "postconf -X milter_protocol && postfix reload");
        }
    }

    /// What stands between the daemon and the queue, and beside it.
    fn filters(&mut self) {
        let (postfix, config) = (self.postfix, self.config);
        let services: Vec<&Service> = postfix.smtpds().collect();
        let back: Vec<&str> = services
            .iter()
            .filter(|service| service.takes_back() && postfix.has_ours(service, config))
            .map(|service| service.name.as_str())
            .collect();
        for service in services.iter().filter(|service| postfix.has_ours(service, config)) {
            let name = &service.name;
            if !postfix.get(Some(service), "smtpd_proxy_filter").is_empty() {
                let remedy = "sign where the mail comes back from the proxy";
                self.find(Rule::PostfixProxied, "master.cf", format!("service {name}"), remedy);
            }
            let filter = postfix.get(Some(service), "content_filter");
            if filter.is_empty() {
                continue;
            }
            let parameter = format!("{name}/{}/receive_override_options=no_milters", service.kind);
            if back.is_empty() {
                let evidence = format!("service {name} hands on to {filter}");
                let remedy = format!(
                    "if that filter changes messages: postconf -P {parameter}, smtpd_milters on the service that takes them \
                     back, and a [[listener]] with sign_relayed = true for it"
                );
                self.find(Rule::PostfixFiltered, "master.cf", evidence, remedy);
            } else {
                let evidence = format!("service {name} hands on to {filter}, and {} takes back", back.join(", "));
                let remedy = format!("postconf -P {parameter} && postfix reload");
                self.find(Rule::PostfixTwice, "master.cf", evidence, remedy);
            }
        }
        let lists = services.iter().map(|service| postfix.milters(Some(service), "smtpd_milters"));
        let after = lists.filter_map(|milters| {
            let ours = milters.iter().position(|milter| postfix.is_ours(milter, config))?;
            milters.get(ours + 1).map(|next| next.written.clone())
        });
        if let Some(next) = after.min() {
            let remedy = "put waxseald last in smtpd_milters, unless that one only looks";
            self.find(Rule::PostfixOrder, "main.cf", format!("{next} comes after waxseald"), remedy);
        }
    }

    /// What the SMTP client does to what was signed.
    fn changed_later(&mut self) {
        for name in [
            "smtp_generic_maps",
            "smtp_header_checks",
            "smtp_mime_header_checks",
            "smtp_nested_header_checks",
            "smtp_body_checks",
        ] {
            let set = self.main(name);
            if !set.is_empty() {
                let remedy = "rewrite before the milters: canonical_maps, header_checks, body_checks";
                self.find(Rule::PostfixRewritten, "main.cf", format!("{name} is {set}"), remedy);
            }
        }
        let limit = self.main("smtp_line_length_limit");
        if limit.parse::<u32>().is_ok_and(|limit| (1..998).contains(&limit)) {
            let evidence = format!("smtp_line_length_limit is {limit}");
            self.find(Rule::PostfixLines, "main.cf", evidence, "postconf -X smtp_line_length_limit && postfix reload");
        }
        let discarded = self.main("smtp_discard_ehlo_keywords");
        if discarded.to_ascii_lowercase().contains("8bitmime") {
            let evidence = format!("smtp_discard_ehlo_keywords is {discarded}");
            self.find(Rule::PostfixConverted, "main.cf", evidence, "take 8bitmime out of it");
        }
    }
}
