//! Retired private keys that are published.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::ZONE;
use crate::host::{Host, Settings, has_line, text};

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_retired_private_key_is_published_after_its_revocation_and_before_it_is_destroyed() {
    let rotation = "key_age = \"6s\"\npublish_retired_keys = \"retired\"\n".to_owned();
    let host = Host::with_keys(&[ZONE], &["--algorithm", "ed25519"], Settings { rotation, ..Settings::default() });
    host.sign_with_all(&[ZONE]);
    let old = host.key(ZONE, "active", 'e');
    let kept = |host: &Host| {
        let files = fs::read_dir(host.scratch.join(&format!("keys/domains/{ZONE}"))).unwrap();
        let mut names = files.map(|file| file.unwrap().path());
        names.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&format!("{old}.")))
    };
    let pem = fs::read_to_string(kept(&host).unwrap()).unwrap();
    let published = host.scratch.join(&format!("retired/{old}._domainkey.{ZONE}.pem"));

    // The directory is the operator's to make: without it nothing is published, and so nothing destroyed.
    let mut said = String::new();
    host.rotate_until(ZONE, "the record to be revoked", |host| {
        said = text(&host.rotate(&[ZONE]).stdout);
        host.is_revoked(ZONE, &old) && said.contains("not done:")
    });
    assert!(said.contains("retired"), "{said}");
    assert_eq!(host.key(ZONE, "retiring", 'e'), old);
    assert!(kept(&host).is_some() && !published.exists());

    host.scratch.folder("retired");
    host.rotate_until(ZONE, "the key to be published", |_| published.exists());
    host.rotate_until(ZONE, "the key to be destroyed", |host| kept(host).is_none());
    assert_eq!(fs::read_to_string(&published).unwrap(), pem);
    assert_eq!(fs::metadata(&published).unwrap().permissions().mode() & 0o777, 0o644);
    assert!(host.standing(ZONE, &old).iter().all(|record| record.ends_with("p=")));
    let log = host.audit(&old);
    assert!(has_line(&log, "disclosed", "secret", "published"), "{log:#?}");
    assert!(has_line(&log, "destroyed", "kept", "destroyed"), "{log:#?}");
    let at = |what: &str| log.iter().position(|line| line["what"] == what).unwrap();
    assert!(at("revoked") < at("disclosed") && at("disclosed") < at("destroyed"), "{log:#?}");
    assert_eq!(log.iter().filter(|line| line["what"] == "disclosed").count(), 1);
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_compromised_or_shared_key_is_never_published() {
    let domains = [ZONE, "other.test"];
    let rotation = "publish_retired_keys = \"retired\"\n".to_owned();
    let settings = Settings { rotation, ..Settings::default() };
    let host = Host::with_keys(&domains, &["--shared", "--algorithm", "ed25519"], settings);
    host.scratch.folder("retired");
    host.sign_with_all(&domains);
    let _daemon = host.daemon();
    let shared = host.key(ZONE, "active", 'e');
    for domain in domains {
        let left = host.asking(&["offboard", domain, "--yes"]);
        assert!(left.status.success() || !left.stdout.is_empty(), "{}", text(&left.stderr));
        host.rotate_until(domain, "the domain to be through", |host| {
            host.status(domain)["keys"].as_array().unwrap().is_empty()
        });
        // Shared by two: destroyed with the second, and only then.
        let count = fs::read_dir(host.scratch.join("keys/shared")).unwrap().count();
        assert_eq!(count, usize::from(domain == ZONE), "{shared} after {domain}");
    }
    assert_eq!(fs::read_dir(host.scratch.join("retired")).unwrap().count(), 0);

    let host =
        Host::new(&[ZONE], Settings { rotation: "publish_retired_keys = \"retired\"\n".into(), ..Settings::default() });
    host.scratch.folder("retired");
    host.sign_with_all(&[ZONE]);
    let _daemon = host.daemon();
    let done = host.asking(&["compromise", "--domain", ZONE, "--meanwhile", "sign", "--yes"]);
    assert_eq!(done.status.code(), Some(0), "{}{}", text(&done.stdout), text(&done.stderr));
    assert_eq!(fs::read_dir(host.scratch.join("retired")).unwrap().count(), 0);
}
