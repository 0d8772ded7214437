//! The daemon and the secrets with which DNS is changed: it never opens them.

use std::fs::{self, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};

use crate::common::{SECRET, ZONE};
use crate::support::{Dialogue, Installation, Scratch, free_port};

/// Whether somebody opened what is watched since the last time.
fn was_opened(watch: &OwnedFd) -> bool {
    let mut events = [0; 4096];
    match rustix::io::read(watch, &mut events) {
        Ok(read) => read > 0,
        Err(rustix::io::Errno::AGAIN) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_daemon_starts_signs_and_reloads_without_opening_a_secret() {
    let scratch = Scratch::new("daemon");
    let secret = scratch.write("dns", SECRET);
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let watch = init(CreateFlags::NONBLOCK).unwrap();
    add_watch(&watch, &secret, WatchFlags::OPEN).unwrap();
    let publisher = format!(
        "[dns]\nresolvers = [\"127.0.0.1:9\"]\ntimeout = \"500ms\"\n[[publisher]]\nname = \"primary\"\nkind = \"rfc2136\"\n\
         server = \"127.0.0.1:{}\"\nkey_name = \"waxseal\"\nsecret_file = \"{}\"\n",
        free_port(),
        secret.display()
    );
    let installation = Installation::new(&scratch);
    let daemon = installation.start_listening(&scratch, &publisher);
    let mut mta = Dialogue::open(daemon.socket());
    mta.message("4ABC");
    assert_eq!(daemon.message("4ABC").decision, "sign");
    daemon.reload();
    daemon.wait_for_log("configuration reloaded", 1);
    daemon.terminate();
    drop(daemon);
    assert!(!was_opened(&watch));

    // Whoever publishes opens it.
    let listed = installation.command("list").args(["--format", "json", ZONE]).output().unwrap();
    let listed: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).unwrap();
    let selector = listed[0]["selector"].as_str().unwrap();
    installation.command("publish").args(["--yes", "--selector", selector, ZONE]).output().unwrap();
    assert!(was_opened(&watch));
}
