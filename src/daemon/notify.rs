//! Words to systemd (sd_notify(3)), where it asked for them; also the one place that reads its environment.

use std::env;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use sd_notify::NotifyState;

use crate::clock::Clock;

/// Mail is accepted.
pub(super) fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is being read again; `ready` ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(_) => send(&[NotifyState::Reloading]),
    }
}

/// No more mail is accepted.
pub(super) fn stopping(status: &str) {
    send(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Within what time systemd's watchdog wants to hear that we live; none if it does not.
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|within| !within.is_zero())
}

/// We live.
pub(super) fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// A service manager that has gone is no reason to stop signing.
fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(error = &error as &dyn std::error::Error, "systemd could not be notified");
    }
}

/// Whether standard error is connected to the journal: `JOURNAL_STREAM` names its device and inode
/// (systemd.exec(5)).
#[expect(clippy::disallowed_methods, reason = "systemd's environment is read here")]
pub(super) fn stderr_is_journal() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else { return false };
    let stderr = std::io::stderr();
    let Ok(stat) = stat(stderr.as_fd()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

fn stat(file: BorrowedFd<'_>) -> rustix::io::Result<rustix::fs::Stat> {
    rustix::fs::fstat(file)
}

/// The directory that systemd made for our state (systemd.exec(5)); the first where there are several.
#[expect(clippy::disallowed_methods, reason = "systemd's environment is read here")]
pub(super) fn state_directory() -> Option<String> {
    let directories = env::var("STATE_DIRECTORY").ok()?;
    directories.split(':').next().filter(|first| !first.is_empty()).map(str::to_owned)
}

/// What `ready` says at the start.
pub(super) fn status_since(clock: &Clock, listeners: usize) -> String {
    format!("signing on {listeners} socket{} since {:.0}", if listeners == 1 { "" } else { "s" }, clock.now())
}

/// The FileDescriptorName= of each socket passed (sd_listen_fds_with_names(3)).
#[expect(clippy::disallowed_methods, reason = "systemd's environment is read here")]
pub(super) fn passed_socket_names() -> Vec<String> {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    names.split(':').map(str::to_owned).collect()
}
