//! Whose mail is signed by us while another signer stands before us.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::index::{PatternIndex, PatternIndexBuilder};
use super::map::{self, MapSource};
use super::pattern::AddressPattern;
use crate::dkim::backend::Sha256;
use crate::finding::{Finding, Place, Severity};
use crate::names::DomainName;

/// Whether signatures are inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SigningMode {
    /// They are.
    #[default]
    Sign,
    /// They are made, and compared with those of the signer before us, but for mail that a cut-over takes.
    Shadow,
}

/// A share of all domains, from 0 % to 100 %, in hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Share(u16);

/// Why a text is no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no share; write a percentage from \"0%\" to \"100%\", such as \"50%\" or \"0.5%\"")]
pub struct ShareError {
    given: String,
}

/// What a cut-over takes, as the configuration says it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CutoverSettings {
    /// The share of the author domains.
    pub share: Share,
    /// Author domains that are taken whatever the share is; patterns without a local part.
    pub domains: Vec<AddressPattern>,
    /// Files with more of them.
    pub maps: Vec<PathBuf>,
}

/// What a cut-over takes, made ready to be asked.
#[derive(Debug, Clone)]
pub struct Cutover {
    share: Share,
    domains: PatternIndex,
}

/// Problems reported at once.
const MAX_PROBLEMS: usize = 50;

impl Share {
    /// Whether a domain is of it.
    ///
    /// Where a domain stands never changes: it is the first 8 octets of the SHA-256 of its name, in lower case and in A-labels,
    /// as a fraction of all such numbers. So a share that grows keeps those it has, and all machines agree.
    pub fn has(self, domain: &DomainName) -> bool {
        let mut sha256 = Sha256::new();
        sha256.update(domain.as_str().as_bytes());
        let [a, b, c, d, e, f, g, h, ..] = sha256.finish();
        let point = u128::from(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
        ((point * 10_000) >> 64) < u128::from(self.0)
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || ShareError { given: text.into() };
        let number = text.strip_suffix('%').ok_or_else(fail)?.trim_end();
        let (whole, hundredths) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
        if !is_number(whole) || !is_number(hundredths) || hundredths.len() > 2 {
            return Err(fail());
        }
        let whole: u16 = whole.parse().map_err(|_| fail())?;
        let hundredths: u16 = format!("{hundredths:0<2}").parse().map_err(|_| fail())?;
        let share = whole.checked_mul(100).and_then(|share| share.checked_add(hundredths));
        share.filter(|share| *share <= 10_000).map(Self).ok_or_else(fail)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, hundredths) if hundredths.is_multiple_of(10) => write!(f, "{whole}.{}%", hundredths / 10),
            (whole, hundredths) => write!(f, "{whole}.{hundredths:02}%"),
        }
    }
}

impl Cutover {
    /// Makes a cut-over of what the configuration says and its maps hold; with it come warnings.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the maps, at most 50 findings: who is taken must not depend on what happened to be
    /// readable. What could not be read at all, the source of the maps has said.
    pub fn compile(settings: &CutoverSettings, maps: &mut impl MapSource) -> Result<Self, Vec<Finding>> {
        let mut builder = PatternIndexBuilder::default();
        let mut findings = Vec::new();
        let mut all_read = true;
        builder.table().begin(Path::new("[cutover]"), 0);
        for pattern in &settings.domains {
            insert(&mut builder, pattern.domain(), (Path::new("[cutover]"), 0), &mut findings);
        }
        for file in &settings.maps {
            all_read &= maps.read(file, &mut |path, line, text| {
                builder.table().begin(path, 0);
                match map::recipient_line(text) {
                    Ok(Some((local_part, domain))) if local_part == "*" => {
                        insert(&mut builder, &domain, (path, line), &mut findings);
                    }
                    Ok(Some((local_part, domain))) => {
                        let evidence = format!("{local_part}@{domain} is an address; domains are cut over as a whole");
                        keep(&mut findings, (path, line), evidence, "name the domain alone");
                    }
                    Ok(None) => {}
                    Err(error) => {
                        let remedy = "name one domain on each line, or begin the line with # to leave it out";
                        keep(&mut findings, (path, line), error.to_string(), remedy);
                    }
                }
            });
        }
        match builder.build() {
            Ok(domains) if all_read && findings.is_empty() => Ok(Self { share: settings.share, domains }),
            Ok(_) => Err(findings),
            Err(_) => {
                too_many(&mut findings, (Path::new("[cutover]"), 0));
                Err(findings)
            }
        }
    }

    /// Whether it takes mail of that author domain.
    pub fn takes(&self, author: &DomainName) -> bool {
        self.share.has(author) || self.domains.fitting(b"", author.as_str()).next().is_some()
    }
}

type At<'p> = (&'p Path, usize);

/// The same domain twice is no harm: which line has it decides nothing.
fn insert(builder: &mut PatternIndexBuilder, domain: &str, at: At<'_>, findings: &mut Vec<Finding>) {
    if builder.insert("*", domain, b"", at.1).is_err() {
        too_many(findings, at);
    }
}

fn too_many(findings: &mut Vec<Finding>, at: At<'_>) {
    keep(findings, at, "there are more domains than can be held: 4 GiB of text".into(), "use share instead");
}

fn keep(findings: &mut Vec<Finding>, (path, line): At<'_>, evidence: String, remedy: &str) {
    if findings.len() < MAX_PROBLEMS {
        let place = Place::Line { path: path.to_owned(), line, column: 1 };
        findings.push(Finding::new("map.line", Severity::Error, place, evidence, remedy));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Lines(Vec<&'static str>);

    impl MapSource for Lines {
        fn read(&mut self, path: &Path, take: &mut dyn FnMut(&Path, usize, &str)) -> bool {
            self.0.iter().enumerate().for_each(|(index, line)| take(path, index + 1, line));
            path != Path::new("missing")
        }
    }

    fn domain(name: &str) -> DomainName {
        DomainName::parse(name).unwrap()
    }

    fn share(text: &str) -> Share {
        text.parse().unwrap()
    }

    #[test]
    fn shares_are_read_as_they_are_written() {
        for text in ["0%", "100%", "50%", "0.5%", "0.05%", "99.99%"] {
            assert_eq!(share(text).to_string(), text);
        }
        assert_eq!(share("7.50 %"), share("7.5%"));
        for wrong in ["", "%", "50", "-1%", "101%", "100.01%", "1.234%", ".5%", "5.%", "half", "70000%"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_share_that_grows_keeps_what_it_has_and_is_as_large_as_it_says() {
        let domains: Vec<DomainName> = (0..4000).map(|number| domain(&format!("customer{number}.example"))).collect();
        let mut before = Vec::new();
        for (text, least, most) in [("0%", 0, 0), ("1%", 20, 65), ("50%", 1880, 2120), ("100%", 4000, 4000)] {
            let now: Vec<&DomainName> = domains.iter().filter(|domain| share(text).has(domain)).collect();
            assert!((least..=most).contains(&now.len()), "{text}: {}", now.len());
            assert!(before.iter().all(|domain| now.contains(domain)), "{text}");
            before = now;
        }
    }

    #[test]
    fn where_a_domain_stands_is_the_same_everywhere_and_always() {
        // printf example.com | sha256sum: a379a6f6eeafb9a5…, and 0xa379a6f6 / 2^32 = 63.85 %.
        assert!(share("63.86%").has(&domain("Example.COM")));
        assert!(!share("63.85%").has(&domain("example.com")));
    }

    #[test]
    fn listed_domains_are_taken_whatever_the_share_is() {
        let settings = CutoverSettings {
            domains: vec![AddressPattern::parse("*.example.net").unwrap()],
            maps: vec!["map".into()],
            ..CutoverSettings::default()
        };
        let mut maps = Lines(vec!["# first", "example.com", "example.com", "b\u{fc}cher.example  # U-label"]);
        let cutover = Cutover::compile(&settings, &mut maps).unwrap();
        for (name, is_taken) in [
            ("example.com", true),
            ("sub.example.com", false),
            ("a.example.net", true),
            ("example.net", false),
            ("xn--bcher-kva.example", true),
        ] {
            assert_eq!(cutover.takes(&domain(name)), is_taken, "{name}");
        }
    }

    #[test]
    fn a_line_that_names_no_domain_is_told_with_its_number() {
        let settings = CutoverSettings { maps: vec!["map".into()], ..CutoverSettings::default() };
        let mut maps = Lines(vec!["example.com", "joe@example.com", "example.net s1", "exa mple..com"]);
        let findings = Cutover::compile(&settings, &mut maps).unwrap_err();
        let said: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(said[0].contains("map:2:1") && said[0].contains("cut over as a whole"), "{said:?}");
        assert!(said[1].contains("map:3:1"), "{said:?}");
        assert_eq!(said.len(), 3);
        let missing = CutoverSettings { maps: vec!["missing".into()], ..CutoverSettings::default() };
        assert!(Cutover::compile(&missing, &mut Lines(Vec::new())).is_err());
    }
}
