//! What was measured, for people and for programs.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::load::{Load, LoadResult};
use super::process::{CpuSource, PeakSource, Usage};
use super::statistics::Latencies;

/// The result of one run. Times in microseconds, memory in octets.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    messages: u64,
    connections: u32,
    body_octets: usize,
    elapsed_seconds: f64,
    messages_per_second: f64,
    /// Messages begun a second, answered or not.
    offered_per_second: f64,
    signed_per_second: f64,
    signed: u64,
    unsigned: u64,
    deferred: u64,
    refused: u64,
    discarded: u64,
    /// Begun and not answered, or never begun since nobody answered.
    pub(super) lost: u64,
    end_of_message: Option<Percentiles>,
    whole_message: Option<Percentiles>,
    signed_message: Option<Percentiles>,
    deferred_message: Option<Percentiles>,
    /// How much later than they were due messages were begun: what the load tool itself, or too few connections, added to the
    /// others.
    #[serde(skip_serializing_if = "Option::is_none")]
    late: Option<Percentiles>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<ProcessCost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle: Option<IdleCost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_reply: Option<String>,
}

/// Latencies, in microseconds.
#[derive(Debug, Serialize)]
struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    #[serde(rename = "p99.9")]
    p999: f64,
    max: f64,
}

/// What the milter used.
#[derive(Debug, Serialize)]
struct ProcessCost {
    cpu_microseconds_per_message: f64,
    #[serde(flatten)]
    usage: Usage,
    resident_peak_above_before: u64,
}

/// What idle connections cost.
#[derive(Debug, Serialize)]
pub(super) struct IdleCost {
    pub(super) connections: u32,
    /// Resident memory for each, in octets, if the process is known.
    pub(super) octets_each: Option<u64>,
}

impl Report {
    pub(super) fn new(load: &Load, result: &LoadResult, usage: Option<Usage>, idle: Option<IdleCost>) -> Self {
        let tally = &result.tally;
        let answered = tally.signed + tally.unsigned + tally.deferred + tally.refused + tally.discarded;
        let elapsed = result.elapsed.as_secs_f64();
        Self {
            messages: load.messages,
            connections: load.connections,
            body_octets: load.sample.body_size(),
            elapsed_seconds: elapsed,
            messages_per_second: answered as f64 / elapsed.max(1e-9),
            offered_per_second: load.messages as f64 / result.offered_within.as_secs_f64().max(1e-9),
            signed_per_second: tally.signed as f64 / elapsed.max(1e-9),
            signed: tally.signed,
            unsigned: tally.unsigned,
            deferred: tally.deferred,
            refused: tally.refused,
            discarded: tally.discarded,
            lost: load.messages.saturating_sub(answered),
            end_of_message: Percentiles::of(&tally.end_of_message),
            whole_message: Percentiles::of(&tally.whole_message),
            signed_message: Percentiles::of(&tally.signed_message),
            deferred_message: Percentiles::of(&tally.deferred_message),
            late: load.rate.and_then(|_| Percentiles::of(&tally.late)),
            process: usage.map(|usage| ProcessCost {
                cpu_microseconds_per_message: microseconds(usage.cpu) / answered.max(1) as f64,
                resident_peak_above_before: usage.resident_peak.saturating_sub(usage.resident_before),
                usage,
            }),
            idle,
            first_problem: tally.first_problem.clone(),
            first_reply: tally.first_reply.clone(),
        }
    }

    pub(super) fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        writeln!(out)
    }

    pub(super) fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(idle) = &self.idle {
            write!(out, "idle connections  {}", idle.connections)?;
            match idle.octets_each {
                Some(octets) => writeln!(out, ", {octets} octets each")?,
                None => writeln!(out)?,
            }
        }
        writeln!(
            out,
            "messages          {} of {} octets of body over {} connections in {:.2} s: {:.0} a second",
            self.messages, self.body_octets, self.connections, self.elapsed_seconds, self.messages_per_second
        )?;
        writeln!(
            out,
            "outcome           {} signed, {} unsigned, {} deferred, {} refused, {} discarded, {} lost",
            self.signed, self.unsigned, self.deferred, self.refused, self.discarded, self.lost
        )?;
        write_percentiles(out, "end of message", self.end_of_message.as_ref())?;
        write_percentiles(out, "whole message", self.whole_message.as_ref())?;
        if self.late.is_some() {
            writeln!(
                out,
                "rates             {:.0} a second offered, {:.0} signed",
                self.offered_per_second, self.signed_per_second
            )?;
            write_percentiles(out, "signed", self.signed_message.as_ref())?;
            write_percentiles(out, "deferred", self.deferred_message.as_ref())?;
            write_percentiles(out, "begun late", self.late.as_ref())?;
        }
        if let Some(cost) = &self.process {
            let source = match cost.usage.cpu_source {
                CpuSource::Schedstat => "schedstat of its threads, to the nanosecond",
                CpuSource::Stat => "stat, in steps of 10 ms",
            };
            writeln!(
                out,
                "milter's CPU      {:.1} µs a message, user and system ({:.2} s in all; {source})",
                cost.cpu_microseconds_per_message,
                cost.usage.cpu.as_secs_f64()
            )?;
            let source = match cost.usage.peak_source {
                PeakSource::Kernel => "the kernel's high-water mark",
                PeakSource::Sampled => "looked at every 5 ms",
            };
            writeln!(
                out,
                "milter's memory   {} before, {} at most, {} more ({source})",
                mebibytes(cost.usage.resident_before),
                mebibytes(cost.usage.resident_peak),
                mebibytes(cost.resident_peak_above_before)
            )?;
        }
        if let Some(reply) = self.first_reply.as_deref().filter(|reply| !reply.is_empty()) {
            writeln!(out, "first refusal     {}", reply.escape_debug())?;
        }
        if let Some(problem) = &self.first_problem {
            writeln!(out, "first problem     {problem}")?;
        }
        Ok(())
    }
}

impl Percentiles {
    fn of(latencies: &Latencies) -> Option<Self> {
        let at = |share| latencies.percentile(share).map(microseconds);
        Some(Self {
            p50: at(0.5)?,
            p90: at(0.9)?,
            p99: at(0.99)?,
            p999: at(0.999)?,
            max: microseconds(latencies.longest()),
        })
    }
}

fn write_percentiles(out: &mut dyn Write, what: &str, percentiles: Option<&Percentiles>) -> io::Result<()> {
    let Some(Percentiles { p50, p90, p99, p999, max }) = percentiles else { return Ok(()) };
    writeln!(
        out,
        "{what:<17} p50 {p50:.0} µs, p90 {p90:.0} µs, p99 {p99:.0} µs, p99.9 {p999:.0} µs, at most {max:.0} µs"
    )
}

/// To the nanosecond, without the noise of a product.
fn microseconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e3
}

fn mebibytes(octets: u64) -> String {
    format!("{:.1} MiB", octets as f64 / f64::from(1 << 20))
}
