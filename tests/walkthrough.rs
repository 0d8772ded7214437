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
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::support::{
    Dialogue, FIELDS, Outcome, Scratch, Signature, Verdict, dkimpy_in_dns, eventually, installed, own, run,
};

/// Set where the commands are typed: in namespaces of the test's own.
const INSIDE: &str = "WAXSEAL_WALKTHROUGH_INSIDE";

/// For any one command.
const PATIENCE: Duration = Duration::from_secs(120);

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
    let mut walk = Walk { shell: Shell::start(), scratch: Scratch::new("walkthrough"), signed: BTreeMap::new() };
    let steps = steps(&read_page());
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

/// Something that the page has the reader do, or that it says.
#[derive(Debug)]
enum Step {
    /// A command, and the lines that it prints.
    Command { typed: String, printed: Vec<String> },
    /// A file, and what is put at its end, or what it is to hold.
    File { path: PathBuf, text: String, append: bool },
    /// Mail is signed with these.
    Signs(Vec<String>),
    /// Mail that was signed with these is verified.
    Verified(Vec<String>),
    /// Mail that was signed with these is not.
    NotVerified(Vec<String>),
}

/// The marked parts of the page in their order.
fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once("<!-- ") {
        let (mark, after) = after.split_once(" -->").expect("a comment ends");
        rest = after;
        let selectors =
            |names: &str| names.split_whitespace().filter(|name| *name != "nothing").map(str::to_owned).collect();
        if mark == "run" {
            steps.extend(commands(block(after)));
        } else if let Some(path) = mark.strip_prefix("write ") {
            steps.push(Step::File { path: path.into(), text: block(after).to_owned(), append: false });
        } else if let Some(path) = mark.strip_prefix("append ") {
            steps.push(Step::File { path: path.into(), text: format!("\n{}", block(after)), append: true });
        } else if let Some(names) = mark.strip_prefix("signs: ") {
            steps.push(Step::Signs(selectors(names)));
        } else if let Some(names) = mark.strip_prefix("verified: ") {
            steps.push(Step::Verified(selectors(names)));
        } else if let Some(names) = mark.strip_prefix("not verified: ") {
            steps.push(Step::NotVerified(selectors(names)));
        } else {
            panic!("nobody knows the mark {mark:?}");
        }
    }
    steps
}

/// What stands in the block that comes next.
fn block(text: &str) -> &str {
    let (before, block) = text.split_once("```").expect("a block follows its mark");
    assert!(before.trim().is_empty(), "between a mark and its block: {before:?}");
    let (_, block) = block.split_once('\n').unwrap();
    block.split_once("```").expect("a block ends").0
}

/// Lines that begin with `# ` are typed, those with `> ` go on; the others are printed.
fn commands(block: &str) -> Vec<Step> {
    let mut found = Vec::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("# ") {
            found.push((command.to_owned(), Vec::new()));
            continue;
        }
        let (typed, printed) = found.last_mut().expect("a block begins with a command");
        match line.strip_prefix("> ") {
            Some(more) => *typed = format!("{typed}\n{more}"),
            None => printed.push(line.to_owned()),
        }
    }
    found.into_iter().map(|(typed, printed)| Step::Command { typed, printed }).collect()
}

struct Walk {
    shell: Shell,
    scratch: Scratch,
    /// Messages by the last selector, without its date, that signed them.
    signed: BTreeMap<String, PathBuf>,
}

impl Walk {
    fn take(&mut self, step: &Step) {
        eprintln!("{step:?}");
        match step {
            Step::Command { typed, printed } => {
                let (said, code) = self.shell.run(typed);
                let expected: Vec<String> = printed.iter().map(|line| normal(line)).collect();
                let found: Vec<String> = said.iter().map(|line| normal(line)).collect();
                let said = said.join("\n");
                assert!(is_as_expected(&expected, &found), "# {typed}\n{said}\ninstead of\n{}", printed.join("\n"));
                assert_eq!(code, "0", "# {typed}\n{said}");
            }
            Step::File { path, text, append } => {
                let mut options = OpenOptions::new();
                options.create(true).append(*append).write(true).truncate(!append);
                options.open(path).unwrap().write_all(text.as_bytes()).unwrap();
            }
            Step::Signs(selectors) => self.sign(selectors),
            Step::Verified(selectors) => {
                for (selector, signature) in self.verify(selectors) {
                    assert_eq!(signature.outcome, Outcome::Pass, "{selector}");
                }
            }
            Step::NotVerified(selectors) => {
                for (selector, signature) in self.verify(selectors) {
                    assert!(matches!(signature.outcome, Outcome::Fail(_)), "{selector} still passes");
                }
            }
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

/// The reader's shell.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: Receiver<String>,
}

impl Shell {
    fn start() -> Self {
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"exec 2>&1\n").unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, output) = channel();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, input, output }
    }

    /// What a command prints, and its exit code.
    fn run(&mut self, command: &str) -> (Vec<String>, String) {
        const END: &str = "end of the command, exit code";
        writeln!(self.input, "{command}\nprintf '\\n{END} %s\\n' $?").unwrap();
        let mut said: Vec<String> = Vec::new();
        loop {
            let Ok(line) = self.output.recv_timeout(PATIENCE) else {
                panic!("# {command}\n{}\nand no end", said.join("\n"))
            };
            if let Some(code) = line.strip_prefix(END) {
                // The end begins a line of its own.
                assert_eq!(said.pop().as_deref(), Some(""), "# {command}: {said:?}");
                return (said, code.trim().to_owned());
            }
            said.push(line);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Whether the lines are those of the page, in which `...` stands for any.
fn is_as_expected(expected: &[String], found: &[String]) -> bool {
    match expected.split_first() {
        None => found.is_empty(),
        Some((any, rest)) if any == "..." => (0..=found.len()).any(|skipped| is_as_expected(rest, &found[skipped..])),
        Some((first, rest)) => found.first() == Some(first) && is_as_expected(rest, &found[1..]),
    }
}

/// A line without what differs from day to day: times, how far they are, dates of selectors, public keys.
fn normal(line: &str) -> String {
    let mut normal = String::new();
    let mut rest = line;
    while let Some(character) = rest.chars().next() {
        if let Some(after) = time(rest) {
            normal.push_str("TIME");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("(in ").and_then(|after| after.split_once(')')) {
            normal.push_str("(in SPAN)");
            rest = after.1;
        } else if let Some(after) = digits(rest, 8) {
            normal.push_str("DATE");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("p=") {
            let end = after.find(|octet: char| !(octet.is_ascii_alphanumeric() || "+/=".contains(octet)));
            let (key, after) = after.split_at(end.unwrap_or(after.len()));
            normal.push_str(if key.is_empty() { "p=" } else { "p=KEY" });
            rest = after;
        } else {
            normal.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    normal
}

/// What follows a time such as 2026-11-23T18:00:00Z.
fn time(text: &str) -> Option<&str> {
    let (start, rest) = text.split_at_checked(20)?;
    let shape: String = start.chars().map(|octet| if octet.is_ascii_digit() { '0' } else { octet }).collect();
    (shape == "0000-00-00T00:00:00Z").then_some(rest)
}

/// What follows exactly so many digits.
fn digits(text: &str, count: usize) -> Option<&str> {
    let rest = text.trim_start_matches(|character: char| character.is_ascii_digit());
    (text.len() - rest.len() == count).then_some(rest)
}
