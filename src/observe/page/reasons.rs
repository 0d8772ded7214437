//! Why mail was not signed in the last hour.

use maud::{Markup, html};

use super::view::View;
use super::words::{count, marked, percent, titled};
use crate::observe::tally::ACTIONS;
use crate::policy::{Action, Reason};

/// Mail that is not ours to sign; that it passes is as it should be.
const NOT_OURS: [Reason; 3] = [Reason::IgnoredPeer, Reason::NotTrusted, Reason::Relayed];

pub(super) fn render(view: &View) -> Markup {
    let decisions = &view.hour.decisions;
    let total = decisions.total();
    let pairs = Reason::ALL.into_iter().flat_map(|reason| ACTIONS.into_iter().map(move |action| (action, reason)));
    let mut rows: Vec<(Action, Reason, u64)> = pairs
        .filter(|(action, _)| *action != Action::Sign)
        .map(|(action, reason)| (action, reason, decisions.of(action, reason)))
        .filter(|(.., messages)| *messages > 0)
        .collect();
    rows.sort_by_key(|(_, reason, messages)| (NOT_OURS.contains(reason), std::cmp::Reverse(*messages)));
    html! {
        section aria-labelledby="reasons" {
            h2 #reasons { "Not signed in the last hour" }
            @if rows.is_empty() {
                p.calm { "Every message was signed." @if total == 0 { " There was none." } }
            } @else {
                table.reasons {
                    thead { tr { th scope="col" { "Reason" } th.number scope="col" { "Messages" } th.number scope="col" { "Of all" } } }
                    tbody {
                        @for (action, reason, messages) in &rows {
                            tr.faint[NOT_OURS.contains(reason)] {
                                th scope="row" {
                                    (titled(reason.code())) " " span.tag.(action.as_str()) { (done(*action)) }
                                    small { (marked(&hint(*reason))) }
                                }
                                td.number { (count(*messages)) }
                                td.number { (percent(*messages as f64 / total as f64)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn done(action: Action) -> &'static str {
    match action {
        Action::Sign => "signed",
        Action::Pass => "passed",
        Action::Defer => "deferred",
        Action::Refuse => "refused",
    }
}

fn hint(reason: Reason) -> String {
    let remedy = sentence(reason.remedy());
    if !NOT_OURS.contains(&reason) {
        return remedy;
    }
    let mut letters = remedy.chars();
    let lower: String = letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect();
    if lower.starts_with("if ") {
        format!("Not ours to sign. {remedy}")
    } else {
        format!("Not ours to sign. If it is: {lower}")
    }
}

/// With a capital at its beginning and one full stop at its end.
fn sentence(words: &str) -> String {
    let mut letters = words.trim_end_matches('.').chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).chain(['.']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_sentences() {
        assert_eq!(sentence("add cores"), "Add cores.");
        for reason in Reason::ALL {
            let hint = hint(reason);
            assert!(hint.ends_with('.') && !hint.ends_with("..") && !hint.contains(". ."), "{hint}");
            assert_eq!(hint.starts_with("Not ours to sign. "), NOT_OURS.contains(&reason), "{hint}");
        }
    }
}
