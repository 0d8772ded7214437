//! `waxseal export`.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::generate::unique;
use super::list::all_domains;
use super::parallel::in_order;
use super::progress::progress_bar;
use super::{Exit, Installation};
use crate::dkim::PrivateKey;
use crate::keystore::{KeyStore, StoreError};
use crate::manifest::{DomainManifest, PrivateKeyPlace, PublicManifestWriter};
use crate::names::{DomainName, Selector};

/// Write out public keys for CI, or private keys for another machine
///
/// The public manifest is made to be committed to git: domains sorted, one line a key, nothing secret.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").args(["public", "private_keys"]).required(true))]
pub(super) struct Args {
    /// The domains; all if none is given.
    domains: Vec<DomainName>,

    /// Write the public manifest, as `waxseal verify`, `list` and `show` read it with --manifest.
    #[arg(long)]
    public: bool,

    /// Write the public manifest to this file, replaced in one step, instead of standard output.
    #[arg(long, short, value_name = "FILE", requires = "public")]
    output: Option<PathBuf>,

    /// Write the private keys, unencrypted, as PEM: DIR/DOMAIN/SELECTOR.pem. DIR must be new; only its owner can read it.
    #[arg(long, value_name = "DIR")]
    private_keys: Option<PathBuf>,
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let installation = Installation::open(config)?;
    let mut domains = unique(&args.domains);
    if domains.is_empty() {
        let (all, foreign) = all_domains(&installation.store)?;
        for finding in foreign {
            anstream::eprintln!("{finding}");
        }
        domains = all;
    }
    domains.sort_unstable();
    match (&args.private_keys, &args.output) {
        (Some(directory), _) => write_private(&installation, &domains, args, directory, out)?,
        (None, Some(path)) => replace(&installation, &domains, args, path)?,
        (None, None) => write_public(&installation, &domains, args, BufWriter::new(out))?.flush()?,
    }
    Ok(Exit::Clean)
}

/// The manifest of a domain. One that was named must be there; of all, one may have none yet.
fn manifest(installation: &Installation, domain: &DomainName, args: &Args) -> anyhow::Result<Option<DomainManifest>> {
    if args.domains.is_empty() {
        let manifest = installation.store.manifest(domain);
        manifest.with_context(|| format!("the keys of {domain} cannot be read"))
    } else {
        installation.manifest(domain).map(Some)
    }
}

fn write_public<W: Write>(
    installation: &Installation,
    domains: &[DomainName],
    args: &Args,
    out: W,
) -> anyhow::Result<W> {
    let mut writer = PublicManifestWriter::new(out)?;
    let bar = progress_bar(domains.len(), "domains");
    in_order(
        domains,
        |domain| manifest(installation, domain, args),
        |_, manifest| {
            bar.inc(1);
            if let Some(manifest) = manifest? {
                writer.domain(&manifest)?;
            }
            anyhow::Ok(())
        },
    )?;
    bar.finish_and_clear();
    Ok(writer.finish()?)
}

/// Writes beside the file and puts it in its place: CI never reads half of it.
fn replace(installation: &Installation, domains: &[DomainName], args: &Args, path: &Path) -> anyhow::Result<()> {
    let failed = || format!("{} cannot be written", path.display());
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let file = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
    let written = write_public(installation, domains, args, BufWriter::new(file))?;
    let file = written.into_inner().map_err(|error| error.into_error()).with_context(failed)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).with_context(failed)?;
    file.as_file().sync_all().with_context(failed)?;
    file.persist(path).map_err(|error| error.error).with_context(failed)?;
    Ok(())
}

fn write_private(
    installation: &Installation,
    domains: &[DomainName],
    args: &Args,
    directory: &Path,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    make_directory(directory)
        .with_context(|| format!("{} cannot be made; private keys go to a new directory", directory.display()))?;
    let mut count = 0;
    let bar = progress_bar(domains.len(), "domains");
    let written = in_order(
        domains,
        |domain| keys(installation, domain, args),
        |domain, keys| {
            bar.inc(1);
            let keys = keys?;
            let folder = directory.join(domain.as_str());
            if !keys.is_empty() {
                make_directory(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
            }
            for (selector, key) in &keys {
                let path = folder.join(format!("{selector}.pem"));
                write_key(&path, key).with_context(|| format!("{} cannot be written", path.display()))?;
                count += 1;
            }
            anyhow::Ok(())
        },
    );
    bar.finish_and_clear();
    if let Err(error) = written {
        // Half of it would pass for the whole one day.
        let _ = fs::remove_dir_all(directory);
        return Err(error.context("no private keys were exported"));
    }
    writeln!(out, "{count} private keys are in {}; who has them can sign as these domains", directory.display())?;
    Ok(())
}

/// The private keys of a domain that are kept.
fn keys(installation: &Installation, domain: &DomainName, args: &Args) -> anyhow::Result<Vec<(Selector, PrivateKey)>> {
    let Some(manifest) = manifest(installation, domain, args)? else { return Ok(Vec::new()) };
    let kept = manifest.bindings().iter().filter(|binding| binding.private_key != PrivateKeyPlace::None);
    let read = kept.map(|binding| Ok((binding.selector.clone(), installation.store.private_key(domain, binding)?)));
    let keys: Result<Vec<_>, StoreError> = read.collect();
    let keys = keys.with_context(|| format!("the keys of {domain} cannot be read"))?;
    if keys.is_empty() && !args.domains.is_empty() {
        bail!("{domain} has no private key here");
    }
    Ok(keys)
}

fn make_directory(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

fn write_key(path: &Path, key: &PrivateKey) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(key.to_pem().as_bytes())?;
    file.sync_all()
}
