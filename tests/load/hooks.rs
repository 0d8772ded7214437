//! The hooks of `waxseal rotate`, which wait for what the test says.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt, thread};

use rustix::fs::OFlags;
use serde_json::Value;

use crate::support::Scratch;

/// What `$0` is told on standard input stands beside it until the test opens the pipe. Nobody waits for ever: the run
/// that asked may be dead.
const SCRIPT: &str = "#!/bin/sh\nset -e\nasked=$(dirname \"$0\")/asked/$$\nmkfifo \"$asked.go\"\ncat >\"$asked.new\"\n\
                      mv \"$asked.new\" \"$asked.json\"\nexec timeout 600 head -n 1 \"$asked.go\"\n";

/// Where hooks ask.
#[derive(Debug, Clone)]
pub(crate) struct Hooks {
    folder: PathBuf,
}

/// A hook that waits.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) hook: String,
    pub(crate) selectors: Vec<String>,
    path: PathBuf,
}

impl Hooks {
    /// Writes the program; gives its path as well.
    pub(crate) fn new(scratch: &Scratch) -> (Self, PathBuf) {
        let program = scratch.write("hook", SCRIPT);
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        (Self { folder: scratch.folder("asked") }, program)
    }

    /// A hook that waits, if there is one.
    pub(crate) fn asked(&self) -> Option<Asked> {
        let entries = fs::read_dir(&self.folder).ok()?;
        let path =
            entries.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "json"))?;
        let Ok(told) = serde_json::from_slice::<Value>(&fs::read(&path).unwrap()) else {
            // Its run was killed before it told all.
            let hook = Asked { hook: String::new(), selectors: Vec::new(), path: path.clone() };
            fs::remove_file(path).unwrap();
            hook.go();
            return None;
        };
        let selectors = told["selectors"].as_array().unwrap().iter();
        let selectors = selectors.map(|selector| selector.as_str().unwrap().to_owned()).collect();
        fs::remove_file(&path).unwrap();
        Some(Asked { hook: told["hook"].as_str().unwrap().to_owned(), selectors, path })
    }
}

impl Asked {
    /// Lets it go on.
    pub(crate) fn go(self) {
        let pipe = self.path.with_extension("go");
        // Until it listens, on a machine that may be busy; it may also be dead.
        for _ in 0..2500 {
            if tell(&pipe) {
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
        fs::remove_file(pipe).ok();
    }
}

fn tell(pipe: &Path) -> bool {
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    match OpenOptions::new().write(true).custom_flags(nonblocking).open(pipe) {
        Ok(mut pipe) => pipe.write_all(b"go\n").is_ok(),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}
