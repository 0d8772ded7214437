//! The domains that a command is to work on, from its arguments and from a file.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use crate::cli::UsageError;
use crate::names::{DomainName, DomainNameError};

/// Domains as a command takes them.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct DomainArgs {
    /// The domains, in A-labels or U-labels.
    #[arg(required_unless_present = "from")]
    pub(in crate::cli) domains: Vec<DomainName>,

    /// Read domains from this file, or from standard input for -: one a line; blank lines, and what follows a #, do not
    /// count. May be given beside domains.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) from: Option<PathBuf>,
}

/// Lines that are no domains.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
struct BadLines(Vec<String>);

impl DomainArgs {
    /// Each domain once, those of the arguments first, in the order given.
    ///
    /// # Errors
    /// Every line that is no domain, at once.
    pub(in crate::cli) fn read(&self) -> anyhow::Result<Vec<DomainName>> {
        let mut domains = self.domains.clone();
        for domain in &domains {
            refuse_address(domain).map_err(|told| UsageError(anyhow!(told)))?;
        }
        if let Some(from) = &self.from {
            let (name, octets) = read(from)?;
            domains.extend(parse(&name, &octets).map_err(|bad| UsageError(bad.into()))?);
        }
        Ok(unique(&domains))
    }
}

fn read(from: &Path) -> anyhow::Result<(String, Vec<u8>)> {
    if from == Path::new("-") {
        let mut octets = Vec::new();
        io::stdin().lock().read_to_end(&mut octets).context("standard input cannot be read")?;
        return Ok(("standard input".to_owned(), octets));
    }
    let octets = fs::read(from).with_context(|| format!("{} cannot be read", from.display()));
    Ok((from.display().to_string(), octets.map_err(UsageError)?))
}

fn parse(name: &str, octets: &[u8]) -> Result<Vec<DomainName>, BadLines> {
    let mut domains = Vec::new();
    let mut bad = Vec::new();
    for (number, line) in (1..).zip(octets.split(|octet| *octet == b'\n')) {
        let line = line.split(|octet| *octet == b'#').next().unwrap_or_default().trim_ascii();
        if line.is_empty() {
            continue;
        }
        match parse_line(line) {
            Ok(domain) => domains.push(domain),
            Err(told) => bad.push(format!("{name}: line {number}: {told}")),
        }
    }
    if bad.is_empty() { Ok(domains) } else { Err(BadLines(bad)) }
}

fn parse_line(line: &[u8]) -> Result<DomainName, String> {
    let domain = DomainName::from_octets(line).map_err(|error: DomainNameError| error.to_string())?;
    refuse_address(&domain)?;
    Ok(domain)
}

fn refuse_address(domain: &DomainName) -> Result<(), String> {
    match domain.as_str().parse::<Ipv4Addr>() {
        Ok(_) => Err(format!("{domain} is an address; give the domain that stands in From")),
        Err(_) => Ok(()),
    }
}

/// Each domain once, in the order given.
pub(in crate::cli) fn unique(domains: &[DomainName]) -> Vec<DomainName> {
    let mut seen = HashSet::new();
    domains.iter().filter(|domain| seen.insert(*domain)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_do_not_count() {
        let text = "# customers\n\nexample.com\r\n  b\u{fc}cher.example # of old\n\t\nEXAMPLE.com.";
        let domains = parse("list", text.as_bytes()).unwrap();
        let names: Vec<_> = unique(&domains).iter().map(|domain| domain.as_str().to_owned()).collect();
        assert_eq!(names, ["example.com", "xn--bcher-kva.example"]);
    }

    #[test]
    fn every_bad_line_is_told_with_its_number_and_octet() {
        let Err(BadLines(bad)) = parse("list", b"a.example\nb c.example\n\xff.example\n192.0.2.1\n") else { panic!() };
        assert_eq!(bad.len(), 3);
        assert!(bad[0].starts_with("list: line 2: ") && bad[0].contains("0x20"), "{bad:?}");
        assert!(bad[1].starts_with("list: line 3: ") && bad[1].contains("0xff"), "{bad:?}");
        assert!(bad[2].starts_with("list: line 4: ") && bad[2].contains("is an address"), "{bad:?}");
    }
}
