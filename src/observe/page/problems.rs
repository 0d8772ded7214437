//! What went wrong lately, and what to do about it.

use maud::{Markup, html};
use tracing::Level;

use super::view::View;
use super::words::{ago, count, marked};

/// Kinds of problems that are shown.
const SHOWN: usize = 12;

pub(super) fn render(view: &View) -> Markup {
    let now = view.snapshot.at;
    html! {
        section aria-labelledby="problems" {
            h2 #problems { "Recent problems" }
            @if view.problems.is_empty() {
                p.calm { "None since the start." }
            } @else {
                ol.problems {
                    @for problem in view.problems.iter().take(SHOWN) {
                        li.error[problem.level == Level::ERROR] {
                            p.what {
                                (problem.message)
                                span.when {
                                    @if problem.count > 1 { (count(problem.count)) " times, last " }
                                    time datetime=(problem.last) { (ago(problem.last, now)) }
                                }
                            }
                            @if !problem.detail.is_empty() { p.detail { (problem.detail) } }
                            @if let Some(remedy) = &problem.remedy { p.remedy { b { "What to do: " } (marked(remedy)) } }
                        }
                    }
                }
                @if view.problems.len() > SHOWN {
                    p.calm { (view.problems.len() - SHOWN) " older kinds are in the log." }
                }
            }
        }
    }
}
