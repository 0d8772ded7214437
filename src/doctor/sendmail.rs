//! Sendmail: what stands in sendmail.cf.

use std::path::{Path, PathBuf};

use super::milter::{Endpoint, Milter, is_at};
use super::postfix::listeners;
use super::rules::Rule;
use crate::config::{Config, ListenAddress};
use crate::finding::{Finding, Place};

/// Sendmail's settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sendmail {
    /// The file.
    pub path: PathBuf,
    /// Its X lines, by name.
    filters: Vec<Filter>,
    /// `InputMailFilters`; none where it is not set, which means all.
    input: Option<Vec<String>>,
    /// `Milter.macros.envfrom`.
    envelope_macros: Option<String>,
    /// `DM`.
    masquerade: String,
    is_seven_bit: bool,
}

/// An X line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Filter {
    line: usize,
    name: String,
    milter: Milter,
    flags: String,
}

impl Sendmail {
    /// Reads a sendmail.cf.
    pub fn parse(path: &Path, text: &str) -> Self {
        let mut sendmail = Self { path: path.to_owned(), ..Self::default() };
        for (number, line) in text.lines().enumerate() {
            if let Some(rest) = line.strip_prefix('X') {
                sendmail.filters.extend(Filter::parse(number + 1, rest));
            } else if let Some((name, value)) = line.strip_prefix("O ").and_then(|rest| rest.split_once('=')) {
                sendmail.option(name.trim(), value.trim());
            } else if let Some(name) = line.strip_prefix("DM") {
                name.trim().clone_into(&mut sendmail.masquerade);
            }
        }
        sendmail
    }

    fn option(&mut self, name: &str, value: &str) {
        if name.eq_ignore_ascii_case("InputMailFilters") {
            let names = value.split([',', ' ']).map(str::trim).filter(|name| !name.is_empty());
            self.input = Some(names.map(str::to_owned).collect());
        } else if name.eq_ignore_ascii_case("Milter.macros.envfrom") {
            self.envelope_macros = Some(value.to_owned());
        } else if name.eq_ignore_ascii_case("SevenBitInput") {
            self.is_seven_bit = value.starts_with(['t', 'T', 'y', 'Y']);
        }
    }

    /// The filters in use, in their order.
    fn in_use(&self) -> Vec<&Filter> {
        match &self.input {
            None => self.filters.iter().collect(),
            Some(names) => {
                names.iter().filter_map(|name| self.filters.iter().find(|filter| filter.name == *name)).collect()
            }
        }
    }

    /// The filters in use that are ours.
    pub fn ours(&self, config: &Config) -> Vec<Milter> {
        self.in_use().into_iter().filter(|filter| filter.is_ours(config)).map(|filter| filter.milter.clone()).collect()
    }

    /// What is wrong with it for a signing milter.
    pub fn judge(&self, config: &Config) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |rule: Rule, line: Option<usize>, evidence: String, remedy: String| {
            let about = rule.description();
            let path = self.path.clone();
            let place = match line {
                Some(line) => Place::Line { path, line, column: 1 },
                None => Place::Path { path },
            };
            findings.push(Finding::new(about.id, about.severity, place, evidence, remedy));
        };
        let in_use = self.in_use();
        let Some(position) = in_use.iter().position(|filter| filter.is_ours(config)) else {
            let (evidence, line) = match self.filters.iter().find(|filter| filter.is_ours(config)) {
                Some(filter) => (format!("InputMailFilters does not list {}", filter.name), Some(filter.line)),
                None => ("there is no filter at any of waxseald's listeners".to_owned(), None),
            };
            find(Rule::SendmailMilters, line, evidence, mc_line(config));
            return findings;
        };
        let ours = in_use[position];
        let (name, line) = (&ours.name, Some(ours.line));
        if !ours.flags.contains(['T', '4']) {
            let evidence = format!("the filter {name} has F={}", ours.flags);
            find(
                Rule::SendmailDefaultAction,
                line,
                evidence,
                "write F=T in the INPUT_MAIL_FILTER line of the .mc".into(),
            );
        }
        if let Some(next) = in_use.get(position + 1) {
            let remedy = "name waxseal last in INPUT_MAIL_FILTERs, unless that one only looks";
            find(Rule::SendmailOrder, line, format!("{} comes after {name}", next.name), remedy.into());
        }
        let tells = |macros: &String| macros.contains("{auth_type}") || macros.contains("{auth_authen}");
        if config.trust.authenticated && !self.envelope_macros.as_ref().is_some_and(tells) {
            let evidence = match &self.envelope_macros {
                Some(macros) => format!("Milter.macros.envfrom is {macros:?}"),
                None => "Milter.macros.envfrom is not set".to_owned(),
            };
            let remedy = "define(`confMILTER_MACROS_ENVFROM', `i, {auth_type}, {auth_authen}, {mail_addr}') in the .mc";
            find(Rule::SendmailMacros, None, evidence, remedy.into());
        }
        if !self.masquerade.is_empty() {
            let remedy = "let clients write the address that is to be seen, or sign nothing of that domain";
            find(Rule::SendmailMasquerade, None, format!("MASQUERADE_AS is {}", self.masquerade), remedy.into());
        }
        if self.is_seven_bit {
            let remedy = "take confSEVEN_BIT_INPUT out of the .mc";
            find(Rule::SendmailConverted, None, "SevenBitInput is true".into(), remedy.into());
        }
        findings
    }
}

impl Filter {
    /// `name, S=inet:port@host, F=T, T=...`
    fn parse(line: usize, rest: &str) -> Option<Self> {
        let mut parts = rest.split(',').map(str::trim);
        let name = parts.next()?.to_owned();
        let (mut written, mut flags) = (String::new(), String::new());
        for part in parts {
            match part.split_once('=') {
                Some(("S", socket)) => socket.trim().clone_into(&mut written),
                Some(("F", given)) => given.trim().clone_into(&mut flags),
                _ => {}
            }
        }
        let endpoint = Endpoint::of_sendmail(&written);
        Some(Self { line, name, milter: Milter { written, endpoint, default_action: None }, flags })
    }

    fn is_ours(&self, config: &Config) -> bool {
        listeners(config).iter().any(|listener| is_at(&self.milter.endpoint, listener, None))
    }
}

fn mc_line(config: &Config) -> String {
    let address = match listeners(config).first().map(|listener| &listener.address) {
        Some(ListenAddress::Systemd(_)) | None => "unix:/run/waxseal/milter.sock".to_owned(),
        Some(address) => address.to_string(),
    };
    format!("INPUT_MAIL_FILTER(`waxseal', `S={address}, F=T') in the .mc; then make, and restart Sendmail")
}
