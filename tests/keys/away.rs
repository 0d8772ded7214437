//! `waxseal remove`.

use std::fs;

use crate::house::{House, files};

#[test]
fn the_last_usable_key_stays_unless_told_otherwise() {
    let house = House::with(&["a.example"]);
    house.fails(&["remove", "a.example", "--yes"], 1, &["no key left to sign with", "--even-if-needed"]);
    house.succeeds(&["activate", "--yes", "a.example"]);
    house.fails(&["remove", "a.example", "--yes"], 1, &["is active: it signs"]);
    assert_eq!(house.keys().len(), 1);
    let said = house.succeeds(&["remove", "a.example", "--yes", "--even-if-needed"]);
    assert!(said.contains("1 private keys destroyed"), "{said}");
    assert_eq!(house.keys(), []);
    let left: Vec<_> = files(&house.path("keys/domains/a.example")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(left, ["manifest.json"]);
    house.fails(&["remove", "a.example", "--yes"], 1, &["has no keys"]);
    house.fails(&["remove", "z.example", "--yes"], 1, &["no domain z.example"]);
}

#[test]
fn nothing_is_removed_before_the_plan_was_agreed_to() {
    let house = House::with(&["a.example"]);
    house.succeeds(&["generate", "--no-dns-check", "--algorithm", "ed25519", "a.example"]);
    let selector = house.keys()[1].1.clone();
    let args = ["remove", "a.example", "--selector", &selector];
    let output = house.run(&args);
    assert_eq!(output.status.code(), Some(1));
    let plan = String::from_utf8(output.stdout).unwrap();
    assert!(plan.contains(&format!("{selector}._domainkey.a.example. TXT")), "{plan}");
    house.fails(&[&args[..], &["--format", "json"]].concat(), 1, &["--yes"]);
    assert_eq!(house.keys().len(), 2);
    let removed = house.json(&[&args[..], &["--yes"]].concat());
    assert_eq!(removed["removed"][0]["selector"], selector);
    assert_eq!(removed["destroyed"].as_array().unwrap().len(), 1);
    assert_eq!(house.keys().len(), 1);
    house.fails(&[&args[..], &["--yes"]].concat(), 1, &["no key with the selector"]);
}

#[test]
fn a_retiring_key_stays_until_its_mail_has_arrived() {
    let house = House::with(&["a.example"]);
    house.succeeds(&["activate", "--yes", "a.example"]);
    house.succeeds(&["generate", "--no-dns-check", "--algorithm", "ed25519", "a.example"]);
    house.succeeds(&["activate", "--yes", "a.example"]);
    let retiring = house.keys().into_iter().find(|(.., state)| state == "retiring").unwrap().1;
    let args = ["remove", "a.example", "--yes", "--selector", &retiring];
    house.fails(&args, 1, &["retiring", "under way until"]);
    house.succeeds(&[&args[..], &["--even-if-needed"]].concat());
    // Its selector is remembered.
    let template =
        ["generate", "a.example", "--no-dns-check", "--algorithm", "ed25519", "--selector-template", &retiring];
    house.succeeds(&template);
    assert_eq!(house.keys().last().unwrap().1, format!("{retiring}3"), "the second is the one that signs");
}

#[test]
fn a_shared_key_is_destroyed_with_the_last_domain_that_has_it() {
    let house = House::new();
    let domains = ["a.example", "b.example"];
    house.succeeds(&[&["generate", "--no-dns-check", "--algorithm", "ed25519", "--shared"], &domains[..]].concat());
    let remove = |domain: &str| house.json(&["remove", domain, "--yes", "--even-if-needed"]);
    assert_eq!(remove("a.example")["kept"].as_array().unwrap().len(), 1);
    assert_eq!(files(&house.path("keys/shared")).len(), 1);
    // A manifest that cannot be read may bind it: it is not destroyed.
    house.succeeds(&["generate", "--no-dns-check", "--algorithm", "ed25519", "x.example"]);
    let manifest = house.path("keys/domains/x.example/manifest.json");
    let sound = fs::read(&manifest).unwrap();
    fs::write(&manifest, "{").unwrap();
    house.fails(&["remove", "b.example", "--yes", "--even-if-needed"], 1, &["x.example", "may use it"]);
    assert_eq!(files(&house.path("keys/shared")).len(), 1);
    fs::write(&manifest, sound).unwrap();
    house.fails(&["list", "b.example", "nobody.example"], 1, &["nobody"]);
    let checked = house.run(&["key", "check"]);
    assert!(String::from_utf8_lossy(&checked.stdout).contains("keystore-unbound-shared-key"));
    let ends = ["generate", "--no-dns-check", "--algorithm", "ed25519", "--shared", "c.example", "d.example"];
    house.succeeds(&ends);
    remove("c.example");
    assert_eq!(remove("d.example")["destroyed"].as_array().unwrap().len(), 1);
    assert_eq!(files(&house.path("keys/shared")).len(), 1, "the one that was kept before");
}
