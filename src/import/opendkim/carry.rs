//! OpenDKIM's setup in Waxseal's terms: configuration, map and keys.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::dataset::wildcard_matches;
use super::exceptions::{exempt_patterns, patterns, recipient_patterns};
use super::line::{Line, Lines, Target};
use super::setup::{Matches, Setup, Who, place_of};
use super::trust::{signing, trust};
use crate::config::file::v1;
use crate::finding::{Chain, Finding, Place, Severity};
use crate::import::Sources;
use crate::import::carried::{Carried, CarriedKey, MAP, Signers, Wanted, Weight, Wishes, choose};
use crate::names::{DomainName, Selector};
use crate::policy::AddressPattern;

impl Setup {
    /// Says the same in Waxseal's terms. With an error among the findings nothing should be made of it.
    pub fn carry(&self, wishes: &Wishes, sources: &mut impl Sources, findings: &mut Vec<Finding>) -> Carried {
        let (map, keys) = self.map_and_keys(wishes, sources, findings);
        self.note_socket(wishes, findings);
        let listener = v1::Listener { socket: Some(wishes.listen.clone()), ..v1::Listener::default() };
        let spec = v1::Spec {
            version: Some(1),
            listener: Some(vec![listener]),
            keys: Some(v1::Keys { store: Some("keys".into()), ..v1::Keys::default() }),
            trust: Some(trust(self, findings)),
            signing: Some(signing(self, findings)),
            rule: Some(self.rules(findings)),
            ..v1::Spec::default()
        };
        Carried { spec, map, keys }
    }

    /// Whom the tables sign for, and the keys that they name.
    pub(in crate::import) fn map_and_keys(
        &self,
        wishes: &Wishes,
        sources: &mut impl Sources,
        findings: &mut Vec<Finding>,
    ) -> (String, Vec<CarriedKey>) {
        let lines = Lines::of(self, &wishes.domains, findings);
        let keys = self.keys(&lines, sources, findings);
        let signers = Signers::of(&keys);
        let lines = match self.matches {
            Matches::First => lines.into_iter().map(|line| MapLine::of(&line, &[], &signers)).collect(),
            Matches::All => merged(lines, &signers, findings),
        };
        let mut map = String::from("# Who is signed for, and by whom. The first line that fits decides.\n");
        for MapLine { pattern, value } in &lines {
            let _ = writeln!(map, "{pattern}  {value}");
        }
        (map, keys)
    }

    fn rules(&self, findings: &mut Vec<Finding>) -> Vec<v1::Rule> {
        let never = |name: &str| v1::Rule { name: Some(name.into()), never: Some(true), ..v1::Rule::default() };
        let mut rules = Vec::new();
        let to = patterns(&self.unsigned_recipients, recipient_patterns, findings);
        if !to.is_empty() {
            rules.push(v1::Rule { to: Some(to), ..never("DontSignMailTo") });
        }
        let exempt = patterns(&self.exempt, exempt_patterns, findings);
        if !exempt.is_empty() {
            rules.push(v1::Rule { from: Some(exempt), ..never("ExemptDomains") });
        }
        let maps = Some(vec![PathBuf::from(MAP)]);
        rules.push(v1::Rule { name: Some("SigningTable".into()), from_maps: maps, ..v1::Rule::default() });
        rules.push(never("nobody else"));
        rules
    }

    fn note_socket(&self, wishes: &Wishes, findings: &mut Vec<Finding>) {
        let theirs = self.settings.value("socket").unwrap_or("none in its configuration");
        let evidence = format!("OpenDKIM listens at {theirs}, Waxseal will at {}, so that both can run", wishes.listen);
        let remedy = "tell the MTA when mail is to move over";
        findings.push(Finding::new("import.socket", Severity::Info, place_of(self, "socket"), evidence, remedy));
    }

    /// The keys that lines name, and those that only the KeyTable does, read once each.
    fn keys(&self, lines: &[Line], sources: &mut impl Sources, findings: &mut Vec<Finding>) -> Vec<CarriedKey> {
        let unused = self.unused_keys(lines);
        let mut paths: Vec<PathBuf> = Vec::new();
        let mut numbers: HashMap<PathBuf, usize> = HashMap::new();
        let targets = lines.iter().filter_map(|line| line.target.as_ref()).chain(unused.iter().map(|(one, _)| one));
        for path in targets.filter_map(|target| target.key.path(&self.base, &target.author)) {
            if !numbers.contains_key(&path) {
                numbers.insert(path.clone(), paths.len());
                paths.push(path);
            }
        }
        let read: Vec<_> = sources.private_keys(&paths).into_iter().map(|key| key.map(Arc::new)).collect();
        let key_of = |target: &Target| match target.key.path(&self.base, &target.author) {
            Some(path) => match numbers.get(&path).and_then(|number| read.get(*number)) {
                Some(Ok(key)) => Ok(key.clone()),
                Some(Err(error)) => Err(format!("{}, cannot be taken over: {}", path.display(), Chain(error))),
                None => Err(format!("{}, was not read", path.display())),
            },
            None => target
                .key
                .inline()
                .map(Arc::new)
                .map_err(|error| format!("in the KeyTable, cannot be taken over: {}", Chain(&error))),
        };

        let mut wanted: BTreeMap<&DomainName, Vec<Wanted>> = BTreeMap::new();
        let used = lines.iter().filter_map(|line| Some((line.target.as_ref()?, &line.place, Some(&line.pattern))));
        let also = unused.iter().map(|(target, place)| (target, place, None));
        for (target, place, pattern) in used.chain(also) {
            let of_domain = wanted.entry(&target.domain).or_default();
            let mut find = |rule, severity, evidence: String, remedy: &str| {
                findings.push(Finding::new(rule, severity, place.clone(), evidence, remedy));
            };
            let known = of_domain.iter_mut().find(|other| other.selector == target.selector);
            // Most keys have one line: only for others is it asked whether the key is the same.
            let key = match (key_of(target), pattern) {
                (Ok(key), _) => key,
                (Err(evidence), Some(_)) => {
                    let evidence = format!("the key of {}, {evidence}", target.selector.record_name(&target.domain));
                    let remedy = "mend it, or take out the lines that name it: OpenDKIM defers mail for it";
                    find("import.key", Severity::Error, evidence, remedy);
                    continue;
                }
                (Err(evidence), None) => {
                    let evidence = format!("the key of {}, {evidence}", target.selector.record_name(&target.domain));
                    find("import.unused_key", Severity::Info, evidence, "no line signs with it");
                    continue;
                }
            };
            match known {
                Some(other) => {
                    if other.key.public().id() != key.public().id() {
                        let record = target.selector.record_name(&target.domain);
                        let evidence =
                            format!("two keys for {record}, which has one record: that of {} is taken", other.place);
                        find(
                            "import.two_keys",
                            Severity::Warning,
                            evidence,
                            "waxseal verify says whether it is the one published",
                        );
                    }
                    if let Some(pattern) = pattern {
                        other.weight.add(pattern);
                    }
                }
                None => {
                    let mut weight = Weight::default();
                    if let Some(pattern) = pattern {
                        weight.add(pattern);
                    }
                    of_domain.push(Wanted { selector: target.selector.clone(), key, weight, place: place.clone() });
                }
            }
        }
        wanted.into_iter().flat_map(|(domain, keys)| choose(domain, keys, findings)).collect()
    }

    /// Keys of the KeyTable that no line names, as far as it says whose they are.
    fn unused_keys(&self, lines: &[Line]) -> Vec<(Target, Place)> {
        let Who::Table { keys, .. } = &self.who else { return Vec::new() };
        let used: HashSet<(&str, &str)> = lines
            .iter()
            .filter_map(|line| line.target.as_ref())
            .map(|target| (target.domain.as_str(), target.selector.as_str()))
            .collect();
        let mut unused: Vec<(Target, Place)> = keys
            .values()
            .filter(|(key, _)| !key.is_authors() && !key.has_authors_path())
            .filter_map(|(key, place)| {
                let (domain, selector) = (DomainName::parse(&key.domain).ok()?, Selector::parse(&key.selector).ok()?);
                let author = domain.to_string();
                (!used.contains(&(domain.as_str(), selector.as_str())))
                    .then(|| (Target { domain, selector, identity: None, key: key.clone(), author }, place.clone()))
            })
            .collect();
        unused.sort_by(|(one, _), (other, _)| (&one.domain, &one.selector).cmp(&(&other.domain, &other.selector)));
        unused
    }
}

struct MapLine {
    pattern: AddressPattern,
    value: String,
}

impl MapLine {
    fn of(line: &Line, also: &[&Line], signers: &Signers<'_>) -> Self {
        let targets = std::iter::once(line).chain(also.iter().copied()).filter_map(|line| line.target.as_ref());
        let mut domains: Vec<(&DomainName, Vec<&Selector>)> = Vec::new();
        for target in targets.clone() {
            match domains.iter_mut().find(|(domain, _)| *domain == &target.domain) {
                Some((_, selectors)) => selectors.push(&target.selector),
                None => domains.push((&target.domain, vec![&target.selector])),
            }
        }
        let names: Vec<String> =
            domains.iter().flat_map(|(domain, selectors)| signers.name(domain, selectors)).collect();
        let mut value = names.join(",");
        if value.is_empty() {
            value.push('-');
        } else if let Some(identity) = targets.clone().find_map(|target| target.identity.as_ref()) {
            let _ = write!(value, " {identity}");
        }
        Self { pattern: line.pattern.clone(), value }
    }
}

/// With several signatures: each line with those of all wider lines, the narrower lines first.
fn merged(lines: Vec<Line>, signers: &Signers<'_>, findings: &mut Vec<Finding>) -> Vec<MapLine> {
    let places = Overlaps::of(&lines);
    let mut narrow_first: Vec<(usize, usize, MapLine)> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let others = places.of_line(index, line.pattern.domain());
        let mut also: Vec<&Line> = Vec::new();
        for other in others.into_iter().map(|other| &lines[other]) {
            if is_within(&line.pattern, &other.pattern) {
                also.push(other);
            } else if !is_within(&other.pattern, &line.pattern) && may_overlap(&line.pattern, &other.pattern) {
                let evidence = format!(
                    "{} and {} overlap: whom both fit gets the signatures of one line",
                    line.pattern, other.pattern
                );
                let remedy = "write a line for those of both into the imported map, above the others";
                findings.push(Finding::new("import.overlap", Severity::Warning, line.place.clone(), evidence, remedy));
            }
        }
        let mut signed_twice = also.iter().chain([&line]).filter_map(|line| line.target.as_ref());
        let identities: std::collections::HashSet<_> =
            signed_twice.by_ref().filter_map(|t| t.identity.as_ref()).collect();
        if identities.len() > 1 {
            let evidence = format!("{}: the signatures have several i=, of which one is taken over", line.pattern);
            findings.push(Finding::new("import.identity", Severity::Warning, line.place.clone(), evidence, "d= stays"));
        }
        narrow_first.push((usize::MAX - also.len(), index, MapLine::of(line, &also, signers)));
    }
    narrow_first.sort_by_key(|(narrowness, index, _)| (*narrowness, *index));
    narrow_first.into_iter().map(|(_, _, line)| line).collect()
}

/// Where to look for lines that fit authors of another line too, of which there may be 100,000.
struct Overlaps<'l> {
    /// Lines for one domain.
    exact: HashMap<&'l str, Vec<usize>>,
    /// Lines for all below a domain, by that.
    below: HashMap<&'l str, Vec<usize>>,
    /// Lines with other wildcards.
    wild: Vec<usize>,
}

impl<'l> Overlaps<'l> {
    fn of(lines: &'l [Line]) -> Self {
        let mut overlaps = Self { exact: HashMap::new(), below: HashMap::new(), wild: Vec::new() };
        for (index, domain) in lines.iter().map(|line| line.pattern.domain()).enumerate() {
            match domain.strip_prefix("*.") {
                Some(parent) if !is_wild(parent) => overlaps.below.entry(parent).or_default().push(index),
                _ if is_wild(domain) => overlaps.wild.push(index),
                _ => overlaps.exact.entry(domain).or_default().push(index),
            }
        }
        overlaps
    }

    /// Lines that may fit authors of that line, in their order. Of two of which one is for all below a domain, and the
    /// other for a part of that, only the latter has the former.
    fn of_line(&self, index: usize, domain: &str) -> Vec<usize> {
        let here = self.exact.get(domain).into_iter().flatten();
        let parents = domain.match_indices('.').filter_map(|(at, _)| domain.get(at + 1..));
        let above = parents.filter_map(|parent| self.below.get(parent)).flatten();
        let mut others: Vec<usize> =
            here.chain(above).chain(&self.wild).copied().filter(|other| *other != index).collect();
        others.sort_unstable();
        others.dedup();
        others
    }
}

fn is_wild(text: &str) -> bool {
    text.contains('*')
}

/// Whether all whom the one pattern fits the other fits too: its asterisks stand in places of asterisks.
fn is_within(narrow: &AddressPattern, wide: &AddressPattern) -> bool {
    wildcard_matches(wide.domain(), narrow.domain()) && wildcard_matches(wide.local_part(), narrow.local_part())
}

fn may_overlap(one: &AddressPattern, other: &AddressPattern) -> bool {
    let parts = |one: &str, other: &str| {
        let (first, second) = (one.split('*').next().unwrap_or_default(), other.split('*').next().unwrap_or_default());
        let (last, end) = (one.rsplit('*').next().unwrap_or_default(), other.rsplit('*').next().unwrap_or_default());
        match (is_wild(one), is_wild(other)) {
            (false, false) => one == other,
            (false, true) => wildcard_matches(other, one),
            (true, false) => wildcard_matches(one, other),
            (true, true) => {
                (first.starts_with(second) || second.starts_with(first)) && (last.ends_with(end) || end.ends_with(last))
            }
        }
    };
    parts(one.domain(), other.domain()) && parts(one.local_part(), other.local_part())
}
