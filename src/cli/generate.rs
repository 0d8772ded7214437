//! `waxseal generate`.

mod dns;
mod domains;
mod maker;
mod shared;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ValueEnum;

pub(super) use domains::{DomainArgs, unique};

use super::output::{Format, JsonArray};
use super::parallel::{Threads, in_order_on};
use super::progress::progress_bar;
use super::{Exit, Installation, UsageError};
use crate::config::Config;
use crate::dkim::KeyKind;
use crate::files::configuration::DEFAULT_PATH;
use crate::finding::Chain;
use crate::keystore::{Directory, Quoted, StoreError};
use crate::manifest::SelectorTemplate;
use crate::names::DomainName;
use crate::record_format::{PublishedRecord, write_bind};
use dns::Dns;
use maker::{Maker, Wanted};

/// What the TTL of a record is taken to be, in seconds, that nobody looked at: an hour.
pub(super) const RECORD_TTL: u32 = 3600;

/// Domains that are named in what to type next; of more, only how many there are.
const NAMED: usize = 10;

/// Make new keys for domains, and print the records to publish
///
/// A new key signs nothing until it is activated. Keys a domain has already are left as they are.
///
/// For many domains give --from and --missing: keys are made on all cores, each domain gets all of its keys or none, and
/// the same command goes on where one that was cut short ended.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    domains: DomainArgs,

    #[command(flatten)]
    pub(super) keys: KeyArgs,

    /// What selectors look like: text with {date}, {algorithm} (r or e) and {random}. One that was used gets a number
    /// behind it. Otherwise as `selector` in the configuration says, and for domains with `[[slots]]` these.
    #[arg(long, value_name = "TEMPLATE")]
    selector_template: Option<SelectorTemplate>,

    /// Make only what is missing: keys of the algorithms of which a domain has no usable key.
    #[arg(long)]
    missing: bool,

    /// One key of each algorithm for all these domains, under one selector, so that their records can be CNAMEs to one.
    #[arg(long)]
    shared: bool,

    /// Do not ask DNS whether a selector's name is taken.
    #[arg(long)]
    no_dns_check: bool,

    /// Write the records to this new file instead of standard output.
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,

    /// How to print the records.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Which keys to make.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct KeyArgs {
    /// The algorithm; both if none is given. May be given twice.
    #[arg(long, value_name = "ALGORITHM")]
    algorithm: Vec<KeyAlgorithm>,

    /// Bits of the RSA key: 2048, 3072 or 4096. Some DNS providers refuse records of more than 2048.
    #[arg(long, value_name = "BITS", default_value = "2048", value_parser = rsa)]
    bits: KeyKind,
}

/// An algorithm, as people type it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KeyAlgorithm {
    Rsa,
    Ed25519,
}

impl KeyArgs {
    /// The kinds of key to make, RSA first.
    fn kinds(&self) -> Vec<KeyKind> {
        let wants = |algorithm| self.algorithm.is_empty() || self.algorithm.contains(&algorithm);
        let mut kinds = Vec::new();
        if wants(KeyAlgorithm::Rsa) {
            kinds.push(self.bits);
        }
        if wants(KeyAlgorithm::Ed25519) {
            kinds.push(KeyKind::Ed25519);
        }
        kinds
    }

    /// Makes keys for a domain and commits them; gives the records of the new keys.
    pub(super) fn make(&self, store: &Directory, domain: &DomainName) -> anyhow::Result<Vec<PublishedRecord>> {
        // Where there is no configuration yet, or none of the domain's.
        let (kinds, dns, config) = (self.kinds(), Dns::unasked(), Config::default_in(Path::new("")));
        let maker = Maker::new(store, &kinds, &config, Wanted::All, &dns);
        maker.commit(&maker.make(domain)?)
    }
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let domains = args.domains.read()?;
    if domains.is_empty() {
        return Err(UsageError(anyhow::anyhow!("no domain was given: the list is empty")).into());
    }
    let installation = Installation::open(config)?;
    let kinds = args.keys.kinds();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let dns = match args.no_dns_check {
        true => Dns::unasked(),
        false => Dns::authoritative(&runtime, &installation.config.dns),
    };
    let wanted = if args.missing { Wanted::Missing } else { Wanted::All };
    let mut maker = Maker::new(&installation.store, &kinds, &installation.config, wanted, &dns);
    maker.template = args.selector_template.as_ref();
    let mut file = args.records.as_deref().map(create_new).transpose()?;
    if args.shared {
        maker.share(&domains)?;
    }

    let mut records = Records::new(args.format, file.is_some());
    let outcome = match &mut file {
        Some(file) => generate(&maker, &domains, &mut records, file),
        None => generate(&maker, &domains, &mut records, out),
    }?;
    if let Some(mut file) = file {
        let path = args.records.as_deref().unwrap_or(Path::new("-"));
        file.flush().with_context(|| format!("{} cannot be written", path.display()))?;
        writeln!(out, "{} records are in {}", records.written, path.display())?;
    }
    if dns.unknown() > 0 {
        anstream::eprintln!(
            "DNS could not be asked whether {} of the selectors are taken ({}); they were never used in this key store",
            dns.unknown(),
            dns.why()
        );
    }
    if args.format == Format::Text {
        outcome.write(config, &domains, records.written, out)?;
        let with_slots = domains.iter().filter(|domain| installation.config.slots.of(domain).is_some());
        let with_slots: Vec<DomainName> = with_slots.cloned().collect();
        if !with_slots.is_empty() {
            let cnames = match with_slots.len() {
                ..=NAMED => command("record --cnames", config, &with_slots),
                _ => command("record --cnames --all", config, &[]),
            };
            writeln!(out, "CNAMEs for whoever runs the zones:  {cnames}")?;
        }
    }
    Ok(if outcome.failed == 0 { Exit::Clean } else { Exit::Findings })
}

/// How a run went.
struct Outcome {
    made: usize,
    failed: usize,
}

impl Outcome {
    fn write(&self, config: &Path, domains: &[DomainName], records: usize, out: &mut dyn Write) -> io::Result<()> {
        if self.failed > 0 {
            let done = domains.len() - self.failed;
            return writeln!(
                out,
                "\n{} of {} domains have no new keys, see above; {done} are done",
                self.failed,
                domains.len()
            );
        }
        if records == 0 {
            return writeln!(out, "nothing is missing: all {} domains have usable keys", domains.len());
        }
        match domains.len() {
            ..=NAMED => writeln!(out, "\nThen:  {}", command("activate", config, domains)),
            _ => writeln!(
                out,
                "\n{} domains have new keys. Then, as many at a time as you like:  {}",
                self.made,
                command("activate DOMAIN...", config, &[])
            ),
        }
    }
}

/// Makes keys on all cores and commits them on this thread, the only one that waits for the disk.
fn generate(
    maker: &Maker<'_>,
    domains: &[DomainName],
    records: &mut Records,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome { made: 0, failed: 0 };
    let bar = progress_bar(domains.len(), "keys");
    in_order_on(
        if maker.dns.is_asked() { Threads::AlsoWaiting } else { Threads::OnePerCore },
        domains,
        |domain| maker.make(domain),
        |domain, made| {
            bar.inc(1);
            let failed = |error: anyhow::Error| error.context(format!("no keys were made for {domain}"));
            match made.and_then(|made| maker.commit(&made)).map_err(failed) {
                Ok(new) => {
                    outcome.made += usize::from(!new.is_empty());
                    bar.suspend(|| records.write(&new, out))
                }
                Err(error) if domains.len() == 1 || is_about_the_store(&error) => Err(match outcome.made {
                    0 => error,
                    made => error.context(format!(
                        "{made} of {} domains got keys; mend this and run the same with --missing, it keeps them",
                        domains.len()
                    )),
                }),
                // One broken domain must not stop the others.
                Err(error) => {
                    outcome.failed += 1;
                    bar.suspend(|| anstream::eprintln!("{}", Chain(&*error)));
                    Ok(())
                }
            }
        },
    )?;
    bar.finish_and_clear();
    records.end(out)?;
    Ok(outcome)
}

/// Whether the next domain would fail as well.
fn is_about_the_store(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(
            StoreError::DiskFull { .. }
                | StoreError::ReadOnly { .. }
                | StoreError::PermissionDenied { .. }
                | StoreError::Missing { .. }
                | StoreError::Io { .. }
        )
    )
}

/// Records as they come, in the form that was asked for.
struct Records {
    format: Format,
    is_file: bool,
    array: JsonArray,
    written: usize,
}

impl Records {
    fn new(format: Format, is_file: bool) -> Self {
        Self { format, is_file, array: JsonArray::default(), written: 0 }
    }

    fn write(&mut self, records: &[PublishedRecord], out: &mut dyn Write) -> anyhow::Result<()> {
        match self.format {
            Format::Json => records.iter().try_for_each(|record| self.array.write(out, record))?,
            Format::Text => {
                if self.written == 0 && !self.is_file && !records.is_empty() {
                    writeln!(out, "Publish these records, on every name server of the zone:\n")?;
                }
                write_bind(out, records)?;
            }
        }
        self.written += records.len();
        Ok(())
    }

    fn end(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        match self.format {
            Format::Json => self.array.end(out)?,
            Format::Text => {}
        }
        Ok(())
    }
}

fn create_new(path: &Path) -> anyhow::Result<BufWriter<File>> {
    match File::create_new(path) {
        Ok(file) => Ok(BufWriter::new(file)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            bail!("{} exists; give --records a new file, or remove this one", path.display())
        }
        Err(error) => Err(error).with_context(|| format!("{} cannot be written", path.display())),
    }
}

fn rsa(bits: &str) -> anyhow::Result<KeyKind> {
    Ok(KeyKind::rsa(bits.parse().context("write a number of bits: 2048, 3072 or 4096")?)?)
}

/// A command to be typed next, for the same configuration.
pub(super) fn command(name: &str, config: &Path, domains: &[DomainName]) -> String {
    let option =
        if config == Path::new(DEFAULT_PATH) { String::new() } else { format!("--config {} ", Quoted(config)) };
    format!("waxseal {option}{name} {}", join(domains)).trim_end().to_owned()
}

/// Domains as they stand on a command line.
pub(super) fn join(domains: &[DomainName]) -> String {
    domains.iter().map(DomainName::as_str).collect::<Vec<_>>().join(" ")
}
