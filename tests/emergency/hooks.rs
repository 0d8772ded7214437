//! The operator's programs.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::common::ZONE;
use crate::host::{Host, Settings, text};

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn hooks_are_told_in_time_and_one_that_fails_before_a_change_blocks_it() {
    let rotation = ["pre_publish", "post_ready", "post_activate", "pre_withdraw"]
        .map(|hook| format!("{hook} = [\"/HOOK\", \"{hook}\"]\n"))
        .concat();
    let host = Host::with_keys(&[ZONE], &["--algorithm", "ed25519"], Settings::default());
    let folder = host.scratch.path().display().to_string();
    // It fails for as long as there is a file of its name; and writes down all that it knows.
    let script = format!(
        "#!/bin/sh\nread told\necho \"$told\" >> {folder}/told\nenv >> {folder}/environment\n\
         if [ -e {folder}/hang.$1 ]; then sleep 60; fi\nif [ -e {folder}/fail.$1 ]; then echo 'not now' >&2; exit 3; fi\n"
    );
    let hook = host.scratch.write("hook", script);
    fs::set_permissions(&hook, Permissions::from_mode(0o755)).unwrap();
    let rotation = rotation.replace("/HOOK", hook.to_str().unwrap()) + "hook_timeout = \"1s\"\n";
    host.configure(|_| Settings { rotation, ..Settings::default() });
    let first = host.key(ZONE, "generated", 'e');

    for (file, why) in [("fail.pre_publish", "exit code 3: not now"), ("hang.pre_publish", "did not answer within 1 s")]
    {
        let block = host.scratch.write(file, "");
        let said = text(&host.rotate(&[ZONE]).stdout);
        assert!(said.contains("not done:") && said.contains(why), "{said}");
        assert_eq!(host.standing(ZONE, &first), Vec::<String>::new());
        assert_eq!(host.key(ZONE, "generated", 'e'), first);
        fs::remove_file(block).unwrap();
    }
    host.rotate_until(ZONE, "the first key to sign", |host| host.keys(ZONE, "active") == [first.clone()]);
    host.rotate_until(ZONE, "a standby key", |host| !host.keys(ZONE, "ready").is_empty());
    let standby = host.key(ZONE, "ready", 'e');

    // A hook after a change is reported, no more; one before a withdrawal keeps the record.
    host.scratch.write("fail.post_activate", "");
    let block = host.scratch.write("fail.pre_withdraw", "");
    let _daemon = host.daemon();
    let done = host.asking(&["compromise", ZONE, "--selector", &first, "--yes", "--wait", "5s"]);
    let said = text(&done.stdout);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("0 of 1 domains are through"), "{said}");
    assert_eq!(host.key(ZONE, "active", 'e'), standby);
    assert!(!host.is_revoked(ZONE, &first));
    fs::remove_file(block).unwrap();
    host.rotate_until(ZONE, "the revocation", |host| host.is_revoked(ZONE, &first));

    let told = fs::read_to_string(host.scratch.join("told")).unwrap();
    for (hook, selector) in
        [("pre_publish", &first), ("post_ready", &standby), ("post_activate", &standby), ("pre_withdraw", &first)]
    {
        let line =
            format!("{{\"version\":1,\"hook\":\"{hook}\",\"domain\":\"{ZONE}\",\"selectors\":[\"{selector}\"]}}");
        assert!(told.lines().any(|told| told == line), "{line} in {told}");
    }
    let environment = fs::read_to_string(host.scratch.join("environment")).unwrap();
    let names: Vec<&str> = environment.lines().filter_map(|line| line.split('=').next()).collect();
    assert!(names.iter().all(|name| ["PATH", "LANG", "PWD", "SHLVL", "_", "OLDPWD"].contains(name)), "{names:?}");
}
