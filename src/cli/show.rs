//! `waxseal show`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use serde::Serialize;

use super::list::{KeyFilter, ListedKey, style_of};
use super::output::{BAD, Format, STRONG, write_json};
use super::public::{self, read_public};
use super::{Exit, Installation};
use crate::finding::Chain;
use crate::keystore::KeyStore;
use crate::manifest::{PrivateKeyPlace, Status};
use crate::names::DomainName;
use crate::record_format::PublishedRecord;

/// Show all about one domain's keys, and whether they can sign
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The domain.
    domain: DomainName,

    #[command(flatten)]
    filter: KeyFilter,

    /// Show what a public manifest has, instead of the key store. Needs no configuration.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,

    /// How to print it.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Debug, Serialize)]
struct Shown {
    domain: DomainName,
    status: Status,
    revision: u64,
    manifest: String,
    keys: Vec<ShownKey>,
}

#[derive(Debug, Serialize)]
struct ShownKey {
    #[serde(flatten)]
    key: ListedKey,
    /// Where the private key is; none if it is not kept.
    file: Option<String>,
    /// Why it cannot sign, if it cannot.
    error: Option<String>,
    record: PublishedRecord,
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let shown = match &args.manifest {
        Some(path) => of_public(args, path)?,
        None => of_store(args, config)?,
    };
    match args.format {
        Format::Json => write_json(out, &shown)?,
        Format::Text => write_text(out, &shown)?,
    }
    Ok(if shown.keys.iter().any(|key| key.error.is_some()) { Exit::Findings } else { Exit::Clean })
}

fn of_store(args: &Args, config: &Path) -> anyhow::Result<Shown> {
    let installation = Installation::open(config)?;
    let manifest = installation.manifest(&args.domain)?;
    let store = &installation.store;
    let keys = manifest.bindings().iter().filter(|binding| args.filter.takes(binding)).map(|binding| {
        let is_kept = !matches!(binding.private_key, PrivateKeyPlace::None);
        let error = is_kept.then(|| store.private_key(&args.domain, binding).err()).flatten();
        ShownKey {
            key: ListedKey::of(&args.domain, binding),
            file: store.key_path(&args.domain, binding).map(|path| path.display().to_string()),
            error: error.map(|error| Chain(&error).to_string()),
            record: installation.record(&args.domain, binding),
        }
    });
    Ok(Shown {
        domain: args.domain.clone(),
        status: manifest.status(),
        revision: manifest.revision(),
        manifest: store.manifest_path(&args.domain).display().to_string(),
        keys: keys.collect(),
    })
}

/// What a public manifest has: it tells where a key stands in it, and no private key.
fn of_public(args: &Args, path: &Path) -> anyhow::Result<Shown> {
    let text = public::read_file(path)?;
    let public = read_public(path, &text)?;
    let domain = public.domain(&args.domain);
    let domain = domain.with_context(|| format!("{} has no domain {}", path.display(), args.domain))?;
    let read = domain.read().map_err(|errors| {
        public::tell(path, &errors);
        anyhow!("{} cannot be used for {}", path.display(), args.domain)
    })?;
    let bindings = read.manifest.bindings().iter().filter(|binding| args.filter.takes(binding));
    let keys = bindings.map(|binding| ShownKey {
        key: ListedKey::of(&args.domain, binding),
        file: None,
        error: None,
        record: PublishedRecord::of(&args.domain, binding),
    });
    Ok(Shown {
        domain: args.domain.clone(),
        status: read.manifest.status(),
        revision: read.manifest.revision(),
        manifest: format!("{}:{}", path.display(), domain.line()),
        keys: keys.collect(),
    })
}

fn write_text(out: &mut dyn Write, shown: &Shown) -> anyhow::Result<()> {
    writeln!(out, "{STRONG}{}{STRONG:#}", shown.domain)?;
    let unicode = shown.domain.to_unicode();
    if unicode != shown.domain.as_str() {
        writeln!(out, "  in Unicode  {unicode}")?;
    }
    match shown.revision {
        // A public manifest is of no store and has none.
        0 => writeln!(out, "  manifest    {}", shown.manifest)?,
        revision => writeln!(out, "  manifest    {} (revision {revision})", shown.manifest)?,
    }
    for ShownKey { key, file, error, record } in &shown.keys {
        let style = style_of(key.state);
        writeln!(out, "\n  {STRONG}{}{STRONG:#}  {style}{}{style:#} since {:.0}", key.selector, key.state, key.since)?;
        writeln!(out, "    algorithm    {}, {} bits", key.algorithm, key.bits)?;
        writeln!(out, "    key id       {}", key.key_id)?;
        writeln!(out, "    private key  {}", file.as_deref().unwrap_or("not kept"))?;
        if let Some(error) = error {
            writeln!(out, "    {BAD}cannot sign{BAD:#}  {error}")?;
        }
        if let Some(alias) = &record.alias {
            writeln!(out, "    cname        {alias}.  {}.", record.name)?;
        }
        writeln!(out, "    record       {}  {}  {}", record.name, record.ttl, record.rr_type)?;
        writeln!(out, "    value        {}", record.value)?;
    }
    Ok(())
}
