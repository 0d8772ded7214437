//! The last hour, a column a minute.

use maud::{Markup, html};

use super::view::View;
use super::words::rate;
use crate::observe::history::MINUTES;
use crate::observe::tally::Decisions;
use crate::policy::Action;

/// Height of the drawing, in its own units.
const HEIGHT: f64 = 100.0;

/// From one column to the next.
const STEP: f64 = 10.0;

/// Width of a column.
const WIDTH: f64 = 7.0;

pub(super) fn render(view: &View) -> Markup {
    let most = view.minutes.iter().flatten().map(Decisions::total).max().unwrap_or(0);
    let peak = most as f64 / 60.0;
    let width = MINUTES as f64 * STEP - (STEP - WIDTH);
    html! {
        section aria-labelledby="hour" {
            h2 #hour { "The last hour" }
            figure.chart {
                svg viewBox=(format!("0 0 {width} {HEIGHT}")) preserveAspectRatio="none" role="img"
                    aria-label=(format!("Messages in each minute of the last hour, at most {} a second", rate(peak))) {
                    line.axis x1="0" y1=(HEIGHT) x2=(width) y2=(HEIGHT) {}
                    @if most > 0 {
                        @for (at, minute) in view.minutes.iter().enumerate() {
                            @if let Some(minute) = minute { (column(at, minute, most)) }
                        }
                    }
                }
                figcaption {
                    span { "an hour ago" }
                    ul.legend {
                        li { span.key.signed {} "signed" }
                        li { span.key.passed {} "passed" }
                        li { span.key.deferred {} "deferred or refused" }
                    }
                    span { "now" }
                }
                @if most > 0 { p.peak { "busiest minute: " strong { (rate(peak)) } " a second" } }
            }
        }
    }
}

/// Signed at the bottom, then what passed, then what was turned away.
fn column(at: usize, minute: &Decisions, most: u64) -> Markup {
    let parts = [
        ("signed", minute.of_action(Action::Sign)),
        ("passed", minute.of_action(Action::Pass)),
        ("deferred", minute.of_action(Action::Defer) + minute.of_action(Action::Refuse)),
    ];
    let mut top = HEIGHT;
    let parts = parts.map(|(class, messages)| {
        let height = messages as f64 / most as f64 * HEIGHT;
        // What is there can be seen.
        let height = if messages > 0 { height.max(1.0) } else { 0.0 };
        top -= height;
        (class, top.max(0.0), height)
    });
    let x = at as f64 * STEP;
    html! {
        @for (class, y, height) in parts {
            @if height > 0.0 {
                rect.(class) x=(x) y=(format!("{y:.2}")) width=(WIDTH) height=(format!("{height:.2}")) {}
            }
        }
    }
}
