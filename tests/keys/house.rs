//! An installation in a temporary directory, and what is asked of it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) struct House {
    pub(crate) dir: TempDir,
}

impl House {
    /// With an empty key store for one user.
    pub(crate) fn new() -> Self {
        let house = Self { dir: tempfile::tempdir().unwrap() };
        house.write("waxseal.toml", "version = 1\n[keys]\nstore = \"keys\"\n");
        for folder in ["keys", "keys/domains", "keys/shared"] {
            fs::create_dir(house.path(folder)).unwrap();
            fs::set_permissions(house.path(folder), fs::Permissions::from_mode(0o700)).unwrap();
        }
        house
    }

    /// The same with Ed25519 keys of these domains.
    pub(crate) fn with(domains: &[&str]) -> Self {
        let house = Self::new();
        house.succeeds(&[&["generate", "--algorithm", "ed25519", "--no-dns-check"], domains].concat());
        house
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), contents).unwrap();
        self.text(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
        command.args(["--color", "never", "--config"]).arg(self.path("waxseal.toml")).args(args);
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Whoever refuses its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    /// What it prints.
    pub(crate) fn succeeds(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.succeeds(&[args, &["--format", "json"]].concat())).unwrap()
    }

    /// Fails with this code and says all of this on standard error, which is returned.
    pub(crate) fn fails(&self, args: &[&str], code: i32, says: &[&str]) -> String {
        fails(&self.run(args), code, says)
    }

    /// Domain, selector and state of every key, in their order.
    pub(crate) fn keys(&self) -> Vec<(String, String, String)> {
        let listed = self.json(&["list"]);
        let word = |key: &Value, name: &str| key[name].as_str().unwrap().to_owned();
        let keys = listed.as_array().unwrap().iter();
        keys.map(|key| (word(key, "domain"), word(key, "selector"), word(key, "state"))).collect()
    }

    pub(crate) fn key_ids(&self) -> Vec<String> {
        let listed = self.json(&["list"]);
        listed.as_array().unwrap().iter().map(|key| key["key_id"].as_str().unwrap().to_owned()).collect()
    }
}

pub(crate) fn fails(output: &Output, code: i32, says: &[&str]) -> String {
    let told = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{told}");
    for text in says {
        assert!(told.contains(text), "{text:?} is not in: {told}");
    }
    told
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Files below a directory, with their modes.
pub(crate) fn files(directory: &std::path::Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_str().unwrap().to_owned();
        found.push((name.clone(), entry.metadata().unwrap().permissions().mode() & 0o7777));
        if entry.path().is_dir() {
            found.extend(files(&entry.path()).into_iter().map(|(below, mode)| (format!("{name}/{below}"), mode)));
        }
    }
    found.sort();
    found
}
