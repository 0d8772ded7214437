//! Where the keys of all domains stand, and what they wait for.

use maud::{Markup, html};

use super::view::View;
use super::words::{ago, ahead, count};
use crate::observe::rotation_summary::{RotationSummary, STATES};

/// Domains that are named.
const SHOWN: usize = 5;

/// What a key in a state waits for.
pub fn waits_for(state: &str) -> &'static str {
    match state {
        "generated" => "its record to be published",
        "published" => "every name server to have its record, and caches to forget that there was none",
        "ready" => "its turn to sign",
        "active" => "its successor to take over; until then it signs",
        "retiring" => "mail signed with it to be delivered",
        "revoked" => "receivers to have seen that it was revoked",
        "withdrawn" => "caches to forget its record",
        _ => "",
    }
}

pub(super) fn render(view: &View) -> Markup {
    html! {
        section aria-labelledby="keys" {
            h2 #keys { "Keys" }
            @match (&view.snapshot.rotation, &view.rotation_problem) {
                (Some(rotation), _) => (known(view, rotation)),
                (None, Some(problem)) => p.calm { "The summary of the last rotation cannot be read: " (problem) "." },
                (None, None) => p.calm {
                    "Nothing is known of all keys yet: " code { "waxseal rotate" } " has not run on this machine. Single domains \
                     can be searched for above."
                },
            }
        }
    }
}

fn known(view: &View, rotation: &RotationSummary) -> Markup {
    let now = view.snapshot.at;
    let knows_domains = !rotation.domains_with.is_empty();
    html! {
        p.calm {
            (count(rotation.domains)) " domains, as rotation saw them " (ago(rotation.ended, now)) ". "
            @if let Some(next) = rotation.next_transition.or(rotation.next_due) {
                "The next step is " (ahead(next, now)) "."
            }
        }
        @if let Some(halted) = rotation.halted {
            p.alert {
                "The last run was halted: " (count(halted.failed)) " domains failed, and " (count(halted.left))
                " were not begun. " code { "waxseal rotate --dry-run" } " says what is in the way."
            }
        }
        table.states {
            thead {
                tr {
                    th scope="col" { "State" }
                    th.number scope="col" { "Keys" }
                    @if knows_domains { th.number scope="col" { "Domains" } }
                }
            }
            tbody {
                @for state in STATES {
                    tr.faint[rotation.keys(state) == 0] {
                        th scope="row" { (super::words::titled(state)) small { "waits for " (waits_for(state)) } }
                        td.number { (count(rotation.keys(state))) }
                        @if knows_domains {
                            td.number { (count(rotation.domains_with.get(state).copied().unwrap_or(0))) }
                        }
                    }
                }
            }
        }
        @if rotation.alarmed + rotation.failing > 0 { (troubled(rotation)) }
        @if !rotation.next.is_empty() {
            h3 { "Next" }
            ul.plain {
                @for next in rotation.next.iter().take(SHOWN) {
                    li { a href=(search_for(&next.domain)) { (next.domain) } " " span.when { (ahead(next.at, now)) } }
                }
            }
        }
    }
}

fn troubled(rotation: &RotationSummary) -> Markup {
    html! {
        p.alert {
            @if rotation.alarmed > 0 {
                "The mail of " (count(rotation.alarmed)) " domain" @if rotation.alarmed != 1 { "s" } " is at stake. "
            }
            @if rotation.failing > 0 {
                "Rotation fails for " (count(rotation.failing)) " domain" @if rotation.failing != 1 { "s" } ". "
            }
            code { "waxseal status --only alarm --only failing" } " names them with the cause."
        }
        ul.plain {
            @for domain in &rotation.troubled {
                li {
                    a href=(search_for(&domain.domain)) { (domain.domain) } " "
                    span.when {
                        @if domain.alarms > 0 { "mail at stake" } @else { (domain.failures) " failures in a row" }
                    }
                }
            }
        }
    }
}

/// Domain names are letters, digits, dots, hyphens and underscores, which an address takes as they are; what is not, is left out.
fn search_for(domain: &str) -> String {
    let plain = domain.chars().filter(|c| c.is_ascii_alphanumeric() || ['.', '-', '_'].contains(c));
    plain.fold("/search?q=".to_owned(), |mut address, c| {
        address.push(c);
        address
    })
}
