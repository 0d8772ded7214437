//! `waxseal import opendkim`.

use std::fs;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::generate::{RECORD_TTL, command};
use crate::cli::init::{access, make_directory, make_store, write_new};
use crate::cli::output::{Format, GOOD, STRONG, WARN, write_json};
use crate::cli::{Exit, UsageError};
use crate::clock::Clock;
use crate::config::{Config, ListenAddress, parse};
use crate::dkim::key::KeyId;
use crate::files::accounts::SystemAccounts;
use crate::finding::{Finding, Severity};
use crate::import::opendkim::{Carried, CarriedKey, Comparison, KeyUse, MAP, Sample, Setup, Wishes, compare, samples};
use crate::import::{Sources, Unreadable};
use crate::keystore::{Directory, KeyStore};
use crate::manifest::{Choice, DomainManifest, PrivateKeyPlace, RetirementWaits};
use crate::message::Message;
use crate::names::DomainName;
use crate::policy::{MapSource, Policy};

/// Beside the port that OpenDKIM's examples use, so that both can run while mail moves over.
const PORT: u16 = 8892;

/// No table or key is larger.
const LARGEST: u64 = 256 << 20;

/// Differences and findings of one kind that are shown to people; JSON has all.
const SHOWN: usize = 20;

/// Take over OpenDKIM's configuration, tables and keys
///
/// Reads what OpenDKIM reads and changes nothing of it. Writes DIR/waxseal.toml, DIR/signers.map and DIR/keys, the keys
/// under the selectors they have, signing from the first message on. Says what was not taken over, what was a trap, and,
/// over a set of messages put through both, where the two would differ. Nothing is written if there is an error among that.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// OpenDKIM's configuration.
    #[arg(default_value = "/etc/opendkim.conf")]
    file: PathBuf,

    /// Where configuration and keys go. No waxseal.toml may be there.
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    to: Option<PathBuf>,

    /// Write nothing: say what would be found and written.
    #[arg(long)]
    dry_run: bool,

    /// The domains that `*` and `%` in OpenDKIM's tables stand for, one a line.
    #[arg(long, value_name = "FILE")]
    domains: Option<PathBuf>,

    /// Put this message through both besides, as if its sender had logged in. May be given again.
    #[arg(long, value_name = "FILE")]
    message: Vec<PathBuf>,

    /// Where waxseald shall listen: not where OpenDKIM does, as long as both run. TCP on loopback, port 8892, by default.
    #[arg(long, value_name = "SOCKET")]
    listen: Option<ListenAddress>,

    /// How to print the report.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// What is said at the end.
#[derive(Debug, Serialize)]
struct Report {
    /// waxseal.toml; none if nothing was written.
    written: Option<PathBuf>,
    keys: Vec<ReportedKey>,
    findings: Vec<Finding>,
    comparison: Option<Comparison>,
}

#[derive(Debug, Serialize)]
struct ReportedKey {
    domain: String,
    selector: String,
    algorithm: String,
    bits: u32,
    signs: bool,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let file = std::path::absolute(&args.file).context("the current directory cannot be found")?;
    let listen = args.listen.clone().unwrap_or(ListenAddress::Inet((Ipv4Addr::LOCALHOST, PORT).into()));
    if listen.is_beyond_loopback() {
        return Err(UsageError(anyhow!("{listen}: other machines can reach it; listen on this machine alone, and add a [[listener]] with allow afterwards")).into());
    }
    let directory = args.to.as_deref().unwrap_or(Path::new("/etc/waxseal"));
    let directory = std::path::absolute(directory).context("the current directory cannot be found")?;
    let config_path = directory.join("waxseal.toml");
    if !args.dry_run && config_path.exists() {
        return Err(UsageError(anyhow!("{} exists; name another directory with --to", config_path.display())).into());
    }
    let domains = args.domains.as_deref().map(read_domains).transpose().map_err(UsageError)?.unwrap_or_default();
    let given = args.message.iter().map(|path| read_message(path)).collect::<anyhow::Result<Vec<_>>>();
    let given = given.map_err(UsageError)?;

    let mut findings = Vec::new();
    let setup = Setup::read(&file, &mut Files, &mut findings);
    let carried = if has_error(&findings) {
        None
    } else {
        let carried = setup.carry(&Wishes { domains: domains.clone(), listen }, &mut Files, &mut findings);
        (!has_error(&findings)).then_some(carried)
    };
    let mut report = Report { written: None, keys: Vec::new(), findings, comparison: None };
    if let Some(carried) = &carried {
        report.keys = carried.keys.iter().map(ReportedKey::of).collect();
        let text = configuration(carried, &file)?;
        let policy = policy_of(&config_path, &text, &carried.map)?;
        let mut samples = samples(&setup, &domains);
        samples.extend(given);
        report.comparison = Some(compare(&setup, &policy, &carried.keys, &samples));
        if !args.dry_run {
            write_all(&directory, &config_path, &text, carried)?;
            report.written = Some(config_path.clone());
        }
    }
    // The gravest first; files and lines stay in their order.
    report.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    match args.format {
        Format::Json => write_json(out, &report)?,
        Format::Text => write_text(&report, &config_path, out)?,
    }
    Ok(if carried.is_some() { Exit::Clean } else { Exit::Findings })
}

fn has_error(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

/// The file system, as OpenDKIM's user or root sees it.
struct Files;

impl Sources for Files {
    fn read(&mut self, path: &Path) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        let failed = |source| Unreadable { path: path.to_owned(), source };
        let found = fs::metadata(path).map_err(failed)?;
        // Before it is opened: opening a FIFO would wait for its writer.
        if !found.is_file() || found.len() > LARGEST {
            return Err(failed(std::io::Error::other("it is no plain file, or too large")));
        }
        let mut octets = Zeroizing::new(Vec::with_capacity(found.len() as usize + 1));
        let file = fs::File::open(path).map_err(failed)?;
        file.take(LARGEST).read_to_end(&mut octets).map_err(failed)?;
        Ok(octets)
    }
}

fn read_domains(path: &Path) -> anyhow::Result<Vec<DomainName>> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut domains = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            let domain = DomainName::parse(line).with_context(|| format!("{}: line {number}", path.display()))?;
            if !domains.contains(&domain) {
                domains.push(domain);
            }
        }
    }
    Ok(domains)
}

fn read_message(path: &Path) -> anyhow::Result<Sample> {
    let octets = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let message = Message::parse(&octets).with_context(|| format!("{} is no message", path.display()))?;
    Ok(Sample { name: path.display().to_string(), ..Sample::logged_in(message.headers) })
}

fn configuration(carried: &Carried, from: &Path) -> anyhow::Result<String> {
    let spec = toml::to_string_pretty(&carried.spec).context("the configuration cannot be written")?;
    let from = from.display().to_string().replace(|letter: char| letter.is_control(), "?");
    Ok(format!(
        "# Waxseal's configuration, taken over from {from}. Every setting is in\n\
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

/// Keys first; with the configuration the installation is complete.
fn write_all(directory: &Path, config: &Path, text: &str, carried: &Carried) -> anyhow::Result<()> {
    let access = access();
    make_directory(directory, access).with_context(|| format!("{} cannot be made", directory.display()))?;
    let store = make_store(&directory.join("keys"), access)?;
    let mut uses: std::collections::HashMap<KeyId, usize> = std::collections::HashMap::new();
    for key in &carried.keys {
        *uses.entry(key.key.public().id()).or_default() += 1;
    }
    for of_domain in carried.keys.chunk_by(|one, other| one.domain == other.domain) {
        let Some(first) = of_domain.first() else { continue };
        commit(&store, &first.domain, of_domain, &uses).with_context(|| {
            format!("the keys of {} were not taken over; mend this and run the same again", first.domain)
        })?;
    }
    let map = directory.join(MAP);
    if fs::read_to_string(&map).ok().as_deref() != Some(&carried.map) {
        write_new(&map, &carried.map)?;
    }
    write_new(config, text)
}

/// One domain's keys; as they are, if it has them.
fn commit(
    store: &Directory,
    domain: &DomainName,
    keys: &[CarriedKey],
    uses: &std::collections::HashMap<KeyId, usize>,
) -> anyhow::Result<()> {
    let before = store.manifest(domain)?.unwrap_or_else(|| DomainManifest::new(domain.clone()));
    let now = Clock::System.now();
    let mut manifest = before.clone();
    for CarriedKey { selector, key, .. } in keys {
        let id = key.public().id();
        if manifest.binding(selector).is_some_and(|binding| binding.key_id() == id) {
            continue;
        }
        let is_shared = uses.get(&id).is_some_and(|uses| *uses > 1);
        let place = if is_shared { PrivateKeyPlace::Shared } else { PrivateKeyPlace::Own };
        manifest = manifest.bind_imported(selector.clone(), key.public().clone(), place, RECORD_TTL, now)?;
    }
    let signing: Vec<_> =
        keys.iter().filter(|key| key.usage == KeyUse::Signs).map(|key| key.selector.clone()).collect();
    if signing.is_empty() {
        bail!("none of its keys would sign");
    }
    manifest = manifest.activate(Choice::Selectors(&signing), RetirementWaits::default(), now)?.manifest;
    if manifest != before {
        let keys: Vec<_> = keys.iter().map(|key| &*key.key).collect();
        store.commit(&manifest, &keys)?;
    }
    Ok(())
}

impl ReportedKey {
    fn of(key: &CarriedKey) -> Self {
        let public = key.key.public();
        Self {
            domain: key.domain.to_string(),
            selector: key.selector.to_string(),
            algorithm: public.algorithm().to_string(),
            bits: public.bits(),
            signs: key.usage == KeyUse::Signs,
        }
    }
}

fn write_text(report: &Report, config: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut shown: std::collections::HashMap<&str, usize> = std::collections::HashMap::new();
    for finding in &report.findings {
        let count = shown.entry(finding.rule).or_default();
        *count += 1;
        if *count <= SHOWN {
            writeln!(out, "{finding} [{}]", finding.rule)?;
        }
    }
    for (rule, count) in shown.into_iter().filter(|(_, count)| *count > SHOWN) {
        writeln!(out, "{WARN}{} more{WARN:#} of {rule}; --format json has all", count - SHOWN)?;
    }
    let count = |severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    writeln!(out, "\n{errors} errors, {warnings} warnings, {} remarks", count(Severity::Info))?;
    if let Some(comparison) = &report.comparison {
        let domains: std::collections::BTreeSet<_> = report.keys.iter().map(|key| &key.domain).collect();
        writeln!(out, "{} keys of {} domains", report.keys.len(), domains.len())?;
        let Comparison { messages, signed, differences } = comparison;
        writeln!(
            out,
            "{STRONG}{messages} messages{STRONG:#} put through both, of which OpenDKIM signs {signed}: {} differences, {} by \
             design",
            differences.len(),
            differences.iter().filter(|difference| !difference.by_design.is_empty()).count()
        )?;
        for difference in differences.iter().take(SHOWN) {
            let crate::import::opendkim::Difference { name, opendkim, waxseal, by_design } = difference;
            writeln!(out, "  {name}\n    OpenDKIM: {opendkim}\n    Waxseal:  {waxseal}")?;
            if !by_design.is_empty() {
                writeln!(out, "    By design: {by_design}")?;
            }
        }
        if differences.len() > SHOWN {
            writeln!(out, "  {} more; --format json has all", differences.len() - SHOWN)?;
        }
    }
    match (&report.written, &report.comparison) {
        (Some(path), _) => {
            writeln!(out, "{GOOD}Written:{GOOD:#} {}", path.display())?;
            writeln!(out, "Then look at it and check it:  {}", command("config check", config, &[]))?;
        }
        (None, Some(_)) => writeln!(out, "Nothing was written (--dry-run).")?,
        (None, None) => writeln!(out, "{WARN}Nothing was written:{WARN:#} mend the errors and run this again.")?,
    }
    Ok(())
}
