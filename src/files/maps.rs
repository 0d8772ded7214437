//! Reads the maps that the configuration names, and notices when they change.
//!
//! Everything is read anew when any file changes: which line decides depends on all that stand before it. A message is judged
//! by what was read last with success; nothing here is waited for by mail.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::finding::{Finding, Place, Severity};
use crate::policy::{Cutover, MapSource, Policy, included};

/// The longest map that is read, in octets: several million lines.
const LONGEST: u64 = 256 << 20;

/// Maps within maps; deeper they include themselves, or somebody has lost the thread.
const DEPTH: usize = 8;

/// Files in all, so that includes of includes come to an end.
const FILES: usize = 10_000;

/// The files that a policy was made of, as they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamps(Vec<(PathBuf, Option<Stamp>)>);

/// What tells a file from itself after a change: device, file, size and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A policy, or why there is none; and of which files, whichever it is.
#[derive(Debug)]
pub struct Compiled {
    /// The policy with warnings, or everything that is wrong with the maps.
    pub policy: Result<(Policy, Vec<Finding>), Vec<Finding>>,
    /// The files it was made of, as they were before they were read.
    pub stamps: Stamps,
}

impl Stamps {
    /// The same files as they are now. Blocks on the file system.
    pub fn look(&self) -> Self {
        Self(self.0.iter().map(|(path, _)| (path.clone(), stamp(path))).collect())
    }

    /// Whether there is any file.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Makes a policy of a configuration and its maps. Blocks on the file system: a million lines take about a second.
pub fn compile(config: &Config) -> Compiled {
    let mut maps = Reader::default();
    let policy = Policy::compile(config.trust.clone(), config.rules.clone(), &mut maps);
    let cutover = config.cutover.as_ref().map(|settings| Cutover::compile(settings, &mut maps)).transpose();
    let policy = match (policy, cutover) {
        (Ok((policy, warnings)), Ok(None)) => Ok((policy, warnings)),
        (Ok((policy, warnings)), Ok(Some(cutover))) => Ok((policy.with_cutover(cutover), warnings)),
        (Ok(_), Err(errors)) | (Err(errors), Ok(_)) => Err(errors),
        (Err(errors), Err(more)) => Err(errors.into_iter().chain(more).collect()),
    };
    let Reader { mut findings, stamps, .. } = maps;
    let policy = match policy {
        Ok((policy, warnings)) => {
            findings.extend(warnings);
            Ok((policy, findings))
        }
        Err(errors) => {
            findings.extend(errors);
            Err(findings)
        }
    };
    Compiled { policy, stamps: Stamps(stamps) }
}

#[derive(Default)]
struct Reader {
    findings: Vec<Finding>,
    stamps: Vec<(PathBuf, Option<Stamp>)>,
    /// The maps that are being read, the outermost first.
    within: Vec<PathBuf>,
}

/// Why a map cannot be read.
#[derive(Debug, thiserror::Error)]
enum MapError {
    #[error("the map cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is no file")]
    NotAFile,
    #[error("it is longer than {} MiB", LONGEST >> 20)]
    TooLong,
    #[error("the map includes itself")]
    Circle,
    #[error("maps include each other deeper than {DEPTH}")]
    TooDeep,
    #[error("there are more than {FILES} maps")]
    TooMany,
}

impl MapError {
    fn remedy(&self) -> &'static str {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                "make it, or take it out of the configuration"
            }
            Self::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                "let the daemon's user read it, and search the directories above it"
            }
            Self::Io(_) => "",
            Self::NotAFile => "give the path of a text file",
            Self::TooLong => "split it, and include the parts",
            Self::Circle | Self::TooDeep | Self::TooMany => "take the $include out",
        }
    }
}

impl MapSource for Reader {
    fn read(&mut self, path: &Path, take: &mut dyn FnMut(&Path, usize, &str)) -> bool {
        let whole = Place::Path { path: path.to_owned() };
        self.read_from(path, whole, take)
    }
}

impl Reader {
    /// Reads a map that is named at `place`.
    fn read_from(&mut self, path: &Path, place: Place, take: &mut dyn FnMut(&Path, usize, &str)) -> bool {
        match self.text(path) {
            Ok(text) => {
                self.within.push(path.to_owned());
                let all = self.lines(path, &text, take);
                self.within.pop();
                all
            }
            Err(error) => {
                let evidence = format!("{}: {error}", path.display());
                self.findings.push(Finding::new("map.read", Severity::Error, place, evidence, error.remedy()));
                false
            }
        }
    }

    fn lines(&mut self, path: &Path, text: &[u8], take: &mut dyn FnMut(&Path, usize, &str)) -> bool {
        let mut all = true;
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        for (index, line) in text.split(|octet| *octet == b'\n').enumerate() {
            let number = index + 1;
            let place = || Place::Line { path: path.to_owned(), line: number, column: 1 };
            let line = match std::str::from_utf8(line) {
                Ok(line) => line,
                Err(error) => {
                    let octet = line.get(error.valid_up_to()).copied().unwrap_or_default();
                    self.findings.push(Finding::new(
                        "map.not_utf8",
                        Severity::Error,
                        place(),
                        format!("the octet 0x{octet:02x} is no UTF-8"),
                        "save the map as UTF-8",
                    ));
                    // One such line shows what is wrong with the file.
                    return false;
                }
            };
            take(path, number, line);
            if let Some(other) = included(line).filter(|other| !other.is_empty()) {
                let other = path.parent().unwrap_or(Path::new("")).join(other);
                all &= self.read_from(&other, place(), take);
            }
        }
        all
    }

    fn text(&mut self, path: &Path) -> Result<Vec<u8>, MapError> {
        if self.within.iter().any(|outer| outer == path) {
            return Err(MapError::Circle);
        }
        if self.within.len() >= DEPTH {
            return Err(MapError::TooDeep);
        }
        if self.stamps.len() >= FILES {
            return Err(MapError::TooMany);
        }
        // Before it is read: a change in between is noticed by the next look.
        self.stamps.push((path.to_owned(), stamp(path)));
        // Opening a pipe would wait for somebody to write to it.
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(MapError::NotAFile);
        }
        self.judge_mode(path, &metadata);
        let mut text = Vec::with_capacity(usize::try_from(metadata.len().min(LONGEST)).unwrap_or_default());
        File::open(path)?.take(LONGEST + 1).read_to_end(&mut text)?;
        if text.len() as u64 > LONGEST {
            return Err(MapError::TooLong);
        }
        Ok(text)
    }

    fn judge_mode(&mut self, path: &Path, metadata: &Metadata) {
        if metadata.mode() & 0o002 != 0 {
            let evidence = format!("mode {:04o}: any user can say who is signed for", metadata.mode() & 0o7777);
            let place = Place::Path { path: path.to_owned() };
            self.findings.push(Finding::new("map.mode", Severity::Warning, place, evidence, "chmod o-w"));
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp {
        file: (metadata.dev(), metadata.ino()),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(reader: &mut Reader, path: &Path) -> (bool, Vec<String>) {
        let mut lines = Vec::new();
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        let all = reader.read(path, &mut |path, line, text| lines.push(format!("{}:{line} {text}", name(path))));
        (all, lines)
    }

    #[test]
    fn includes_are_read_where_they_stand_and_noticed_when_they_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a"), "one\n$include b\ntwo").unwrap();
        std::fs::write(path("b"), "three\r\n").unwrap();
        let mut reader = Reader::default();
        let (all, read) = lines(&mut reader, &path("a"));
        assert!(all && reader.findings.is_empty(), "{:?}", reader.findings);
        assert_eq!(read, ["a:1 one", "a:2 $include b", "b:1 three\r", "b:2 ", "a:3 two"]);
        let stamps = Stamps(reader.stamps);
        assert_eq!(stamps, stamps.look());
        std::fs::write(path("b"), "four, and longer\n").unwrap();
        assert_ne!(stamps, stamps.look());
    }

    #[test]
    fn what_cannot_be_read_is_named_with_the_line_that_wants_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("circle"), "x\n$include circle\n$include missing\n").unwrap();
        let mut reader = Reader::default();
        let (all, _) = lines(&mut reader, &path("circle"));
        let said: Vec<String> = reader.findings.iter().map(ToString::to_string).collect();
        assert!(!all);
        assert!(said[0].contains("circle:2:1: error") && said[0].contains("includes itself"), "{said:?}");
        assert!(said[1].contains("circle:3:1") && said[1].contains("missing"), "{said:?}");

        std::fs::write(path("latin"), b"a.example\nb\xfcr.example\n").unwrap();
        let mut reader = Reader::default();
        assert!(!lines(&mut reader, &path("latin")).0);
        assert!(reader.findings[0].to_string().contains("latin:2:1: error: the octet 0xfc"), "{:?}", reader.findings);
        assert!(!lines(&mut Reader::default(), folder.path()).0);
    }
}
