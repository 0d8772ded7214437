//! `waxseal status`, and command lines that cannot be.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::host::{json, text};
use crate::support::{Scratch, run};

/// A store of 60 domains with an Ed25519 key each, that nobody published.
fn store() -> Scratch {
    let scratch = Scratch::new("status");
    let names: Vec<String> = (0..60).map(|number| format!("d{number:02}.test")).collect();
    run(waxseal(&scratch, &["init", "--yes", "unused.test", "--dir"]).arg(scratch.path()));
    fs::remove_dir_all(scratch.join("keys/domains/unused.test")).unwrap();
    scratch.write("waxseal.toml", "version = 1\n[keys]\nstore = \"keys\"\n[rotation]\nstate = \"state\"\n");
    run(waxseal(&scratch, &["generate", "--no-dns-check", "--algorithm", "ed25519"]).args(names));
    scratch
}

fn waxseal(scratch: &Scratch, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
    command.args(["--color", "never"]).arg("--config").arg(scratch.join("waxseal.toml")).args(arguments);
    command
}

fn said(scratch: &Scratch, arguments: &[&str]) -> Output {
    waxseal(scratch, arguments).output().unwrap()
}

#[test]
fn an_overview_is_bounded_and_finds_domains_by_their_marks() {
    let scratch = store();
    let overview = text(&said(&scratch, &["status"]).stdout);
    assert_eq!(overview.lines().count(), 52, "{overview}");
    assert!(overview.lines().last().unwrap().starts_with("10 more were not read"), "{overview}");
    assert!(overview.starts_with("DOMAIN"), "{overview}");
    assert_eq!(text(&said(&scratch, &["status", "--limit", "0"]).stdout).lines().count(), 61);

    // What is not asked for is not read: a broken manifest at the end is only found by who looks there.
    let broken = scratch.join("keys/domains/d59.test/manifest.json");
    let whole = fs::read_to_string(&broken).unwrap();
    fs::write(&broken, "{").unwrap();
    let few = said(&scratch, &["status", "--limit", "3", "--format", "json"]);
    assert_eq!((few.status.code(), json(&few).as_array().unwrap().len()), (Some(0), 3));
    let all = said(&scratch, &["status", "--format", "json"]);
    assert_eq!((all.status.code(), json(&all).as_array().unwrap().len()), (Some(1), 59));
    assert!(text(&all.stderr).contains("d59.test"), "{}", text(&all.stderr));
    fs::write(&broken, whole).unwrap();

    let gone = said(&scratch, &["offboard", "d07.test", "--gone", "--yes"]);
    assert!(text(&gone.stdout).contains("nothing signs for it"), "{}{}", text(&gone.stdout), text(&gone.stderr));
    run(&mut waxseal(&scratch, &["activate", "--yes", "d08.test"]));
    let path = scratch.join("keys/domains/d08.test/manifest.json");
    let manifest = fs::read_to_string(&path).unwrap();
    let mut old: Value = serde_json::from_str(&manifest).unwrap();
    old["bindings"][0]["state"]["active"]["since"] = "2020-01-01T00:00:00Z".into();
    old["bindings"][0]["created"] = "2020-01-01T00:00:00Z".into();
    fs::write(&path, serde_json::to_string_pretty(&old).unwrap()).unwrap();
    let only = |mark: &str| {
        let found = json(&said(&scratch, &["status", "--only", mark, "--format", "json"]));
        let names = found.as_array().unwrap().iter().map(|status| status["domain"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(only("gone"), ["d07.test"]);
    assert_eq!(only("overdue"), ["d08.test"]);
    assert_eq!(only("held"), Vec::<String>::new());
    assert_eq!(only("reminders").len(), 59);
    assert_eq!(text(&said(&scratch, &["status", "--only", "held"]).stdout), "no such domain\n");
    assert!(text(&said(&scratch, &["status", "d08.test"]).stdout).contains("older than key_age"));
}

#[test]
fn a_compromise_that_names_no_key_or_a_wrong_one_changes_nothing() {
    let scratch = store();
    let path = scratch.join("keys/domains/d00.test/manifest.json");
    let before = fs::read_to_string(&path).unwrap();
    let cases: [(&[&str], i32, &str); 7] = [
        (&["compromise"], 2, "required"),
        (&["compromise", "d00.test", "--yes"], 2, "which key of d00.test?"),
        (&["compromise", "d00.test", "--selector", "nosuch", "--yes"], 1, "no key with the selector nosuch"),
        (&["compromise", "s._domainkey.nosuch.test", "--yes"], 1, "has no domain nosuch.test"),
        (&["compromise", "--store", "--domain", "d00.test"], 2, "cannot be used with"),
        (&["compromise", "not a name", "--yes"], 2, "invalid value"),
        (&["compromise", "--store", "--format", "json"], 1, "add --yes"),
    ];
    for (arguments, code, why) in cases {
        let output = said(&scratch, arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(why), "{arguments:?}: {}", text(&output.stderr));
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    assert!(!scratch.join("state/compromise.json").exists());
}
