//! Each table of decisions, asked of the program, without a daemon and with one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use waxseal::keystore::{Access, Directory, KeyStore};
use waxseal::names::DomainName;

use crate::support::{Case, Scratch, Server, Table, run, tables, with_input};

/// A configuration and a key store as a table has them.
struct World {
    scratch: Scratch,
}

impl World {
    fn new(table: &Table) -> Self {
        let world = Self { scratch: Scratch::new("explain") };
        let listener = |name: &str, sign: bool| {
            let socket = world.scratch.join(&format!("{name}.sock"));
            format!("[[listener]]\nname = \"{name}\"\nsocket = \"unix:{}\"\nsign_relayed = {sign}\n", socket.display())
        };
        let config = format!(
            "version = 1\n{}\n{}{}[control]\nsocket = \"control.sock\"\n",
            table.config,
            listener("signing", true),
            listener("passing", false)
        );
        world.scratch.write("waxseal.toml", config);
        for (name, text) in &table.maps {
            world.scratch.write(name, text);
        }
        let store = Directory::create(&world.scratch.join("keys"), Access::OneUser).unwrap();
        for (domain, words) in &table.keys {
            world.make(&store, domain, words);
        }
        world
    }

    /// Gives a domain what the table says of it. The first selector has an Ed25519 key, the second one of RSA.
    fn make(&self, store: &Directory, domain: &str, words: &str) {
        let selectors = match words {
            "not-active" | "unusable" | "unavailable" => vec!["s1"],
            words => match words.strip_prefix("in-part ") {
                Some(words) => words.split(' ').chain(["broken"]).collect(),
                None => words.split(' ').collect(),
            },
        };
        for (selector, algorithm) in selectors.iter().zip(["ed25519", "rsa"]) {
            let mut generate = self.waxseal("generate");
            generate.args(["--no-dns-check", "--selector-template", selector, "--algorithm", algorithm, domain]);
            run(&mut generate);
        }
        if words != "not-active" {
            let mut activate = self.waxseal("activate");
            run(activate.args(["--yes", domain]));
        }
        let domain = DomainName::parse(domain).unwrap();
        let spoil = |selector: &str| {
            let manifest = store.manifest(&domain).unwrap().unwrap();
            let binding = manifest.bindings().iter().find(|binding| binding.selector.as_str() == selector).unwrap();
            overwrite(&store.key_path(&domain, binding).unwrap());
        };
        match words {
            "unusable" => spoil("s1"),
            "unavailable" => overwrite(&store.manifest_path(&domain)),
            words if words.starts_with("in-part ") => spoil("broken"),
            _ => {}
        }
    }

    fn waxseal(&self, subcommand: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
        command.args(["--color", "never"]).arg("--config").arg(self.scratch.join("waxseal.toml")).arg(subcommand);
        command
    }

    fn start(&self) -> Server {
        let mut daemon = Command::new(env!("CARGO_BIN_EXE_waxseald"));
        daemon.arg("--config").arg(self.scratch.join("waxseal.toml"));
        let mut server = Server::start(&mut daemon, &self.scratch.join("waxseald.log"));
        server.wait_until("the control socket", || self.scratch.join("control.sock").exists());
        server
    }

    /// The explanation of a case, and how the program ended.
    fn explain(&self, case: &Case, live: bool) -> (Value, Option<i32>) {
        let mut command = self.waxseal("explain");
        command.args(["--format", "json", "--client", &case.client, "--host", &case.host]);
        command.arg(format!("--sender={}", case.sender));
        for (name, value) in &case.macros {
            command.arg(format!("--macro={{{name}}}={value}"));
        }
        for recipient in case.rcpt.iter().flatten() {
            command.arg(format!("--rcpt={recipient}"));
        }
        if let Some(sign) = case.listener_sign_relayed {
            command.args(["--listener", if sign { "signing" } else { "passing" }]);
        }
        if live {
            command.arg("--live");
        }
        let output = with_input(&mut command, &case.message());
        let said = serde_json::from_slice(&output.stdout);
        let failed = |_| panic!("{}: {}", case.name, String::from_utf8_lossy(&output.stderr));
        (said.unwrap_or_else(failed), output.status.code())
    }
}

/// Makes a file one that cannot be understood, its mode as it was.
fn overwrite(path: &Path) {
    fs::write(path, "nonsense").unwrap();
}

fn check(file: &Path, table: &Table, case: &Case, world: &World, live: bool) {
    let (said, exit) = world.explain(case, live);
    let what = format!("{}: {} (live: {live})\n{said:#}", file.display(), case.name);
    let expect = &case.expect;
    assert_eq!([&said["decision"], &said["reason"]], [&*expect.decision, &*expect.reason], "{what}");
    assert_eq!(exit, Some(i32::from(expect.decision != "sign")), "{what}");
    assert!(said["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{what}");
    if let Some(origin) = &expect.origin {
        assert_eq!(said["origin"], **origin, "{what}");
    }
    assert_eq!(said["rule"]["name"].as_str(), expect.rule.as_deref(), "{what}");
    if let Some(line) = &expect.line {
        let name = PathBuf::from(said["rule"]["file"].as_str().unwrap());
        assert_eq!(format!("{}:{}", name.file_name().unwrap().display(), said["rule"]["line"]), *line, "{what}");
    }
    let steps = said["steps"].as_array().unwrap();
    assert_eq!(steps.last().unwrap()["reason"], *expect.reason, "{what}");
    let signatures = said["signatures"].as_array().unwrap();
    let made: BTreeSet<String> = signatures
        .iter()
        .map(|made| format!("{}/{}", made["domain"].as_str().unwrap(), made["selector"].as_str().unwrap()))
        .collect();
    assert_eq!(made, wanted(&expect.signers, &table.keys), "{what}");
    let mut domains: Vec<&str> = signatures.iter().map(|made| made["domain"].as_str().unwrap()).collect();
    domains.dedup();
    let identities: Vec<&str> = domains
        .iter()
        .map(|domain| signatures.iter().find(|made| made["domain"] == **domain).unwrap())
        .map(|made| made["identity"].as_str().unwrap_or("none"))
        .collect();
    if !expect.identities.is_empty() {
        assert_eq!(identities, expect.identities, "{what}");
    }
}

/// The keys that sign: those named, or all of a domain that can.
fn wanted(signers: &[String], keys: &BTreeMap<String, String>) -> BTreeSet<String> {
    let of = |signer: &String| match signer.split_once('/') {
        Some(_) => vec![signer.clone()],
        None => {
            let words = keys[signer].trim_start_matches("in-part ");
            words.split(' ').map(|selector| format!("{signer}/{selector}")).collect()
        }
    };
    signers.iter().flat_map(of).collect()
}

#[test]
fn every_table_of_decisions_holds_for_the_program_with_and_without_a_daemon() {
    let mut cases = 0;
    for (file, table) in &tables() {
        let world = World::new(table);
        let _daemon = world.start();
        for case in &table.case {
            for live in [false, true] {
                check(file, table, case, &world, live);
            }
            cases += 1;
        }
    }
    assert!(cases > 100, "{cases} cases");
}
