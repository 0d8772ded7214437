//! `waxseal import key`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use zeroize::Zeroizing;

use super::passphrase::Passphrase;
use crate::cli::generate::{RECORD_TTL, command};
use crate::cli::list::ListedKey;
use crate::cli::output::{Format, WARN, write_json};
use crate::cli::parallel::in_order;
use crate::cli::progress::progress_bar;
use crate::cli::{Exit, Installation, UsageError, activate};
use crate::clock::Clock;
use crate::dkim::PrivateKey;
use crate::dkim::key::{Algorithm, KeyFile, KeyId, STRONG_RSA_BITS};
use crate::finding::Chain;
use crate::keystore::KeyStore;
use crate::manifest::{DomainManifest, PrivateKeyPlace};
use crate::names::{DomainName, Selector};

/// No private key is larger: one of RSA with 8192 bits has 6.5 KB.
const LARGEST_KEY: u64 = 64 << 10;

/// Take over private keys with their selectors
///
/// Reads PKCS#1 and PKCS#8 in PEM, PKCS#8 also encrypted, and dkimpy's Ed25519 files. The key is taken to be published:
/// it may be activated at once. Nothing is done unless all keys can be taken over; those that are here already stay.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").args(["file", "list"]).required(true))]
pub(super) struct Args {
    /// The private key.
    #[arg(requires = "domain", requires = "selector")]
    file: Option<PathBuf>,

    /// Whose key it is: d= of the signatures.
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<DomainName>,

    /// The selector under which it is published: s= of the signatures.
    #[arg(long, value_name = "SELECTOR")]
    selector: Option<Selector>,

    /// Take over many keys: a file with a domain, a selector and the path of a key on each line. Blank lines, and what
    /// follows a #, do not count. Paths are relative to that file. A key that several domains have is kept once.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["domain", "selector"])]
    list: Option<PathBuf>,

    /// The first line of this file is the passphrase of encrypted keys. Only its owner may be able to read it.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,

    /// Let the keys sign from now on.
    #[arg(long)]
    activate: bool,

    /// How to print what was taken over.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// A key to be taken over.
#[derive(Debug)]
struct Wanted {
    domain: DomainName,
    selector: Selector,
    path: PathBuf,
}

/// What is known of a key after the first look.
struct Looked {
    id: KeyId,
    algorithm: Algorithm,
    bits: u32,
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let wanted = wanted(args)?;
    let installation = Installation::open(config)?;
    let passphrase = Passphrase::new(args.passphrase_file.as_deref());
    let uses = look(&wanted, &installation, &passphrase)?;

    let mut listed = Vec::new();
    let bar = progress_bar(wanted.len(), "keys");
    in_order(
        &wanted,
        |wanted| read_key(&wanted.path, &passphrase),
        |wanted, key| {
            let key = key?;
            let is_shared = uses.get(&key.public().id()).is_some_and(|uses| *uses > 1);
            let place = if is_shared { PrivateKeyPlace::Shared } else { PrivateKeyPlace::Own };
            let taken = take_over(wanted, &key, place, args, &installation);
            let manifest = taken.with_context(|| {
                format!("{} was not taken over; mend this and run the same again", wanted.path.display())
            })?;
            if let Some(binding) = manifest.binding(&wanted.selector) {
                listed.push(ListedKey::of(&wanted.domain, binding));
            }
            bar.inc(1);
            anyhow::Ok(())
        },
    )?;
    bar.finish_and_clear();

    match args.format {
        Format::Json => write_json(out, &listed)?,
        Format::Text => {
            for ListedKey { domain, selector, algorithm, bits, state, .. } in &listed {
                writeln!(out, "{domain}  {selector}  {algorithm}, {bits} bits  {state}")?;
            }
            if !args.activate {
                let domains: Vec<_> = wanted.iter().map(|wanted| wanted.domain.clone()).collect();
                let domains = crate::cli::generate::unique(&domains);
                let shown = &domains[..domains.len().min(1)];
                writeln!(out, "\nThen let them sign:  {}", command("activate", config, shown))?;
            }
        }
    }
    Ok(Exit::Clean)
}

/// Reads every key once, so that nothing is begun that cannot be ended; how many domains use each.
fn look(
    wanted: &[Wanted],
    installation: &Installation,
    passphrase: &Passphrase,
) -> anyhow::Result<HashMap<KeyId, usize>> {
    let mut uses = HashMap::new();
    let mut bad = Vec::new();
    let bar = progress_bar(wanted.len(), "reading");
    let look = |wanted: &Wanted| {
        let key = read_key(&wanted.path, passphrase)?;
        let public = key.public();
        let looked = Looked { id: public.id(), algorithm: public.algorithm(), bits: public.bits() };
        let manifest = installation.store.manifest(&wanted.domain)?;
        let manifest = manifest.unwrap_or_else(|| DomainManifest::new(wanted.domain.clone()));
        bind(&manifest, wanted, &key, PrivateKeyPlace::Own)?;
        anyhow::Ok(looked)
    };
    in_order(wanted, look, |wanted, looked| {
        bar.inc(1);
        match looked {
            Ok(Looked { id, algorithm, bits }) => {
                *uses.entry(id).or_insert(0) += 1;
                if algorithm == Algorithm::RsaSha256 && bits < STRONG_RSA_BITS {
                    bar.suspend(|| warn_of_weakness(wanted, bits));
                }
            }
            Err(error) => bad.push(Chain(&*error).to_string()),
        }
        anyhow::Ok(())
    })?;
    bar.finish_and_clear();
    match &bad[..] {
        [] => Ok(uses),
        [error] if wanted.len() == 1 => bail!("{error}"),
        all => bail!("{}\nnothing was taken over: {} of {} keys cannot be", all.join("\n"), all.len(), wanted.len()),
    }
}

fn warn_of_weakness(wanted: &Wanted, bits: u32) {
    let Wanted { domain, selector, .. } = wanted;
    anstream::eprintln!(
        "{WARN}weak key:{WARN:#} selector {selector} of {domain} is RSA with {bits} bits; RFC 8301 wants 2048, and some \
         receivers take no less. It signs; make its successor: waxseal generate {domain}"
    );
}

/// Binds and commits one key; the manifest then.
fn take_over(
    wanted: &Wanted,
    key: &PrivateKey,
    place: PrivateKeyPlace,
    args: &Args,
    installation: &Installation,
) -> anyhow::Result<DomainManifest> {
    let store = &installation.store;
    let before = store.manifest(&wanted.domain)?.unwrap_or_else(|| DomainManifest::new(wanted.domain.clone()));
    let mut manifest = bind(&before, wanted, key, place)?;
    if args.activate {
        let activation = activate::activate(&manifest, std::slice::from_ref(&wanted.selector), installation)?;
        for retired in &activation.retired {
            anstream::eprintln!("selector {retired} of {} retires: it signs no more", wanted.domain);
        }
        manifest = activation.manifest;
    }
    if manifest == before { Ok(before) } else { Ok(store.commit(&manifest, &[key])?) }
}

/// The manifest with the key; as it is, if it has it already.
fn bind(
    before: &DomainManifest,
    wanted: &Wanted,
    key: &PrivateKey,
    place: PrivateKeyPlace,
) -> anyhow::Result<DomainManifest> {
    if before.binding(&wanted.selector).is_some_and(|binding| binding.key_id() == key.public().id()) {
        return Ok(before.clone());
    }
    let now = Clock::System.now();
    Ok(before.bind_imported(wanted.selector.clone(), key.public().clone(), place, RECORD_TTL, now)?)
}

fn read_key(path: &Path, passphrase: &Passphrase) -> anyhow::Result<PrivateKey> {
    let failed = || format!("{} cannot be read", path.display());
    // Before it is opened: opening a FIFO would wait for its writer.
    let found = fs::metadata(path).with_context(failed)?;
    if !found.is_file() || found.len() > LARGEST_KEY {
        bail!("{} is no key file: it is no plain file, or larger than {LARGEST_KEY} octets", path.display());
    }
    let file = File::open(path).with_context(failed)?;
    let mut octets = Zeroizing::new(Vec::with_capacity(LARGEST_KEY as usize + 1));
    file.take(LARGEST_KEY).read_to_end(&mut octets).with_context(failed)?;
    let unusable = || path.display().to_string();
    match KeyFile::read(&octets).with_context(unusable)? {
        KeyFile::Plain(key) => Ok(key),
        KeyFile::Encrypted(key) => key.decrypt(passphrase.of(path)?.as_bytes()).with_context(unusable),
    }
}

/// What the command line asks for, checked for contradictions in itself.
fn wanted(args: &Args) -> anyhow::Result<Vec<Wanted>> {
    let Some(list) = &args.list else {
        let (Some(path), Some(domain), Some(selector)) = (&args.file, &args.domain, &args.selector) else {
            bail!("a key needs --domain and --selector");
        };
        return Ok(vec![Wanted { domain: domain.clone(), selector: selector.clone(), path: path.clone() }]);
    };
    let text = fs::read(list).with_context(|| format!("{} cannot be read", list.display())).map_err(UsageError)?;
    let folder = list.parent().unwrap_or(Path::new(""));
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut bad = Vec::new();
    let mut lines: HashMap<(DomainName, Selector), usize> = HashMap::new();
    for (number, line) in (1..).zip(text.split(|octet| *octet == b'\n')) {
        let line = line.split(|octet| *octet == b'#').next().unwrap_or_default().trim_ascii();
        if line.is_empty() {
            continue;
        }
        let told = match parse_line(line, folder) {
            Ok(next) => match lines.insert((next.domain.clone(), next.selector.clone()), number) {
                None => {
                    wanted.push(next);
                    continue;
                }
                Some(first) => {
                    anyhow!("{} has the selector {} on line {first} already", next.domain, next.selector)
                }
            },
            Err(error) => error,
        };
        bad.push(format!("{}: line {number}: {told}", list.display()));
    }
    if !bad.is_empty() {
        return Err(UsageError(anyhow!("{}", bad.join("\n"))).into());
    }
    if wanted.is_empty() {
        return Err(UsageError(anyhow!("{} names no keys", list.display())).into());
    }
    Ok(wanted)
}

fn parse_line(line: &[u8], folder: &Path) -> anyhow::Result<Wanted> {
    let line = std::str::from_utf8(line).context("not UTF-8")?;
    let mut words = line.split_whitespace();
    let (Some(domain), Some(selector), Some(_)) = (words.next(), words.next(), words.next()) else {
        bail!("write a domain, a selector and the path of a key, with blanks between them");
    };
    // The path is all the rest: it may hold blanks.
    let rest = line[domain.len()..].trim_start();
    let path = rest[selector.len()..].trim_start();
    Ok(Wanted { domain: DomainName::parse(domain)?, selector: Selector::parse(selector)?, path: folder.join(path) })
}
