//! What all imports of a whole signer share: their options, the proof, and how they end.

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use super::install::{CONFIGURATION, install, refuse_what_is_there};
use super::real::{Real, ThroughProgram};
use super::report::{Report, ReportedKey};
use crate::cli::output::Format;
use crate::cli::progress::progress_bar;
use crate::cli::{Exit, UsageError};
use crate::config::{Config, ListenAddress, parse};
use crate::files::accounts::SystemAccounts;
use crate::finding::{Chain, Finding, Place, Severity};
use crate::import::{ByDesign, Carried, Comparison, Sample, Selection, Wishes, compare};
use crate::message::{Headers, Message, parse_mailboxes};
use crate::names::DomainName;
use crate::policy::{MapSource, Policy};

/// Beside the port that OpenDKIM's examples use, so that both can run while mail moves over.
const PORT: u16 = 8892;

/// Messages put through the other signer's program, at most: each takes it milliseconds, with many patterns more.
const THROUGH_PROGRAM: usize = 500;

/// The differences that a finding names.
const NAMED: usize = 3;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Where configuration and keys go. Nothing that is there is replaced.
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    to: Option<PathBuf>,

    /// Write nothing: say what would be found and written.
    #[arg(long)]
    dry_run: bool,

    /// The domains that wildcards and variables in the other's tables stand for, one a line.
    #[arg(long, value_name = "FILE")]
    domains: Option<PathBuf>,

    /// Put these messages through both instead of a built-in set: as of a user who logged in, of a program on this machine,
    /// and of a stranger.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    sample: Vec<PathBuf>,

    /// Take over even if Waxseal would sign messages that the other does not. They are listed.
    #[arg(long)]
    accept_wider: bool,

    /// Where waxseald shall listen: not where the other does, as long as both run. TCP on loopback, port 8892, by default.
    #[arg(long, value_name = "SOCKET")]
    listen: Option<ListenAddress>,

    /// How to print the report.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// The options, read and checked.
pub(super) struct Prepared<'o> {
    options: &'o Options,
    pub(super) wishes: Wishes,
    given: Vec<Sample>,
    directory: PathBuf,
    config: PathBuf,
}

/// Starts a signer's program.
type Start<'t> = &'t dyn Fn(&Path) -> anyhow::Result<Real>;

/// What was found, and how to find out more.
pub(super) struct Takeover<'t> {
    /// What the other signer is called.
    pub(super) name: &'static str,
    /// The configuration that was read.
    pub(super) source: &'t Path,
    pub(super) findings: Vec<Finding>,
    /// None if there is an error among the findings.
    pub(super) carried: Option<Carried>,
    /// Built-in messages.
    pub(super) samples: &'t dyn Fn() -> Vec<Sample>,
    /// The model.
    pub(super) select: &'t dyn Fn(&Sample) -> Selection,
    pub(super) by_design: ByDesign,
    /// Starts the other's program; none where it is not installed or not asked.
    pub(super) program: Option<(PathBuf, Start<'t>)>,
}

impl Options {
    pub(super) fn prepare(&self) -> anyhow::Result<Prepared<'_>> {
        let listen = self.listen.clone().unwrap_or(ListenAddress::Inet((Ipv4Addr::LOCALHOST, PORT).into()));
        if listen.is_beyond_loopback() {
            return Err(UsageError(anyhow!(
                "{listen}: other machines can reach it; listen on this machine alone, and add a [[listener]] with allow \
                 afterwards"
            ))
            .into());
        }
        let directory = self.to.as_deref().unwrap_or(Path::new("/etc/waxseal"));
        let directory = std::path::absolute(directory).context("the current directory cannot be found")?;
        if !self.dry_run {
            refuse_what_is_there(&directory).map_err(UsageError)?;
        }
        let domains = self.domains.as_deref().map(read_domains).transpose().map_err(UsageError)?.unwrap_or_default();
        let mut given = Vec::new();
        for path in &self.sample {
            given.extend(read_sample(path).map_err(UsageError)?);
        }
        let config = directory.join(CONFIGURATION);
        Ok(Prepared { options: self, wishes: Wishes { domains, listen }, given, directory, config })
    }
}

impl Prepared<'_> {
    /// Proves, writes and reports.
    pub(super) fn finish(self, takeover: Takeover<'_>, out: &mut dyn Write) -> anyhow::Result<Exit> {
        let Takeover { name, source, findings, carried, samples, select, by_design, program } = takeover;
        let mut report = Report {
            source: source.to_owned(),
            written: None,
            keys: Vec::new(),
            findings,
            comparison: None,
            through_program: None,
        };
        if let Some(carried) = &carried {
            report.keys = carried.keys.iter().map(ReportedKey::of).collect();
            let text = configuration(carried, name, source)?;
            let policy = policy_of(&self.config, &text, &carried.map)?;
            let samples = if self.given.is_empty() { samples() } else { self.given };
            let comparison =
                compare(samples.iter().map(|sample| (sample, select(sample))), &policy, &carried.keys, by_design);
            if let Some((program, start)) = program {
                let asked = ask_program(&program, start, &samples, select, |theirs| {
                    compare(theirs, &policy, &carried.keys, by_design)
                });
                match asked {
                    Ok(asked) => report.through_program = Some(asked),
                    Err(error) => report.findings.push(not_asked(&program, &error)),
                }
            }
            let comparisons =
                std::iter::once(&comparison).chain(report.through_program.as_ref().map(|asked| &asked.comparison));
            let severity = if self.options.accept_wider { Severity::Warning } else { Severity::Error };
            let wider = comparisons.filter_map(|comparison| wider(comparison, name, source, severity)).next();
            report.findings.extend(wider);
            report.comparison = Some(comparison);
            if !self.options.dry_run && !report.has_errors() {
                install(&self.directory, &text, carried)?;
                report.written = Some(self.config.clone());
            }
        }
        // The gravest first; files and lines stay in their order.
        report.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        report.write(self.options.format, name, &self.config, out)?;
        Ok(if report.has_errors() { Exit::Findings } else { Exit::Clean })
    }
}

/// Puts messages through the program, spread over all samples if there are too many.
fn ask_program<'s>(
    program: &Path,
    start: Start<'_>,
    samples: &'s [Sample],
    select: &dyn Fn(&Sample) -> Selection,
    compare: impl FnOnce(Vec<(&'s Sample, Selection)>) -> Comparison,
) -> anyhow::Result<ThroughProgram> {
    let real = start(program)?;
    let step = samples.len().div_ceil(THROUGH_PROGRAM).max(1);
    let bar = progress_bar(samples.len() / step, "messages");
    let mut theirs = Vec::new();
    let mut unlike_model = Vec::new();
    for sample in samples.iter().step_by(step) {
        let mut selection = real.select(sample).with_context(|| sample.name.clone())?;
        let mut model = select(sample);
        // In which order it writes several is nobody's concern.
        for signs in [&mut selection, &mut model] {
            if let Selection::Signs(signatures) = signs {
                signatures.sort();
                signatures.dedup();
            }
        }
        if selection != model {
            unlike_model.push(format!("{}: it {selection}, the model {model}", sample.name));
        }
        theirs.push((sample, selection));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(ThroughProgram { program: program.to_owned(), unlike_model, comparison: compare(theirs) })
}

fn not_asked(program: &Path, error: &anyhow::Error) -> Finding {
    let place = Place::Path { path: program.to_owned() };
    let evidence = format!("could not be asked what it signs: {}", Chain(error.as_ref()));
    Finding::new("import.program", Severity::Warning, place, evidence, "the comparison is by the model alone")
}

/// What must never be quiet: messages that would be signed and are not today.
fn wider(comparison: &Comparison, theirs: &str, source: &Path, severity: Severity) -> Option<Finding> {
    let wider: Vec<&str> =
        comparison.differences.iter().filter(|other| other.is_wider).map(|other| other.name.as_str()).collect();
    let named = wider.iter().take(NAMED).copied().collect::<Vec<_>>().join("; ");
    let evidence = format!(
        "of {} messages Waxseal would sign {} that {theirs} does not: {named}",
        comparison.messages,
        wider.len()
    );
    let remedy = "see the differences below; --accept-wider takes over all the same";
    let place = Place::Path { path: source.to_owned() };
    (!wider.is_empty()).then(|| Finding::new("import.wider", severity, place, evidence, remedy))
}

fn read_domains(path: &Path) -> anyhow::Result<Vec<DomainName>> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut domains = Vec::new();
    let mut known = std::collections::HashSet::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            let domain = DomainName::parse(line).with_context(|| format!("{}: line {number}", path.display()))?;
            if known.insert(domain.clone()) {
                domains.push(domain);
            }
        }
    }
    Ok(domains)
}

/// A message from three kinds of clients, to the recipients that its header names.
fn read_sample(path: &Path) -> anyhow::Result<Vec<Sample>> {
    let octets = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let message = Message::parse(&octets).with_context(|| format!("{} is no message", path.display()))?;
    let recipients = addresses(&message.headers, &["to", "cc"]);
    let sender = addresses(&message.headers, &["from"]).into_iter().next().unwrap_or_default();
    let logged_in = Sample { sender, ..Sample::logged_in(message.headers) };
    let logged_in = if recipients.is_empty() { logged_in } else { Sample { recipients, ..logged_in } };
    let named = |what: &str, sample: Sample| Sample { name: format!("{}, {what}", path.display()), ..sample };
    let without_login = Sample { macros: std::collections::BTreeMap::new(), ..logged_in.clone() };
    let local = Sample { host: "localhost".into(), client: Some(Ipv4Addr::LOCALHOST.into()), ..without_login.clone() };
    Ok(vec![
        named("logged in", logged_in),
        named("of a program on this machine", local),
        named("of a stranger", without_login),
    ])
}

fn addresses(headers: &Headers, names: &[&str]) -> Vec<String> {
    let fields = names.iter().flat_map(|name| headers.named(name));
    let mailboxes = fields.filter_map(|field| parse_mailboxes(field.value()).ok()).flatten();
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    mailboxes.map(|one| format!("{}@{}", text(&one.local_part), text(&one.domain))).collect()
}

fn configuration(carried: &Carried, theirs: &str, from: &Path) -> anyhow::Result<String> {
    let spec = toml::to_string_pretty(&carried.spec).context("the configuration cannot be written")?;
    let from = from.display().to_string().replace(|letter: char| letter.is_control(), "?");
    Ok(format!(
        "# Waxseal's configuration, taken over from {theirs}'s, {from}. Every setting is in\n\
         # docs/configuration.md; `waxseal config check` says what is wrong.\n\n{spec}"
    ))
}

/// The policy as the daemon will have it: what is written has been understood.
fn policy_of(path: &Path, text: &str, map: &str) -> anyhow::Result<Policy> {
    struct Written<'m>(&'m str);
    impl MapSource for Written<'_> {
        fn read(&mut self, path: &Path, take: &mut dyn FnMut(&Path, usize, &str)) -> bool {
            (1..).zip(self.0.lines()).for_each(|(number, line)| take(path, number, line));
            true
        }
    }
    let unusable = |findings: Vec<Finding>| {
        let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
        anyhow!("what would be written cannot be used:\n{}", lines.join("\n"))
    };
    let (config, _): (Config, _) = parse(path, text, &SystemAccounts).map_err(unusable)?;
    let (policy, _) = Policy::compile(config.trust, config.rules, &mut Written(map)).map_err(unusable)?;
    Ok(policy)
}
