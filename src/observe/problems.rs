//! What went wrong lately: warnings and errors of the log, each kind once, with what to do about it.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tracing::Level;

use super::line::{Line, Value};

/// Kinds of problems that are remembered; the one that was seen longest ago makes room.
const KINDS: usize = 50;

/// The most that is kept of one text, in characters.
const LONGEST: usize = 400;

/// What went wrong lately.
#[derive(Debug, Default)]
pub struct Problems(Mutex<VecDeque<Problem>>);

/// One kind of problem, told apart by its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What happened.
    pub message: String,
    /// Whether it is an error; else a warning.
    pub level: Level,
    /// The facts of the last time, without the remedy.
    pub detail: String,
    /// What to do about it, where that is known.
    pub remedy: Option<String>,
    /// How often it happened since it was first seen.
    pub count: u64,
    /// When it was first seen.
    pub first: Timestamp,
    /// When it was last seen.
    pub last: Timestamp,
}

impl Problems {
    /// Takes note of a line of the log, if it is of a problem.
    pub fn note(&self, line: &Line) {
        if line.level > Level::WARN {
            return;
        }
        let message = cut(&line.message);
        let (mut detail, mut remedy) = (String::new(), None);
        for (name, value) in &line.fields {
            match value {
                Value::Text(text) if *name == "remedy" => remedy = Some(cut(text)).filter(|text| !text.is_empty()),
                Value::Text(text) => _ = write!(detail, "{name}: {}; ", cut(text)),
                Value::Name(word) => _ = write!(detail, "{name}: {word}; "),
                Value::Number(number) => _ = write!(detail, "{name}: {number}; "),
            }
        }
        let detail = cut(detail.trim_end_matches("; "));
        let mut problems = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = problems.iter().position(|problem| problem.message == message).and_then(|at| problems.remove(at));
        let (count, first) = known.map_or((1, line.at), |known| (known.count.saturating_add(1), known.first));
        problems.truncate(KINDS - 1);
        problems.push_front(Problem { message, level: line.level, detail, remedy, count, first, last: line.at });
    }

    /// All that are remembered, the last seen first.
    pub fn all(&self) -> Vec<Problem> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// A text within bounds, on one line.
fn cut(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST).map(|c| if c.is_control() { '?' } else { c }).collect();
    if shown.len() < text.len() && text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(level: Level, message: &str, second: i64) -> Line {
        let fields = vec![
            ("domain", Value::Text("example.com".into())),
            ("remedy", Value::Text("mend it".into())),
            ("count", Value::Number(7)),
        ];
        Line { at: Timestamp::from_second(second).unwrap(), level, message: message.to_owned().into(), fields }
    }

    #[test]
    fn a_problem_that_comes_again_is_one_with_its_count_and_its_remedy() {
        let problems = Problems::default();
        problems.note(&line(Level::ERROR, "a", 1));
        problems.note(&line(Level::WARN, "b", 2));
        problems.note(&line(Level::INFO, "no problem", 3));
        problems.note(&line(Level::ERROR, "a", 4));
        let all = problems.all();
        let told: Vec<_> = all.iter().map(|problem| (problem.message.as_str(), problem.count)).collect();
        assert_eq!(told, [("a", 2), ("b", 1)]);
        assert_eq!(all[0].detail, "domain: example.com; count: 7");
        assert_eq!(all[0].remedy.as_deref(), Some("mend it"));
        assert_eq!((all[0].first.as_second(), all[0].last.as_second()), (1, 4));
    }

    #[test]
    fn they_are_bounded_in_number_and_length_and_stay_on_one_line() {
        let problems = Problems::default();
        for number in 0..KINDS + 5 {
            problems.note(&line(Level::WARN, &format!("{number} {}\n", "x".repeat(LONGEST)), 0));
        }
        let all = problems.all();
        assert_eq!(all.len(), KINDS);
        assert!(all.iter().all(|problem| problem.message.chars().count() == LONGEST + 1));
        assert!(!cut("a\nb").contains('\n'));
    }
}
