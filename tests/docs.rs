//! The documentation says what is: commands, options, fields, reasons, links, files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use clap::CommandFactory;
use serde_json::Value;
use support::with_input;
use waxseal::cli::CommandLine;
use waxseal::policy::{Decision, OnFailure, OnUnsignable, Reason, Warning};

const PAGES: [&str; 4] = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "keys/README.md"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All pages of the documentation, with their paths from the root.
fn pages() -> Vec<(PathBuf, String)> {
    let mut paths: Vec<PathBuf> = PAGES.iter().map(PathBuf::from).collect();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name();
        if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
            paths.push(Path::new("docs").join(name));
        }
    }
    paths.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

/// The text below a heading of the second level, up to the next.
fn section<'p>(page: &'p str, heading: &str) -> &'p str {
    let start = format!("\n## {heading}\n");
    let at = page.find(&start).unwrap_or_else(|| panic!("docs/cli.md has no section {heading:?}"));
    let text = &page[at + start.len()..];
    text.split("\n## ").next().unwrap()
}

/// Commands that do something, with their full names.
fn commands(command: &clap::Command, name: &str, found: &mut Vec<(String, clap::Command)>) {
    let subcommands: Vec<_> = command.get_subcommands().filter(|command| command.get_name() != "help").collect();
    if subcommands.is_empty() {
        found.push((name.to_owned(), command.clone()));
    }
    for subcommand in subcommands {
        commands(subcommand, &format!("{name} {}", subcommand.get_name()), found);
    }
}

#[test]
fn every_command_has_its_section_with_an_example_and_every_option() {
    let page = read("docs/cli.md");
    let shared = section(&page, "What all commands share");
    let mut all = Vec::new();
    let mut command = CommandLine::command();
    command.build();
    commands(&command, "waxseal", &mut all);
    assert!(all.len() >= 14, "{}", all.len());
    for (name, command) in &all {
        let text = section(&page, name);
        let has_example = text.lines().any(|line| line.starts_with("$ ") && line.contains(name));
        assert!(has_example, "{name} has no example");
        for option in command.get_arguments().filter_map(clap::Arg::get_long) {
            let is_there = [text, shared].iter().any(|text| has_option(text, option));
            assert!(is_there, "docs/cli.md: {name} lacks --{option}");
        }
    }
    // And nothing that is not: a heading for each command, no more.
    let headings = page.lines().filter(|line| line.starts_with("## waxseal ")).count();
    assert_eq!(headings, all.len());
}

fn has_option(text: &str, option: &str) -> bool {
    text.match_indices(&format!("`--{option}")).chain(text.match_indices(&format!("--{option}`"))).any(|(at, found)| {
        let after = text[at + found.len()..].chars().next();
        found.ends_with('`') || matches!(after, Some('`' | ' '))
    })
}

#[test]
fn every_option_of_the_daemon_is_in_its_section() {
    let page = read("docs/cli.md");
    let help = Command::new(env!("CARGO_BIN_EXE_waxseald")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let options: BTreeSet<_> = help
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("--"))
        .filter(|option| !["help", "version"].contains(option))
        .collect();
    assert!(options.contains("listen"), "{help}");
    for option in options {
        assert!(has_option(section(&page, "waxseald"), option), "docs/cli.md: waxseald lacks --{option}");
    }
}

#[test]
fn every_reason_stands_with_its_decisions_and_what_the_programs_say_of_it() {
    let rows: Vec<String> = Reason::ALL.into_iter().map(row).collect();
    let page = read("docs/reasons.md");
    let is_row = |line: &&str| line.starts_with("| `");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let at = page.lines().position(|line| is_row(&line)).unwrap();
        let mut lines: Vec<&str> = page.lines().filter(|line| !is_row(line)).collect();
        lines.splice(at..at, rows.iter().map(String::as_str));
        fs::write(root().join("docs/reasons.md"), lines.join("\n") + "\n").unwrap();
    }
    let page = read("docs/reasons.md");
    let written: Vec<&str> = page.lines().filter(is_row).collect();
    assert_eq!(written, rows, "docs/reasons.md is out of date; run: UPDATE_DOCS=1 cargo test --test docs");
}

fn row(reason: Reason) -> String {
    let decide = |failure, unsignable| Decision::of(reason, failure, unsignable).action.as_str();
    let default = decide(OnFailure::default(), OnUnsignable::default());
    let mut decisions = default.to_owned();
    for (action, setting) in [
        (decide(OnFailure::AcceptUnsigned, OnUnsignable::Pass), "on_failure = \"accept-unsigned\""),
        (decide(OnFailure::Defer, OnUnsignable::Refuse), "on_unsignable = \"refuse\""),
    ] {
        if action != default {
            decisions.push_str(&format!(", or {action} with `{setting}`"));
        }
    }
    format!("| `{reason}` | {decisions} | {} | {} |", reason.meaning(), reason.remedy())
}

#[test]
fn every_warning_stands_with_its_remedy_and_every_reason_where_it_is_asked_for() {
    let page = read("docs/policy.md");
    for warning in Warning::ALL {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{warning}` |")));
        assert!(row.is_some_and(|row| row.split(" | ").count() == 3), "docs/policy.md lacks {warning}");
    }
    let rows = section(&page, "What will break after us").lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, Warning::ALL.len());
    // What only signing comes to is asked of nobody.
    let later = [Reason::Signed, Reason::Overload, Reason::SigningFailed];
    for reason in Reason::ALL.iter().filter(|reason| !later.contains(reason)) {
        assert!(page.contains(&format!("`{reason}`")), "docs/policy.md lacks {reason}");
    }
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut links = 0;
    for (path, text) in pages() {
        for piece in text.split("](").skip(1) {
            let target = piece.split(')').next().unwrap();
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(root().join(&file).exists(), "{}: {target}", path.display());
            if !anchor.is_empty() {
                let slug = |line: &str| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
                let is_there = read(&file).lines().any(|line| line.starts_with('#') && slug(line) == anchor);
                assert!(is_there, "{}: {target}", path.display());
            }
            links += 1;
        }
    }
    assert!(links > 10, "{links}");
}

/// The lines of code blocks that a shell would run.
fn typed(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut block = None;
    for line in text.lines() {
        block = match (line.strip_prefix("```"), block) {
            (Some(kind), None) => Some(kind),
            (Some(_), Some(_)) => None,
            (None, block) => block,
        };
        match block {
            Some("sh") => lines.push(line.to_owned()),
            Some("console") => lines.extend(line.strip_prefix("$ ").map(str::to_owned)),
            _ => {}
        }
    }
    lines
}

#[test]
fn every_command_that_is_shown_can_be_typed() {
    let mut seen = BTreeSet::new();
    for (path, text) in pages() {
        for line in typed(&text) {
            let line = line.split(" #").next().unwrap();
            for part in line.split(['|', ';', '<', '>']).flat_map(|part| part.split("&&")) {
                let words: Vec<_> = part.split_whitespace().map(|word| word.trim_matches('\'')).collect();
                let is_waxseal = |word: &&str| *word == "waxseal" || *word == "target/release/waxseal";
                let at = match words.first() {
                    Some(&"setpriv") => words.iter().rposition(is_waxseal),
                    first => first.filter(|word| is_waxseal(word)).map(|_| 0),
                };
                let Some(at) = at else { continue };
                let parsed = CommandLine::command().try_get_matches_from(&words[at..]);
                assert!(parsed.is_ok(), "{}: {part}\n{}", path.display(), parsed.unwrap_err());
                seen.insert(words[at + 1..].iter().find(|word| !word.starts_with('-')).map(|word| word.to_string()));
            }
        }
    }
    for command in ["demo", "init", "activate", "generate"] {
        assert!(seen.contains(&Some(command.to_owned())), "{command} in {seen:?}");
    }
}

#[test]
fn every_file_of_the_repository_that_is_typed_is_there() {
    let mut seen = 0;
    for (path, text) in pages() {
        let lines = typed(&text);
        for word in lines.iter().flat_map(|line| line.split_whitespace()) {
            if ["systemd/", "tests/", "docs/", ".ci/"].iter().any(|folder| word.starts_with(folder)) {
                assert!(root().join(word).exists(), "{}: {word}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen >= 5, "{seen}");
}

#[test]
fn accounts_and_paths_are_those_of_the_units() {
    let guide = read("docs/operating.md");
    let sysusers = read("systemd/waxseal.sysusers.conf");
    for line in sysusers.lines().filter(|line| line.starts_with("u ") || line.starts_with("g ")) {
        let account = line.split_whitespace().nth(1).unwrap();
        assert!(guide.contains(&format!("`{account}`")), "docs/operating.md lacks the account {account}");
    }
    let socket = read("systemd/waxseald.socket");
    let setting = |name: &str| socket.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    assert!(guide.contains(&format!("`{}`", setting("ListenStream="))));
    assert!(guide.contains(&format!("usermod -aG {} postfix", setting("SocketGroup="))));

    // And what init prints for the unit's socket.
    let dir = tempfile::tempdir().unwrap();
    let output =
        waxseal(&["init", "--dir", dir.path().to_str().unwrap(), "--listen", "systemd", "--yes", "a.example"], b"");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(&format!("smtpd_milters = unix:{}\n", setting("ListenStream="))), "{said}");
    assert!(said.contains("systemctl enable --now waxseald.socket waxseald.service"), "{said}");
}

#[test]
fn every_recipe_that_is_named_is_in_the_justfile() {
    let justfile = read("justfile");
    let mut recipes = 0;
    for (path, text) in pages() {
        for named in text.split("`just ").skip(1) {
            let recipe = named.split(['`', ' ']).next().unwrap();
            let is_there = justfile.lines().any(|line| {
                line.strip_prefix(recipe).is_some_and(|rest| rest.starts_with(':') || rest.starts_with(" *"))
            });
            assert!(is_there, "{}: just {recipe}", path.display());
            recipes += 1;
        }
    }
    assert!(recipes >= 5, "{recipes}");
}

fn waxseal(args: &[&str], stdin: &[u8]) -> Output {
    with_input(Command::new(env!("CARGO_BIN_EXE_waxseal")).args(args), stdin)
}

fn names(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                found.insert(name.clone());
                names(value, found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_field_of_json_is_in_the_section_of_its_command() {
    let page = read("docs/cli.md");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let config = dir.path().join("waxseal.toml");
    let config = config.to_str().unwrap();
    assert!(waxseal(&["init", "--dir", path, "--yes", "example.com"], b"").status.success());
    assert!(waxseal(&["-c", config, "activate", "--yes", "example.com"], b"").status.success());
    let signed = waxseal(&["-c", config, "sign"], b"From: a@example.com\n\nx\n").stdout;
    let records = dir.path().join("records");
    fs::write(&records, waxseal(&["-c", config, "record", "example.com"], b"").stdout).unwrap();
    let fields = |args: &[&str]| {
        let output = waxseal(&[&["-c", config], args, &["--format", "json"]].concat(), &signed);
        let mut found = BTreeSet::new();
        names(&serde_json::from_slice(&output.stdout).unwrap(), &mut found);
        assert!(found.len() >= 5, "{args:?}: {found:?}");
        found
    };
    let check = |command: &str, also: &[&str], fields: BTreeSet<String>| {
        let mut text = section(&page, &format!("waxseal {command}")).to_owned();
        text.extend(also.iter().map(|name| section(&page, &format!("waxseal {name}"))));
        for field in fields {
            assert!(text.contains(&format!("`{field}`")), "docs/cli.md: {command} lacks the field {field}");
        }
    };
    check("list", &[], fields(&["list"]));
    check("show", &["list", "record"], fields(&["show", "example.com"]));
    check("record", &[], fields(&["record", "example.com"]));
    check("check-message", &[], fields(&["check-message", "--records", records.to_str().unwrap()]));
    check("explain", &[], fields(&["explain", "--macro", "v=Postfix"]));
    fs::write(config, "version = 1\n[sining]\n").unwrap();
    check("config check", &[], fields(&["config", "check"]));
}
