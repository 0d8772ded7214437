//! The layers of docs/architecture.md, held over the syntax tree: every path, not only those in `use`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;

/// What each module may use of this crate. Modules of one line use one another only where it is said here.
const LAYERS: &[(&str, &[&str])] = &[
    ("names", &[]),
    ("clock", &[]),
    ("finding", &["names"]),
    ("message", L0),
    ("milter", L0),
    ("observation", L0),
    ("dkim", &["names", "clock", "finding", "message"]),
    ("policy", &["names", "clock", "finding", "message", "dkim"]),
    ("manifest", &["names", "clock", "finding", "dkim"]),
    ("lifecycle", &["names", "observation", "dkim", "manifest"]),
    ("config", &["names", "clock", "finding", "dkim", "policy", "manifest"]),
    ("import", &["names", "finding", "message", "dkim", "policy", "config"]),
    ("control", &["names", "policy"]),
    ("check", &["names", "clock", "finding", "observation", "dkim", "manifest"]),
    ("report", &["names", "clock", "finding", "observation"]),
    ("record_format", &["names", "dkim", "manifest"]),
    ("files", &["names", "clock", "finding", "config", "policy"]),
    ("keystore", &["names", "clock", "finding", "dkim", "manifest"]),
    ("dns", &["names", "clock", "finding", "observation", "config", "files"]),
    ("audit", &["names", "clock", "finding"]),
    ("evidence", &["names", "clock", "finding", "dkim", "files"]),
    ("observe", &["names", "clock", "finding", "dkim", "policy", "keystore", "control"]),
    (
        "filter",
        &[
            "names", "clock", "finding", "message", "milter", "dkim", "policy", "manifest", "config", "control",
            "keystore", "evidence", "observe",
        ],
    ),
    (
        "inspect",
        &[
            "names",
            "clock",
            "finding",
            "observation",
            "dkim",
            "manifest",
            "config",
            "check",
            "report",
            "keystore",
            "dns",
        ],
    ),
    (
        "rotation",
        &[
            "names",
            "clock",
            "finding",
            "observation",
            "dkim",
            "manifest",
            "lifecycle",
            "config",
            "record_format",
            "keystore",
            "audit",
            "evidence",
            "dns",
        ],
    ),
    (
        "daemon",
        &[
            "names", "clock", "finding", "message", "milter", "dkim", "policy", "manifest", "config", "control",
            "files", "keystore", "evidence", "observe", "filter",
        ],
    ),
    (
        "cli",
        &[
            "names",
            "clock",
            "finding",
            "message",
            "milter",
            "dkim",
            "policy",
            "manifest",
            "config",
            "control",
            "import",
            "files",
            "keystore",
            "audit",
            "evidence",
            "dns",
            "filter",
            "observation",
            "check",
            "report",
            "record_format",
            "inspect",
            "lifecycle",
            "rotation",
        ],
    ),
];

const L0: &[&str] = &["names", "clock", "finding"];

/// Modules that take bytes and facts and return values.
const PURE: &[&str] = &[
    "names",
    "finding",
    "message",
    "milter",
    "observation",
    "dkim",
    "policy",
    "manifest",
    "lifecycle",
    "config",
    "control",
    "import",
    "check",
    "report",
    "record_format",
];

/// What a pure module never touches.
const IMPURE: &[&str] = &[
    "tokio",
    "tracing",
    "hickory_resolver",
    "rustix",
    "socket2",
    "tempfile",
    "crossbeam_channel",
    "getrandom",
    "rand",
    "std::env",
    "std::fs",
    "std::process",
    "std::thread",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "std::os::unix::net",
    "std::time::SystemTime",
];

/// Crates that have one home.
const HOMES: &[(&str, &[&str])] = &[
    ("aws_lc_rs", &["src/dkim/backend"]),
    ("ring", &["src/dkim/backend"]),
    ("rsa", &["src/dkim/backend"]),
    ("mail_auth", &["src/dkim/mail_auth.rs"]),
    ("hickory_resolver", &["src/dns/"]),
    ("clap", &["src/cli/", "src/bin/"]),
    ("clap_complete", &["src/cli/"]),
    ("clap_mangen", &["src/cli/"]),
    ("anyhow", &["src/cli/", "src/bin/"]),
    ("quick_junit", &["src/report/"]),
    ("governor", &["src/dns/"]),
    ("hyper", &["src/dns/publish/", "src/daemon/http/"]),
    ("hyper_util", &["src/dns/publish/", "src/daemon/http/"]),
    ("http_body_util", &["src/dns/publish/", "src/daemon/http/"]),
    ("prometheus_client", &["src/observe/"]),
    ("maud", &["src/observe/"]),
    ("subtle", &["src/files/"]),
    ("pkcs8", &["src/dkim/key/"]),
    ("rpassword", &["src/cli/"]),
    ("pkcs8", &["src/dkim/key/"]),
    ("rpassword", &["src/cli/"]),
    ("indicatif", &["src/cli/"]),
    ("quick_cache", &["src/keystore/"]),
    ("uzers", &["src/files/"]),
    ("aho_corasick", &["src/policy/"]),
    ("sd_notify", &["src/daemon/"]),
    ("listenfd", &["src/daemon/"]),
];

#[test]
fn modules_use_only_what_lies_below_them() {
    let mut violations = String::new();
    for file in sources() {
        let Some(module) = file.module() else { continue };
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
            let _ = writeln!(violations, "{}: module {module} is not in the table", file.path.display());
            continue;
        };
        for path in file.paths() {
            let Some(rest) = path.strip_prefix("crate::") else { continue };
            let target = rest.split("::").next().unwrap();
            let known = LAYERS.iter().any(|(name, _)| *name == target);
            if known && target != module && !allowed.contains(&target) {
                let _ = writeln!(violations, "{}: {module} must not use {path}", file.path.display());
            }
        }
    }
    assert!(violations.is_empty(), "\n{violations}");
}

#[test]
fn pure_modules_touch_nothing_outside() {
    let mut violations = String::new();
    for file in sources() {
        let Some(module) = file.module() else { continue };
        if !PURE.contains(&module.as_str()) {
            continue;
        }
        for path in file.paths() {
            if IMPURE.iter().any(|impure| path == *impure || path.starts_with(&format!("{impure}::"))) {
                let _ = writeln!(violations, "{}: {module} is pure and must not use {path}", file.path.display());
            }
        }
    }
    assert!(violations.is_empty(), "\n{violations}");
}

#[test]
fn crates_stay_in_their_homes() {
    let mut violations = String::new();
    for file in sources() {
        let place = file.path.display().to_string();
        for path in file.paths() {
            let name = path.split("::").next().unwrap();
            let Some((_, homes)) = HOMES.iter().find(|(home, _)| *home == name) else { continue };
            if path.contains("::") && !homes.iter().any(|home| place.starts_with(home)) {
                let _ = writeln!(violations, "{place}: {path} belongs in {}", homes.join(" or "));
            }
        }
    }
    assert!(violations.is_empty(), "\n{violations}");
}

/// What the daemon is made of, from its entry down: modules that it may use, and those that they may use.
fn modules_of_the_daemon() -> BTreeSet<&'static str> {
    let mut found = BTreeSet::from(["daemon"]);
    loop {
        let below = LAYERS.iter().filter(|(name, _)| found.contains(name)).flat_map(|(_, allowed)| allowed.iter());
        let wider: BTreeSet<&str> = found.iter().chain(below).copied().collect();
        if wider.len() == found.len() {
            return found;
        }
        found = wider;
    }
}

#[test]
fn the_daemon_reads_no_secret_of_name_servers_and_changes_no_dns() {
    let modules = modules_of_the_daemon();
    assert!(modules.contains("keystore") && !modules.contains("dns") && !modules.contains("rotation"), "{modules:?}");
    let mut violations = String::new();
    for file in sources() {
        let is_of_the_daemon = match file.module() {
            Some(module) => modules.contains(module.as_str()),
            None => file.path.ends_with("bin/waxseald.rs"),
        };
        // Where they are read is in `files`, which both programs use.
        if !is_of_the_daemon || file.path == Path::new("src/files/secret.rs") {
            continue;
        }
        for path in file.paths() {
            let is_forbidden = path.contains("files::secret") || path.contains("credentials_directory");
            if is_forbidden || path.contains("dns::publish") {
                let _ = writeln!(violations, "{}: {path} is not for the daemon", file.path.display());
            }
        }
    }
    assert!(violations.is_empty(), "\n{violations}");
}

#[test]
fn the_table_has_a_row_for_every_module() {
    let modules: BTreeSet<_> = sources().iter().filter_map(Source::module).collect();
    let rows: BTreeSet<_> = LAYERS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(modules, rows);
}

#[test]
fn the_walk_sees_paths_in_uses_expressions_and_macros() {
    let source = Source {
        path: PathBuf::from("src/dkim/x.rs"),
        text: "use std::{fs::File, io}; use crate::daemon as d;
               fn f() { crate::cli::run(); println!(\"{}\", tokio::spawn(1)); }
               #[cfg(test)] mod tests { use std::process::Command; }"
            .into(),
    };
    let paths = source.paths();
    for expected in ["std::fs::File", "crate::daemon", "crate::cli::run", "tokio::spawn"] {
        assert!(paths.contains(expected), "{expected} in {paths:?}");
    }
    assert!(!paths.contains("std::process::Command"));
    assert_eq!(source.module().as_deref(), Some("dkim"));
}

struct Source {
    path: PathBuf,
    text: String,
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("src")];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if root.join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(root.join(&path)).unwrap();
                found.push(Source { path, text });
            }
        }
    }
    found
}

impl Source {
    /// The top module this file belongs to; none for lib.rs and the binaries, which may use anything.
    fn module(&self) -> Option<String> {
        let inner = self.path.strip_prefix("src").unwrap();
        let first = inner.iter().next().unwrap().to_str().unwrap();
        let module = first.strip_suffix(".rs").unwrap_or(first);
        (module != "lib" && module != "bin").then(|| module.to_owned())
    }

    /// Every path outside `#[cfg(test)]`, groups written out.
    fn paths(&self) -> BTreeSet<String> {
        let file = syn::parse_file(&self.text).unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
        let mut walk = Walk::default();
        walk.visit_file(&file);
        walk.paths
    }
}

#[derive(Default)]
struct Walk {
    paths: BTreeSet<String>,
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let is_test = |attribute: &syn::Attribute| {
            attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
        };
        if !item.attrs.iter().any(is_test) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.spell_out(String::new(), &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.paths.insert(names.join("::"));
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.visit_path(&item.path);
        self.scan(item.tokens.clone());
    }
}

impl Walk {
    fn spell_out(&mut self, before: String, tree: &syn::UseTree) {
        let join = |name: &syn::Ident| if before.is_empty() { name.to_string() } else { format!("{before}::{name}") };
        match tree {
            syn::UseTree::Path(path) => self.spell_out(join(&path.ident), &path.tree),
            syn::UseTree::Name(name) => _ = self.paths.insert(join(&name.ident)),
            syn::UseTree::Rename(rename) => _ = self.paths.insert(join(&rename.ident)),
            syn::UseTree::Glob(_) => _ = self.paths.insert(before),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.spell_out(before.clone(), item)),
        }
    }

    /// Paths in a macro's tokens: names with `::` between them.
    fn scan(&mut self, tokens: TokenStream) {
        let mut path = String::new();
        for token in tokens {
            match token {
                TokenTree::Ident(name) if path.is_empty() || path.ends_with("::") => path += &name.to_string(),
                TokenTree::Ident(name) => {
                    self.paths.insert(std::mem::replace(&mut path, name.to_string()));
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => path.push(':'),
                other => {
                    if !path.is_empty() {
                        self.paths.insert(std::mem::take(&mut path));
                    }
                    if let TokenTree::Group(group) = other {
                        self.scan(group.stream());
                    }
                }
            }
        }
        if !path.is_empty() {
            self.paths.insert(path);
        }
    }
}
