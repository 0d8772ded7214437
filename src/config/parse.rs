//! Text in, a [`Config`] or everything that is wrong with it out.

use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::de::{DeValue, Deserializer};

use super::file::v1::Spec;
use super::reference::{example, known_keys};
use super::resolve::resolve;
use super::running::Config;
use super::source::{Dotted, Removed, Source, Step};
use crate::finding::{Finding, Place, Severity};

/// The longest configuration file that is read, in octets. Settings of 50,000 domains fit; a file that is longer is some
/// other file, and reading it would take memory for nothing. Fixed, since no setting can be read before the file is.
pub const MAX_OCTETS: usize = 4 << 20;

/// Problems of one kind reported at once: enough to see a file whole, few enough to read.
const MAX_PROBLEMS: usize = 50;

/// The version of the format this release reads.
const VERSION: i64 = 1;

/// Which ids the names of users and groups stand for.
pub trait Accounts {
    /// The id of a user.
    fn user(&self, name: &str) -> Option<u32>;
    /// The id of a group.
    fn group(&self, name: &str) -> Option<u32>;
}

/// Reads the text of a configuration file. `path` is what findings call it; relative paths in it are joined to its
/// directory.
///
/// With the configuration come warnings. Errors are all there are (at most 50 of syntax and 50 settings that cannot be
/// read), in the order of the file, warnings among them.
pub fn parse(path: &Path, text: &str, accounts: &impl Accounts) -> Result<(Config, Vec<Finding>), Vec<Finding>> {
    if text.len() > MAX_OCTETS {
        return Err(vec![too_long(path)]);
    }
    let (mut source, errors) = Source::parse(path, text);
    let mut findings: Vec<Finding> = errors.iter().take(MAX_PROBLEMS).map(|error| syntax(&source, error)).collect();
    if errors.len() > MAX_PROBLEMS {
        findings.push(more(path));
    }
    let broken: Vec<Range<usize>> =
        errors.iter().filter_map(toml::de::Error::span).map(|span| source.part_around(span.start)).collect();
    let syntax_errors = findings.len();

    match version(&mut source) {
        Ok(()) => {}
        // What another version means is not known, so nothing else is judged.
        Err(Version::Other(finding)) => return Err(vec![*finding]),
        // A file that is no TOML has no version either.
        Err(Version::Missing(_)) if !findings.is_empty() => {}
        Err(Version::Missing(finding)) => findings.push(*finding),
    }
    let spec = read_spec(&mut source, &mut findings);
    let config = resolve(&spec, &source, accounts, &mut findings);

    // What is left of a line or a section with a syntax error is not what was meant: that finding says it all.
    let mut index = 0;
    findings.retain(|finding| {
        index += 1;
        let broken = |line: usize| broken.iter().any(|part| part.contains(&line));
        index <= syntax_errors || !matches!(finding.place, Place::Line { line, .. } if broken(line))
    });
    findings.sort_by_key(|finding| match &finding.place {
        Place::Line { line, column, .. } => (*line, *column),
        _ => (usize::MAX, 0),
    });
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(findings);
    }
    Ok((config, findings))
}

/// What is said of a file beyond [`MAX_OCTETS`].
pub(crate) fn too_long(path: &Path) -> Finding {
    Finding::new(
        "config.too_long",
        Severity::Error,
        Place::Path { path: path.to_owned() },
        format!("the file is longer than {} MiB", MAX_OCTETS >> 20),
        "give the path of a configuration file",
    )
}

fn syntax(source: &Source<'_>, error: &toml::de::Error) -> Finding {
    Finding::new(
        "config.syntax",
        Severity::Error,
        source.place(error.span().map_or(0, |span| span.start)),
        format!("not TOML: {}", one_line(error.message())),
        "write settings as name = value, text in double quotes, sections as [name]",
    )
}

fn more(path: &Path) -> Finding {
    Finding::new(
        "config.more",
        Severity::Error,
        Place::Path { path: path.to_owned() },
        format!("there are more problems than these {MAX_PROBLEMS}"),
        "mend these first",
    )
}

enum Version {
    Missing(Box<Finding>),
    Other(Box<Finding>),
}

/// Whether the file is of the version that this release reads.
fn version(source: &mut Source<'_>) -> Result<(), Version> {
    let remedy = format!("write version = {VERSION} as the first line");
    let place = source.place_of(&["version".into()]);
    let Some(value) = source.tree().get_ref().get("version") else {
        return Err(Version::Missing(Box::new(Finding::new(
            "config.version_missing",
            Severity::Error,
            place,
            "the file does not say which version of the format it is written in",
            remedy,
        ))));
    };
    let number = match value.get_ref() {
        // Empty where a syntax error is.
        DeValue::Integer(integer) if !value.span().is_empty() => {
            i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
        }
        _ => None,
    };
    match number {
        Some(VERSION) => Ok(()),
        Some(other) => Err(Version::Other(Box::new(Finding::new(
            "config.version_unknown",
            Severity::Error,
            place,
            format!("version = {other}: this release reads version {VERSION} only"),
            if other > VERSION { "install a later release".into() } else { remedy },
        )))),
        // The type is wrong; read_spec says so.
        None => Ok(()),
    }
}

/// Reads the settings; what cannot be read is reported, taken out of the source, and the rest read again.
fn read_spec(source: &mut Source<'_>, findings: &mut Vec<Finding>) -> Spec {
    let broken = !findings.is_empty();
    for _ in 0..MAX_PROBLEMS {
        let error = match Spec::deserialize(Deserializer::from(source.tree().clone())) {
            Ok(spec) => return spec,
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let place = source.place(span.start);
        let Some(removed) = source.remove(&span) else {
            findings.push(Finding::new("config.value", Severity::Error, place, one_line(error.message()), ""));
            return Spec::default();
        };
        // What the parser put in place of a value with a syntax error stands nowhere; that finding says it all.
        if !(removed.value.is_empty() && broken) {
            findings.push(unreadable(place, &removed, error.message()));
        }
    }
    if let Ok(spec) = Spec::deserialize(Deserializer::from(source.tree().clone())) {
        return spec;
    }
    if let Some(Place::Line { path, .. }) = findings.first().map(|finding| finding.place.clone()) {
        findings.push(more(&path));
    }
    Spec::default()
}

/// A setting with a wrong name or a wrong value.
fn unreadable(place: Place, removed: &Removed, message: &str) -> Finding {
    let path = Dotted(&removed.path);
    let unknown = match removed.path.split_last() {
        Some((Step::Key(key), table)) => {
            known_keys(table).filter(|known| !known.contains(key)).map(|known| (key, known))
        }
        _ => None,
    };
    if let Some((key, known)) = unknown {
        let what = if removed.kind == "table" { "section" } else { "setting" };
        let remedy = match closest(key, &known) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("known here: {}", known.join(", ")),
        };
        let evidence = format!("{path}: there is no such {what}");
        return Finding::new("config.unknown", Severity::Error, place, evidence, remedy);
    }
    let remedy = match example(&removed.path) {
        Some(example) => format!("for example {example}"),
        None => String::new(),
    };
    let value = match removed.kind {
        "table" => String::new(),
        _ => format!(" = {}", shortened(&removed.value)),
    };
    Finding::new("config.value", Severity::Error, place, format!("{path}{value}: {}", one_line(message)), remedy)
}

/// The first line of a text, at most 60 characters of it.
fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut short: String = line.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    one_line(&short)
}

/// Without anything that could break a log line.
fn one_line(text: &str) -> String {
    text.trim_end().chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// The known name that was probably meant.
fn closest<'k>(given: &str, known: &'k [String]) -> Option<&'k String> {
    let given = given.to_ascii_lowercase().replace('-', "_");
    // A third of the letters wrong, and it is another word.
    let tolerance = (given.chars().count() / 3).max(1);
    known
        .iter()
        .map(|name| (distance(&given, name), name))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters must be inserted, left out, replaced or swapped with their neighbour to make one word the other
/// (optimal string alignment).
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().take(64).collect(), other.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other_letter) in other.iter().enumerate() {
            let at = |cells: &[usize], index: usize| cells.get(index).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, column) + usize::from(letter != other_letter);
            let mut best = replaced.min(at(&last, column + 1) + 1).min(at(&current, column) + 1);
            let swapped = row > 0
                && column > 0
                && one.get(row - 1) == Some(other_letter)
                && other.get(column - 1) == Some(letter);
            if swapped {
                best = best.min(at(&before_last, column - 1) + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_is_recognised_and_another_is_not() {
        let known = ["connections".to_owned(), "frame".into(), "signing_threads".into()];
        assert_eq!(closest("conections", &known), known.first());
        assert_eq!(closest("signing-threads", &known), known.get(2));
        assert_eq!(closest("farme", &known), known.get(1));
        assert_eq!(closest("canonicalization", &known), None);
        assert_eq!(closest("", &known), None);
    }

    #[test]
    fn distances_count_letters() {
        for (one, other, expected) in [("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3)] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }
}
