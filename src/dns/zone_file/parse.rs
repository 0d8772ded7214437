//! Entries of a zone file as records.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::scan::{Entry, Scanner, Word};
use super::{ZoneFileError, ZoneFileProblem as Problem};
use crate::names::DomainName;
use crate::observation::{Cname, Signature, Soa, Txt, presentation};

/// A zone file that was read.
#[derive(Debug, Clone)]
pub struct ZoneFile {
    pub(super) path: PathBuf,
    /// The owner of the SOA record, and the record.
    pub(super) soa: Option<(String, Soa)>,
    /// The origin that the file began with.
    pub(super) origin: Option<String>,
    pub(super) nodes: BTreeMap<String, Node>,
    /// Every name with a record, and those above them.
    pub(super) existing: BTreeSet<String>,
}

/// What is at one name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) txt: Vec<Txt>,
    pub(super) cname: Option<Cname>,
    pub(super) name_servers: Vec<String>,
    pub(super) signatures: Vec<Signature>,
}

impl ZoneFile {
    /// Reads a zone file. Relative names are below `origin` until the file says otherwise; `path` is for messages.
    ///
    /// # Errors
    /// With the line and a remedy, where a server would refuse the file, and where it includes other files.
    pub fn parse(
        text: impl AsRef<[u8]>,
        origin: Option<&DomainName>,
        path: impl Into<PathBuf>,
    ) -> Result<Self, ZoneFileError> {
        let path = path.into();
        let mut reader = Reader::new(origin);
        let mut scanner = Scanner::new(text.as_ref());
        loop {
            let problem = match scanner.next_entry() {
                Ok(Some(entry)) => reader.take(&entry).map_err(|problem| (entry.line, problem)),
                Ok(None) => break,
                Err(problem) => Err(problem),
            };
            problem.map_err(|(line, problem)| ZoneFileError { path: path.clone(), line, problem })?;
        }
        let mut existing = BTreeSet::new();
        for owner in reader.owners {
            let mut name = owner.as_str();
            while existing.insert(name.to_owned()) {
                let Some((_, parent)) = name.split_once('.') else { break };
                name = parent;
            }
        }
        Ok(Self { path, soa: reader.soa, origin: reader.first_origin, nodes: reader.nodes, existing })
    }

    /// The file that was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The zone's apex: the owner of the SOA record, if there is one.
    pub fn apex(&self) -> Option<&str> {
        self.soa.as_ref().map(|(apex, _)| apex.as_str())
    }
}

/// What is known while reading.
struct Reader {
    origin: Option<String>,
    first_origin: Option<String>,
    owner: Option<String>,
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
    soa: Option<(String, Soa)>,
    nodes: BTreeMap<String, Node>,
    owners: BTreeSet<String>,
}

impl Reader {
    fn new(origin: Option<&DomainName>) -> Self {
        let origin = origin.map(|origin| origin.as_str().to_owned());
        Self {
            first_origin: origin.clone(),
            origin,
            owner: None,
            default_ttl: None,
            last_ttl: None,
            soa: None,
            nodes: BTreeMap::new(),
            owners: BTreeSet::new(),
        }
    }

    fn take(&mut self, entry: &Entry) -> Result<(), Problem> {
        let words = entry.words.as_slice();
        match words {
            [word, rest @ ..] if word.is("$ORIGIN") => {
                let [name, ..] = rest else { return Err(Problem::Name { name: String::new() }) };
                let origin = self.name(name)?;
                self.first_origin.get_or_insert_with(|| origin.clone());
                self.origin = Some(origin);
                Ok(())
            }
            [word, rest @ ..] if word.is("$TTL") => {
                self.default_ttl = Some(rest.first().map_or(Err(Problem::NoTtl), ttl)?);
                Ok(())
            }
            [word, ..] if word.is("$INCLUDE") => Err(Problem::Directive { directive: "$INCLUDE" }),
            [word, rest @ ..] if word.is("$GENERATE") => {
                // Rows of addresses are nobody's key.
                if rest.iter().any(|word| word.is("TXT") || word.is("CNAME")) {
                    return Err(Problem::Directive { directive: "$GENERATE" });
                }
                Ok(())
            }
            _ => self.record(entry),
        }
    }

    fn record(&mut self, entry: &Entry) -> Result<(), Problem> {
        let mut words = entry.words.as_slice();
        let owner = match words.split_first() {
            Some((first, rest)) if !entry.is_indented => {
                words = rest;
                self.name(first)?
            }
            _ => self.owner.clone().ok_or(Problem::NoOwner)?,
        };
        self.owner = Some(owner.clone());
        let mut own_ttl = None;
        let record_type = loop {
            let (word, rest) = words.split_first().ok_or(Problem::NoType)?;
            words = rest;
            if ["IN", "CH", "HS", "CS"].iter().any(|class| word.is(class)) {
                continue;
            }
            if word.raw.first().is_some_and(u8::is_ascii_digit) {
                own_ttl = Some(ttl(word)?);
                continue;
            }
            let is_type = word.raw.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-');
            if word.is_quoted || !is_type {
                return Err(Problem::NoType);
            }
            break word.text().to_ascii_uppercase();
        };
        self.last_ttl = own_ttl.or(self.last_ttl);
        self.owners.insert(owner.clone());
        match record_type.as_str() {
            "SOA" => self.start_of_authority(owner, own_ttl, words),
            "TXT" => {
                let txt = Txt { strings: strings(words)?, ttl: self.ttl(own_ttl)? };
                let node = self.nodes.entry(owner).or_default();
                // A record that comes twice is served once (RFC 2181 §5).
                if !node.txt.iter().any(|other| other.strings == txt.strings) {
                    node.txt.push(txt);
                }
                Ok(())
            }
            "CNAME" => {
                let target = self.only_name(words, "CNAME")?;
                let cname = Cname { target, ttl: self.ttl(own_ttl)? };
                self.nodes.entry(owner).or_default().cname.get_or_insert(cname);
                Ok(())
            }
            "NS" => {
                let server = self.only_name(words, "NS")?;
                self.nodes.entry(owner).or_default().name_servers.push(server);
                Ok(())
            }
            "RRSIG" => {
                if let Some(signature) = signature(words)? {
                    self.nodes.entry(owner).or_default().signatures.push(signature);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn start_of_authority(&mut self, owner: String, own_ttl: Option<u32>, words: &[Word]) -> Result<(), Problem> {
        let [_, _, serial, _, _, _, minimum] = words else {
            let expected = "it has two names, a serial number, refresh, retry, expire and minimum";
            return Err(Problem::Data { record_type: "SOA", expected });
        };
        if self.soa.is_some() {
            return Err(Problem::SecondSoa);
        }
        let expected = "the serial number is one of 0 to 4294967295";
        let serial = serial.text().parse().map_err(|_| Problem::Data { record_type: "SOA", expected })?;
        let minimum = ttl(minimum)?;
        // Without another TTL, MINIMUM serves as one (RFC 1035 §3.3.13).
        let own_ttl = own_ttl.or(self.default_ttl).unwrap_or(minimum);
        self.last_ttl.get_or_insert(own_ttl);
        self.soa = Some((owner, Soa { serial, ttl: own_ttl, minimum }));
        Ok(())
    }

    fn ttl(&self, own: Option<u32>) -> Result<u32, Problem> {
        own.or(self.default_ttl).or(self.last_ttl).ok_or(Problem::NoTtl)
    }

    fn only_name(&self, words: &[Word], record_type: &'static str) -> Result<String, Problem> {
        match words {
            [name] => self.name(name),
            _ => Err(Problem::Data { record_type, expected: "one name belongs there" }),
        }
    }

    /// A complete name in lower case without the final dot; what is not printable is escaped.
    fn name(&self, word: &Word) -> Result<String, Problem> {
        let raw = word.raw.to_ascii_lowercase();
        let given = || Problem::Name { name: word.text() };
        let origin = || self.origin.as_deref().ok_or_else(|| Problem::NoOrigin { name: word.text() });
        let name = match raw.as_slice() {
            b"@" => origin()?.to_owned(),
            b"." => String::new(),
            [name @ .., b'.'] if name.last() != Some(&b'\\') => printable(name),
            name => match origin()? {
                "" => printable(name),
                origin => format!("{}.{origin}", printable(name)),
            },
        };
        let is_good = |label: &str| !label.is_empty() && label.len() <= 63 * 4;
        // Escapes take more room than the octets they stand for.
        let length = if name.contains('\\') { name.len() / 4 } else { name.len() };
        if (!name.is_empty() && !name.split('.').all(is_good)) || length > 253 {
            return Err(given());
        }
        Ok(name)
    }
}

fn printable(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) if text.bytes().all(|octet| octet.is_ascii_graphic()) => text.to_owned(),
        _ => presentation(name),
    }
}

fn strings(words: &[Word]) -> Result<Vec<Vec<u8>>, Problem> {
    let is_generic = words.first().is_some_and(|word| !word.is_quoted && word.raw == b"\\#");
    if words.is_empty() || is_generic {
        return Err(Problem::Data { record_type: "TXT", expected: "quoted strings belong there" });
    }
    let strings: Vec<_> = words.iter().map(Word::octets).collect::<Result<_, _>>()?;
    match strings.iter().map(Vec::len).find(|length| *length > 255) {
        Some(length) => Err(Problem::StringTooLong { length }),
        None => Ok(strings),
    }
}

/// Seconds, or BIND's `1h30m`.
fn ttl(word: &Word) -> Result<u32, Problem> {
    let wrong = || Problem::Ttl { ttl: word.text() };
    let mut total: u32 = 0;
    let mut number: Option<u32> = None;
    for octet in &word.raw {
        if octet.is_ascii_digit() {
            let digit = u32::from(octet - b'0');
            let longer = number.unwrap_or(0).checked_mul(10).and_then(|number| number.checked_add(digit));
            number = Some(longer.ok_or_else(wrong)?);
            continue;
        }
        let unit = match octet.to_ascii_lowercase() {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return Err(wrong()),
        };
        let seconds = number.take().and_then(|number| number.checked_mul(unit));
        total = seconds.and_then(|seconds| total.checked_add(seconds)).ok_or_else(wrong)?;
    }
    if word.raw.is_empty() || word.is_quoted {
        return Err(wrong());
    }
    total.checked_add(number.unwrap_or(0)).ok_or_else(wrong)
}

/// The expiry of a signature over TXT or CNAME records (RFC 4034 §3.2).
fn signature(words: &[Word]) -> Result<Option<Signature>, Problem> {
    let wrong = || Problem::Data { record_type: "RRSIG", expected: "the fifth word is when it expires" };
    let [covered, _, _, _, expires, ..] = words else { return Err(wrong()) };
    if !covered.is("TXT") && !covered.is("CNAME") {
        return Ok(None);
    }
    let expires = expires.text();
    let at = if expires.len() == 14 {
        let time = DateTime::strptime("%Y%m%d%H%M%S", &expires).map_err(|_| wrong())?;
        TimeZone::UTC.to_timestamp(time).map_err(|_| wrong())?
    } else {
        Timestamp::from_second(i64::from(expires.parse::<u32>().map_err(|_| wrong())?)).map_err(|_| wrong())?
    };
    Ok(Some(Signature { expires: at }))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
