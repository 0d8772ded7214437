//! The frame of each page.

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::view::{Searched, View};
use super::{chart, headline, keys, limits, problems, reasons, search};

/// The style of each page, which stands in it; the policy that goes with it names its digest.
pub const STYLE: &str = include_str!("style.css");

/// How often the status page is asked for again, in seconds.
const REFRESH: &str = "10";

/// The status page.
pub fn status_page(view: &View) -> String {
    let snapshot = &view.snapshot;
    let title = format!("{} – Waxseal", snapshot.host);
    let body = html! {
        (headline::render(view))
        (chart::render(view))
        div.columns {
            (reasons::render(view))
            (problems::render(view))
        }
        div.columns {
            (limits::render(view))
            (keys::render(view))
        }
    };
    let refresh = html! { meta http-equiv="refresh" content=(REFRESH); };
    let page = Page { title: &title, host: &snapshot.host, at: snapshot.at, head: refresh, asked: "" };
    page.frame(body).into_string()
}

/// What a search found.
pub fn found_page(searched: &Searched) -> String {
    let body = html! {
        (search::found(searched))
        p.back { a href="/" { "Back to the status page" } }
    };
    let (host, at, asked) = (&searched.host, searched.at, &searched.asked);
    Page { title: "Search – Waxseal", host, at, head: html! {}, asked }.frame(body).into_string()
}

struct Page<'p> {
    title: &'p str,
    host: &'p str,
    at: Timestamp,
    /// What else stands in its head.
    head: Markup,
    /// What was searched for.
    asked: &'p str,
}

impl Page<'_> {
    fn frame(self, body: Markup) -> Markup {
        let Self { title, host, at, head, asked } = self;
        let at = format!("{at:.0}");
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    title { (title) }
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="robots" content="noindex";
                    (head)
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header {
                        a.brand href="/" { "Waxseal" }
                        span.host { (host) }
                        (search::form(asked))
                    }
                    main { (body) }
                    footer {
                        span { "waxseald " (env!("CARGO_PKG_VERSION")) ", as of " time datetime=(at) { (at.replace('T', " ").replace('Z', " UTC")) } }
                        a href="/metrics" { "Metrics" }
                        a href="/healthz" { "Health" }
                        a href="/readyz" { "Readiness" }
                    }
                }
            }
        }
    }
}
