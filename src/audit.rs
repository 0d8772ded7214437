//! The audit log: JSON lines, one for each transition of a key and each change of DNS, appended and never changed.
//!
//! A line is `{"id": …, "actor": …}` and the fields of the entry. Its id comes from what it is about (domain, revision of
//! the manifest, selector, what happened), so that whoever goes on where another was cut short appends the lines that are
//! missing, and none twice. The file is opened by its path each time: it may be rotated by renaming it. Ids are looked for
//! in its last [`LOOKED_THROUGH`] octets, and in those of the file with `.1` at the end of its name.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How much of the log's end is searched for lines that are there already: some 3,000 lines, of which one run of
/// rotation that was cut short wrote one or two a domain.
pub const LOOKED_THROUGH: u64 = 1 << 20;

/// An audit log.
#[derive(Debug, Clone)]
pub struct AuditLog {
    path: PathBuf,
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
        /// What the system said.
        source: io::Error,
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
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends those of `lines` whose ids are not there yet, each with one write, and brings them to stable storage. Which
    /// these were, by their places among `lines`. Another writer is waited for.
    pub fn append<E: Serialize>(&self, lines: &[Line<E>]) -> Result<Vec<usize>, AuditError> {
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
            texts.push((line.id.as_str(), text));
        }
        self.append_texts(&texts).map_err(|source| AuditError::Io { path: self.path.clone(), source })
    }

    fn append_texts(&self, texts: &[(&str, Vec<u8>)]) -> io::Result<Vec<usize>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let mut file = self.open_locked()?;
        let end = last_octets(&mut file)?;
        let mut there = ids(&end);
        let mut rotated = self.path.clone().into_os_string();
        rotated.push(".1");
        match File::open(&rotated) {
            Ok(mut rotated) => there.extend(ids(&last_octets(&mut rotated)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut appended = Vec::new();
        // A line that was cut short stays by itself.
        let mut is_cut_short = end.last().is_some_and(|octet| *octet != b'\n');
        for (place, (id, text)) in texts.iter().enumerate() {
            if !there.insert((*id).to_owned()) {
                continue;
            }
            if std::mem::take(&mut is_cut_short) {
                file.write_all(b"\n")?;
            }
            file.write_all(text)?;
            appended.push(place);
        }
        file.sync_all()?;
        Ok(appended)
    }

    /// Opens the file that has the path now, with a lock that ends with it.
    fn open_locked(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o640);
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        loop {
            let file = options.open(&self.path)?;
            file.lock()?;
            let (ours, there) = (rustix::fs::fstat(&file)?, rustix::fs::lstat(&self.path));
            // Rotated while we waited: the lines belong into the new one.
            if there.is_ok_and(|there| (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)) {
                if ours.st_size == 0
                    && let Some(directory) = self.path.parent().filter(|parent| !parent.as_os_str().is_empty())
                {
                    File::open(directory)?.sync_all()?;
                }
                return Ok(file);
            }
        }
    }
}

fn last_octets(file: &mut File) -> io::Result<Vec<u8>> {
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(LOOKED_THROUGH)))?;
    let mut octets = Vec::new();
    file.take(LOOKED_THROUGH).read_to_end(&mut octets)?;
    Ok(octets)
}

/// The ids of whole lines; what is no line of ours has none.
fn ids(octets: &[u8]) -> HashSet<String> {
    #[derive(Deserialize)]
    struct Id {
        id: String,
    }
    let lines = octets.split(|octet| *octet == b'\n');
    lines.filter_map(|line| Some(serde_json::from_slice::<Id>(line).ok()?.id)).collect()
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
        assert_eq!(log.append(&[line("a"), line("b"), line("a")]).unwrap(), [0, 1]);
        assert_eq!(log.append(&[line("b"), line("c")]).unwrap(), [1]);
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
        assert_eq!(log.append(&[line("a"), line("b"), line("c")]).unwrap(), [1, 2]);
        let whole = lines(log.path()).iter().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count();
        assert_eq!((whole, lines(log.path()).len()), (3, 4));
    }

    #[test]
    fn a_log_that_was_rotated_goes_on_in_a_new_file() {
        let (scratch, log) = log();
        log.append(&[line("a")]).unwrap();
        fs::rename(log.path(), scratch.path().join("audit.jsonl.1")).unwrap();
        assert_eq!(log.append(&[line("a"), line("b")]).unwrap(), [1]);
        assert_eq!(lines(log.path()).len(), 1);
    }

    #[test]
    fn writers_at_once_lose_and_double_nothing() {
        let (_scratch, log) = log();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope
                    .spawn(|| (0..50).for_each(|id| assert!(log.append(&[line(&id.to_string())]).unwrap().len() <= 1)));
            }
        });
        let lines = lines(log.path());
        assert_eq!(lines.len(), 50);
        assert!(lines.iter().all(|line| serde_json::from_str::<Value>(line).is_ok()));
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
