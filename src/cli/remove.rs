//! `waxseal remove`.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Serialize;

use super::list::{ListedKey, all_domains, style_of};
use super::output::{Confirmation, Format, STRONG, WARN, confirmed, write_json};
use super::parallel::in_order;
use super::progress::progress_bar;
use super::{Exit, Installation};
use crate::clock::Clock;
use crate::dkim::KeyId;
use crate::keystore::Directory;
use crate::manifest::{Binding, PrivateKeyPlace, Removal, StateName};
use crate::names::{DomainName, Selector};

/// Remove keys of a domain, and destroy their private parts
///
/// Their selectors are remembered and never get another key. A key that many domains share is destroyed with the last
/// of them. Refuses to take what is needed: the last usable key of a domain, a key that signs, a retiring key while mail
/// signed with it may be under way. DNS is not changed: what to delete there is printed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The domain.
    domain: DomainName,

    /// Only this selector's key; all keys of the domain if none is given. May be given several times.
    #[arg(long, value_name = "SELECTOR")]
    selector: Vec<Selector>,

    /// Remove keys that are still needed: mail goes unsigned, or can no longer be verified.
    #[arg(long)]
    even_if_needed: bool,

    /// Do not ask.
    #[arg(long)]
    yes: bool,

    /// How to print what was removed. JSON needs --yes.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Debug, Serialize)]
struct Removed {
    domain: DomainName,
    removed: Vec<ListedKey>,
    /// Private keys destroyed with them.
    destroyed: Vec<String>,
    /// Shared private keys that other domains go on using.
    kept: Vec<String>,
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let installation = Installation::open(config)?;
    let before = installation.manifest(&args.domain)?;
    let removal = before.remove(&args.selector, Clock::System.now())?;
    if args.format == Format::Text {
        write_plan(&removal, out)?;
        out.flush()?;
    }
    if !removal.reluctance.is_empty() {
        for reluctance in &removal.reluctance {
            anstream::eprintln!("{WARN}needed:{WARN:#} {reluctance}");
        }
        if !args.even_if_needed {
            bail!("nothing was removed; --even-if-needed removes these keys all the same");
        }
    }
    let yes = Confirmation::from(args.yes);
    if args.format == Format::Json && yes == Confirmation::Wanted {
        bail!("nothing was removed; with --format json nobody is asked: add --yes");
    }
    if !confirmed("\nRemove?", yes)? {
        bail!("nothing was removed; answer y on a terminal, or add --yes");
    }
    let committed = installation.store.commit(&removal.manifest, &[]);
    committed.with_context(|| format!("the keys of {} were not removed", args.domain))?;

    let (mut destroyed, mut kept) = (Vec::new(), Vec::new());
    let shared: Vec<KeyId> = ids(&removal, PrivateKeyPlace::Shared);
    if !shared.is_empty() {
        let gone = destroy_unbound(&installation.store, &shared)
            .with_context(|| format!("the keys of {} are removed, but the shared key's file was not", args.domain))?;
        (destroyed, kept) = shared.into_iter().partition(|id| gone.contains(id));
    }
    destroyed.extend(ids(&removal, PrivateKeyPlace::Own));
    let text = |ids: Vec<KeyId>| ids.iter().map(KeyId::to_string).collect();
    let removed = Removed {
        domain: args.domain.clone(),
        removed: removal.removed.iter().map(|binding| ListedKey::of(&args.domain, binding)).collect(),
        destroyed: text(destroyed),
        kept: text(kept),
    };
    match args.format {
        Format::Json => write_json(out, &removed)?,
        Format::Text => {
            writeln!(out, "removed; {} private keys destroyed", removed.destroyed.len())?;
            for key in &removed.kept {
                writeln!(out, "other domains go on using the shared key {key}")?;
            }
        }
    }
    Ok(Exit::Clean)
}

fn ids(removal: &Removal, place: PrivateKeyPlace) -> Vec<KeyId> {
    removal.removed.iter().filter(|binding| binding.private_key == place).map(Binding::key_id).collect()
}

fn write_plan(removal: &Removal, out: &mut dyn Write) -> anyhow::Result<()> {
    let domain = removal.manifest.domain();
    writeln!(out, "{STRONG}{domain}{STRONG:#}: these keys go, and their selectors never get another\n")?;
    for binding in &removal.removed {
        let state = binding.state.name();
        let style = style_of(state);
        writeln!(
            out,
            "  {}  {}, {} bits  {style}{state}{style:#} since {:.0}",
            binding.selector,
            binding.algorithm(),
            binding.public_key.bits(),
            binding.state.since()
        )?;
    }
    let in_dns = |binding: &&Binding| binding.state.name() != StateName::Withdrawn;
    writeln!(out, "\nThen delete from DNS, where they stand there:\n")?;
    for binding in removal.removed.iter().filter(in_dns) {
        writeln!(out, "  {}. TXT", binding.selector.record_name(domain))?;
    }
    Ok(())
}

/// Destroys those of the shared keys that no domain of the store binds any more.
fn destroy_unbound(store: &Directory, shared: &[KeyId]) -> anyhow::Result<HashSet<KeyId>> {
    store.destroy_shared(shared, || {
        let (domains, _) = all_domains(store)?;
        let mut bound = HashSet::new();
        let bar = progress_bar(domains.len(), "who uses the shared key");
        let manifests = store.manifests()?;
        in_order(
            &domains,
            |domain| manifests.read(domain),
            |domain, manifest| {
                bar.inc(1);
                // One that cannot be read may use it.
                let manifest = manifest.with_context(|| format!("{domain} cannot be read, and may use it"))?;
                let bindings = manifest.iter().flat_map(|manifest| manifest.bindings());
                let is_shared = |binding: &&Binding| binding.private_key == PrivateKeyPlace::Shared;
                bound.extend(bindings.filter(is_shared).map(Binding::key_id));
                anyhow::Ok(())
            },
        )?;
        bar.finish_and_clear();
        anyhow::Ok(bound)
    })
}
