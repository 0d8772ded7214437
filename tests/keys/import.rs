//! `waxseal import key`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::house::{House, files, stderr};

const RSA_1024: &str = include_str!("../data/keys/rsa-1024-pkcs1.pem");
const RSA_2048: &str = include_str!("../data/keys/rsa-2048-pkcs8.pem");
const ENCRYPTED: &str = include_str!("../data/keys/ed25519-encrypted.pem");
const COSTLY: &str = include_str!("../data/keys/ed25519-scrypt-costly.pem");
const SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=\n";

fn import<'a>(file: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["import", "key", file, "--domain", "a.example", "--selector", "mail"], more].concat()
}

#[test]
fn a_key_comes_with_its_selector_and_signs_at_once_when_told() {
    let house = House::new();
    let file = house.write("key.pem", RSA_2048);
    let said = house.succeeds(&import(&file, &[]));
    assert!(said.contains("a.example  mail  rsa-sha256, 2048 bits  published"), "{said}");
    // The same again changes nothing but what is asked for besides.
    house.succeeds(&import(&file, &["--activate"]));
    house.succeeds(&import(&file, &["--activate"]));
    assert_eq!(house.keys(), [("a.example".into(), "mail".into(), "active".into())]);
    let shown = house.json(&["show", "a.example"]);
    assert_eq!(shown["revision"], 2);
    let signed = house.run_with(&["sign"], b"From: joe@a.example\r\n\r\nhi\r\n");
    assert!(String::from_utf8_lossy(&signed.stdout).contains("s=mail;"), "{}", stderr(&signed));
}

#[test]
fn weak_keys_are_taken_loudly() {
    let house = House::new();
    let file = house.write("key.pem", RSA_1024);
    let output = house.run(&import(&file, &["--activate"]));
    assert!(output.status.success());
    assert!(stderr(&output).contains("1024 bits") && stderr(&output).contains("8301"), "{}", stderr(&output));
}

#[test]
fn a_selector_never_gets_a_second_key() {
    let house = House::new();
    let (first, second) = (house.write("1.pem", RSA_2048), house.write("2.pem", SEED));
    house.succeeds(&import(&first, &[]));
    house.fails(&import(&second, &[]), 1, &["never gets a second", "mail", "a.example"]);
    house.succeeds(&["remove", "a.example", "--yes", "--even-if-needed"]);
    house.fails(&import(&first, &[]), 1, &["never gets a second"]);
    assert_eq!(house.keys(), []);
}

#[test]
fn an_encrypted_key_wants_its_passphrase_from_a_file_of_ones_own() {
    let house = House::new();
    let file = house.write("key.pem", ENCRYPTED);
    let secret = house.write("secret", "correct horse\n");
    house.fails(&import(&file, &[]), 1, &["key.pem is encrypted", "--passphrase-file"]);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    house.fails(&import(&file, &["--passphrase-file", &secret]), 1, &["0644", "chmod 0600", &secret]);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&secret, "wrong horse\n").unwrap();
    house.fails(&import(&file, &["--passphrase-file", &secret]), 1, &["key.pem", "passphrase is wrong"]);
    fs::write(&secret, "\n").unwrap();
    house.fails(&import(&file, &["--passphrase-file", &secret]), 1, &["secret", "first line"]);
    fs::write(&secret, "correct horse\nsecond line\n").unwrap();
    house.succeeds(&import(&file, &["--passphrase-file", &secret]));
    house.succeeds(&["key", "check"]);
    let stored = files(&house.path("keys/domains/a.example"));
    let name = stored.iter().find(|(name, mode)| name.ends_with(".pem") && *mode == 0o600);
    let pem = fs::read_to_string(house.path("keys/domains/a.example").join(&name.unwrap().0)).unwrap();
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
}

#[test]
fn what_is_no_private_key_is_named_with_its_file_and_remedy() {
    let house = House::new();
    let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    let traditional = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n\
                       -----END RSA PRIVATE KEY-----\n";
    for (contents, says) in [
        (block("PUBLIC KEY"), "put the private key of the pair here"),
        (block("CERTIFICATE"), "DKIM uses no certificates"),
        (traditional.to_owned(), "openssl pkcs8 -topk8"),
        (RSA_2048[..900].to_owned(), "cut off"),
        (COSTLY.to_owned(), "scrypt with N=4194304"),
        (RSA_2048.replacen("MII", "MI!", 1), "damaged"),
        (String::new(), "empty"),
        ("x".repeat(70_000), "no key file"),
    ] {
        let file = house.write("strange.pem", contents);
        let told = house.fails(&import(&file, &[]), 1, &["strange.pem", says]);
        assert!(!told.contains("AAAA"), "{told}");
    }
    house.fails(&import("/nonexistent.pem", &[]), 1, &["/nonexistent.pem"]);
    house.fails(&["import", "key", "/nonexistent.pem"], 2, &["--domain"]);
    assert_eq!(house.keys(), []);
}

#[test]
fn many_keys_come_by_a_list_or_none() {
    let house = House::new();
    fs::create_dir(house.path("old keys")).unwrap();
    house.write("old keys/shared.private", RSA_2048);
    house.write("old keys/own.private", SEED);
    let list = house.write(
        "list",
        "# domain selector path\na.example mail old keys/shared.private\nb\u{fc}cher.example mail old keys/shared.private\n\
         c.example  s1\told keys/own.private # its own\nd.example s1 old keys/lost.private\n",
    );
    let args = ["import", "key", "--list", &list, "--activate"];
    house.fails(&args, 1, &["lost.private", "nothing was taken over"]);
    assert_eq!(house.keys(), []);
    fs::copy(house.path("old keys/own.private"), house.path("old keys/lost.private")).unwrap();
    fs::write(&list, fs::read_to_string(&list).unwrap().replace("d.example s1", "d.example s2")).unwrap();
    house.succeeds(&args);
    house.succeeds(&args);
    assert_eq!(house.keys().len(), 4);
    assert!(house.keys().iter().all(|(.., state)| state == "active"));
    assert_eq!(files(&house.path("keys/shared")).len(), 2, "a key that several domains have is kept once");
    house.succeeds(&["key", "check"]);
    fs::write(&list, "a.example\nx y z\na!b s k\nq.example s1 k\nq.example S1 k\n").unwrap();
    house.fails(&args, 2, &["line 1:", "line 3:", "0x21", "line 5:", "line 4 already"]);
}
