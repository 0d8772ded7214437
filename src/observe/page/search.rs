//! A domain or a queue id: the form, and what was found.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};

use super::keys::waits_for;
use super::view::{DomainFound, Found, KeyFound, Searched};
use super::words::{ago, count, lasting, marked, titled, took};
use crate::control::RecentMessage;

/// The form; `asked` is what was asked before.
pub(super) fn form(asked: &str) -> Markup {
    html! {
        form.search action="/search" method="get" role="search" {
            label for="q" { "Domain or queue id" }
            input #q type="search" name="q" value=(asked) maxlength="253" autocomplete="off" autocapitalize="off"
                spellcheck="false" placeholder="Domain or queue id";
            button type="submit" { "Search" }
        }
    }
}

pub(super) fn found(searched: &Searched) -> Markup {
    let asked = &searched.asked;
    html! {
        section.found aria-label="What was found" {
            @match &searched.found {
                Found::Nothing => p.calm { "Type the name of a domain, or the queue id of a message." },
                Found::Domain(domain) => (of_domain(domain, searched.at)),
                Found::NoSuchDomain => {
                    h1 { (asked) }
                    p.calm {
                        "The key store does not know this domain, so its mail is not signed, unless a parent signs for its \
                         subdomains or a rule has others sign. To have it signed: " code { "waxseal generate " (asked) }
                        ", publish the records, then " code { "waxseal activate " (asked) } "."
                    }
                },
                Found::StoreFails(why) => {
                    h1 { (asked) }
                    p.alert { "The key store cannot tell: " (why) "." }
                },
                Found::Messages(messages) => {
                    h1 { (asked) }
                    @for message in messages { (of_message(message, searched.at)) }
                },
                Found::QueueId => {
                    h1 { (asked) }
                    p.calm { "This is no domain, and none of the last messages had this queue id. If it was an earlier one, the log has its line:" }
                    pre { code { "journalctl -u waxseald WAXSEAL_QUEUE_ID=" (asked) } }
                },
            }
        }
    }
}

fn of_domain(domain: &DomainFound, now: Timestamp) -> Markup {
    let signing = domain.keys.iter().filter(|key| key.state == "active" && !key.is_compromised).count();
    html! {
        h1 { (domain.domain) }
        p.lead {
            @match (domain.status, signing) {
                ("enabled", 0) => "No key of this domain signs: its mail passes unsigned until one is activated.",
                ("enabled", 1) => "Signed for, with one key.",
                ("enabled", keys) => { "Signed for, with " (keys) " keys." },
                ("leaving", _) => "Leaving: no longer signed for, and its keys are being withdrawn.",
                _ => "Not delegated to us any more: not signed for.",
            }
        }
        @if !domain.keys.is_empty() {
            table.keys {
                thead { tr { th scope="col" { "Selector" } th scope="col" { "State" } } }
                tbody { @for key in &domain.keys { (row(key, now)) } }
            }
            p.calm {
                code { "waxseal status " (domain.domain) } " says when each step is due, "
                code { "waxseal verify " (domain.domain) } " what DNS has."
            }
        }
    }
}

fn of_message(message: &RecentMessage, now: Timestamp) -> Markup {
    let done = match message.decision.as_str() {
        "sign" => "Signed",
        "pass" => "Passed unsigned",
        "defer" => "Deferred",
        _ => "Refused",
    };
    let spent = message.spent;
    let micros = |micros: u64| took(Duration::from_micros(micros));
    let because = format!("{}; {}", micros(spent.total), spent.slow_because());
    let facts = [
        ("Author’s domain", message.from.clone()),
        ("Trusted as", Some(titled(&message.origin).to_lowercase())),
        ("Client", Some(message.client.clone())),
        ("Login", message.login.clone()),
        ("Rule", message.rule.as_ref().map(|rule| rule.name.clone())),
        ("Warnings", (!message.warnings.is_empty()).then(|| message.warnings.join(", "))),
        ("Octets seen", Some(count(message.bytes))),
        ("Time in all", Some(because)),
        ("of it, the MTA sending", Some(micros(spent.reading))),
        ("finding keys", Some(micros(spent.keys))),
        ("signing, with waiting for it", Some(micros(spent.signing))),
    ];
    html! {
        p.lead {
            b { (done) @if message.reason != "signed" { ": " (titled(&message.reason).to_lowercase()) } ". " }
            (message.means) " "
            @if let Some(at) = message.time { span.when { time datetime=(at) { (ago(at, now)) } } }
        }
        @if message.decision != "sign" && !message.remedy.is_empty() { p.calm { "If that is not wanted: " (marked(&message.remedy)) } }
        table.message {
            tbody {
                @for (name, value) in &facts {
                    @if let Some(value) = value { tr { th scope="row" { (name) } td { (value) } } }
                }
                @for signature in &message.signatures {
                    tr {
                        th scope="row" { "Signature" }
                        td { (signature.domain) ", " (signature.selector) small { (signature.algorithm) } }
                    }
                }
            }
        }
    }
}

fn row(key: &KeyFound, now: Timestamp) -> Markup {
    html! {
        tr.faint[matches!(key.state, "revoked" | "withdrawn")] {
            th scope="row" { (key.selector) small { (key.algorithm) } }
            td {
                (titled(key.state)) " " span.when { time datetime=(key.since) { (lasting(key.since, now)) } }
                small { "waits for " (waits_for(key.state)) }
                @if let Some(held) = &key.held { p.alert { "Held: " (held) } }
                @if key.is_compromised { p.alert { "Others may have this key." } }
            }
        }
    }
}
