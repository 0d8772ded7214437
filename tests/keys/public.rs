//! `waxseal export`, and commands that read what it wrote.

use std::fs;
use std::process::Command;

use crate::house::{House, files};

#[test]
fn the_public_manifest_is_sorted_has_a_line_a_key_and_no_secret() {
    let house = House::with(&["c.example", "a.example", "b\u{fc}cher.example"]);
    let text = house.succeeds(&["export", "--public"]);
    let order: Vec<_> = ["a.example", "c.example", "xn--bcher-kva.example"].map(|name| text.find(name).unwrap()).into();
    assert!(order.is_sorted(), "{text}");
    assert_eq!(text.lines().filter(|line| line.trim_start().starts_with("{\"selector\":")).count(), 3);
    assert!(!text.contains("private") && !text.contains(house.dir.path().to_str().unwrap()), "{text}");
    for path in fs::read_dir(house.path("keys/domains/a.example")).unwrap() {
        let path = path.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            let pem = fs::read_to_string(path).unwrap();
            assert!(!text.contains(pem.lines().nth(1).unwrap()));
        }
    }
    // The same again is the same octets: nothing to commit.
    let file = house.text("public.json");
    house.succeeds(&["export", "--public", "-o", &file]);
    house.succeeds(&["export", "--public", "-o", &file]);
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    assert_eq!(files(house.dir.path()).iter().find(|(name, _)| name == "public.json").unwrap().1, 0o644);
    let one = house.succeeds(&["export", "--public", "b\u{fc}cher.example"]);
    assert_eq!(one.matches("\"status\"").count(), 1);
}

#[test]
fn list_and_show_read_a_public_manifest_without_any_configuration() {
    let house = House::with(&["a.example", "b.example"]);
    let file = house.text("public.json");
    house.succeeds(&["export", "--public", "-o", &file]);
    let from_store = house.json(&["list"]);
    fs::remove_file(house.path("waxseal.toml")).unwrap();
    assert_eq!(house.json(&["list", "--manifest", &file]), from_store);
    assert_eq!(house.json(&["list", "--manifest", &file, "b*"]).as_array().unwrap().len(), 1);
    let shown = house.json(&["show", "--manifest", &file, "b.example"]);
    assert_eq!(shown["manifest"], format!("{file}:7"));
    assert!(shown["keys"][0]["record"]["value"].as_str().unwrap().starts_with("v=DKIM1; k=ed25519; p="));
    house.fails(&["show", "--manifest", &file, "c.example"], 1, &["no domain c.example"]);
    house.fails(&["list", "--manifest", &file, "c.example"], 1, &["c.example"]);
}

#[test]
fn a_public_manifest_that_a_person_broke_is_named_with_its_line() {
    let house = House::with(&["a.example", "b.example"]);
    let text = house.succeeds(&["export", "--public"]);
    let broken = house.write("public.json", text.replacen("\"bits\":256", "\"bits\":255", 1));
    house.fails(&["list", "--manifest", &broken], 1, &["public.json", "line 5", "a.example", "255 bits"]);
    house.fails(&["show", "--manifest", &broken, "a.example"], 1, &["line 5", "255 bits"]);
    house.succeeds(&["show", "--manifest", &broken, "b.example"]);
    house.write("public.json", &text[..text.len() / 2]);
    house.fails(&["list", "--manifest", &broken], 2, &["public.json", "line ", "EOF"]);
    house.write("public.json", text.replace("\"version\": 1", "\"version\": 7"));
    house.fails(&["list", "--manifest", &broken], 2, &["version 7", "upgrade"]);
    house.fails(&["list", "--manifest", "/nonexistent"], 2, &["/nonexistent"]);
}

#[test]
fn private_keys_leave_only_when_told_and_to_a_directory_of_ones_own() {
    let house = House::with(&["a.example", "b.example"]);
    house.fails(&["export"], 2, &["--public", "--private-keys"]);
    let directory = house.text("out");
    house.succeeds(&["export", "--private-keys", &directory, "a.example"]);
    let selector = house.keys()[0].1.clone();
    let found = files(house.path("out").as_path());
    assert_eq!(found, [("a.example".to_owned(), 0o700), (format!("a.example/{selector}.pem"), 0o600)]);
    let pem = format!("{directory}/a.example/{selector}.pem");
    house.fails(&["export", "--private-keys", &directory], 1, &["out", "new directory"]);
    // And back: the same key under another domain.
    house.succeeds(&["import", "key", &pem, "--domain", "c.example", "--selector", "s"]);
    let ids = house.key_ids();
    assert_eq!(ids[0], ids[2]);
    fs::write(house.path("keys/domains/b.example/manifest.json"), "{").unwrap();
    let other = house.text("other");
    house.fails(&["export", "--private-keys", &other], 1, &["b.example", "no private keys were exported"]);
    assert!(!house.path("other").exists());
    let file = house.write("public.json", "as it was");
    house.fails(&["export", "--public", "-o", &file], 1, &["b.example"]);
    assert_eq!(fs::read_to_string(file).unwrap(), "as it was");
}

#[test]
fn lists_are_filtered() {
    let house = House::with(&["a.example", "b.example", "mail.b.example"]);
    house.succeeds(&["activate", "--yes", "a.example"]);
    let count = |args: &[&str]| house.json(&[&["list"], args].concat()).as_array().unwrap().len();
    assert_eq!(count(&["--state", "active"]), 1);
    assert_eq!(count(&["--state", "active", "--state", "generated"]), 3);
    assert_eq!(count(&["--algorithm", "rsa"]), 0);
    assert_eq!(count(&["--older-than", "180d"]), 0);
    assert_eq!(count(&["*.b.example"]), 1);
    assert_eq!(count(&["*b.example"]), 2);
    assert_eq!(count(&["a.example", "mail*"]), 2);
    house.fails(&["list", "nobody.example", "*"], 1, &["nobody.example"]);
    house.fails(&["list", "--older-than", "tuesday"], 2, &["tuesday"]);
    let shown = house.json(&["show", "a.example", "--state", "retiring"]);
    assert_eq!(shown["keys"].as_array().unwrap().len(), 0);
    let colours = Command::new(env!("CARGO_BIN_EXE_waxseal"))
        .args(["--color", "always", "--config", &house.text("waxseal.toml"), "list"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&colours.stdout).contains("\u{1b}[32mactive\u{1b}[0m"));
}
