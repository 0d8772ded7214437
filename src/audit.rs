//! The audit log: JSON lines, one for each transition of a key and each change of DNS, appended and never changed.
//!
//! A line is `{"id": …, "actor": …}` and the fields of the entry. Its id comes from what it is about (domain, revision of
//! the manifest, selector, what happened), so that whoever goes on where another was cut short appends the lines that are
//! missing, and none twice. The file is opened by its path each time: it may be rotated by renaming it. Ids are looked for
//! in its last [`LOOKED_THROUGH`] octets, and in those of the file with `.1` at the end of its name; they are read once,
//! and after that only what others appended.
//!
//! ```text
//! thread ─lines─┐
//! thread ─lines─┼▶ waiting ─▶ whoever holds the file: one write and one fsync for all that wait
//! thread ─lines─┘
//! ```

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};

/// How much of the log's end is searched for lines that are there already: some 800,000 lines, which is what the first run
/// over 200,000 domains writes.
pub const LOOKED_THROUGH: u64 = 256 << 20;

/// An audit log. Threads share one: those that append at the same time share a write and an fsync.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    waiting: Mutex<Vec<Waiting>>,
    /// Held by whoever writes.
    known: Mutex<Known>,
}

/// Who made a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The user id that the process runs under.
    pub uid: u32,
    /// That user's name, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Who is logged in, where that is another: the user behind sudo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
}

/// A line to be.
#[derive(Debug, Clone)]
pub struct Line<E> {
    /// What names it, unique within the log.
    pub id: String,
    /// Who did it.
    pub actor: Actor,
    /// What is told; an object.
    pub entry: E,
}

/// Why the log could not be written. What it is about has happened all the same; the next run appends it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The file cannot be made, opened, locked, read or written.
    #[error("cannot write the audit log {}", path.display())]
    Io {
        /// The log.
        path: PathBuf,
        /// What the system said, to all whose lines were written together.
        source: Arc<io::Error>,
    },
    /// An entry is no object of JSON. A defect of the caller.
    #[error("an entry of the audit log {} is no object", path.display())]
    Entry {
        /// The log.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
}

impl AuditLog {
    /// The log at `path`, which is made (0640) with the first line; its directory must exist.
    pub fn at(path: PathBuf) -> Self {
        Self { path, waiting: Mutex::default(), known: Mutex::default() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends those of `lines` whose ids are not there yet and brings them to stable storage. How many these were.
    /// Other writers are waited for, and lines that come meanwhile are written together.
    pub fn append<E: Serialize>(&self, lines: &[Line<E>]) -> Result<usize, AuditError> {
        #[derive(Serialize)]
        struct Written<'a, E> {
            id: &'a str,
            actor: &'a Actor,
            #[serde(flatten)]
            entry: &'a E,
        }
        let unwritable = |source| AuditError::Entry { path: self.path.clone(), source };
        let mut texts = Vec::with_capacity(lines.len());
        for line in lines {
            let written = Written { id: &line.id, actor: &line.actor, entry: &line.entry };
            let mut text = serde_json::to_vec(&written).map_err(unwritable)?;
            text.push(b'\n');
            texts.push((line.id.clone(), text));
        }
        if texts.is_empty() {
            return Ok(0);
        }
        self.append_texts(texts).map_err(|source| AuditError::Io { path: self.path.clone(), source })
    }

    fn append_texts(&self, texts: Vec<(String, Vec<u8>)>) -> Result<usize, Arc<io::Error>> {
        let outcome = Arc::new(OnceLock::new());
        locked(&self.waiting).push(Waiting { texts, outcome: Arc::clone(&outcome) });
        let mut known = locked(&self.known);
        // Whoever had the file before has written these too, if they came in time.
        if outcome.get().is_none() {
            let together = std::mem::take(&mut *locked(&self.waiting));
            let written = known.append(&self.path, &together);
            if written.is_err() {
                // Some of it may be there, and some not.
                *known = Known::default();
            }
            let result = written.map_err(Arc::new);
            for (index, waiting) in together.iter().enumerate() {
                let own = result.as_ref().map(|appended| appended[index]).map_err(Arc::clone);
                // Each is set once, by the one who took it out.
                let _ = waiting.outcome.set(own);
            }
        }
        let lost = || Err(Arc::new(io::Error::other("a thread ended while it wrote")));
        outcome.get().cloned().unwrap_or_else(lost)
    }
}

/// Lines of one thread that wait to be written: how many were, or why they were not.
#[derive(Debug)]
struct Waiting {
    texts: Vec<(String, Vec<u8>)>,
    outcome: Arc<OnceLock<Result<usize, Arc<io::Error>>>>,
}

/// What is known of the file, so that only what others appended is read.
#[derive(Debug, Default)]
struct Known {
    ids: Ids,
    /// Device and inode; none before the first look.
    file: Option<(u64, u64)>,
    /// How far it was read.
    read_to: u64,
    /// Whether its last line was cut short.
    is_cut_short: bool,
}

impl Known {
    /// Appends what is missing, with one write and one fsync; how many lines of each.
    fn append(&mut self, path: &Path, together: &[Waiting]) -> io::Result<Vec<usize>> {
        let mut file = open_locked(path)?;
        self.catch_up(path, &mut file)?;
        let mut octets = Vec::new();
        let mut appended = Vec::with_capacity(together.len());
        for waiting in together {
            let mut count = 0;
            for (id, text) in &waiting.texts {
                if self.ids.insert(id) {
                    // A line that was cut short stays by itself.
                    if std::mem::take(&mut self.is_cut_short) {
                        octets.push(b'\n');
                    }
                    octets.extend_from_slice(text);
                    count += 1;
                }
            }
            appended.push(count);
        }
        file.write_all(&octets)?;
        // Also when nothing was missing: whoever wrote it may not have come as far as this.
        file.sync_all()?;
        self.read_to += u64::try_from(octets.len()).unwrap_or(0);
        Ok(appended)
    }

    /// Reads what is not known yet: all that is looked through at first and after a rotation, later what others appended.
    fn catch_up(&mut self, path: &Path, file: &mut File) -> io::Result<()> {
        let stat = rustix::fs::fstat(&*file)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let identity = Some((stat.st_dev, stat.st_ino));
        if size < self.read_to && self.file == identity {
            // Cut short under our hands.
            *self = Self::default();
        }
        if self.file != identity {
            let mut rotated = path.to_owned().into_os_string();
            rotated.push(".1");
            match File::open(&rotated) {
                Ok(mut rotated) => {
                    let size = rotated.metadata()?.len();
                    self.read(&mut rotated, size.saturating_sub(LOOKED_THROUGH))?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            (self.file, self.is_cut_short) = (identity, false);
            self.read_to = size.saturating_sub(LOOKED_THROUGH);
        }
        if size > self.read_to {
            self.read(file, self.read_to)?;
            self.read_to = size;
        }
        Ok(())
    }

    fn read(&mut self, file: &mut File, from: u64) -> io::Result<()> {
        file.seek(SeekFrom::Start(from))?;
        let mut reader = BufReader::with_capacity(1 << 16, Read::by_ref(file).take(LOOKED_THROUGH));
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            self.is_cut_short = line.last() != Some(&b'\n');
            self.ids.insert_of(&line);
            line.clear();
        }
        Ok(())
    }
}

/// Ids as two hashes with secret keys: of a million, no two are the same.
#[derive(Debug, Default)]
struct Ids {
    seen: HashSet<(u64, u64), ahash::RandomState>,
    hashes: (RandomState, RandomState),
}

impl Ids {
    /// Whether it was not there yet.
    fn insert(&mut self, id: &str) -> bool {
        self.seen.insert((self.hashes.0.hash_one(id), self.hashes.1.hash_one(id)))
    }

    /// The id of a whole line; what is no line of ours has none.
    fn insert_of(&mut self, line: &[u8]) {
        #[derive(Deserialize)]
        struct Id<'a> {
            #[serde(borrow)]
            id: Cow<'a, str>,
        }
        if let Ok(Id { id }) = serde_json::from_slice(line) {
            self.insert(&id);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the file that has the path now, with a lock that ends with it.
fn open_locked(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o640);
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    loop {
        let file = options.open(path)?;
        file.lock()?;
        let (ours, there) = (rustix::fs::fstat(&file)?, rustix::fs::lstat(path));
        // Rotated while we waited: the lines belong into the new one.
        if there.is_ok_and(|there| (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)) {
            if ours.st_size == 0
                && let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty())
            {
                File::open(directory)?.sync_all()?;
            }
            return Ok(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use serde_json::{Value, json};

    use super::*;

    fn line(id: &str) -> Line<Value> {
        let actor = Actor { uid: 990, user: Some("waxseal-keys".into()), login: None };
        Line { id: id.into(), actor, entry: json!({ "domain": "example.com", "after": "active\n" }) }
    }

    fn log() -> (tempfile::TempDir, AuditLog) {
        let scratch = tempfile::tempdir().unwrap();
        let log = AuditLog::at(scratch.path().join("audit.jsonl"));
        (scratch, log)
    }

    fn lines(path: &Path) -> Vec<String> {
        fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_missing_is_appended_and_what_is_there_is_not_doubled() {
        let (_scratch, log) = log();
        assert_eq!(log.append(&[line("a"), line("b"), line("a")]).unwrap(), 2);
        assert_eq!(log.append(&[line("b"), line("c")]).unwrap(), 1);
        let lines = lines(log.path());
        assert_eq!(
            lines[0],
            r#"{"id":"a","actor":{"uid":990,"user":"waxseal-keys"},"after":"active\n","domain":"example.com"}"#
        );
        assert_eq!(lines.len(), 3);
        assert_eq!(fs::metadata(log.path()).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_line_that_was_cut_short_is_written_again_and_spoils_no_other() {
        let (_scratch, log) = log();
        log.append(&[line("a"), line("b")]).unwrap();
        let size = fs::metadata(log.path()).unwrap().len();
        OpenOptions::new().write(true).open(log.path()).unwrap().set_len(size - 5).unwrap();
        assert_eq!(log.append(&[line("a"), line("b"), line("c")]).unwrap(), 2);
        let whole = lines(log.path()).iter().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count();
        assert_eq!((whole, lines(log.path()).len()), (3, 4));
    }

    #[test]
    fn a_log_that_was_rotated_goes_on_in_a_new_file() {
        let (scratch, log) = log();
        log.append(&[line("a")]).unwrap();
        fs::rename(log.path(), scratch.path().join("audit.jsonl.1")).unwrap();
        assert_eq!(log.append(&[line("a"), line("b")]).unwrap(), 1);
        assert_eq!(lines(log.path()).len(), 1);
    }

    #[test]
    fn writers_at_once_lose_and_double_nothing() {
        let (_scratch, log) = log();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let log = AuditLog::at(log.path().to_owned());
                scope.spawn(move || (0..50).for_each(|id| assert!(log.append(&[line(&id.to_string())]).unwrap() <= 1)));
            }
        });
        let lines = lines(log.path());
        assert_eq!(lines.len(), 50);
        assert!(lines.iter().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    }

    #[test]
    fn threads_of_one_log_share_its_writes_and_each_learns_of_its_own_lines() {
        let (_scratch, log) = log();
        log.append(&[line("0 0")]).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let log = &log;
                scope.spawn(move || {
                    for number in 0..25 {
                        let lines = [line(&format!("{thread} {number}")), line(&format!("all {number}"))];
                        let appended = log.append(&lines).unwrap();
                        assert!((1..=2).contains(&appended) || (thread, number) == (0, 0), "{appended}");
                    }
                });
            }
        });
        assert_eq!(lines(log.path()).len(), 8 * 25 + 25);
    }

    #[test]
    fn what_another_process_appended_meanwhile_is_not_doubled() {
        let (_scratch, ours) = log();
        let theirs = AuditLog::at(ours.path().to_owned());
        assert_eq!(ours.append(&[line("a")]).unwrap(), 1);
        assert_eq!(theirs.append(&[line("a"), line("b")]).unwrap(), 1);
        assert_eq!(ours.append(&[line("b"), line("c")]).unwrap(), 1);
        assert_eq!(lines(ours.path()).len(), 3);
        fs::rename(ours.path(), ours.path().with_extension("jsonl.1")).unwrap();
        assert_eq!(theirs.append(&[line("d")]).unwrap(), 1);
        assert_eq!(ours.append(&[line("c"), line("d"), line("e")]).unwrap(), 1);
        fs::write(ours.path(), "").unwrap();
        assert_eq!(ours.append(&[line("a"), line("f")]).unwrap(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_an_error_that_names_the_log() {
        let log = AuditLog::at("/nonexistent/audit.jsonl".into());
        let error = log.append(&[line("a")]).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/audit.jsonl"), "{error}");
        let (_scratch, log) = self::log();
        let no_object = Line { entry: Value::from(5), ..line("a") };
        assert!(matches!(log.append(&[no_object]), Err(AuditError::Entry { .. })));
    }
}
