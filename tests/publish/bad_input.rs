//! What goes wrong, as an administrator meets it: each time a message with the next step, no key's state changed, and the same
//! command good once the cause is mended.

use std::path::Path;
use std::process::Command;

use crate::command::{Host, text};
use crate::common::{LOOPBACK, SECRET, ZONE, txt_at};
use crate::rfc2136::OTHER_SECRET;
use crate::support::{Bind, Statements, ZoneText, free_port, installed};

/// A primary with a key that may change key records of one zone, and nothing of another.
fn bind() -> Bind {
    let statements = Statements {
        global: format!("key \"waxseal\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};"),
        of_zones: format!(
            "update-policy {{ grant waxseal wildcard *._domainkey.{ZONE}. TXT; }}; allow-transfer {{ any; }};"
        ),
    };
    Bind::start_with(&[ZoneText::new(ZONE, &[LOOPBACK], "")], &[LOOPBACK], &statements)
}

fn publisher(server: &str, more: &str) -> String {
    format!(
        "[[publisher]]\nname = \"primary\"\nkind = \"rfc2136\"\nserver = \"{server}\"\nsecret_file = \"dns.secret\"\n\
         timeout = \"5s\"\n{more}\n"
    )
}

/// Publishes, which fails with these words, and changes nothing.
fn fails(host: &Host, mut command: Command, words: &[&str]) {
    let output = command.output().unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    for secret in [SECRET, OTHER_SECRET] {
        assert!(!said.contains(&secret[..8]), "{said}");
    }
    assert_eq!(host.states(), ["generated", "generated"], "{said}");
}

#[test]
#[ignore = "needs BIND and faketime; tests/run-all installs them"]
fn each_is_named_with_the_next_step_and_changes_no_state() {
    let bind = bind();
    let server = bind.servers()[0].to_string();
    let good = publisher(&server, "key_name = \"waxseal\"");
    let host = Host::new(&good);
    let publish = |host: &Host| host.waxseal(&["publish", ZONE, "--yes", "--servers", &server]);

    // A wrong secret, a wrong name, a wrong hash.
    host.secret(OTHER_SECRET);
    fails(&host, publish(&host), &["BADSIG", "check the publisher's secret"]);
    host.secret("no base64!");
    fails(&host, publish(&host), &["not base64", "tsig-keygen"]);
    host.secret(SECRET);
    host.configure(&publisher(&server, "key_name = \"nobody\""));
    fails(&host, publish(&host), &["BADKEY", "check `key_name` and `algorithm`"]);
    host.configure(&publisher(&server, "key_name = \"waxseal\"\nalgorithm = \"hmac-sha512\""));
    fails(&host, publish(&host), &["BADKEY", "check `key_name` and `algorithm`"]);

    // A zone that the server does not have, or that the name is not in.
    host.configure(&publisher(&server, "key_name = \"waxseal\"\nzone = \"test\"\ndomains = [\"*.test\"]"));
    fails(&host, publish(&host), &["NOTAUTH", "check `zone` and `server`"]);
    // A secondary, which has the zone and not the key.
    let secondary = Bind::secondary_of(bind.servers()[0], &[ZONE], &[LOOPBACK]);
    let of_secondary = secondary.servers()[0].to_string();
    host.configure(&publisher(&of_secondary, "key_name = \"waxseal\""));
    fails(&host, publish(&host), &["BADKEY"]);
    drop(secondary);

    // Nobody there.
    host.configure(&publisher(&format!("127.0.0.1:{}", free_port()), "key_name = \"waxseal\""));
    fails(&host, publish(&host), &["cannot talk to 127.0.0.1"]);

    // A clock an hour fast, a year slow.
    host.configure(&good);
    let faketime = installed(&["/usr/bin/faketime"], "faketime");
    for (shift, words) in [("+1h", "s behind this host's"), ("-365d", "s ahead of this host's")] {
        let real = publish(&host);
        let mut command = Command::new(&faketime);
        command.args(["-m", "--exclude-monotonic", "-f", shift]).arg(real.get_program()).args(real.get_args());
        command.env_remove("CREDENTIALS_DIRECTORY");
        fails(&host, command, &["BADTIME", words, "set the clocks by NTP"]);
    }

    // Nothing of it was lost: the same command, once all is well.
    let output = publish(&host).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(host.states(), ["published", "published"]);
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn what_the_server_s_policy_refuses_is_named() {
    let statements = Statements {
        global: format!("key \"waxseal\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};"),
        of_zones: "update-policy { grant waxseal name elsewhere.example.test. TXT; };".into(),
    };
    let bind = Bind::start_with(&[ZoneText::new(ZONE, &[LOOPBACK], "")], &[LOOPBACK], &statements);
    let server = bind.servers()[0].to_string();
    let host = Host::new(&publisher(&server, "key_name = \"waxseal\""));
    let publish = host.waxseal(&["publish", ZONE, "--yes", "--servers", &server]);
    fails(&host, publish, &["REFUSED", "update-policy"]);
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_record_with_another_value_is_left_alone_and_named() {
    let bind = bind();
    let server = bind.servers()[0];
    let host = Host::new(&publisher(&server.to_string(), "key_name = \"waxseal\""));
    let names = host.names();
    let theirs = "v=DKIM1; k=rsa; p=theirs";
    let zone = ZoneText::new(ZONE, &[LOOPBACK], &format!("{}. TXT \"{theirs}\"", names[0]));
    let changed = Bind::start_with(
        &[zone],
        &[LOOPBACK],
        &Statements {
            global: format!("key \"waxseal\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};"),
            of_zones: "update-policy { grant waxseal zonesub TXT; };".into(),
        },
    );
    let address = changed.servers()[0].to_string();
    host.configure(&publisher(&address, "key_name = \"waxseal\""));
    let output = host.waxseal(&["publish", ZONE, "--yes", "--servers", &address]).output().unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("something else stands there") && said.contains(theirs), "{said}");
    assert_eq!(txt_at(changed.servers()[0], &names[0]), [theirs]);
    // The other record is nobody's, and is published.
    assert_eq!(txt_at(changed.servers()[0], &names[1]).len(), 1);
    let mut states = host.states();
    states.sort();
    assert_eq!(states, ["generated", "published"]);
}

/// As `LoadCredential=` with a directory in the shipped unit has it: `dns_NAME` for each file in it.
#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn secrets_come_as_credentials_of_systemd() {
    let unit = include_str!("../../systemd/waxseal-rotate.service");
    let prefix = unit.lines().find_map(|line| line.strip_prefix("LoadCredential=")).unwrap().split_once(':').unwrap().0;
    let name = format!("{prefix}_primary");
    let bind = bind();
    let server = bind.servers()[0].to_string();
    let host = Host::new(&format!(
        "[[publisher]]\nname = \"primary\"\nkind = \"rfc2136\"\nserver = \"{server}\"\nkey_name = \"waxseal\"\n\
         credential = \"{name}\"\n"
    ));
    let publish = |directory: Option<&Path>| {
        let mut command = host.waxseal(&["publish", ZONE, "--yes", "--servers", &server]);
        if let Some(directory) = directory {
            command.env("CREDENTIALS_DIRECTORY", directory);
        }
        command
    };
    fails(&host, publish(None), &[&name, "LoadCredential=", "secret_file"]);
    let directory = host.folder("credentials");
    fails(&host, publish(Some(&directory)), &["cannot read the secret in", &name]);
    let path = directory.join(&name);
    for (mode, is_good) in [(0o444, false), (0o460, false), (0o604, false), (0o000, true), (0o400, true)] {
        host.write_secret(&path, SECRET, mode);
        let is_root = rustix::process::geteuid().is_root();
        if mode == 0 && !is_root {
            continue;
        }
        if is_good {
            let output = publish(Some(&directory)).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{mode:o}: {}", text(&output.stderr));
        } else {
            fails(&host, publish(Some(&directory)), &["others may read or change", "chmod 0640"]);
        }
    }
    assert_eq!(host.states(), ["published", "published"]);

    // `rotate` takes it the same way.
    let rotate = |directory: Option<&Path>| {
        let mut command = host.waxseal(&["rotate", "--servers", &server, ZONE]);
        if let Some(directory) = directory {
            command.env("CREDENTIALS_DIRECTORY", directory);
        }
        let output = command.output().unwrap();
        text(&output.stdout) + &text(&output.stderr)
    };
    let said = rotate(Some(&directory));
    assert!(!said.contains("LoadCredential="), "{said}");
}
