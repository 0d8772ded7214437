//! What is bounded, and how near its limit it is.

use maud::{Markup, html};

use super::view::{NEAR, View};
use super::words::{count, octets, percent};

pub(super) fn render(view: &View) -> Markup {
    let snapshot = &view.snapshot;
    let cache = snapshot.cache.domain_bytes + snapshot.cache.key_bytes;
    html! {
        section aria-labelledby="limits" {
            h2 #limits { "Limits, and how near" }
            table.limits {
                thead { tr { th scope="col" { "In use" } th.number scope="col" { "Now" } th.number scope="col" { "Limit" } th.wide scope="col" {} } }
                tbody {
                    @for usage in &snapshot.usage {
                        @let (title, what) = name(usage.resource);
                        (row(title, what, &count(usage.in_use), usage.limit.map(count).as_deref(), usage.share()))
                    }
                    (row(
                        "Key cache",
                        "keys.cache; beyond it keys are read again",
                        &octets(cache),
                        Some(&octets(snapshot.cache_allowed)),
                        // A full cache is what it is for.
                        None,
                    ))
                    (row("Memory", "of the whole process", &octets(snapshot.process.resident_bytes), None, None))
                }
            }
        }
    }
}

fn row(title: &str, what: &str, now: &str, limit: Option<&str>, share: Option<f64>) -> Markup {
    let is_near = share.is_some_and(|share| share >= NEAR);
    html! {
        tr.near[is_near] {
            th scope="row" { (title) small { (what) } }
            td.number { (now) }
            td.number { (limit.unwrap_or("–")) }
            td.wide {
                @if let Some(share) = share {
                    svg.bar viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label=(percent(share)) {
                        rect.track width="100" height="6" {}
                        rect.fill width=(format!("{:.1}", share.clamp(0.0, 1.0) * 100.0)) height="6" {}
                    }
                }
            }
        }
    }
}

/// A resource for people, and where its limit comes from.
pub(super) fn name(resource: &str) -> (&str, &'static str) {
    match resource {
        "connections" => ("Connections", "of MTAs; limits.connections"),
        "messages" => ("Messages in progress", "from MAIL to their decision"),
        "signing_queue" => ("Waiting to be signed", "limits.signing_queue"),
        "key_lookups" => ("Waiting for keys to be read", "beyond it, mail is deferred"),
        "log_queue" => ("Log lines to be written", "log.queue; beyond it, lines are dropped"),
        "http_connections" => ("Connections to this page", "beyond it, they wait"),
        other => (other, ""),
    }
}
