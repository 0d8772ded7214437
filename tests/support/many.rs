//! An installation with many domains, made within seconds: all of them have the same two keys, which are shared.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::scratch::Scratch;
use super::tools::run;

/// The domain whose manifest the others are copies of.
const PATTERN: &str = "pattern.test";

/// Whether the keys sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeysAre {
    /// Made, and nothing else.
    Generated,
    /// Activated by the operator.
    Active,
}

/// Many domains.
pub(crate) struct Many {
    scratch: Scratch,
}

impl Many {
    /// Domains of these names. `config` follows `[keys]` in the configuration.
    pub(crate) fn new(names: impl IntoIterator<Item = String>, keys: KeysAre, config: &str) -> Self {
        let many = Self { scratch: Scratch::new("many") };
        run(many.waxseal(&["init", "--yes", "first.test"]).arg("--dir").arg(many.scratch.path()));
        run(&mut many.waxseal(&["generate", "--shared", "--no-dns-check", PATTERN]));
        if keys == KeysAre::Active {
            run(&mut many.waxseal(&["activate", "--yes", PATTERN]));
        }
        fs::remove_dir_all(many.directory("first.test")).unwrap();
        let manifest = fs::read_to_string(many.manifest(PATTERN)).unwrap();
        let (directory, file) = (many.directory(PATTERN), many.manifest(PATTERN));
        let [of_directory, of_file] = [&directory, &file].map(|path| fs::metadata(path).unwrap().permissions().mode());
        for name in names {
            let (directory, file) = (many.directory(&name), many.manifest(&name));
            fs::create_dir(&directory).unwrap();
            fs::write(&file, manifest.replace(PATTERN, &name)).unwrap();
            for (path, mode) in [(directory, of_directory), (file, of_file)] {
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        fs::remove_dir_all(directory).unwrap();
        many.scratch.write("waxseal.toml", format!("version = 1\n[keys]\nstore = \"keys\"\n{config}"));
        many
    }

    /// A command with the installation's configuration.
    pub(crate) fn waxseal(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
        command.args(["--color", "never"]).arg("--config").arg(self.scratch.join("waxseal.toml")).args(arguments);
        command.env_remove("CREDENTIALS_DIRECTORY");
        command
    }

    /// What `waxseal rotate` says.
    pub(crate) fn rotate(&self, arguments: &[&str]) -> Output {
        self.waxseal(&["rotate"]).args(arguments).output().unwrap()
    }

    /// The folder with everything in it.
    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// A domain's directory in the key store.
    pub(crate) fn directory(&self, domain: &str) -> PathBuf {
        self.scratch.join(&format!("keys/domains/{domain}"))
    }

    /// A domain's manifest.
    pub(crate) fn manifest(&self, domain: &str) -> PathBuf {
        self.directory(domain).join("manifest.json")
    }

    /// The state directory, if the configuration says `state = "state"` in `[rotation]`.
    pub(crate) fn state(&self, file: &str) -> PathBuf {
        Path::new(self.scratch.path()).join("state").join(file)
    }
}
