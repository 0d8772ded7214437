//! What the milter's process costs, from /proc.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;

/// How often the memory is looked at where the kernel's own peak cannot be used.
const SAMPLING: Duration = Duration::from_millis(5);

/// What a process used while it was watched.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Usage {
    /// User and system time.
    #[serde(rename = "cpu_seconds", serialize_with = "seconds")]
    pub(super) cpu: Duration,
    pub(super) cpu_source: CpuSource,
    /// Resident memory before, in octets.
    pub(super) resident_before: u64,
    /// The most that was resident, in octets.
    pub(super) resident_peak: u64,
    pub(super) peak_source: PeakSource,
}

/// Where the CPU time is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CpuSource {
    /// /proc/PID/task/*/schedstat, in nanoseconds.
    Schedstat,
    /// /proc/PID/stat, in ticks of 10 ms: threads have ended, whose schedstat is gone.
    Stat,
}

/// Where the peak is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PeakSource {
    /// The kernel's high-water mark, reset at the beginning.
    Kernel,
    /// Looked at every 5 ms.
    Sampled,
}

/// A process that is being watched.
#[derive(Debug)]
pub(super) struct Watch {
    pid: u32,
    resident_before: u64,
    threads_before: Vec<(u32, u64)>,
    ticks_before: u64,
    peak_source: PeakSource,
    sampler: Option<Sampler>,
}

#[derive(Debug)]
struct Sampler {
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watch {
    pub(super) fn begin(pid: u32) -> anyhow::Result<Self> {
        let resident_before = resident(pid)?;
        // Resets the high-water mark; only the process's owner may.
        let peak_source = match fs::write(path(pid, "clear_refs"), "5") {
            Ok(()) => PeakSource::Kernel,
            Err(_) => PeakSource::Sampled,
        };
        Ok(Self {
            pid,
            resident_before,
            peak_source,
            sampler: (peak_source == PeakSource::Sampled).then(|| Sampler::start(pid)),
            ticks_before: ticks(pid)?,
            threads_before: thread_times(pid)?,
        })
    }

    pub(super) fn end(self) -> anyhow::Result<Usage> {
        let threads_after = thread_times(self.pid)?;
        let ticks = ticks(self.pid)?.saturating_sub(self.ticks_before);
        let resident_peak = match self.sampler {
            None => status(self.pid, "VmHWM:")?,
            Some(sampler) => sampler.finish(),
        };
        let all_alive = self.threads_before.iter().all(|(id, _)| threads_after.iter().any(|(other, _)| other == id));
        let (cpu, cpu_source) = if all_alive {
            let total = |threads: &[(u32, u64)]| threads.iter().map(|(_, time)| time).sum::<u64>();
            let used = total(&threads_after).saturating_sub(total(&self.threads_before));
            (Duration::from_nanos(used), CpuSource::Schedstat)
        } else {
            (Duration::from_millis(ticks * 10), CpuSource::Stat)
        };
        // Threads that came and went in between show in the ticks only.
        let ticked = Duration::from_millis(ticks * 10);
        let (cpu, cpu_source) = if ticked > cpu + Duration::from_millis(20) + cpu / 50 {
            (ticked, CpuSource::Stat)
        } else {
            (cpu, cpu_source)
        };
        Ok(Usage {
            cpu,
            cpu_source,
            resident_before: self.resident_before,
            resident_peak,
            peak_source: self.peak_source,
        })
    }
}

impl Sampler {
    fn start(pid: u32) -> Self {
        let (peak, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (thread_peak, thread_stop) = (Arc::clone(&peak), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !thread_stop.load(Ordering::Relaxed) {
                thread_peak.fetch_max(resident(pid).unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(SAMPLING);
            }
        });
        Self { peak, stop, thread }
    }

    fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        // It does not panic; if it did, there is still the peak so far.
        let _ = self.thread.join();
        self.peak.load(Ordering::Relaxed)
    }
}

/// Resident memory, in octets.
pub(super) fn resident(pid: u32) -> anyhow::Result<u64> {
    status(pid, "VmRSS:")
}

fn path(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

/// A line of /proc/PID/status that is in kB, in octets.
fn status(pid: u32, name: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(path(pid, "status")).with_context(|| format!("there is no process {pid}"))?;
    for line in text.lines() {
        if let Some(value) = line.strip_prefix(name) {
            let kilobytes: u64 = value.trim().trim_end_matches("kB").trim().parse()?;
            return Ok(kilobytes * 1024);
        }
    }
    bail!("process {pid} has no memory ({name} is missing in its status)")
}

/// User and system time of the process, in ticks of 10 ms, threads that have ended included.
fn ticks(pid: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(path(pid, "stat"))?;
    parse_ticks(&text).with_context(|| format!("/proc/{pid}/stat cannot be read"))
}

/// proc(5): the command in parentheses may hold anything; utime and stime are the 14th and 15th fields.
fn parse_ticks(stat: &str) -> Option<u64> {
    let (_, after_command) = stat.rsplit_once(") ")?;
    let mut fields = after_command.split(' ').skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// Each thread and its time on a CPU, in nanoseconds.
fn thread_times(pid: u32) -> anyhow::Result<Vec<(u32, u64)>> {
    let mut times = Vec::new();
    for entry in fs::read_dir(path(pid, "task"))? {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A thread may end while we look.
        let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
        if let Some(time) = text.split(' ').next().and_then(|field| field.parse().ok()) {
            times.push((id, time));
        }
    }
    Ok(times)
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let stat = "17 (a ) b) S 1 17 17 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 1 0 5 6 7";
        assert_eq!(parse_ticks(stat), Some(300));
        assert_eq!(parse_ticks("17 (a"), None);
    }

    #[test]
    fn this_process_uses_time_and_memory() {
        let watch = Watch::begin(std::process::id()).unwrap();
        let mut octets = vec![1_u8; 32 << 20];
        octets.fill(std::hint::black_box(2));
        assert!(octets.contains(&2));
        std::thread::sleep(SAMPLING * 2);
        let usage = watch.end().unwrap();
        assert!(usage.cpu > Duration::ZERO);
        assert!(usage.resident_peak >= 32 << 20, "{usage:?}");
        assert!(Watch::begin(u32::MAX).is_err());
    }
}
