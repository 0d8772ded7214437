//! As which authors a login may write, changed by command, and taken up by a running daemon.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use std::thread;
use std::time::Duration;

use crate::live::text;
use crate::support::{Installation, Scratch, eventually};

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_login_is_bound_by_command_and_a_running_daemon_takes_it() {
    let scratch = Scratch::new("logins");
    let installation = Installation::new(&scratch);
    let map = installation.configuration().with_file_name("logins.map");
    fs::write(&map, "# kept\nann@example.org  nobody.test  # why\n").unwrap();
    fs::set_permissions(&map, fs::Permissions::from_mode(0o640)).unwrap();
    let settings =
        "[trust]\nbind_logins = \"own-domain\"\nlogin_maps = [\"logins.map\"]\n[login.\"boss\"]\nmay_send = [\"*\"]\n";
    let _daemon = installation.start_listening(&scratch, settings);
    let login = |arguments: &[&str]| installation.command("login").args(arguments).output().unwrap();
    let live = || {
        let mut command = installation.command("explain");
        command.args(["--live", "--from", "ada@example.test", "--auth", "joe@example.org"]);
        command.output().unwrap().status.code()
    };
    assert_eq!(live(), Some(1));

    let allowed = login(&["allow", "joe@example.org", "example.test", "*.example.test"]);
    assert_eq!(allowed.status.code(), Some(0), "{}", errors(&allowed));
    assert!(text(&allowed).contains("example.org (its own domain)"), "{}", text(&allowed));
    assert!(text(&allowed).contains("logins.map:3"), "{}", text(&allowed));
    assert_eq!(
        fs::read_to_string(&map).unwrap(),
        "# kept\nann@example.org  nobody.test  # why\njoe@example.org  example.test *.example.test\n"
    );
    assert_eq!(fs::metadata(&map).unwrap().permissions().mode() & 0o777, 0o640);
    eventually("the daemon to take the map", Duration::from_secs(20), || (live() == Some(0)).then_some(()));

    let forbidden = login(&["forbid", "JOE@example.org", "example.test"]);
    assert_eq!(forbidden.status.code(), Some(0), "{}", errors(&forbidden));
    eventually("the daemon to take the map", Duration::from_secs(20), || (live() == Some(1)).then_some(()));
    assert_eq!(login(&["forbid", "joe@example.org"]).status.code(), Some(0));
    assert_eq!(fs::read_to_string(&map).unwrap(), "# kept\nann@example.org  nobody.test  # why\n");

    assert!(text(&login(&["show", "boss"])).contains("[login] of the configuration"));
    assert_eq!(login(&["show", "nobody"]).status.code(), Some(1));
    for (arguments, exit, said) in [
        (&["allow", "boss", "example.test"][..], 1, "change it there"),
        (&["forbid", "nobody"], 1, "nothing is listed"),
        (&["forbid", "ann@example.org", "x.test"], 1, "listed are: nobody.test"),
        (&["allow", "two words", "example.test"], 2, "one word"),
        (&["allow", "x\u{1b}[31m", "example.test"], 2, "one word"),
        (&["allow", "ann", "no pattern"], 2, "no pattern"),
    ] {
        let output = login(arguments);
        assert_eq!(output.status.code(), Some(exit), "{arguments:?} {}", errors(&output));
        assert!(errors(&output).contains(said) && !errors(&output).contains('\u{1b}'), "{:?}", errors(&output));
    }
}

#[test]
fn many_who_change_a_map_at_once_lose_nothing() {
    let scratch = Scratch::new("logins");
    let installation = Installation::new(&scratch);
    let map = installation.configuration().with_file_name("logins.map");
    fs::write(&map, "").unwrap();
    installation.configure("[trust]\nbind_logins = \"listed\"\nlogin_maps = [\"logins.map\"]\n");
    thread::scope(|scope| {
        for number in 0..8 {
            let installation = &installation;
            scope.spawn(move || {
                let mut command = installation.command("login");
                let output = command.args(["allow", &format!("user{number}"), "example.test"]).output().unwrap();
                assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
            });
        }
    });
    let written = fs::read_to_string(&map).unwrap();
    assert_eq!(written.lines().count(), 8, "{written}");
}
