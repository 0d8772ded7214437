//! Metrics in the OpenMetrics text format (docs/metrics.md lists them).
//!
//! Names and labels are stable. No label has a value that a sender, a domain or a client could make up: how many series there
//! are is known beforehand.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::histogram::Buckets;
use super::log::LEVELS;
use super::rotation_summary::{RotationSummary, STATES};
use super::snapshot::{RELOADS, Snapshot};
use super::tally::{ACTIONS, ALGORITHMS};
use super::traffic::Breakage;
use crate::policy::{Action, Decision, OnFailure, OnUnsignable, Reason, Warning};

/// What [`write()`] writes, as HTTP names it.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A label and its value.
type Label = (&'static str, &'static str);

/// All metrics of one moment.
///
/// # Errors
/// Never: a `String` takes all that is written to it.
pub fn write(snapshot: &Snapshot) -> Result<String, fmt::Error> {
    let mut ours = Registry::with_prefix("waxseal");
    ours.register_collector(Box::new(Ours(snapshot.clone())));
    let mut process = Registry::with_prefix("process");
    process.register_collector(Box::new(OfProcess(snapshot.clone())));
    let mut text = String::with_capacity(16 << 10);
    encode_registry(&mut text, &ours)?;
    encode_registry(&mut text, &process)?;
    encode_eof(&mut text)?;
    Ok(text)
}

#[derive(Debug)]
struct Ours(Snapshot);

#[derive(Debug)]
struct OfProcess(Snapshot);

impl Collector for Ours {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Writer(encoder);
        let snapshot = &self.0;
        about_the_daemon(&mut out, snapshot)?;
        about_messages(&mut out, snapshot)?;
        about_connections(&mut out, snapshot)?;
        about_limits(&mut out, snapshot)?;
        about_the_key_cache(&mut out, snapshot)?;
        about_the_log(&mut out, snapshot)?;
        match &snapshot.rotation {
            Some(rotation) => about_rotation(&mut out, rotation, snapshot),
            None => Ok(()),
        }
    }
}

impl Collector for OfProcess {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let process = &self.0.process;
        let mut out = Writer(encoder);
        let mut cpu = out.begin("cpu", "Processor time taken", Some(&Unit::Seconds), MetricType::Counter)?;
        cpu.encode_counter::<NoLabelSet, _, u64>(&process.cpu_seconds, None)?;
        out.gauge("resident_memory", "Memory in RAM", Some(&Unit::Bytes), process.resident_bytes)?;
        out.gauge("open_fds", "File descriptors open", None, process.descriptors)?;
        if let Some(allowed) = process.descriptors_allowed {
            out.gauge("max_fds", "File descriptors that may be open", None, allowed)?;
        }
        out.gauge("threads", "Threads", None, process.threads)?;
        out.gauge("start_time", "When the daemon started, since 1970", Some(&Unit::Seconds), unix(self.0.started))
    }
}

fn about_the_daemon(out: &mut Writer<'_>, snapshot: &Snapshot) -> fmt::Result {
    let backend = if cfg!(feature = "ring") { "ring" } else { "aws-lc-rs" };
    let build = [vec![("version", env!("CARGO_PKG_VERSION")), ("backend", backend)]];
    out.gauges("build_info", "Always 1; what runs", None, build.into_iter().map(|labels| (labels, 1_u64)))?;
    let health = snapshot.health;
    out.gauge("ready", "1: takes mail; 0: does not, /readyz says why", None, u64::from(health.obstacles().is_empty()))?;
    out.gauge(
        "healthy",
        "1: makes progress; 0: does not, /healthz says why",
        None,
        u64::from(health.ills().is_empty()),
    )?;
    let reloads = RELOADS.iter().zip(snapshot.reloads).map(|((_, result), count)| (vec![("result", *result)], count));
    out.counters("config_reloads", "Configurations read again, by what came of it", reloads)
}

fn about_messages(out: &mut Writer<'_>, snapshot: &Snapshot) -> fmt::Result {
    let decisions = &snapshot.decisions;
    let pairs = Reason::ALL.into_iter().flat_map(|reason| ACTIONS.into_iter().map(move |action| (action, reason)));
    let shown = pairs.filter(|(action, reason)| is_possible(*action, *reason) || decisions.of(*action, *reason) > 0);
    let rows = shown.map(|(action, reason)| {
        (vec![("action", action.as_str()), ("reason", reason.code())], decisions.of(action, reason))
    });
    out.counters("messages", "Messages by what was decided, and why", rows)?;
    let warnings = Warning::ALL.iter().zip(snapshot.warnings).map(|(of, count)| (vec![("warning", of.code())], count));
    out.counters("warnings", "Messages signed although something is wrong with them", warnings)?;
    let algorithm = |at: usize| vec![("algorithm", ALGORITHMS[at].a_tag())];
    let by_algorithm = |counts: [u64; ALGORITHMS.len()]| {
        counts.into_iter().enumerate().map(move |(at, count)| (algorithm(at), count)).collect::<Vec<_>>()
    };
    out.counters("signatures", "Signatures made", by_algorithm(snapshot.signatures))?;
    out.counters(
        "signature_failures",
        "Signatures that a key could not make",
        by_algorithm(snapshot.signature_failures),
    )?;
    out.counter(
        "unconfirmed_keys",
        "Messages judged by keys that the store did not confirm in time",
        snapshot.stale_keys,
    )?;
    out.counter("signing_given_up", "Messages deferred before their turn to be signed came", snapshot.given_up)?;
    out.histogram("answer", "How long MTAs waited for our answers to one message", &snapshot.answers)?;
    out.histogram("signing_queue", "How long messages waited for a signing thread", &snapshot.waited)?;
    out.histogram("signing", "How long all signatures of one message took", &snapshot.signing)
}

/// Whether some configuration decides so.
fn is_possible(action: Action, reason: Reason) -> bool {
    let failures = [OnFailure::Defer, OnFailure::AcceptUnsigned];
    let unsignables = [OnUnsignable::Pass, OnUnsignable::Refuse];
    failures.iter().any(|on_failure| {
        unsignables.iter().any(|on_unsignable| Decision::of(reason, *on_failure, *on_unsignable).action == action)
    })
}

fn about_connections(out: &mut Writer<'_>, snapshot: &Snapshot) -> fmt::Result {
    let traffic = &snapshot.traffic;
    out.counter("connections_accepted", "Connections of MTAs accepted", traffic.accepted)?;
    out.counter(
        "connections_refused",
        "Connections closed at once: their address is in no allow list",
        traffic.refused,
    )?;
    let broken =
        Breakage::ALL.iter().zip(traffic.broken).map(|(cause, count)| (vec![("cause", cause.as_str())], count));
    out.counters("connections_broken", "Connections that ended otherwise than by the MTA's word", broken)?;
    out.bytes("received", "Octets received from MTAs", traffic.received)?;
    out.bytes("sent", "Octets sent to MTAs", traffic.sent)
}

fn about_limits(out: &mut Writer<'_>, snapshot: &Snapshot) -> fmt::Result {
    let resource = |resource| vec![("resource", resource)];
    let in_use = snapshot.usage.iter().map(|usage| (resource(usage.resource), usage.in_use));
    out.gauges("in_use", "What is in progress, or held, by what it is", None, in_use)?;
    let limits = snapshot.usage.iter().filter_map(|usage| Some((resource(usage.resource), usage.limit?)));
    out.gauges("limit", "The limit of what may be in progress, or held", None, limits)
}

fn about_the_key_cache(out: &mut Writer<'_>, snapshot: &Snapshot) -> fmt::Result {
    let cache = &snapshot.cache;
    let results = [("hit", cache.hits), ("stale", cache.stale), ("miss", cache.misses)];
    let rows =
        |label, rows: Vec<(&'static str, u64)>| rows.into_iter().map(move |(name, count)| (vec![(label, name)], count));
    out.counters(
        "key_cache_lookups",
        "Look-ups of a domain's keys, by what memory knew",
        rows("result", results.into()),
    )?;
    out.counter("key_cache_manifest_loads", "Manifests read, or found not to be there", cache.loads)?;
    out.counter("key_cache_keys_parsed", "Private keys read and parsed", cache.keys_parsed)?;
    let failures = vec![("bridged", cache.failures_bridged), ("not_bridged", cache.failures)];
    out.counters(
        "key_store_failures",
        "Failed reads of the key store; bridged: what was known before signed on",
        rows("outcome", failures),
    )?;
    let evictions = vec![("domains", cache.domains_evicted), ("keys", cache.keys_evicted)];
    out.counters("key_cache_evictions", "Entries dropped for want of room", rows("of", evictions))?;
    let entries = vec![("domains", cache.domains), ("keys", cache.keys)];
    out.gauges("key_cache_entries", "Entries held", None, rows("of", entries))?;
    let held = cache.domain_bytes + cache.key_bytes;
    out.gauge("key_cache_used", "Memory that the cache takes", Some(&Unit::Bytes), held)?;
    out.gauge("key_cache_limit", "Memory that the cache may take", Some(&Unit::Bytes), snapshot.cache_allowed)
}

fn about_the_log(out: &mut Writer<'_>, snapshot: &Snapshot) -> fmt::Result {
    let names = ["error", "warn", "info", "debug", "trace"];
    debug_assert_eq!(names.len(), LEVELS.len());
    let lines = names.into_iter().zip(snapshot.log.lines).map(|(level, count)| (vec![("level", level)], count));
    out.counters("log_lines", "Lines of the log, by level", lines)?;
    out.counter("log_lines_dropped", "Lines lost because the log could not keep up", snapshot.log.lost)
}

fn about_rotation(out: &mut Writer<'_>, rotation: &RotationSummary, snapshot: &Snapshot) -> fmt::Result {
    let of_state = |state: &'static str| (vec![("state", state)], rotation.keys(state));
    out.gauges("keys", "Keys by state, as the last rotation saw them", None, STATES.map(of_state))?;
    out.gauge("domains", "Domains in the key store", None, rotation.domains)?;
    out.gauge("domains_failing", "Domains for which rotation failed when it last looked", None, rotation.failing)?;
    out.gauge("domains_alarmed", "Domains whose mail was at stake when rotation last looked", None, rotation.alarmed)?;
    let found = RECORDS.map(|result| (vec![("result", result)], rotation.records.get(result).copied().unwrap_or(0)));
    out.gauges(
        "dns_domains",
        "Domains by what was found of their records in DNS when rotation last looked, each once, by the worst",
        None,
        found,
    )?;
    let halted = rotation.halted.map_or(0, |halted| halted.left);
    out.gauge("rotation_halted_domains", "Domains not begun since the last rotation was halted", None, halted)?;
    out.gauge(
        "rotation_ended",
        "When the last rotation ended, since 1970",
        Some(&Unit::Seconds),
        unix(rotation.ended),
    )?;
    if let Some(next) = rotation.next_transition.or(rotation.next_due) {
        let until = next.duration_since(snapshot.at).as_secs_f64();
        out.gauge(
            "next_transition",
            "Until the next key may change its state; negative: it is late",
            Some(&Unit::Seconds),
            until,
        )?;
    }
    Ok(())
}

/// What may be found of a domain's records in DNS.
const RECORDS: [&str; 4] = ["sound", "silent", "failing", "alarmed"];

struct Writer<'e>(DescriptorEncoder<'e>);

impl Writer<'_> {
    fn begin<'s>(
        &'s mut self,
        name: &'static str,
        help: &str,
        unit: Option<&'static Unit>,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, unit, kind)
    }

    fn counter(&mut self, name: &'static str, help: &str, value: u64) -> fmt::Result {
        self.begin(name, help, None, MetricType::Counter)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn bytes(&mut self, name: &'static str, help: &str, value: u64) -> fmt::Result {
        let mut encoder = self.begin(name, help, Some(&Unit::Bytes), MetricType::Counter)?;
        encoder.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn counters(
        &mut self,
        name: &'static str,
        help: &str,
        rows: impl IntoIterator<Item = (Vec<Label>, u64)>,
    ) -> fmt::Result {
        let mut encoder = self.begin(name, help, None, MetricType::Counter)?;
        for (labels, value) in rows {
            encoder.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    fn gauge(
        &mut self,
        name: &'static str,
        help: &str,
        unit: Option<&'static Unit>,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.begin(name, help, unit, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn gauges(
        &mut self,
        name: &'static str,
        help: &str,
        unit: Option<&'static Unit>,
        rows: impl IntoIterator<Item = (Vec<Label>, u64)>,
    ) -> fmt::Result {
        let mut encoder = self.begin(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in rows {
            encoder.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// Of durations, in seconds.
    fn histogram(&mut self, name: &'static str, help: &str, buckets: &Buckets) -> fmt::Result {
        let bounded: Vec<(f64, u64)> = buckets.bounded().collect();
        let mut encoder = self.begin(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        encoder.encode_histogram::<NoLabelSet>(buckets.sum(), buckets.count(), &bounded, None)
    }
}

/// Seconds since 1970.
fn unix(at: jiff::Timestamp) -> f64 {
    Duration::try_from(at.as_duration()).unwrap_or_default().as_secs_f64()
}
