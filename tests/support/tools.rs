//! The programs of others that the tests run, and what to install when one is missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where `tests/run-all` puts what Debian cannot install beside Postfix, and what comes from PyPI.
const OWN_TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/test-tools");

/// The first of these paths that exists. Panics with the Debian package that has it.
pub(crate) fn installed(paths: &[&str], package: &str) -> PathBuf {
    paths.iter().map(PathBuf::from).find(|path| path.exists()).unwrap_or_else(|| {
        panic!("{} is missing: run tests/run-all, or install Debian's package {package}", paths.join(" or "))
    })
}

/// A file below the tests' own tools. Panics saying which command puts it there.
pub(crate) fn own(name: &str) -> PathBuf {
    let path = Path::new(OWN_TOOLS).join(name);
    assert!(path.exists(), "{} is missing: tests/run-all puts it there", path.display());
    path
}

/// A file of the harness itself.
pub(crate) fn support_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support").join(name)
}

/// Panics unless the tests run as root, as a mail server of one's own needs.
pub(crate) fn need_root() {
    assert!(rustix::process::geteuid().is_root(), "a mail server of one's own needs root: run tests/run-all");
}

/// Runs a command to its end; panics with all it said if it fails.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed with {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
