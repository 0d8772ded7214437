//! A file that BIND's zone includes, and reloads by SIGHUP.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use waxseal::dns::publish::{Outcome, PublishError, Publisher, Standing, ZoneInclude};
use waxseal::names::DomainName;

use crate::common::{LOOPBACK, ZONE, absent, present, record, replace, revoked, txt_at, wait};
use crate::support::{Bind, Scratch, ZoneText};

/// A zone that includes a file, and a script that raises its serial and has it loaded.
fn bind(scratch: &Scratch, raise: &str) -> (Bind, ZoneInclude) {
    let include = scratch.write("include", "");
    let zone = ZoneText::new(
        ZONE,
        &[LOOPBACK],
        &format!("theirs._domainkey TXT \"theirs\"\n$INCLUDE \"{}\"", include.display()),
    );
    let bind = Bind::start(&[zone], &[LOOPBACK]);
    let script = format!("#!/bin/sh\ncd '{}' || exit 1\n{raise}\nkill -HUP {}\n", bind.zones().display(), bind.pid());
    let reload = scratch.write("reload", script);
    fs::set_permissions(&reload, Permissions::from_mode(0o755)).unwrap();
    let publisher = ZoneInclude {
        path: include,
        zone: DomainName::parse(ZONE).unwrap(),
        reload: vec![reload.to_str().unwrap().to_owned()],
        server: Some(bind.servers()[0].into()),
        timeout: Duration::from_secs(5),
    };
    (bind, publisher)
}

/// The time in nanoseconds is higher each time; a serial number has 32 bits.
const RAISE: &str = "sed -i -E \"s/(hostmaster) [0-9]+/\\1 $(($(date +%s%N) / 10000000 % 2000000000 + 2))/\" example.test.zone\n\
                     # BIND compares times in whole seconds.\n\
                     touch -d '+1 hour' example.test.zone";

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn the_file_is_included_and_the_serial_rises() {
    let scratch = Scratch::new("include");
    let (bind, publisher) = bind(&scratch, RAISE);
    let server: SocketAddr = bind.servers()[0];
    let key = record("k1", 'A');
    assert_eq!(present(&publisher, &key), Outcome::Done);
    assert_eq!(txt_at(server, &key.name), [key.value.as_str()]);
    assert_eq!(present(&publisher, &key), Outcome::AlreadySo);
    let other = record("k2", 'B');
    assert_eq!(present(&publisher, &other), Outcome::Done);
    let theirs = record("theirs", 'C');
    assert!(matches!(present(&publisher, &theirs), Outcome::Conflict(Standing::Txt(_))));
    assert!(matches!(absent(&publisher, &record("k1", 'Z')), Outcome::Conflict(Standing::Txt(_))));
    assert_eq!(replace(&publisher, &key, &revoked(&key)), Outcome::Done);
    assert_eq!(txt_at(server, &key.name), [revoked(&key).value]);
    assert_eq!(absent(&publisher, &revoked(&key)), Outcome::Done);
    assert_eq!(txt_at(server, &key.name), Vec::<String>::new());
    assert_eq!(absent(&publisher, &revoked(&key)), Outcome::AlreadySo);
    assert_eq!(txt_at(server, &other.name), [other.value.as_str()]);
    assert_eq!(fs::metadata(&publisher.path).unwrap().permissions().mode() & 0o777, 0o644);
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_serial_that_stands_and_a_zone_that_is_not_loaded_are_named() {
    let scratch = Scratch::new("include");
    let (_bind, publisher) = bind(&scratch, "exit 0");
    let publisher = ZoneInclude { timeout: Duration::from_secs(1), ..publisher };
    let key = record("k1", 'A');
    let error = wait(publisher.present(&key)).unwrap_err();
    assert!(matches!(error, PublishError::NotLoaded { .. }), "{error:?}");
    // The file has it, the server does not: the reload is made up for.
    fs::write(&publisher.reload[0], fs::read_to_string(&publisher.reload[0]).unwrap().replace("exit 0", RAISE))
        .unwrap();
    assert_eq!(present(&publisher, &key), Outcome::AlreadySo);
    fs::write(&publisher.path, "@ TXT \"by hand\"\n").unwrap();
    let error = wait(publisher.present(&record("k2", 'B'))).unwrap_err();
    assert!(matches!(error, PublishError::ForeignLine { line: 1, .. }), "{error:?}");

    let scratch = Scratch::new("include");
    let (_bind, publisher) = bind(&scratch, "touch -d '+1 hour' example.test.zone");
    let publisher = ZoneInclude { timeout: Duration::from_secs(1), ..publisher };
    let error = wait(publisher.present(&key)).unwrap_err();
    assert!(
        matches!(error, PublishError::SerialStands { serial: 1, .. } | PublishError::NotLoaded { .. }),
        "{error:?}"
    );

    let failing = ZoneInclude { reload: vec!["/bin/false".into()], server: None, ..publisher };
    let error = wait(failing.present(&record("k3", 'C'))).unwrap_err();
    assert!(matches!(error, PublishError::Program { .. }), "{error:?}");
}
