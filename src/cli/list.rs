//! `waxseal list`.

mod filter;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::output::{BAD, Columns, FAINT, Format, GOOD, JsonArray, WARN};
use super::parallel::in_order;
use super::public::{self, read_public};
use super::{Exit, Installation};
use crate::dkim::Algorithm;
use crate::finding::{Chain, Finding};
use crate::keystore::{Directory, Listed, StoreError};
use crate::manifest::{Binding, StateName};
use crate::names::{DomainName, Selector};
pub(super) use filter::{DomainPattern, KeyFilter};

/// List the keys of all domains, or of those named
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The domains; all if none is given. A * stands for anything: '*.example.com'.
    domains: Vec<DomainPattern>,

    #[command(flatten)]
    filter: KeyFilter,

    /// List what a public manifest has, instead of the key store. Needs no configuration.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,

    /// How to print them.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// A key as it is listed.
#[derive(Debug, Serialize)]
pub(super) struct ListedKey {
    pub(super) domain: DomainName,
    pub(super) selector: Selector,
    pub(super) algorithm: Algorithm,
    pub(super) bits: u32,
    pub(super) state: StateName,
    pub(super) since: Timestamp,
    pub(super) key_id: String,
}

impl ListedKey {
    pub(super) fn of(domain: &DomainName, binding: &Binding) -> Self {
        Self {
            domain: domain.clone(),
            selector: binding.selector.clone(),
            algorithm: binding.algorithm(),
            bits: binding.public_key.bits(),
            state: binding.state.name(),
            since: binding.state.since(),
            key_id: binding.key_id().to_string(),
        }
    }
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    // A line at a time would be a system call a line.
    let mut out = BufWriter::with_capacity(64 << 10, out);
    let mut listing = Listing::new(args.format);
    match &args.manifest {
        Some(path) => list_public(args, path, &mut listing, &mut out)?,
        None => list_store(args, config, &mut listing, &mut out)?,
    }
    let exit = listing.end(&mut out)?;
    out.flush()?;
    Ok(exit)
}

fn list_store(args: &Args, config: &Path, listing: &mut Listing, out: &mut dyn Write) -> anyhow::Result<()> {
    let installation = Installation::open(config)?;
    let store = &installation.store;
    listing.nothing = format!("no keys in {}; `waxseal generate DOMAIN` makes some", store.root().display());
    let mut domains = DomainPattern::exact(&args.domains);
    let is_named = !args.domains.is_empty() && domains.len() == args.domains.len();
    if !is_named {
        let (all, foreign) = all_domains(store)?;
        for finding in foreign {
            anstream::eprintln!("{finding}");
        }
        for missing in domains.iter().filter(|domain| all.binary_search(domain).is_err()) {
            listing.failed(missing, &anyhow::anyhow!("the key store has no such domain"));
        }
        domains = all.into_iter().filter(|domain| DomainPattern::any(&args.domains, domain)).collect();
    }
    let manifests = store.manifests()?;
    let read = |domain: &DomainName| {
        let manifest = if is_named {
            installation.manifest(domain).map(Some)
        } else {
            manifests.read(domain).map_err(anyhow::Error::from)
        };
        manifest.map(|manifest| {
            let bindings = manifest.iter().flat_map(|manifest| manifest.bindings());
            bindings
                .filter(|binding| args.filter.takes(binding))
                .map(|binding| ListedKey::of(domain, binding))
                .collect()
        })
    };
    in_order(&domains, read, |domain, keys: anyhow::Result<Vec<ListedKey>>| {
        match keys {
            Ok(keys) => listing.write(&keys, out)?,
            // One broken domain must not hide the others.
            Err(error) => listing.failed(domain, &error),
        }
        Ok(())
    })
}

fn list_public(args: &Args, path: &Path, listing: &mut Listing, out: &mut dyn Write) -> anyhow::Result<()> {
    listing.nothing = format!("no keys in {}", path.display());
    let text = public::read_file(path)?;
    let public = read_public(path, &text)?;
    for missing in DomainPattern::exact(&args.domains).iter().filter(|domain| public.domain(domain).is_none()) {
        listing.failed(missing, &anyhow::anyhow!("{} has no such domain", path.display()));
    }
    let wanted = public.domains().iter();
    let wanted: Vec<_> = wanted.filter(|found| DomainPattern::any(&args.domains, found.domain())).collect();
    in_order(
        &wanted,
        |domain| {
            domain.read().map(|keys| {
                let bindings = keys.manifest.bindings().iter().filter(|binding| args.filter.takes(binding));
                bindings.map(|binding| ListedKey::of(domain.domain(), binding)).collect::<Vec<_>>()
            })
        },
        |_, keys| {
            match keys {
                Ok(keys) => listing.write(&keys, out)?,
                Err(errors) => {
                    listing.exit = Exit::Findings;
                    public::tell(path, &errors);
                }
            }
            anyhow::Ok(())
        },
    )
}

/// Keys as they come, in the form that was asked for.
struct Listing {
    format: Format,
    table: Columns<6>,
    array: JsonArray,
    count: usize,
    exit: Exit,
    /// What to say if there are none.
    nothing: String,
}

impl Listing {
    fn new(format: Format) -> Self {
        let table = Columns::new(["domain", "selector", "algorithm", "bits", "state", "since"]);
        Self { format, table, array: JsonArray::default(), count: 0, exit: Exit::Clean, nothing: String::new() }
    }

    fn write(&mut self, keys: &[ListedKey], out: &mut dyn Write) -> anyhow::Result<()> {
        self.count += keys.len();
        for key in keys {
            match self.format {
                Format::Json => self.array.write(out, key)?,
                Format::Text => self.table.write(out, row(key), style_of(key.state))?,
            }
        }
        Ok(())
    }

    fn failed(&mut self, domain: &DomainName, error: &anyhow::Error) {
        anstream::eprintln!("{BAD}{domain}:{BAD:#} {}", Chain(&**error));
        self.exit = Exit::Findings;
    }

    fn end(mut self, out: &mut dyn Write) -> anyhow::Result<Exit> {
        match self.format {
            Format::Json => self.array.end(out)?,
            Format::Text if self.count > 0 => self.table.end(out)?,
            // What could not be read has been said.
            Format::Text if self.exit == Exit::Findings => {}
            Format::Text => writeln!(out, "{}", self.nothing)?,
        }
        Ok(self.exit)
    }
}

fn row(key: &ListedKey) -> [String; 6] {
    [
        key.domain.to_string(),
        key.selector.to_string(),
        key.algorithm.to_string(),
        key.bits.to_string(),
        key.state.to_string(),
        format!("{:.0}", key.since),
    ]
}

/// All domains of a store in their order, and what lies among them.
pub(super) fn all_domains(store: &Directory) -> Result<(Vec<DomainName>, Vec<Finding>), StoreError> {
    let (mut domains, mut foreign) = (Vec::new(), Vec::new());
    for listed in store.domains()? {
        match listed? {
            Listed::Domain(domain) => domains.push(domain),
            Listed::Foreign(finding) => foreign.push(finding),
        }
    }
    domains.sort_unstable();
    Ok((domains, foreign))
}

/// The colour of a state.
pub(super) fn style_of(state: StateName) -> anstyle::Style {
    match state {
        StateName::Active => GOOD,
        StateName::Generated | StateName::Published | StateName::Ready => WARN,
        StateName::Retiring | StateName::Revoked | StateName::Withdrawn => FAINT,
    }
}
