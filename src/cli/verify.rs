//! `waxseal verify`.

mod knowledge;

use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::ValueEnum;
use clap::builder::PossibleValue;

use self::knowledge::{Knowledge, Wanted};
use super::output::{FAINT, STRONG};
use super::progress::progress_bar;
use super::public::read_file;
use super::{Exit, Undetermined, UsageError, observing};
use crate::check::{Dnssec, RULES, Rule, Wishes};
use crate::clock::Clock;
use crate::config::values::{DnsServer, Period};
use crate::config::{self, Config};
use crate::dns::{AskedServers, Observer, Recursion, Resolvers, Settings, TrustAnchor, ZoneFile};
use crate::finding::Severity;
use crate::inspect::{Evidence, Inspector, Sight};
use crate::names::{DomainName, Selector};
use crate::report::{self, DomainReport, NagiosState, Report, ReportFormat, Verdict};

/// How often `--wait` looks again. Records appear within minutes; asking more often only loads the servers.
const POLL: Duration = Duration::from_secs(10);

/// Check the published records of domains' keys
///
/// Asks every address of every name server of each domain's zone, and a resolver only once they all agree, so that
/// nothing wrong is remembered by any cache. Compares with the keys of the key store, or of a public manifest as in CI,
/// or, with --selector, looks at a record of which nothing is held here. A server that does not answer leaves the record
/// undetermined, never missing.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The domains.
    #[arg(required_unless_present_any = ["all", "manifest", "explain"])]
    domains: Vec<DomainName>,

    /// All domains of the key store.
    #[arg(long, conflicts_with_all = ["domains", "manifest"])]
    all: bool,

    /// Compare with the keys of this public manifest (`waxseal export --public`) instead of the key store's; without
    /// domains, with all of its domains.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,

    /// Only this selector, which need not be known here. May be given several times.
    #[arg(long, value_name = "SELECTOR")]
    selector: Vec<Selector>,

    /// Ask this resolver (address or address:port) instead of the configuration's or the system's. May be given several
    /// times.
    #[arg(long, value_name = "ADDRESS")]
    resolver: Vec<DnsServer>,

    /// Ask exactly these servers (addresses, with commas between) instead of the zone's name servers, as behind a split
    /// horizon.
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    servers: Vec<DnsServer>,

    /// The port of name servers.
    #[arg(long, value_name = "PORT", default_value_t = DnsServer::PORT)]
    port: u16,

    /// Ask resolvers only: where the way to name servers is blocked. Says less, and what is not published yet may be
    /// remembered as absent.
    #[arg(long, conflicts_with_all = ["servers", "zone_file"])]
    recursive_only: bool,

    /// Trust these DNSKEY records (a file in zone file form) instead of the root's: for a private root or a test.
    #[arg(long, value_name = "FILE")]
    trust_anchor: Option<PathBuf>,

    /// Check this zone file instead of DNS, before it is published.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["resolver", "servers", "wait"])]
    zone_file: Option<PathBuf>,

    /// The zone file's origin, where it has no $ORIGIN.
    #[arg(long, value_name = "DOMAIN", requires = "zone_file")]
    origin: Option<DomainName>,

    /// Look again until all is well, at most so long: 10 minutes if no duration is given.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "10m")]
    wait: Option<Period>,

    /// Domains looked at side by side, instead of the configuration's.
    #[arg(long, value_name = "NUMBER")]
    concurrency: Option<NonZeroUsize>,

    /// Questions a second to one server's address, instead of the configuration's.
    #[arg(long, value_name = "NUMBER")]
    rate: Option<NonZeroUsize>,

    /// How long to wait for one answer, instead of the configuration's.
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Period>,

    /// Which findings make the run fail.
    #[arg(long, value_name = "SEVERITY", default_value = "error")]
    fail_on: FailOn,

    /// How to print the results.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: ReportFormat,

    /// Explain a rule and do nothing else.
    #[arg(long, value_name = "RULE")]
    explain: Option<Rule>,
}

/// The least severity that fails, as people type it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// What does not work.
    Error,
    /// And what will hurt one day.
    Warning,
    /// And whatever is worth knowing.
    Info,
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    if let Some(rule) = args.explain {
        return explain(rule, out);
    }
    let text = args.manifest.as_deref().map(read_file).transpose()?;
    let manifest = args.manifest.as_deref().zip(text.as_deref());
    let knowledge = Knowledge::gather(manifest, &args.selector, config)?;
    let wanted = knowledge.wanted(&args.domains, &args.selector)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let run = Run { args, knowledge: &knowledge, wishes: wishes(knowledge.config()), clock: Clock::System };
    let report = runtime.block_on(run.until_clean(wanted))?;
    report::write(&report, args.format, out)?;
    Ok(match (args.format, report.verdict()) {
        (ReportFormat::Nagios, _) => Exit::Nagios(NagiosState::of(&report)),
        (_, Verdict::Clean) => Exit::Clean,
        (_, Verdict::Findings) => Exit::Findings,
        (_, Verdict::Undetermined) => Exit::Undetermined,
    })
}

/// What is found of these domains of the key store, asked as the configuration says.
pub(super) fn reports(config: &Path, domains: &[DomainName]) -> anyhow::Result<Vec<DomainReport>> {
    let knowledge = Knowledge::gather(None, &[], config)?;
    let wanted = knowledge.wanted(domains, &[])?;
    let dns = &knowledge.config().dns;
    let observer = Observer::new(&observing::settings(dns)).context("no resolver is known; set dns.resolvers")?;
    let inspector = Inspector {
        sight: Sight::Dns(observer),
        wishes: wishes(knowledge.config()),
        evidence: Evidence::Dropped,
        clock: Clock::System,
    };
    let same_keys = knowledge.same_keys(&wanted);
    let mut reports = Vec::with_capacity(wanted.len());
    let mut unreadable = Vec::new();
    let targets = wanted.iter().filter_map(|wanted| match knowledge.target(wanted, &same_keys) {
        Ok(target) => Some(target),
        Err(report) => {
            unreadable.push(report);
            None
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(inspector.inspect_all(targets, dns.concurrency, |report| reports.push(report)));
    reports.append(&mut unreadable);
    Ok(reports)
}

/// What each round of looking has in common.
struct Run<'a> {
    args: &'a Args,
    knowledge: &'a Knowledge<'a>,
    wishes: Wishes,
    clock: Clock,
}

impl Run<'_> {
    /// Looks once, or, with `--wait`, again and again at what is not yet as it should be.
    async fn until_clean(&self, wanted: Vec<Wanted>) -> anyhow::Result<Report> {
        let started = self.clock.now();
        let deadline = self.args.wait.map(|wait| self.clock.monotonic() + wait.0);
        let mut done: Vec<DomainReport> = Vec::with_capacity(wanted.len());
        let mut open = wanted;
        loop {
            let looked = self.look(&open).await?;
            let left = deadline.and_then(|deadline| deadline.checked_duration_since(self.clock.monotonic()));
            let Some(left) = left.filter(|left| !left.is_zero()) else {
                done.extend(looked);
                break;
            };
            let (clean, rest): (Vec<_>, Vec<_>) = looked.into_iter().partition(|report| self.is_clean(report));
            done.extend(clean);
            if rest.is_empty() {
                break;
            }
            anstream::eprintln!(
                "{} of {} domains are as they should be; looking again, {} left",
                done.len(),
                done.len() + rest.len(),
                Period(Duration::from_secs(left.as_secs()))
            );
            open.retain(|wanted| rest.iter().any(|report| report.domain == wanted.domain));
            tokio::time::sleep(POLL.min(left)).await;
        }
        done.sort_by(|one, other| one.domain.cmp(&other.domain));
        Ok(self.report(started, done))
    }

    /// One look at each domain.
    async fn look(&self, wanted: &[Wanted]) -> anyhow::Result<Vec<DomainReport>> {
        let inspector = Inspector {
            sight: self.sight()?,
            wishes: self.wishes.clone(),
            evidence: if self.args.format == ReportFormat::Json { Evidence::Kept } else { Evidence::Dropped },
            clock: self.clock,
        };
        let side_by_side = self.args.concurrency.unwrap_or(self.knowledge.config().dns.concurrency);
        let bar = progress_bar(wanted.len(), "domains");
        let mut reports = Vec::with_capacity(wanted.len());
        let mut unreadable = Vec::new();
        let same_keys = self.knowledge.same_keys(wanted);
        let targets = wanted.iter().filter_map(|wanted| match self.knowledge.target(wanted, &same_keys) {
            Ok(target) => Some(target),
            Err(report) => {
                unreadable.push(report);
                None
            }
        });
        inspector
            .inspect_all(targets, side_by_side, |report| {
                bar.inc(1);
                reports.push(report);
            })
            .await;
        bar.finish_and_clear();
        reports.append(&mut unreadable);
        Ok(reports)
    }

    fn sight(&self) -> anyhow::Result<Sight> {
        if let Some(path) = &self.args.zone_file {
            let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()));
            let file = ZoneFile::parse(&text.map_err(UsageError)?, self.args.origin.as_ref(), path);
            return Ok(Sight::ZoneFile(Arc::new(file.map_err(|error| UsageError(error.into()))?)));
        }
        let settings = settings(self.args, &self.knowledge.config().dns)?;
        let observer = Observer::new(&settings)
            .context("no resolver is known; name one with --resolver, or the name servers with --servers")
            .map_err(Undetermined)?;
        Ok(Sight::Dns(observer))
    }

    fn is_clean(&self, report: &DomainReport) -> bool {
        self.report(self.clock.now(), vec![report.clone()]).verdict() == Verdict::Clean
    }

    fn report(&self, started: jiff::Timestamp, domains: Vec<DomainReport>) -> Report {
        Report { started, finished: self.clock.now(), fail_on: self.args.fail_on.into(), domains, rules: RULES }
    }
}

fn explain(rule: Rule, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let rule = rule.description();
    writeln!(out, "{STRONG}{}{STRONG:#}  {}  {FAINT}({}){FAINT:#}\n", rule.id, rule.title, rule.severity)?;
    writeln!(out, "{}", rule.explanation)?;
    Ok(Exit::Clean)
}

fn wishes(config: &Config) -> Wishes {
    let key_age = config.verify.max_key_age.try_into().unwrap_or(jiff::SignedDuration::MAX);
    let dnssec = if config.verify.want_dnssec { Dnssec::Wanted } else { Dnssec::Optional };
    Wishes { key_age, dnssec, ..Wishes::default() }
}

/// How to ask: what the command line says, else what the configuration says.
fn settings(args: &Args, config: &config::Dns) -> anyhow::Result<Settings> {
    let addresses = |servers: &[DnsServer]| servers.iter().map(|server| server.0).collect::<Vec<SocketAddr>>();
    let servers = match &args.servers[..] {
        [] => AskedServers::OfTheZone,
        // A port of its own counts for more than --port.
        given => AskedServers::Exactly(given.iter().map(|server| with_port(server.0, args.port)).collect()),
    };
    let trust_anchor = match &args.trust_anchor {
        Some(path) => Some(TrustAnchor {
            dnskeys: std::fs::read_to_string(path)
                .with_context(|| format!("the trust anchor {} cannot be read", path.display()))
                .map_err(UsageError)?,
        }),
        None => None,
    };
    let timeout = args.timeout.map_or(config.timeout, |timeout| timeout.0);
    if timeout.is_zero() {
        return Err(UsageError(anyhow!("--timeout 0s leaves no time at all; for example 2s")).into());
    }
    let configured = observing::settings(config);
    Ok(Settings {
        resolvers: match &args.resolver[..] {
            [] => configured.resolvers,
            given => Resolvers::Servers(addresses(given)),
        },
        servers,
        port: args.port,
        timeout,
        queries_per_second: args.rate.map_or(configured.queries_per_second, observing::number),
        recursion: if args.recursive_only { Recursion::Only } else { Recursion::AfterAgreement },
        trust_anchor,
        ..configured
    })
}

fn with_port(server: SocketAddr, port: u16) -> SocketAddr {
    match server.port() {
        DnsServer::PORT => SocketAddr::new(server.ip(), port),
        _ => server,
    }
}

impl From<FailOn> for Severity {
    fn from(fail_on: FailOn) -> Self {
        match fail_on {
            FailOn::Error => Self::Error,
            FailOn::Warning => Self::Warning,
            FailOn::Info => Self::Info,
        }
    }
}

impl ValueEnum for ReportFormat {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(self.description()))
    }
}
