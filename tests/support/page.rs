//! Pages of the documentation that are typed: `<!-- run -->` before a block of commands, `<!-- write FILE -->` and `<!-- append
//! FILE -->` before what is put into a file, and marks that each test knows for itself. In output a line `...` stands for any
//! lines; times, dates and key material may differ.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// For any one command.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Something that a page has the reader do, or that it says.
#[derive(Debug)]
pub(crate) enum PageStep {
    /// A command, and the lines that it prints.
    Command { typed: String, printed: Vec<String> },
    /// A file, and what is put at its end, or what it is to hold.
    File { path: PathBuf, text: String, append: bool },
    /// Another mark.
    Mark(String),
}

/// The marked parts of a page in their order.
pub(crate) fn page_steps(page: &str) -> Vec<PageStep> {
    let mut steps = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once("<!-- ") {
        let (mark, after) = after.split_once(" -->").expect("a comment ends");
        rest = after;
        if mark == "run" {
            steps.extend(commands(block(after)));
        } else if let Some(path) = mark.strip_prefix("write ") {
            steps.push(PageStep::File { path: path.into(), text: block(after).to_owned(), append: false });
        } else if let Some(path) = mark.strip_prefix("append ") {
            steps.push(PageStep::File { path: path.into(), text: format!("\n{}", block(after)), append: true });
        } else {
            steps.push(PageStep::Mark(mark.to_owned()));
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
fn commands(block: &str) -> Vec<PageStep> {
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
    found.into_iter().map(|(typed, printed)| PageStep::Command { typed, printed }).collect()
}

/// The reader, who types commands and writes files; what is printed must be what the page says.
pub(crate) struct PageReader {
    shell: Shell,
}

impl PageReader {
    pub(crate) fn new() -> Self {
        Self { shell: Shell::start() }
    }

    /// Takes a step that is no mark; the mark of one that is.
    pub(crate) fn take<'s>(&mut self, step: &'s PageStep) -> Option<&'s str> {
        eprintln!("{step:?}");
        match step {
            PageStep::Command { typed, printed } => {
                let (said, code) = self.shell.run(typed);
                let expected: Vec<String> = printed.iter().map(|line| normal(line)).collect();
                let found: Vec<String> = said.iter().map(|line| normal(line)).collect();
                let said = said.join("\n");
                assert!(is_as_expected(&expected, &found), "# {typed}\n{said}\ninstead of\n{}", printed.join("\n"));
                assert_eq!(code, "0", "# {typed}\n{said}");
                None
            }
            PageStep::File { path, text, append } => {
                let mut options = OpenOptions::new();
                options.create(true).append(*append).write(true).truncate(!append);
                options.open(path).unwrap().write_all(text.as_bytes()).unwrap();
                None
            }
            PageStep::Mark(mark) => Some(mark),
        }
    }
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
