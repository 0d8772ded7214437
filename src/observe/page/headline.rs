//! How the daemon is, in a sentence, and the figures that say it.

use maud::{Markup, html};

use super::limits;
use super::view::{Mood, View};
use super::words::{count, percent, rate, span, took};
use crate::policy::Action;

pub(super) fn render(view: &View) -> Markup {
    let Sentence { word, tone, more } = sentence(view);
    let up = u64::try_from(view.snapshot.at.duration_since(view.snapshot.started).as_secs()).unwrap_or(0);
    html! {
        section.headline aria-labelledby="mood" {
            h1 #mood.mood.(tone) { (word) }
            p.lead { (more) }
            dl.figures {
                (figure("messages a second", &rate(view.now.rate(view.now.decisions.total())), "now"))
                (figure("signed", &count(view.hour.decisions.of_action(Action::Sign)), "in the last hour"))
                (figure("deferred or refused", &count(turned_away(view)), "in the last hour"))
                (figure("slowest in a hundred", &slowest(view), "in the last minute"))
                (figure("connections", &count(view.snapshot.traffic.connections), &format!("up {}", span(up))))
            }
        }
    }
}

struct Sentence {
    word: String,
    /// The class that colours it.
    tone: &'static str,
    more: String,
}

fn sentence(view: &View) -> Sentence {
    let of = |word: &str, tone, more: String| Sentence { word: word.to_owned(), tone, more };
    match view.mood() {
        Mood::Ill => of("Not making progress", "bad", format!("{}.", view.snapshot.health.ills().join("; "))),
        Mood::Draining => {
            of("Stopping", "bad", "Messages in progress are finished, and no new ones are begun.".to_owned())
        }
        Mood::Overloaded(share) => of(
            "Overloaded",
            "bad",
            format!(
                "More is offered than can be signed in time: {} of the last minute's mail was deferred, and comes again. \
                 Nothing is lost, and nothing leaves unsigned.",
                percent(share)
            ),
        ),
        Mood::Failing(messages) => of(
            "Some mail cannot be signed",
            "bad",
            format!(
                "{} of the last minute deferred for want of their keys. The reasons are below.",
                messages_are(messages)
            ),
        ),
        Mood::Near(usage) => of(
            "Busy",
            "warn",
            format!(
                "{} at {} of their limit. {}",
                limits::name(usage.resource).0,
                percent(usage.share().unwrap_or(0.0)),
                pace(view)
            ),
        ),
        Mood::Well => of("Signing", "good", pace(view)),
        Mood::Quiet => of("Quiet", "good", "No mail in the last minute; everything is ready for it.".to_owned()),
    }
}

/// How fast answers come.
fn pace(view: &View) -> String {
    match (view.minute.answers.quantile(0.5), view.minute.answers.quantile(0.99)) {
        (Some(half), Some(most)) => {
            format!(
                "Half of the last minute’s messages were answered within {}, 99 in 100 within {}.",
                took(half),
                took(most)
            )
        }
        _ => "No message was answered in the last minute.".to_owned(),
    }
}

fn turned_away(view: &View) -> u64 {
    view.hour.decisions.of_action(Action::Defer) + view.hour.decisions.of_action(Action::Refuse)
}

fn slowest(view: &View) -> String {
    view.minute.answers.quantile(0.99).map_or_else(|| "–".to_owned(), took)
}

fn messages_are(messages: u64) -> String {
    format!("{} message{}", count(messages), if messages == 1 { " was" } else { "s were" })
}

fn figure(name: &str, value: &str, when: &str) -> Markup {
    html! {
        div {
            dt { (name) }
            dd { (value) }
            dd.when { (when) }
        }
    }
}
