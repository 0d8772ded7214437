//! `waxseal doctor`.

mod reach;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anstyle::Style;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::Exit;
use super::list::all_domains;
use super::output::{BAD, FAINT, Format, GOOD, STRONG, WARN, write_json};
use crate::clock::Clock;
use crate::config::Config;
use crate::doctor::postfix::{self, Postfix};
use crate::doctor::sendmail::Sendmail;
use crate::doctor::{RULES, Rule};
use crate::files::configuration::{self, ConfigError};
use crate::files::maps;
use crate::finding::{Chain, Finding, Place, Severity};
use crate::keystore::Directory;
use crate::names::DomainName;
use crate::policy::LoginBinding;
use crate::rotation::RunSummary;

/// Look for what is wrong with this installation
///
/// Reads the configuration, the key store, the settings of Postfix and of Sendmail; connects to the daemon as they would, and
/// asks the DNS for the records of some domains. Says of each thing that is wrong what it does to mail, and what to do.
/// Nothing is changed. Run it as root: an MTA's sockets and the key store may be closed to others.
///
/// Exits with 0 if nothing is wrong, 1 if something is, 2 if the configuration cannot be read.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The domains whose records are looked at; some of the key store, if none is given.
    domains: Vec<DomainName>,

    /// Where Postfix has its main.cf and master.cf.
    #[arg(long, value_name = "DIRECTORY", default_value = "/etc/postfix")]
    postfix: PathBuf,

    /// Sendmail's configuration.
    #[arg(long, value_name = "FILE", default_value = "/etc/mail/sendmail.cf")]
    sendmail: PathBuf,

    /// Ask no DNS server.
    #[arg(long)]
    offline: bool,

    /// How to print it.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Domains of the key store whose records are looked at where none is named.
const SOME: usize = 5;

/// Domains whose key files are looked at.
const STORED: usize = 100;

/// A timer that is due every five minutes and has not run for this long does not run.
const LATE: SignedDuration = SignedDuration::from_hours(24);

/// A part of the installation, and what was found of it.
#[derive(Debug, Serialize)]
struct Part {
    part: &'static str,
    /// What was looked at, in some words.
    about: String,
    findings: Vec<Finding>,
}

impl Part {
    fn new(part: &'static str, about: impl Into<String>, findings: Vec<Finding>) -> Self {
        Self { part, about: about.into(), findings }
    }

    fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}

#[derive(Debug, Serialize)]
struct Examined<'a> {
    version: &'static str,
    parts: &'a [Part],
}

pub(super) fn run(args: &Args, path: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let parts = match configuration::read(path) {
        Ok((config, findings)) => examine(args, path, &config, findings)?,
        Err(ConfigError::Invalid(findings)) => vec![Part::new("configuration", path.display().to_string(), findings)],
        Err(error) => return Err(super::ConfigUnusable(error).into()),
    };
    match args.format {
        Format::Json => write_json(out, &Examined { version: env!("CARGO_PKG_VERSION"), parts: &parts })?,
        Format::Text => write_text(&parts, out)?,
    }
    let is_clean = parts.iter().filter_map(Part::worst).all(|worst| worst == Severity::Info);
    Ok(if is_clean { Exit::Clean } else { Exit::Findings })
}

fn examine(args: &Args, path: &Path, config: &Config, mut of_file: Vec<Finding>) -> anyhow::Result<Vec<Part>> {
    let (Ok((_, of_maps)) | Err(of_maps)) = maps::compile(config).policy;
    of_file.extend(of_maps);
    let mut parts = vec![];
    let store = Directory::open(&config.keys.store);
    let listed = store.as_ref().ok().and_then(|store| all_domains(store).ok());
    let (domains, of_store) = listed.unwrap_or_default();
    if domains.len() > 1 && config.trust.logins.binding == LoginBinding::Off {
        let evidence = format!("{} domains, and [trust] bind_logins is not set", domains.len());
        let remedy = "set bind_logins in [trust]; docs/policy.md, Logins";
        of_file.push(found(Rule::LoginsFree, Place::Path { path: path.to_owned() }, evidence, remedy));
    }
    parts.push(Part::new("configuration", path.display().to_string(), of_file));
    parts.push(match store {
        Ok(store) => keys(&store, &domains, of_store),
        Err(error) => {
            let place = Place::Path { path: config.keys.store.clone() };
            let finding = Finding::new("store.open", Severity::Error, place, Chain(&error).to_string(), "");
            Part::new("keys", config.keys.store.display().to_string(), vec![finding])
        }
    });
    parts.push(rotation(config));
    let mut mtas = Vec::new();
    mtas.extend(postfix(&args.postfix, config));
    mtas.extend(sendmail(&args.sendmail, config));
    if mtas.is_empty() {
        let about = format!("no Postfix at {}, no {}", args.postfix.display(), args.sendmail.display());
        mtas.push(Part::new("MTA", about, Vec::new()));
    }
    parts.push(reach::daemon(config));
    parts.extend(mtas);
    if !args.offline {
        let some: Vec<DomainName> = match &args.domains[..] {
            [] => domains.iter().take(SOME).cloned().collect(),
            given => given.to_vec(),
        };
        if !some.is_empty() {
            parts.push(records(path, &some, domains.len())?);
        }
    }
    Ok(parts)
}

fn found(rule: Rule, place: Place, evidence: impl Into<String>, remedy: impl Into<String>) -> Finding {
    let about = rule.description();
    Finding::new(about.id, about.severity, place, evidence, remedy)
}

/// The key files of the first domains.
fn keys(store: &Directory, domains: &[DomainName], mut findings: Vec<Finding>) -> Part {
    for domain in domains.iter().take(STORED) {
        findings.extend(store.examine_named(domain).findings);
    }
    let about = match domains.len() {
        0 => "no domain has keys; waxseal generate makes them".to_owned(),
        all if all > STORED => format!("{STORED} of {all} domains looked at; waxseal key check looks at all"),
        all => format!("{all} domains"),
    };
    Part::new("keys", about, findings)
}

/// What the last run of rotation left, and whether the clock is behind it.
fn rotation(config: &Config) -> Part {
    let now = Clock::System.now();
    let state = &config.rotation.state;
    let place = || Place::Path { path: state.clone() };
    let summary = match RunSummary::read(state) {
        Ok(Some(summary)) => summary,
        Ok(None) => return Part::new("rotation", "has not run yet", Vec::new()),
        Err(error) => {
            let finding = Finding::new("rotation.summary", Severity::Warning, place(), Chain(&error).to_string(), "");
            return Part::new("rotation", state.display().to_string(), vec![finding]);
        }
    };
    let mut findings = Vec::new();
    let age = now.duration_since(summary.ended);
    if age > LATE {
        let evidence = format!("the last run ended at {}", summary.ended);
        findings.push(found(Rule::RotationLate, place(), evidence, "systemctl enable --now waxseal-rotate.timer"));
    }
    if age < SignedDuration::from_mins(-5) {
        let evidence = format!("it is {now}, and the last run ended at {}", summary.ended);
        findings.push(found(Rule::ClockBehind, place(), evidence, "set the clock, and let NTP keep it"));
    }
    if summary.failing > 0 {
        let evidence = format!("{} domains", summary.failing);
        findings.push(found(Rule::RotationFailing, place(), evidence, "waxseal status --only failing"));
    }
    if summary.alarmed > 0 {
        let evidence = format!("{} domains", summary.alarmed);
        findings.push(found(Rule::RotationAlarm, place(), evidence, "waxseal status --only alarm"));
    }
    Part::new("rotation", format!("last run {}", ended(summary.ended)), findings)
}

fn ended(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn postfix(directory: &Path, config: &Config) -> Option<Part> {
    if !directory.join("main.cf").exists() {
        return None;
    }
    Some(match read_postfix(directory) {
        Ok(postfix) => {
            let mut findings = postfix.judge(config);
            findings.extend(reach::postfix(&postfix, config));
            let about = format!("{} in {}", postfix.version(), directory.display());
            Part::new("Postfix", about, findings)
        }
        Err(error) => {
            let place = Place::Path { path: directory.to_owned() };
            let finding = Finding::new("postfix.read", Severity::Error, place, error.to_string(), "");
            Part::new("Postfix", directory.display().to_string(), vec![finding])
        }
    })
}

/// Asks postconf(1), which knows the defaults of its version and expands what settings name.
fn read_postfix(directory: &Path) -> io::Result<Postfix> {
    let postconf = |arguments: &[&str]| -> io::Result<String> {
        let beside = ["/usr/sbin/postconf", "/usr/local/sbin/postconf"];
        let program = beside.iter().find(|path| Path::new(path).exists()).unwrap_or(&"postconf");
        let output = Command::new(program).arg("-c").arg(directory).args(arguments).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("postconf {}: {}", arguments.join(" "), said.trim())));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let main: Vec<&str> = ["-x"].into_iter().chain(postfix::PARAMETERS.iter().copied()).collect();
    Ok(Postfix::parse(directory, &postconf(&main)?, &postconf(&["-M"])?, &postconf(&["-x", "-P"])?))
}

fn sendmail(path: &Path, config: &Config) -> Option<Part> {
    let about = path.display().to_string();
    Some(match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            let place = Place::Path { path: path.to_owned() };
            let finding = Finding::new("sendmail.read", Severity::Error, place, error.to_string(), "run it as root");
            Part::new("Sendmail", about, vec![finding])
        }
        Ok(octets) => {
            let sendmail = Sendmail::parse(path, &String::from_utf8_lossy(&octets));
            let mut findings = sendmail.judge(config);
            findings.extend(reach::sendmail(&sendmail, config));
            Part::new("Sendmail", about, findings)
        }
    })
}

/// What DNS says of some domains.
fn records(path: &Path, some: &[DomainName], all: usize) -> anyhow::Result<Part> {
    let mut findings = Vec::new();
    for report in super::verify::reports(path, some)? {
        let domain = report.domain.clone();
        findings.extend(report.findings);
        for key in report.keys {
            findings.extend(key.findings);
            findings.extend(key.undetermined.map(|why| {
                let place = Place::Domain { domain: domain.clone(), selector: Some(key.selector), server: None };
                Finding::new("dns.undetermined", Severity::Warning, place, why, "waxseal verify asks again")
            }));
        }
    }
    let about = format!("{} of {all} domains; waxseal verify looks at all", some.len());
    Ok(Part::new("DNS", if some.len() < all { about } else { format!("{} domains", some.len()) }, findings))
}

fn write_text(parts: &[Part], out: &mut dyn Write) -> io::Result<()> {
    for part in parts {
        let (mark, style): (_, Style) = match part.worst() {
            None | Some(Severity::Info) => ("ok", GOOD),
            Some(Severity::Warning) => ("look", WARN),
            Some(Severity::Error) => ("wrong", BAD),
        };
        writeln!(out, "{style}{mark:5}{style:#}  {STRONG}{:13}{STRONG:#}  {FAINT}{}{FAINT:#}", part.part, part.about)?;
        let mut findings: Vec<&Finding> = part.findings.iter().collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        for finding in findings {
            let style = match finding.severity {
                Severity::Info => FAINT,
                Severity::Warning => WARN,
                Severity::Error => BAD,
            };
            let title = RULES.iter().find(|rule| rule.id == finding.rule).map(|rule| rule.title);
            writeln!(
                out,
                "\n       {style}{}{style:#}  {STRONG}{}{STRONG:#}",
                finding.severity,
                title.unwrap_or(finding.rule)
            )?;
            writeln!(out, "       {}: {}", finding.place, finding.evidence)?;
            if !finding.remedy.is_empty() {
                writeln!(out, "       {FAINT}remedy:{FAINT:#} {}", finding.remedy)?;
            }
        }
        if !part.findings.is_empty() {
            writeln!(out)?;
        }
    }
    let count = |severity, name: &str| {
        let count = parts.iter().flat_map(|part| &part.findings).filter(|finding| finding.severity == severity).count();
        format!("{count} {name}{}", if count == 1 { "" } else { "s" })
    };
    writeln!(out, "\n{}, {}", count(Severity::Error, "error"), count(Severity::Warning, "warning"))
}
