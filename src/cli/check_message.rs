//! `waxseal check-message`.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use super::output::{BAD, Format, GOOD, WARN, write_json};
use super::{Exit, Undetermined, UsageError};
use crate::clock::Clock;
use crate::config::values::DnsServer;
use crate::dkim::verifier::{self, Outcome, Published, Verification};
use crate::dns::{Lookup, Patience, TxtAnswer};
use crate::finding::Chain;
use crate::message::Message;

/// Verify the signatures of one message
///
/// Reads the message from standard input. Key records come from DNS, or from a file. Exits with 0 if every signature
/// passes, 1 if one does not or there is none, 2 if the file of records cannot be used, 3 if a record could not be found
/// out.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Take key records from this file instead of DNS: what `waxseal record` prints, or lines of a name, a blank, and
    /// the text.
    #[arg(long, value_name = "FILE", conflicts_with = "resolver")]
    records: Option<PathBuf>,

    /// Ask this resolver (address or address:port) instead of the system's. May be given several times.
    #[arg(long, value_name = "ADDRESS")]
    resolver: Vec<DnsServer>,

    /// How to print the results.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// One signature's result, in the words of RFC 8601 §2.7.1.
#[derive(Debug, Serialize)]
struct Checked {
    result: &'static str,
    /// Why, unless it passed.
    cause: Option<String>,
    domain: Option<String>,
    selector: Option<String>,
    algorithm: Option<&'static str>,
    bits: Option<u32>,
    identity: Option<String>,
    is_testing: bool,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let mut octets = Vec::new();
    io::stdin().lock().read_to_end(&mut octets).context("the message cannot be read")?;
    let message = Message::parse(&octets).context("the message cannot be understood")?;
    let names = verifier::signatures(&message.headers).into_iter().flatten().map(|signature| signature.record_name());
    let records = match &args.records {
        Some(file) => read_records(file).map_err(UsageError)?,
        None => look_up(names.collect(), &args.resolver)?,
    };
    let verified = verify(&message, &records);
    match args.format {
        Format::Json => write_json(out, &verified.iter().map(Checked::of).collect::<Vec<_>>())?,
        Format::Text if verified.is_empty() => writeln!(out, "the message has no DKIM signature")?,
        Format::Text => write_text(out, &verified)?,
    }
    Ok(exit(&verified))
}

/// Key records by lower-case name; a name that is missing has none, and one without records was not to be found out.
pub(super) type Records = HashMap<String, Option<Vec<Vec<u8>>>>;

pub(super) fn verify(message: &Message, records: &Records) -> Vec<Verification> {
    let published = |name: &str| match records.get(&name.to_ascii_lowercase()) {
        None => Published::Records(Vec::new()),
        Some(None) => Published::Unavailable,
        Some(Some(records)) => Published::Records(records.clone()),
    };
    verifier::verify(&message.headers, &message.body, published, Clock::System.now())
}

pub(super) fn exit(verified: &[Verification]) -> Exit {
    let outcomes = || verified.iter().map(|verification| &verification.outcome);
    if verified.is_empty() || outcomes().any(|outcome| matches!(outcome, Outcome::Fail(_) | Outcome::PermError(_))) {
        Exit::Findings
    } else if outcomes().any(|outcome| *outcome == Outcome::TempError) {
        Exit::Undetermined
    } else {
        Exit::Clean
    }
}

impl Checked {
    fn of(verification: &Verification) -> Self {
        let signature = verification.signature.as_ref();
        Self {
            result: verification.outcome.as_str(),
            cause: match &verification.outcome {
                Outcome::Pass => None,
                Outcome::TempError => Some("the key record could not be found out; try again later".into()),
                Outcome::Fail(reason) => Some(reason.to_string()),
                Outcome::PermError(error) => Some(error.to_string()),
            },
            domain: signature.map(|signature| signature.domain.to_string()),
            selector: signature.map(|signature| signature.selector.to_string()),
            algorithm: signature.map(|signature| signature.algorithm.a_tag()),
            bits: verification.key.as_ref().map(|key| key.bits()),
            identity: signature.map(|signature| signature.auid.clone()),
            is_testing: verification.is_testing,
        }
    }
}

pub(super) fn write_text(out: &mut dyn Write, verified: &[Verification]) -> io::Result<()> {
    for verification in verified {
        let style = match verification.outcome {
            Outcome::Pass => GOOD,
            Outcome::TempError => WARN,
            Outcome::Fail(_) | Outcome::PermError(_) => BAD,
        };
        let checked = Checked::of(verification);
        write!(out, "{style}{}{style:#}", checked.result)?;
        if let (Some(domain), Some(selector), Some(algorithm)) = (checked.domain, checked.selector, checked.algorithm) {
            write!(out, "  d={domain} s={selector} a={algorithm}")?;
        }
        if let Some(bits) = checked.bits {
            write!(out, " ({bits} bits)")?;
        }
        if let Some(cause) = checked.cause {
            // From the message: nothing of it may reach the terminal as a control character.
            write!(out, "  {}", cause.escape_debug())?;
        }
        writeln!(out, "{}", if checked.is_testing { "  (the domain says it is testing, t=y)" } else { "" })?;
    }
    Ok(())
}

fn read_records(file: &Path) -> anyhow::Result<Records> {
    let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mut records = Records::new();
    for (line, number) in text.lines().zip(1..) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once([' ', '\t']).with_context(|| {
            format!("{}:{number}: no blank between a name and its record; write one", file.display())
        })?;
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let value = zone_file_text(value).unwrap_or_else(|| value.trim().as_bytes().to_owned());
        records.entry(name).or_default().get_or_insert_default().push(value);
    }
    Ok(records)
}

/// The text of `3600 IN TXT ( "…" "…" )`, a zone file's line without its name (RFC 1035 §5.1); none if it is no such
/// line.
fn zone_file_text(line: &str) -> Option<Vec<u8>> {
    let (before, mut rest) = line.split_once('"')?;
    if !before.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case("TXT")) {
        return None;
    }
    let mut text = Vec::new();
    loop {
        let mut octets = rest.bytes().enumerate();
        let end = loop {
            match octets.next()? {
                (at, b'"') => break at,
                (_, b'\\') => text.push(octets.next()?.1),
                (_, octet) => text.push(octet),
            }
        };
        match rest.get(end + 1..)?.split_once('"') {
            Some((_, next)) => rest = next,
            None => return Some(text),
        }
    }
}

fn look_up(names: Vec<String>, resolvers: &[DnsServer]) -> anyhow::Result<Records> {
    let mut records = Records::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let lookup = match resolvers {
            [] => Lookup::system(Patience::default())
                .context("no resolver is known; name one with --resolver, or give the records with --records")
                .map_err(Undetermined)?,
            resolvers => {
                let servers: Vec<_> = resolvers.iter().map(|server| server.0).collect();
                Lookup::of_servers(&servers, Patience::default())?
            }
        };
        for name in names {
            let found = match lookup.txt(&name).await {
                Ok(TxtAnswer::Found { records, .. }) => Some(records),
                Ok(TxtAnswer::NoRecord | TxtAnswer::NoSuchName) => Some(Vec::new()),
                Err(error) => {
                    anstream::eprintln!("{WARN}warning:{WARN:#} {}", Chain(&error));
                    None
                }
            };
            records.insert(name.to_ascii_lowercase(), found);
        }
        Ok(records)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_zone_file_is_read_as_its_text() {
        let line = r#"3600 IN TXT ( "v=DKIM1; " "p=a\"b\\" ) ; made today"#;
        assert_eq!(zone_file_text(line).unwrap(), br#"v=DKIM1; p=a"b\"#);
        assert_eq!(zone_file_text("v=DKIM1; n=\"TX\"; p=abc"), None);
        assert_eq!(zone_file_text("TXT \"never closed"), None);
    }
}
