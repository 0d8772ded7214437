//! Public manifests, for commands that read one instead of the key store.

use std::fs;
use std::path::Path;

use anyhow::Context;

use super::UsageError;
use super::output::BAD;
use crate::manifest::{PublicManifest, PublicManifestError};

/// The text of a public manifest.
pub(super) fn read_file(path: &Path) -> anyhow::Result<String> {
    let read = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()));
    Ok(read.map_err(UsageError)?)
}

/// Finds the domains in it.
pub(super) fn read_public<'a>(path: &Path, text: &'a str) -> anyhow::Result<PublicManifest<'a>> {
    let public = PublicManifest::parse(text).with_context(|| path.display().to_string());
    Ok(public.map_err(UsageError)?)
}

/// Says what is wrong with a domain, each with its line.
pub(super) fn tell(path: &Path, errors: &[PublicManifestError]) {
    for error in errors {
        anstream::eprintln!("{BAD}{}:{BAD:#} {error}", path.display());
    }
}
