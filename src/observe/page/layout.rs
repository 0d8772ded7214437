//! The frame of each page.

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
        section aria-labelledby="search" {
            h2 #search { "Search" }
            (search::form(""))
        }
    };
    let refresh = html! { meta http-equiv="refresh" content=(REFRESH); };
    frame(&title, &snapshot.host, &format!("{:.0}", snapshot.at), refresh, body).into_string()
}

/// What a search found.
pub fn found_page(searched: &Searched) -> String {
    let body = html! {
        (search::found(searched))
        section { (search::form(&searched.asked)) }
        p.back { a href="/" { "Back to the status page" } }
    };
    frame("Search – Waxseal", &searched.host, &format!("{:.0}", searched.at), html! {}, body).into_string()
}

fn frame(title: &str, host: &str, at: &str, head: Markup, body: Markup) -> Markup {
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
                    time.at datetime=(at) { (at.replace('T', " ").replace('Z', " UTC")) }
                }
                main { (body) }
                footer {
                    span { "waxseald " (env!("CARGO_PKG_VERSION")) }
                    a href="/metrics" { "Metrics" }
                    a href="/healthz" { "Health" }
                    a href="/readyz" { "Readiness" }
                }
            }
        }
    }
}
