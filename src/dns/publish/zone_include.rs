//! A file with our records, which a zone file includes (`$INCLUDE`), and a program that has the zone loaded again.
//!
//! ```text
//! SOA and TXT asked ─▶ file read, changed, written whole ─▶ reload ─▶ SOA asked until its serial is higher, TXT as wanted
//! ```
//!
//! The file is written beside itself, synced and renamed, so that a server that reads it meets the old or the new one. A run that
//! is cut off between the file and the reload is mended by the next: the server does not show what the file has, so
//! it is told to reload again.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::time::Instant;

use super::error::ProgramProblem;
use super::program::run;
use super::stream::Stream;
use super::{Outcome, PublishError, Publisher, Publishing, Record, Standing};
use crate::config::NameServer;
use crate::dns::name::{absolute, plain};
use crate::dns::seen::{cname_at, soa_of, txt};
use crate::dns::wire::Question;
use crate::names::DomainName;
use crate::observation::{Soa, Txt};

const HEAD: &str = "; Written by waxseal; do not edit. Include it in the zone: $INCLUDE \"this file\"\n";
/// Between two questions whether the zone was loaded.
const PAUSE: Duration = Duration::from_millis(50);

/// Changes records in a file that a zone includes.
#[derive(Debug, Clone)]
pub struct ZoneInclude {
    /// The file.
    pub path: PathBuf,
    /// The zone that includes it.
    pub zone: DomainName,
    /// The program that has the zone loaded, and its arguments.
    pub reload: Vec<String>,
    /// Where to look whether it was. Without one, nobody does.
    pub server: Option<NameServer>,
    /// How long to wait for an answer, for the program, and for the zone to be loaded.
    pub timeout: Duration,
}

/// What is to become of a name.
#[derive(Debug, Clone)]
enum Change {
    Present(Record),
    Replace(Record, Record),
    Absent(Record),
}

/// What the file needs for a change.
#[derive(Debug, PartialEq, Eq)]
enum Edit {
    Written,
    NotNeeded,
    Conflict(Standing),
}

/// What the server serves.
struct Served {
    serial: u32,
    standing: Standing,
}

impl ZoneInclude {
    async fn change(&self, change: Change) -> Result<Outcome, PublishError> {
        let record = change.record();
        let Some(name) = absolute(&record.name) else { return Err(PublishError::Name { name: record.name.clone() }) };
        let Some(zone) = absolute(self.zone.as_str()).filter(|zone| zone.zone_of(&name)) else {
            return Err(PublishError::OutsideZone { name: plain(&name), zone: self.zone.to_string() });
        };
        let before = match &self.server {
            Some(server) => Some(self.served(server, &zone, &name).await?),
            None => None,
        };
        if let Some(served) = &before
            && !change.is_of_ours(&served.standing)
        {
            return Ok(Outcome::Conflict(before.map_or(Standing::Unknown, |served| served.standing)));
        }
        let edit = {
            let (path, change) = (self.path.clone(), change.clone());
            let failed = |error: tokio::task::JoinError| PublishError::File {
                path: self.path.clone(),
                source: io::Error::other(error),
            };
            tokio::task::spawn_blocking(move || edit(&path, &change)).await.map_err(failed)??
        };
        let outcome = match edit {
            Edit::Conflict(standing) => return Ok(Outcome::Conflict(standing)),
            Edit::Written => Outcome::Done,
            Edit::NotNeeded => Outcome::AlreadySo,
        };
        if outcome == Outcome::AlreadySo && before.as_ref().is_some_and(|served| change.is_seen(&served.standing)) {
            return Ok(outcome);
        }
        let finished = run(&self.reload, b"", self.timeout).await?;
        if finished.code != 0 {
            let program = self.reload.first().cloned().unwrap_or_default();
            return Err(PublishError::Program {
                program,
                problem: ProgramProblem::Exit(finished.code),
                said: finished.said,
            });
        }
        if let (Some(server), Some(before)) = (&self.server, before) {
            self.wait_until_loaded(server, &zone, &name, &change, before.serial).await?;
        }
        Ok(outcome)
    }

    async fn wait_until_loaded(
        &self,
        server: &NameServer,
        zone: &Name,
        name: &Name,
        change: &Change,
        before: u32,
    ) -> Result<(), PublishError> {
        let until = Instant::now() + self.timeout;
        loop {
            let served = self.served(server, zone, name).await?;
            let (is_seen, has_risen) = (change.is_seen(&served.standing), is_higher(served.serial, before));
            if is_seen && has_risen {
                return Ok(());
            }
            if Instant::now() + PAUSE > until {
                let (server, name, zone) = (server.to_string(), plain(name), self.zone.to_string());
                return Err(if is_seen {
                    PublishError::SerialStands { server, name, zone, serial: served.serial }
                } else {
                    PublishError::NotLoaded { server, name, zone }
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn served(&self, server: &NameServer, zone: &Name, name: &Name) -> Result<Served, PublishError> {
        let mut stream = Stream::open(server, self.timeout).await?;
        let soa = ask(&mut stream, zone, RecordType::SOA).await?;
        let serial = match soa_of(&soa.answers) {
            Some((_, Soa { serial, .. })) if soa.metadata.authoritative => serial,
            _ => return Err(PublishError::NoZone { server: server.to_string(), name: plain(name) }),
        };
        let texts = ask(&mut stream, name, RecordType::TXT).await?;
        let records: Vec<Txt> = texts.answers.iter().filter(|record| record.name == *name).filter_map(txt).collect();
        let standing = match cname_at(name, &texts) {
            Some(cname) => Standing::Cname { target: cname.target },
            None if records.is_empty() => Standing::Nothing,
            None => Standing::Txt(records),
        };
        Ok(Served { serial, standing })
    }
}

impl Publisher for ZoneInclude {
    fn present<'a>(&'a self, record: &'a Record) -> Publishing<'a> {
        Box::pin(self.change(Change::Present(record.clone())))
    }

    fn replace<'a>(&'a self, old: &'a Record, new: &'a Record) -> Publishing<'a> {
        Box::pin(self.change(Change::Replace(old.clone(), new.clone())))
    }

    fn absent<'a>(&'a self, record: &'a Record) -> Publishing<'a> {
        Box::pin(self.change(Change::Absent(record.clone())))
    }
}

async fn ask(stream: &mut Stream, name: &Name, record_type: RecordType) -> Result<Message, PublishError> {
    let question = Question::authoritative(name, record_type);
    let Some((id, octets)) = question.encode() else { return Err(PublishError::Name { name: plain(name) }) };
    let answer = stream.exchange(&octets).await?;
    question.decode(id, &answer).map_err(|detail| stream.malformed(detail))
}

/// Serial number arithmetic (RFC 1982 §3.2).
fn is_higher(serial: u32, than: u32) -> bool {
    (1..1 << 31).contains(&serial.wrapping_sub(than))
}

impl Change {
    fn record(&self) -> &Record {
        match self {
            Self::Present(record) | Self::Absent(record) | Self::Replace(_, record) => record,
        }
    }

    /// Whether the server shows it.
    fn is_seen(&self, standing: &Standing) -> bool {
        match self {
            Self::Present(record) | Self::Replace(_, record) => is_only(standing, record),
            Self::Absent(_) => *standing == Standing::Nothing,
        }
    }

    /// Whether what the server shows is nobody else's.
    fn is_of_ours(&self, standing: &Standing) -> bool {
        let old = match self {
            Self::Replace(old, _) => Some(old),
            _ => None,
        };
        let is_old = old.is_some_and(|old| is_only(standing, old));
        *standing == Standing::Nothing || is_only(standing, self.record()) || is_old
    }

    /// What a file with these records needs, and what it has then.
    fn apply(&self, records: &mut BTreeMap<String, Record>) -> Edit {
        let name = self.record().name.to_ascii_lowercase();
        let standing = records.get(&name);
        let is = |record: &Record| standing.is_some_and(|standing| standing.value == record.value);
        match (self, standing) {
            (Self::Present(record), None) => {
                records.insert(name, record.clone());
                Edit::Written
            }
            (Self::Replace(old, new), Some(_)) if is(old) => {
                records.insert(name, new.clone());
                Edit::Written
            }
            (Self::Absent(record), Some(_)) if is(record) => {
                records.remove(&name);
                Edit::Written
            }
            (Self::Present(record) | Self::Replace(_, record), Some(_)) if is(record) => Edit::NotNeeded,
            (Self::Absent(_), None) => Edit::NotNeeded,
            (_, None) => Edit::Conflict(Standing::Nothing),
            (_, Some(other)) => {
                let strings = other.strings().into_iter().map(<[u8]>::to_vec).collect();
                Edit::Conflict(Standing::Txt(vec![Txt { strings, ttl: other.ttl }]))
            }
        }
    }
}

fn is_only(standing: &Standing, record: &Record) -> bool {
    matches!(standing, Standing::Txt(records) if matches!(records.as_slice(), [only] if record.has_value_of(only)))
}

/// Changes the file, holding the lock of its directory against other runs. Blocks on the file system.
fn edit(path: &Path, change: &Change) -> Result<Edit, PublishError> {
    let failed = |source| PublishError::File { path: path.to_owned(), source };
    let directory = path.parent().unwrap_or(Path::new("/"));
    let lock = File::open(directory).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    let mut records = parse(&text).map_err(|line| PublishError::ForeignLine { path: path.to_owned(), line })?;
    let edit = change.apply(&mut records);
    if edit == Edit::Written {
        write(path, directory, &print(&records)).map_err(failed)?;
        lock.sync_all().map_err(failed)?;
    }
    Ok(edit)
}

fn write(path: &Path, directory: &Path, text: &str) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".waxseal-").tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    // The name server runs as another user; what stands in DNS is no secret.
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn print(records: &BTreeMap<String, Record>) -> String {
    let line = |record: &Record| format!("{}. {} IN TXT {}\n", record.name, record.ttl, record.quoted());
    std::iter::once(HEAD.to_owned()).chain(records.values().map(line)).collect()
}

/// The records of a file that [`print()`] wrote, or the number of the first line that it did not.
fn parse(text: &str) -> Result<BTreeMap<String, Record>, usize> {
    let mut records = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        if line.starts_with(';') || line.trim().is_empty() {
            continue;
        }
        let record = parse_line(line).ok_or(index + 1)?;
        if records.insert(record.name.to_ascii_lowercase(), record).is_some() {
            return Err(index + 1);
        }
    }
    Ok(records)
}

fn parse_line(line: &str) -> Option<Record> {
    let (name, rest) = line.split_once(". ")?;
    let (ttl, rest) = rest.split_once(" IN TXT ")?;
    let value = super::powerdns::strings(rest).concat();
    let record = Record::new(name, ttl.parse().ok()?, String::from_utf8(value).ok()?);
    let is_ours = absolute(name).is_some() && record.quoted() == rest;
    is_ours.then_some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(selector: &str, value: &str) -> Record {
        Record::new(format!("{selector}._domainkey.example.test"), 3600, value)
    }

    #[test]
    fn a_file_comes_back_as_it_was_written() {
        let long = "v=DKIM1; p=".to_owned() + &"A".repeat(400);
        let mut records = BTreeMap::new();
        for (selector, value) in [("b", long.as_str()), ("a", "quote \" and \\"), ("c", "")] {
            assert_eq!(Change::Present(record(selector, value)).apply(&mut records), Edit::Written);
        }
        assert_eq!(parse(&print(&records)), Ok(records));
        for (foreign, line) in
            [("; x\n@ IN A 192.0.2.1\n", 2), ("a.test. 60 IN TXT \"a\"\na.test. 60 IN TXT \"b\"\n", 2)]
        {
            assert_eq!(parse(foreign), Err(line), "{foreign}");
        }
    }

    #[test]
    fn only_the_record_that_is_meant_is_changed() {
        let (ours, other) = (record("a", "ours"), record("a", "other"));
        let mut records = BTreeMap::new();
        assert_eq!(Change::Absent(ours.clone()).apply(&mut records), Edit::NotNeeded);
        assert_eq!(Change::Present(ours.clone()).apply(&mut records), Edit::Written);
        assert_eq!(Change::Present(ours.clone()).apply(&mut records), Edit::NotNeeded);
        for change in [
            Change::Present(other.clone()),
            Change::Absent(other.clone()),
            Change::Replace(other.clone(), record("a", "third")),
        ] {
            assert!(matches!(change.apply(&mut records), Edit::Conflict(_)), "{change:?}");
        }
        assert_eq!(Change::Replace(ours.clone(), other.clone()).apply(&mut records), Edit::Written);
        assert_eq!(Change::Replace(ours, other.clone()).apply(&mut records), Edit::NotNeeded);
        assert_eq!(Change::Absent(other).apply(&mut records), Edit::Written);
        assert!(records.is_empty());
    }

    #[test]
    fn serials_rise_in_a_circle() {
        assert!(is_higher(2, 1) && is_higher(0, u32::MAX) && is_higher(2_026_112_301, 2_026_112_300));
        assert!(!is_higher(1, 1) && !is_higher(1, 2) && !is_higher(u32::MAX, 0));
    }
}
