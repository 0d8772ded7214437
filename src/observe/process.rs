//! What the process takes of the machine, as the kernel counts it.

use std::fs;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// What the process takes now. What the kernel does not tell is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Process {
    /// Processor time since the start, in seconds.
    pub cpu_seconds: f64,
    /// Octets of memory that are in RAM.
    pub resident_bytes: u64,
    /// The most that ever were.
    pub peak_bytes: u64,
    /// Open file descriptors.
    pub descriptors: u64,
    /// File descriptors that may be open; none: no limit.
    pub descriptors_allowed: Option<u64>,
    /// Threads.
    pub threads: u64,
}

impl Process {
    /// Asks the kernel. Reads /proc, which does not block.
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            cpu_seconds: time.tv_sec as f64 + time.tv_nsec as f64 / 1e9,
            resident_bytes: field(&status, "VmRSS") * 1024,
            peak_bytes: field(&status, "VmHWM") * 1024,
            descriptors: fs::read_dir("/proc/self/fd").map_or(0, |open| open.count() as u64),
            descriptors_allowed: getrlimit(Resource::Nofile).current,
            threads: field(&status, "Threads"),
        }
    }
}

/// A number of /proc/self/status; memory is in units of 1024 octets there.
fn field(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_all_of_it() {
        let process = Process::now();
        assert!(process.cpu_seconds > 0.0, "{process:?}");
        assert!(process.resident_bytes > 1 << 20 && process.peak_bytes >= process.resident_bytes, "{process:?}");
        assert!(process.descriptors > 2 && process.threads >= 1, "{process:?}");
    }
}
