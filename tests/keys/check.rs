//! `waxseal key check`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::house::House;

/// Findings by rule, and where they are.
fn findings(house: &House) -> Vec<(String, String)> {
    let output = house.run(&["key", "check", "--format", "json"]);
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found: Vec<_> = checked["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| (finding["rule"].as_str().unwrap().to_owned(), finding["place"].to_string()))
        .collect();
    // A leftover is nothing that anybody has to mend.
    let is_wrong = found.iter().any(|(rule, _)| rule != "keystore-leftover");
    assert_eq!(output.status.code(), Some(i32::from(is_wrong)));
    found
}

fn key_file(house: &House, domain: &str) -> PathBuf {
    let entries = fs::read_dir(house.path("keys/domains").join(domain)).unwrap();
    entries.map(|entry| entry.unwrap().path()).find(|path| path.extension().is_some_and(|end| end == "pem")).unwrap()
}

#[test]
fn a_sound_store_has_no_findings() {
    let house = House::with(&["a.example", "b.example"]);
    assert_eq!(findings(&house), []);
    assert!(house.succeeds(&["key", "check"]).contains("sound: 2 private keys of 2 domains"));
    house.fails(&["key", "check", "exa mple"], 2, &["0x20"]);
    assert_eq!(house.run(&["key", "check", "z.example"]).status.code(), Some(1));
}

#[test]
fn whatever_is_wrong_with_a_key_file_is_found() {
    type Break = fn(&House);
    let cases: [(&str, Break); 10] = [
        ("keystore-key-missing", |house| fs::remove_file(key_file(house, "a.example")).unwrap()),
        ("keystore-key-broken", |house| fs::write(key_file(house, "a.example"), "nonsense").unwrap()),
        ("keystore-key-mismatch", |house| {
            fs::copy(key_file(house, "b.example"), key_file(house, "a.example")).map(drop).unwrap();
        }),
        ("keystore-mode", |house| {
            fs::set_permissions(key_file(house, "a.example"), fs::Permissions::from_mode(0o644)).unwrap();
        }),
        ("keystore-manifest", |house| fs::write(house.path("keys/domains/a.example/manifest.json"), "{").unwrap()),
        ("keystore-leftover", |house| {
            private(house, "keys/domains/a.example/.s.01234567.pem.new");
        }),
        ("keystore-orphaned-key", |house| private(house, "keys/domains/a.example/s.01234567.pem")),
        ("keystore-foreign-entry", |house| private(house, "keys/domains/a.example/notes.txt")),
        ("keystore-unbound-shared-key", |house| private(house, &format!("keys/shared/{}.pem", "0a".repeat(32)))),
        ("keystore-leftover", |house| private(house, &format!("keys/shared/.{}.pem.new", "0a".repeat(32)))),
    ];
    for (rule, make) in cases {
        let house = House::with(&["a.example", "b.example"]);
        make(&house);
        let found = findings(&house);
        assert_eq!(found.len(), 1, "{rule}: {found:?}");
        assert_eq!(found[0].0, rule);
        assert!(found[0].1.contains("a.example") || found[0].1.contains("shared"), "{found:?}");
        let text = house.run(&["key", "check"]);
        assert!(String::from_utf8_lossy(&text.stdout).contains(rule));
    }
}

fn private(house: &House, name: &str) {
    let path = house.write(name, "x");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
