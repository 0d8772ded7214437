//! docs/rotation.md, typed: its commands, one after the other, in the shell that it describes, against a real BIND and a
//! running `waxseald`, from `waxseal init` to the third key and beyond. What they print must be what the page says, but for
//! times, dates and key material. Between them, where the page says who signs, a message goes through the daemon, and
//! dkimpy verifies it, asking that BIND.
//!
//! The page marks what is typed: `<!-- run -->` before a block of commands, `<!-- write FILE -->` and `<!-- append FILE -->`
//! before what is put into a file; and who signs: `<!-- signs: SELECTOR... -->`, `<!-- verified: SELECTOR... -->`,
//! `<!-- not verified: SELECTOR... -->`, selectors without their date. In output a line `...` stands for any lines.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::support::{
    Dialogue, FIELDS, Outcome, PATIENCE, PageReader, PageStep, Scratch, Signature, Verdict, dkimpy_in_dns, eventually,
    installed, own, page_steps, run,
};

/// Set where the commands are typed: in namespaces of the test's own.
const INSIDE: &str = "WAXSEAL_WALKTHROUGH_INSIDE";

const SOCKET: &str = "/run/waxseal/milter.sock";

#[test]
#[ignore = "needs root, BIND, systemd-sysusers and dkimpy; tests/run-all installs them"]
fn the_page_on_rotation_can_be_typed_and_says_what_is_printed() {
    if std::env::var_os(INSIDE).is_some() {
        return walk();
    }
    installed(&["/usr/sbin/named"], "bind9");
    let page = read_page();
    // What the page has the reader type first.
    let shell = "unshare --mount --net --pid --fork --mount-proc --kill-child";
    assert!(page.contains(&format!("# {shell} bash\n")), "the page no longer begins with {shell}");
    let mut words = shell.split(' ');
    let output = Command::new(words.next().unwrap())
        .args(words)
        .arg(std::env::current_exe().unwrap())
        .args(["--include-ignored", "--nocapture", "--exact"])
        .arg("the_page_on_rotation_can_be_typed_and_says_what_is_printed")
        .env(INSIDE, "yes")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("unshare is missing: run tests/run-all, or install Debian's package util-linux");
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn read_page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rotation.md")).unwrap()
}

/// Types the page. Nothing outlives this process: it is the first of its namespace.
fn walk() {
    for hidden in ["/etc", "/run", "/var/lib", "/usr/local/bin"] {
        assert!(
            !Path::new(env!("CARGO_BIN_EXE_waxseal")).starts_with(hidden),
            "the page hides {hidden} from its shell"
        );
    }
    leave_midnight_behind();
    install();
    let mut walk = Walk { reader: PageReader::new(), scratch: Scratch::new("walkthrough"), signed: BTreeMap::new() };
    let steps = page_steps(&read_page());
    assert!(steps.len() > 40, "the page has only {} steps", steps.len());
    for step in steps {
        walk.take(&step);
    }
}

/// A walk that ends on another day than it began makes selectors of two dates.
fn leave_midnight_behind() {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let left = 86_400 - seconds % 86_400;
    if left < 240 {
        thread::sleep(Duration::from_secs(left + 1));
    }
}

/// What the reader has installed, where the daemon's user can run it too.
fn install() {
    run(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/usr/local/bin"]));
    for program in [env!("CARGO_BIN_EXE_waxseal"), env!("CARGO_BIN_EXE_waxseald")] {
        run(Command::new("install").args(["-m", "0755", program, "/usr/local/bin/"]));
    }
    std::os::unix::fs::symlink(own("venv/bin/dkimverify"), "/usr/local/bin/dkimverify").unwrap();
}

struct Walk {
    reader: PageReader,
    scratch: Scratch,
    /// Messages by the last selector, without its date, that signed them.
    signed: BTreeMap<String, PathBuf>,
}

impl Walk {
    fn take(&mut self, step: &PageStep) {
        let Some(mark) = self.reader.take(step) else { return };
        let (name, selectors) = mark.split_once(": ").unwrap_or((mark, ""));
        let selectors: Vec<String> =
            selectors.split_whitespace().filter(|name| *name != "nothing").map(str::to_owned).collect();
        match name {
            "signs" => self.sign(&selectors),
            "verified" => {
                for (selector, signature) in self.verify(&selectors) {
                    assert_eq!(signature.outcome, Outcome::Pass, "{selector}");
                }
            }
            "not verified" => {
                for (selector, signature) in self.verify(&selectors) {
                    assert!(matches!(signature.outcome, Outcome::Fail(_)), "{selector} still passes");
                }
            }
            _ => panic!("nobody knows the mark {mark:?}"),
        }
    }

    /// Hands the daemon a message as an MTA does. It must be signed with these and no others, and be verified at once.
    fn sign(&mut self, selectors: &[String]) {
        let socket = Path::new(SOCKET);
        eventually("the daemon to listen", PATIENCE, || socket.exists().then_some(()));
        let number = self.signed.len();
        let inserted = eventually("the daemon to notice", Duration::from_secs(10), || {
            let mut dialogue = Dialogue::open(socket);
            let verdict = dialogue.message("WALK");
            dialogue.quit();
            let inserted = match verdict {
                Verdict::Signed(fields) => fields,
                Verdict::Passed => Vec::new(),
                // The MTA would come again.
                Verdict::Deferred(_) => return None,
                Verdict::Refused(text) => panic!("refused: {text}"),
            };
            (signers(&inserted) == selectors.iter().cloned().collect()).then_some(inserted)
        });
        if selectors.is_empty() {
            return;
        }
        let header: String = inserted
            .iter()
            .cloned()
            .chain(FIELDS.map(|(name, value)| format!("{name}:{value}")))
            .map(|field| field + "\n")
            .collect();
        let message = format!("{header}\nHello.\n").replace('\n', "\r\n");
        let path = self.scratch.write(&format!("{number}.eml"), message);
        self.signed.extend(selectors.iter().map(|selector| (selector.clone(), path.clone())));
        for (selector, signature) in self.verify(selectors) {
            assert_eq!(signature.outcome, Outcome::Pass, "{selector}");
        }
    }

    /// What dkimpy thinks now of the signatures that these made.
    fn verify(&self, selectors: &[String]) -> Vec<(String, Signature)> {
        let of = |selector: &String| {
            let path = self.signed.get(selector).unwrap_or_else(|| panic!("nothing was signed with {selector}"));
            let found = dkimpy_in_dns(std::slice::from_ref(path)).remove(0);
            let signature = found.into_iter().find(|signature| without_date(&signature.selector) == *selector);
            (selector.clone(), signature.unwrap_or_else(|| panic!("{} has no signature of {selector}", path.display())))
        };
        selectors.iter().map(of).collect()
    }
}

/// The selectors of signature fields, without their dates.
fn signers(fields: &[String]) -> BTreeSet<String> {
    let selector = |field: &String| {
        let tags = field.split(';').map(|tag| tag.trim().to_owned());
        let selector = tags.filter_map(|tag| tag.strip_prefix("s=").map(str::to_owned)).next();
        without_date(&selector.expect("a signature names its selector")).to_owned()
    };
    fields.iter().map(selector).collect()
}

fn without_date(selector: &str) -> &str {
    selector.trim_start_matches(|character: char| character.is_ascii_digit())
}
