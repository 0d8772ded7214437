//! `waxseal generate`.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use crate::house::{House, fails, files, stderr};

const QUICK: [&str; 4] = ["generate", "--no-dns-check", "--algorithm", "ed25519"];

#[test]
fn domains_come_from_a_file_from_standard_input_and_from_arguments() {
    let house = House::new();
    let list = house.write("list", "# customers\nb.example\n\n b\u{fc}cher.example # IDN\nxn--bcher-kva.example.\n");
    house.succeeds(&[&QUICK[..], &["a.example", "--from", &list]].concat());
    let output = house.run_with(&[&QUICK[..], &["--from", "-"]].concat(), b"c.example\r\n");
    assert!(output.status.success(), "{}", stderr(&output));
    let domains: Vec<_> = house.keys().into_iter().map(|(domain, ..)| domain).collect();
    assert_eq!(domains, ["a.example", "b.example", "c.example", "xn--bcher-kva.example"]);
}

#[test]
fn every_bad_line_is_told_and_nothing_is_done() {
    let house = House::new();
    let list = house.write("list", b"good.example\nbad domain\n-bad.example\n\xfc.example\n10.0.0.1\n");
    let args = [&QUICK[..], &["--from", &list]].concat();
    let says = ["list: line 2:", "0x20", "list: line 3:", "hyphen", "list: line 4:", "0xfc", "line 5:", "address"];
    house.fails(&args, 2, &says);
    assert_eq!(house.keys(), []);
    house.write("list", "# nobody\n");
    house.fails(&args, 2, &["empty"]);
    house.fails(&[&QUICK[..], &["--from", "/nonexistent"]].concat(), 2, &["/nonexistent"]);
    house.fails(&QUICK, 2, &["required"]);
}

#[test]
fn selectors_follow_the_template() {
    let house = House::new();
    let generate = |template: &str| house.run(&[&QUICK[..], &["a.example", "--selector-template", template]].concat());
    for template in ["mail", "mail", "{algorithm}-x", "{random}"] {
        assert!(generate(template).status.success());
    }
    let selectors: Vec<_> = house.keys().into_iter().map(|(_, selector, _)| selector).collect();
    assert_eq!(selectors[..3], ["mail", "mail2", "e-x"]);
    assert_eq!(selectors[3].len(), 8);
    fails(&generate("{year}"), 2, &["{year}", "{date}"]);
    fails(&generate("a b"), 2, &["0x20"]);
}

#[test]
fn without_dns_it_goes_on_and_says_so() {
    let house = House::new();
    let config = fs::read_to_string(house.path("waxseal.toml")).unwrap();
    // Nobody listens there.
    let dns = "[dns]\nresolvers = [\"127.0.0.1:1\"]\nattempts = 1\ntimeout = \"100ms\"\n";
    house.write("waxseal.toml", format!("{config}{dns}"));
    let output = house.run(&["generate", "a.example", "--algorithm", "ed25519"]);
    assert!(output.status.success());
    assert!(stderr(&output).contains("DNS could not be asked"), "{}", stderr(&output));
    let output = house.run(&[&QUICK[..], &["a.example"]].concat());
    assert_eq!(stderr(&output), "");
}

#[test]
fn only_what_is_missing_is_made() {
    let house = House::with(&["a.example"]);
    let missing = |more: &[&str]| house.succeeds(&[&["generate", "--no-dns-check", "--missing"], more].concat());
    missing(&["--algorithm", "ed25519", "a.example", "b.example"]);
    assert_eq!(house.keys().len(), 2);
    missing(&["a.example"]);
    let keys = house.json(&["list", "a.example"]);
    assert_eq!(keys.as_array().unwrap().len(), 2);
    assert!(missing(&["a.example"]).contains("nothing is missing"));
    // A key that is on its way out is no key to go on with.
    house.succeeds(&["generate", "--no-dns-check", "--algorithm", "ed25519", "b.example"]);
    house.succeeds(&["remove", "b.example", "--yes", "--even-if-needed"]);
    missing(&["--algorithm", "ed25519", "b.example"]);
    assert_eq!(house.json(&["list", "b.example"]).as_array().unwrap().len(), 1);
}

#[test]
fn records_go_to_a_new_file_in_the_order_of_the_domains() {
    let house = House::new();
    let names: Vec<_> = (0..300).map(|number| format!("d{number}.example")).collect();
    let list = house.write("list", names.join("\n"));
    let records = house.text("records");
    let said = house.succeeds(&[&QUICK[..], &["--from", &list, "--records", &records]].concat());
    assert!(said.contains("300 records are in"), "{said}");
    let written = fs::read_to_string(&records).unwrap();
    for (line, name) in written.lines().zip(&names) {
        assert!(line.contains(&format!("._domainkey.{name}. 3600 IN TXT ( \"v=DKIM1; k=ed25519; p=")), "{line}");
    }
    assert_eq!(written.lines().count(), 300);
    house.fails(&[&QUICK[..], &["z.example", "--records", &records]].concat(), 1, &["exists"]);
    let array = house.json(&[&QUICK[..], &["x.example", "y.example"]].concat());
    assert_eq!(array.as_array().unwrap().len(), 2);
    let none = house.json(&[&QUICK[..], &["x.example", "--missing"]].concat());
    assert_eq!(none.as_array().unwrap().len(), 0);
}

#[test]
fn many_domains_share_one_key_and_a_run_that_was_cut_short_goes_on_with_it() {
    let house = House::new();
    house.succeeds(&[&QUICK[..], &["--shared", "a.example", "b.example"]].concat());
    house.succeeds(&[&QUICK[..], &["--shared", "--missing", "a.example", "b.example", "c.example"]].concat());
    let keys = house.keys();
    assert_eq!(keys.len(), 3);
    assert_eq!(keys.iter().map(|(_, selector, _)| selector).collect::<HashSet<_>>().len(), 1);
    assert_eq!(house.key_ids().into_iter().collect::<HashSet<_>>().len(), 1);
    assert_eq!(files(&house.path("keys/shared")).len(), 1);
    // Without --missing it is a new key, whose selector none of them has used.
    house.succeeds(&[&QUICK[..], &["--shared", "b.example", "d.example"]].concat());
    assert_eq!(house.key_ids().into_iter().collect::<HashSet<_>>().len(), 2);
    house.succeeds(&["activate", "--yes", "a.example", "b.example"]);
    house.succeeds(&["key", "check"]);
}

#[test]
fn killed_at_any_moment_and_run_again_it_goes_on_and_nothing_is_half_written() {
    let house = House::new();
    let names: Vec<_> = (0..400).map(|number| format!("d{number}.example")).collect();
    let list = house.write("list", names.join("\n"));
    let args = [&QUICK[..], &["--missing", "--from", &list]].concat();
    let mut kills = 0;
    for round in 0..40 {
        let mut child = house.command(&args).stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(40 + 7 * round));
        let is_over = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        kills += usize::from(!is_over);
        let keys = house.keys();
        let domains: HashSet<_> = keys.iter().map(|(domain, ..)| domain).collect();
        assert_eq!(domains.len(), keys.len(), "a domain has one key or none");
        if is_over {
            break;
        }
    }
    assert!(kills >= 2, "{kills}");
    house.succeeds(&args);
    assert_eq!(house.keys().len(), 400);
    assert!(house.succeeds(&args).contains("nothing is missing"));
    house.succeeds(&["key", "check"]);
}

#[test]
fn one_broken_domain_does_not_stop_the_others() {
    let house = House::with(&["a.example", "b.example", "c.example"]);
    fs::write(house.path("keys/domains/b.example/manifest.json"), "{").unwrap();
    let output = house.run(&[&QUICK[..], &["a.example", "b.example", "c.example"]].concat());
    fails(&output, 1, &["no keys were made for b.example", "manifest.json"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 of 3 domains have no new keys"));
    assert_eq!(house.json(&["list", "a.example", "c.example"]).as_array().unwrap().len(), 4);
}
