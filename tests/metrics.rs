//! docs/metrics.md, the alert rules and the dashboard, held against what the daemon really exports.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::*;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// What a daemon exports that has a rotation behind it.
fn export() -> String {
    let scratch = Scratch::new("metrics");
    let installation = Installation::new(&scratch);
    let state = scratch.folder("rotate");
    let run = installation_rotates(&installation, &state);
    assert!(run.join("summary.json").exists());
    let port = free_port();
    let settings = format!("[http]\nlisten = \"inet:{port}@127.0.0.1\"\n{}", rotation(&state));
    let _daemon = installation.start_listening(&scratch, &settings);
    let site = Site::at_port(port);
    site.wait();
    eventually("the summary of the rotation", std::time::Duration::from_secs(15), || {
        Some(site.get("/metrics").body).filter(|export| export.contains("waxseal_keys{"))
    })
}

fn rotation(state: &Path) -> String {
    // Nobody answers there; what the run writes down is all that is wanted.
    format!(
        "[rotation]\nstate = \"{}\"\n[dns]\nresolvers = [\"127.0.0.1:9\"]\ntimeout = \"50ms\"\nattempts = 1\n",
        state.display()
    )
}

/// `waxseal rotate`, for what is due, which is nothing.
fn installation_rotates(installation: &Installation, state: &Path) -> PathBuf {
    installation.configure(&rotation(state));
    let _ = installation.command("rotate").output().unwrap();
    state.to_owned()
}

/// Each family with its type and the labels of its series, as `# TYPE` and the samples have them.
fn families(export: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut families = BTreeMap::new();
    let mut name = String::new();
    for line in export.lines() {
        if let Some(of) = line.strip_prefix("# TYPE ") {
            let (of, kind) = of.split_once(' ').unwrap();
            name = if kind == "counter" { format!("{of}_total") } else { of.to_owned() };
            families.insert(name.clone(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((series, labels)) = line.split_once('{').filter(|_| !line.starts_with('#')) {
            assert!(series.starts_with(&name), "{line}");
            let labels = labels.split_once('}').unwrap().0;
            let names = labels.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_owned());
            families.get_mut(&name).unwrap().1.extend(names);
        }
    }
    families
}

#[test]
fn the_page_lists_what_is_exported_with_type_and_labels() {
    let export = export();
    let exported = families(&export);
    let page = read("docs/metrics.md");
    let mut listed = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `waxseal_") || line.starts_with("| `process_")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, meaning] = cells[..] else { panic!("{row}") };
        assert!(!meaning.is_empty(), "{row}");
        // Names stand before their values: `result`: `done`, `refused`.
        let names = labels.split(':').next().unwrap().split(',').map(|label| label.trim().trim_matches('`').to_owned());
        let names: BTreeSet<String> = names.filter(|name| !name.is_empty()).collect();
        if let Some((label, values)) = labels.split_once(": ") {
            for value in values.split(", ").map(|value| value.trim_matches('`')) {
                let series = format!("{}=\"{value}\"", label.trim_matches('`'));
                assert!(export.contains(&series), "{name}: {series} is not exported");
            }
        }
        listed.insert(name.trim_matches('`').to_owned(), (kind.to_owned(), names));
    }
    assert_eq!(exported, listed);
}

#[test]
fn no_series_is_made_up_by_who_sends_mail() {
    let export = export();
    let series = export.lines().filter(|line| !line.starts_with('#')).count();
    assert!((100..400).contains(&series), "{series} series");
    assert!(!export.contains(".test") && !export.contains("example"), "{export}");
}

/// Names of ours in an expression, without what histograms add.
fn names_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("waxseal_") || word.starts_with("process_"));
    let family =
        |word: &str| ["_bucket", "_count", "_sum"].iter().find_map(|end| word.strip_suffix(end).map(str::to_owned));
    ours.map(|word| family(word).unwrap_or_else(|| word.to_owned())).collect()
}

#[test]
fn the_dashboard_and_the_rules_ask_for_what_is_exported() {
    let exported: BTreeSet<String> = families(&export()).into_keys().collect();
    let board: serde_json::Value = serde_json::from_str(&read("docs/grafana-dashboard.json")).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(expressions.len() > 20);
    let mut asked: BTreeSet<String> = expressions.iter().flat_map(|expression| names_in(expression)).collect();
    let rules = read("docs/alerts.yml");
    let expressions = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    asked.extend(expressions.flat_map(names_in));
    assert!(asked.len() > 25, "{asked:?}");
    let unknown: Vec<_> = asked.difference(&exported).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    // Panels stand beside one another, not upon.
    let place = |panel: &serde_json::Value, side: &str| panel["gridPos"][side].as_u64().unwrap();
    for (at, one) in panels.iter().enumerate() {
        for other in &panels[at + 1..] {
            let apart = |side: &str, size: &str| {
                place(one, side) + place(one, size) <= place(other, side)
                    || place(other, side) + place(other, size) <= place(one, side)
            };
            assert!(apart("x", "w") || apart("y", "h"), "{} and {}", one["title"], other["title"]);
        }
    }
}

#[test]
#[ignore = "needs Debian's package prometheus; tests/run-all installs it"]
fn promtool_takes_the_rules_the_queries_and_each_alert_when_it_is_due() {
    let promtool = installed(&["/usr/bin/promtool"], "prometheus");
    let rules = root().join("docs/alerts.yml");
    run(Command::new(&promtool).args(["check", "rules"]).arg(&rules));

    let scratch = Scratch::new("alerts");
    let text = read("tests/metrics/alerts.test.yml");
    let cases = text.replace("- ALERTS\n", &format!("- {}\n", rules.display()));
    assert_ne!(text, cases);
    run(Command::new(&promtool).args(["test", "rules"]).arg(scratch.write("alerts.test.yml", cases)));
    for alert in read("docs/alerts.yml").lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(text.contains(&format!("alertname=\"{alert}\"")), "{alert} is not tested");
    }

    // The dashboard's queries are rules too, as far as their grammar goes.
    let board: serde_json::Value = serde_json::from_str(&read("docs/grafana-dashboard.json")).unwrap();
    let targets = board["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let rule = |(number, target): (usize, &serde_json::Value)| {
        let query = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
        format!("  - record: query:{number}\n    expr: {}\n", serde_json::to_string(&query).unwrap())
    };
    let rules: String = targets.enumerate().map(rule).collect();
    let rules = scratch.write("dashboard.yml", format!("groups:\n- name: dashboard\n  rules:\n{rules}"));
    run(Command::new(&promtool).args(["check", "rules"]).arg(rules));
}
