//! Domains that leave, and such as have left.

use crate::common::ZONE;
use crate::host::{Host, Settings, has_line, text};

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_domain_that_leaves_signs_no_more_and_ends_without_records_and_keys() {
    let host = Host::new(&[ZONE], Settings::default());
    host.sign_with_all(&[ZONE]);
    let _daemon = host.daemon();
    let old = host.key(ZONE, "active", 'r');
    assert_eq!(host.signs_with().len(), 2);
    let left = host.asking(&["offboard", ZONE, "--yes"]);
    assert!(text(&left.stdout).contains("nothing signs for it any more"), "{}", text(&left.stdout));
    crate::support::eventually("the daemon to notice", std::time::Duration::from_secs(10), || {
        host.signs_with().is_empty().then_some(())
    });
    // The record stays while mail may be under way.
    assert!(!host.standing(ZONE, &old).is_empty());
    host.rotate_until(ZONE, "the end", |host| host.status(ZONE)["keys"].as_array().unwrap().is_empty());
    assert_eq!(host.standing(ZONE, &old), Vec::<String>::new());
    assert_eq!(host.status(ZONE)["status"], "leaving");
    let log = host.audit(&old);
    for (before, after) in
        [("active", "retiring"), ("retiring", "revoked"), ("revoked", "withdrawn"), ("withdrawn", "")]
    {
        assert!(has_line(&log, "transition", before, after), "{before} {after}: {log:#?}");
    }
    assert!(has_line(&log, "deleted", "p=", ""), "{log:#?}");
    let quiet = host.rotate(&[ZONE]);
    assert_eq!(quiet.status.code(), Some(0), "{}", text(&quiet.stdout));
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_domain_that_has_left_is_loud_while_it_is_signed_for_and_quiet_once_it_is_said_to_be_gone() {
    let host = Host::with_keys(&[ZONE, "moved.test"], &["--algorithm", "ed25519"], Settings::default());
    host.sign_with_all(&["moved.test"]);
    // Its name servers know nothing of our records any more: here, by hand.
    let key = host.key("moved.test", "active", 'e');
    let (port, secret) = (host.bind.port(), crate::common::SECRET);
    let update = format!(
        "server 127.0.0.1 {port}\nkey hmac-sha256:waxseal {secret}\nupdate delete {key}._domainkey.moved.test. TXT\n\
         update add {key}._domainkey.moved.test. 1 TXT \"somebody else's\"\nsend\n"
    );
    let script = host.scratch.write("update", update);
    crate::support::run(std::process::Command::new("/usr/bin/nsupdate").arg(script));
    let loud = host.rotate(&["moved.test"]);
    assert_eq!(loud.status.code(), Some(1), "{}", text(&loud.stdout));
    assert!(text(&loud.stdout).contains("it signs, and its record is not as it should be"), "{}", text(&loud.stdout));
    let gone = host.asking(&["offboard", "moved.test", "--gone", "--yes"]);
    assert_eq!(gone.status.code(), Some(0), "{}", text(&gone.stdout));
    for _ in 0..2 {
        let quiet = host.rotate(&["moved.test"]);
        assert_eq!(quiet.status.code(), Some(0), "{}", text(&quiet.stdout));
        assert!(!text(&quiet.stdout).contains("not as it should be"), "{}", text(&quiet.stdout));
    }
    assert_eq!(host.standing("moved.test", &key), ["somebody else's"]);
    assert_eq!(host.status("moved.test")["status"], "gone");
    // And an emergency leaves it alone.
    let store = host.asking(&["compromise", "--store", "--meanwhile", "sign"]);
    assert!(text(&store.stdout).contains("1 domains that are gone"), "{}", text(&store.stdout));
}
