//! Programs that publish.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use waxseal::dns::publish::{ExecHook, Outcome, ProgramProblem, PublishError, Publisher, Standing};
use waxseal::names::DomainName;

use crate::common::{ZONE, absent, present, record, replace, revoked, wait};
use crate::support::Scratch;

fn hook(scratch: &Scratch, script: &str, timeout: Duration) -> ExecHook {
    let path = scratch.write("hook", format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    let program = vec![path.to_str().unwrap().to_owned(), "an argument".into()];
    ExecHook { program, zone: Some(DomainName::parse(ZONE).unwrap()), timeout }
}

#[test]
fn a_program_is_told_in_json_and_answers_by_its_exit_code() {
    let scratch = Scratch::new("hook");
    let told = scratch.join("told");
    let script = format!("cat > '{told}'; env >> '{told}'; exit 0", told = told.display());
    let publisher = hook(&scratch, &script, Duration::from_secs(10));
    let key = record("k1", 'A');
    assert_eq!(present(&publisher, &key), Outcome::Done);
    let said = fs::read_to_string(&told).unwrap();
    let (json, environment) = said.split_once('\n').unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(json).unwrap(),
        serde_json::json!({ "action": "present", "name": key.name, "type": "TXT", "ttl": 3600, "value": key.value, "zone": ZONE })
    );
    let names: Vec<&str> = environment.lines().filter_map(|line| line.split_once('=').map(|(name, _)| name)).collect();
    assert!(names.iter().all(|name| ["PATH", "LANG", "PWD", "_", "SHLVL", "OLDPWD"].contains(name)), "{names:?}");

    assert_eq!(replace(&publisher, &key, &revoked(&key)), Outcome::Done);
    let json: serde_json::Value =
        serde_json::from_str(fs::read_to_string(&told).unwrap().lines().next().unwrap()).unwrap();
    assert_eq!((&json["action"], &json["old_value"]), (&"replace".into(), &key.value.clone().into()));
    assert_eq!(json["value"], revoked(&key).value);

    let publisher = hook(&scratch, "exit 10", Duration::from_secs(10));
    assert_eq!(absent(&publisher, &key), Outcome::AlreadySo);
    let publisher = hook(&scratch, "cat > /dev/null; echo theirs; exit 11", Duration::from_secs(10));
    assert!(
        matches!(present(&publisher, &key), Outcome::Conflict(Standing::Txt(records)) if records[0].joined() == b"theirs")
    );
    let publisher = hook(&scratch, "exit 11", Duration::from_secs(10));
    assert_eq!(present(&publisher, &key), Outcome::Conflict(Standing::Unknown));
}

#[test]
fn a_program_that_fails_hangs_or_is_missing_is_named_with_what_it_said() {
    let scratch = Scratch::new("hook");
    let key = record("k1", 'A');
    let error = |publisher: &ExecHook| wait(publisher.present(&key)).unwrap_err();
    let failing = error(&hook(&scratch, "printf 'no \\033[31mzone\\n' >&2; exit 3", Duration::from_secs(10)));
    assert!(failing.to_string().ends_with("failed with exit code 3: no \\027[31mzone"), "{failing}");
    let later = error(&hook(&scratch, "exit 75", Duration::from_secs(10)));
    assert!(matches!(later, PublishError::Program { problem: ProgramProblem::TryAgain, .. }), "{later:?}");
    let killed = error(&hook(&scratch, "kill -9 $$", Duration::from_secs(10)));
    assert!(matches!(killed, PublishError::Program { problem: ProgramProblem::Killed, .. }), "{killed:?}");

    // Its children go with it, or they would hold its outputs open and go on alone.
    let begun = Instant::now();
    let left = scratch.join("left");
    let script = format!("(sleep 2; touch '{}') & sleep 60", left.display());
    let hanging = error(&hook(&scratch, &script, Duration::from_millis(300)));
    assert!(matches!(hanging, PublishError::Timeout { .. }), "{hanging:?}");
    assert!(begun.elapsed() < Duration::from_secs(2));
    std::thread::sleep(Duration::from_secs(2));
    assert!(!left.exists());

    let missing = ExecHook { program: vec!["/nonexistent".into()], zone: None, timeout: Duration::from_secs(1) };
    let missing = error(&missing);
    assert!(matches!(missing, PublishError::Program { problem: ProgramProblem::Start(_), .. }), "{missing:?}");
}
