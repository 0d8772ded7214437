//! The report for people: all keys at a glance, then each finding with what to do about it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::fold::{Folded, Mark, UNDETERMINED, fold, fold_findings};
use super::tally::counted;
use super::{DomainReport, KeyReport, Report, Tally, Verdict, safe};
use crate::finding::{Finding, Place, RuleDescription, Severity};
use crate::names::Selector;

const GOOD: Style = AnsiColor::Green.on_default();
const WARN: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const STRONG: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();

/// With more domains than this, those that are clean are only counted, and so is what is mere information; those of which
/// nothing could be found out, thousands when a name server is down, are named by cause.
const MANY: usize = 50;
/// How many names stand for those that share a cause.
const SOME: usize = 5;
/// What a summary's words are cut at, in characters.
const FEW_WORDS: usize = 60;

pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    write_summary(report, out)?;
    for domain in &report.domains {
        write_details(report, domain, out)?;
    }
    if is_large(report) {
        write_undetermined(report, out)?;
        write_information(report, out)?;
    }
    write_end(report, out)
}

fn is_large(report: &Report) -> bool {
    report.domains.len() > MANY
}

/// The least severity that is told finding by finding.
fn told_from(report: &Report) -> Severity {
    if is_large(report) { report.fail_on.min(Severity::Warning) } else { Severity::Info }
}

// The summary.

/// A line of the summary.
struct Row<'r> {
    cells: [&'r str; 4],
    state: State,
    words: String,
}

/// How a key stands, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Ok,
    Warning,
    Undetermined,
    Error,
}

impl State {
    fn mark(self) -> Mark {
        match self {
            Self::Ok => Mark { sign: '✔', word: "ok" },
            Self::Warning => Severity::Warning.into(),
            Self::Undetermined => Mark { sign: '?', word: "undetermined" },
            Self::Error => Severity::Error.into(),
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Ok => GOOD,
            Self::Warning | Self::Undetermined => WARN,
            Self::Error => BAD,
        }
    }

    fn of(findings: &[Finding]) -> Self {
        match findings.iter().map(|finding| finding.severity).max() {
            Some(Severity::Error) => Self::Error,
            Some(Severity::Warning) => Self::Warning,
            Some(Severity::Info) | None => Self::Ok,
        }
    }
}

const HEADINGS: [&str; 6] = ["DOMAIN", "SELECTOR", "ALGORITHM", "STATE", "RESULT", "WORST FINDING"];

fn write_summary(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut rows: Vec<Row<'_>> = report.domains.iter().flat_map(|domain| rows(report, domain)).collect();
    let [clean, undetermined] =
        [State::Ok, State::Undetermined].map(|state| rows.iter().filter(|row| row.state == state).count());
    if is_large(report) {
        rows.retain(|row| matches!(row.state, State::Warning | State::Error));
    }
    if !rows.is_empty() {
        let mut widths = [0; 4];
        for (at, width) in widths.iter_mut().enumerate() {
            let cells = rows.iter().map(|row| row.cells[at].len());
            *width = cells.chain([HEADINGS[at].len()]).max().unwrap_or_default();
        }
        let words = rows.iter().map(|row| row.state.mark().to_string().chars().count());
        let marks = words.chain([HEADINGS[4].len()]).max().unwrap_or_default();
        write_cells(out, [HEADINGS[0], HEADINGS[1], HEADINGS[2], HEADINGS[3]], widths)?;
        let has_words = rows.iter().any(|row| !row.words.is_empty());
        writeln!(
            out,
            "{}",
            format!("{:marks$}  {}", HEADINGS[4], if has_words { HEADINGS[5] } else { "" }).trim_end()
        )?;
        for row in &rows {
            write_cells(out, row.cells, widths)?;
            let (style, mark) = (row.state.style(), row.state.mark().to_string());
            let blanks = marks - mark.chars().count();
            write!(out, "{style}{mark}{style:#}")?;
            if !row.words.is_empty() {
                write!(out, "{:blanks$}  {}", "", row.words)?;
            }
            writeln!(out)?;
        }
    }
    if !is_large(report) {
        return Ok(());
    }
    for (state, count) in [(State::Undetermined, undetermined), (State::Ok, clean)] {
        let (style, other) = (state.style(), if rows.is_empty() { "key" } else { "other key" });
        if count > 0 {
            writeln!(out, "{style}{}{style:#}  {}", state.mark(), counted(count, other))?;
        }
    }
    Ok(())
}

fn write_cells(out: &mut dyn Write, cells: [&str; 4], widths: [usize; 4]) -> io::Result<()> {
    cells.iter().zip(widths).try_for_each(|(cell, width)| write!(out, "{cell:width$}  "))
}

fn rows<'r>(report: &'r Report, domain: &'r DomainReport) -> Vec<Row<'r>> {
    let name = domain.domain.as_str();
    let keys = domain.keys.iter().map(|key| Row {
        cells: [name, key.selector.as_str(), key.algorithm.unwrap_or("-"), key.state.unwrap_or("-")],
        state: state(key),
        words: words(report.rules, &fold_findings(Some(&key.selector), &key.findings), key.undetermined.as_deref()),
    });
    let state = State::of(&domain.findings);
    let whole = (state != State::Ok || domain.keys.is_empty()).then(|| {
        let words = words(report.rules, &fold_findings(None, &domain.findings), None);
        let words = if domain.keys.is_empty() && words.is_empty() { "no keys".to_owned() } else { words };
        Row { cells: [name, "-", "-", "-"], state, words }
    });
    whole.into_iter().chain(keys).collect()
}

fn state(key: &KeyReport) -> State {
    let found_out = if key.undetermined.is_some() { State::Undetermined } else { State::Ok };
    State::of(&key.findings).max(found_out)
}

/// The worst in a few words, and how much more there is.
fn words(rules: &[RuleDescription], findings: &[Folded<'_>], undetermined: Option<&str>) -> String {
    let told: Vec<_> = findings.iter().filter(|folded| folded.finding.severity > Severity::Info).collect();
    let is_error = told.first().is_some_and(|folded| folded.finding.severity == Severity::Error);
    let (first, more) = match (told.first(), undetermined) {
        (_, Some(why)) if !is_error => (few_words(why), told.len()),
        (Some(worst), undetermined) => {
            let title = worst.title(rules).unwrap_or(&worst.finding.evidence);
            let first = format!("{} {}", worst.finding.rule, few_words(title));
            (first, told.len() - 1 + usize::from(undetermined.is_some()))
        }
        (None, _) => return String::new(),
    };
    if more == 0 { first } else { format!("{first} (+{more})") }
}

fn few_words(text: &str) -> String {
    let line = safe::line(text);
    match line.char_indices().nth(FEW_WORDS) {
        Some((at, _)) => format!("{}…", line[..at].trim_end()),
        None => line.into_owned(),
    }
}

// The details.

/// What there is to say of one set of selectors; of the domain as a whole where it is empty.
struct Group<'r> {
    selectors: Vec<&'r Selector>,
    findings: Vec<Folded<'r>>,
    undetermined: Option<&'r str>,
}

fn write_details(report: &Report, domain: &DomainReport, out: &mut dyn Write) -> io::Result<()> {
    let groups = groups(report, domain);
    if groups.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{STRONG}{}{STRONG:#}", domain.domain)?;
    for group in &groups {
        writeln!(out)?;
        write_heading(out, domain, group)?;
        for folded in &group.findings {
            write_finding(out, folded)?;
        }
        if let Some(why) = group.undetermined {
            let mark = State::Undetermined.mark();
            writeln!(out, "  {WARN}{mark}{WARN:#}  {UNDETERMINED}")?;
            write_field(out, "why", why)?;
        }
    }
    Ok(())
}

fn groups<'r>(report: &Report, domain: &'r DomainReport) -> Vec<Group<'r>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for folded in fold(domain).into_iter().filter(|folded| folded.finding.severity >= told_from(report)) {
        match groups.iter_mut().find(|group| group.selectors == folded.selectors) {
            Some(group) => group.findings.push(folded),
            None => {
                groups.push(Group { selectors: folded.selectors.clone(), findings: vec![folded], undetermined: None });
            }
        }
    }
    if is_large(report) {
        return groups;
    }
    let mut undetermined: Vec<(&str, Vec<&Selector>)> = Vec::new();
    for key in &domain.keys {
        let Some(why) = key.undetermined.as_deref() else { continue };
        match undetermined.iter_mut().find(|(other, _)| *other == why) {
            Some((_, selectors)) => selectors.push(&key.selector),
            None => undetermined.push((why, vec![&key.selector])),
        }
    }
    for (why, selectors) in undetermined {
        match groups.iter_mut().find(|group| group.selectors == selectors) {
            Some(group) => group.undetermined = Some(why),
            None => groups.push(Group { selectors, findings: Vec::new(), undetermined: Some(why) }),
        }
    }
    groups
}

fn write_heading(out: &mut dyn Write, domain: &DomainReport, group: &Group<'_>) -> io::Result<()> {
    if group.selectors.is_empty() {
        return writeln!(out, "  {STRONG}the domain{STRONG:#}");
    }
    let names: Vec<_> = group.selectors.iter().map(|selector| selector.as_str()).collect();
    write!(out, "  {STRONG}{}{STRONG:#}", names.join(", "))?;
    let mut sources: Vec<String> = Vec::new();
    for key in domain.keys.iter().filter(|key| group.selectors.contains(&&key.selector)) {
        if let Some(source @ (Place::Path { .. } | Place::Line { .. })) = &key.source {
            sources.push(safe::line(&source.to_string()).into_owned());
        }
    }
    if sources.is_empty() { writeln!(out) } else { writeln!(out, "  {FAINT}{}{FAINT:#}", sources.join(", ")) }
}

fn write_finding(out: &mut dyn Write, folded: &Folded<'_>) -> io::Result<()> {
    let Finding { rule, severity, place: _, evidence, expected, remedy, record } = folded.finding;
    let style = match severity {
        Severity::Error => BAD,
        Severity::Warning => WARN,
        Severity::Info => FAINT,
    };
    writeln!(out, "  {style}{} {rule}{style:#}  {}", Mark::from(*severity), safe::line(evidence))?;
    write_field(out, "at", &folded.servers())?;
    write_field(out, "expected", expected)?;
    write_field(out, "remedy", remedy)?;
    if record.is_empty() {
        return Ok(());
    }
    // Without indentation, which in a zone file would mean the name of the line before.
    writeln!(out, "      publish\n{}", safe::lines(record.trim_end()))
}

fn write_field(out: &mut dyn Write, name: &str, said: &str) -> io::Result<()> {
    if said.is_empty() { Ok(()) } else { writeln!(out, "      {name:8}  {}", safe::line(said)) }
}

/// Each cause for which nothing could be found out, and some of the names, most first.
fn write_undetermined(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut causes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for domain in &report.domains {
        for key in &domain.keys {
            if let Some(why) = key.undetermined.as_deref() {
                causes.entry(why).or_default().push(key.selector.record_name(&domain.domain));
            }
        }
    }
    if causes.is_empty() {
        return Ok(());
    }
    let mut causes: Vec<_> = causes.into_iter().collect();
    causes.sort_by_key(|(_, names)| Reverse(names.len()));
    writeln!(out, "\n{STRONG}What could not be found out{STRONG:#}\n")?;
    for (why, names) in causes {
        let mark = State::Undetermined.mark().sign;
        writeln!(out, "  {WARN}{mark} {}{WARN:#}  {}", counted(names.len(), "key"), safe::line(why))?;
        let some = names.get(..SOME).unwrap_or(&names).join(", ");
        let more = names.len().saturating_sub(SOME);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        writeln!(out, "      {some}{more}")?;
    }
    Ok(())
}

/// Of each rule whose findings were not told, how often it spoke.
fn write_information(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut rules: BTreeMap<&str, (Folded<'_>, usize)> = BTreeMap::new();
    for domain in &report.domains {
        for folded in fold(domain).into_iter().filter(|folded| folded.finding.severity < told_from(report)) {
            let count = folded.selectors.len().max(1);
            rules.entry(folded.finding.rule).or_insert_with(|| (folded, 0)).1 += count;
        }
    }
    if rules.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{STRONG}For information{STRONG:#}\n")?;
    for (rule, (folded, count)) in &rules {
        let words = few_words(folded.title(report.rules).unwrap_or(&folded.finding.evidence));
        writeln!(out, "  {FAINT}{} {rule}{FAINT:#}  {words}: {}", Mark::from(Severity::Info), counted(*count, "time"))?;
    }
    Ok(())
}

// The end.

fn write_end(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let (sign, style) = match report.verdict() {
        Verdict::Clean => ('✔', GOOD),
        Verdict::Findings => ('✘', BAD),
        Verdict::Undetermined => ('?', WARN),
    };
    write!(out, "\n{style}{sign} {}{style:#}  {}.", report.verdict(), Tally::of(report))?;
    match worst_rule(report) {
        Some(rule) => writeln!(out, " More on a rule: waxseal verify --explain {rule}"),
        None if report.verdict() == Verdict::Undetermined => {
            writeln!(out, " Ask again: what could not be found out may be right or wrong.")
        }
        None => writeln!(out),
    }
}

fn worst_rule(report: &Report) -> Option<&'static str> {
    let keys = report.domains.iter().flat_map(|domain| &domain.keys).flat_map(|key| &key.findings);
    let all = report.domains.iter().flat_map(|domain| &domain.findings).chain(keys);
    // The first of the worst.
    all.min_by_key(|finding| Reverse(finding.severity)).map(|finding| finding.rule)
}
