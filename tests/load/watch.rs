//! Files as they appear, are written and go (inotify).

use std::mem::MaybeUninit;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// Tells of each file in `folders` that appears or goes, and of each that is written to, until `is_over`.
pub(crate) fn watch(folders: &[&Path], is_over: impl Fn() -> bool, mut tell: impl FnMut(&str, ReadFlags)) {
    let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    for folder in folders {
        let flags = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MODIFY;
        inotify::add_watch(&inotify, *folder, flags).unwrap();
    }
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = Reader::new(inotify, &mut buffer);
    while !is_over() {
        match reader.next() {
            Ok(event) => {
                let name = event.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                tell(&name, event.events());
            }
            // Short, for a run does not wait until it is noticed.
            Err(Errno::WOULDBLOCK) => thread::sleep(Duration::from_micros(500)),
            Err(error) => panic!("{error}"),
        }
    }
}
