//! From settings and maps to a [`Policy`].

use std::path::Path;

use super::index::PatternIndexBuilder;
use super::judge::Policy;
use super::map::{self, MapLineError, MapSource};
use super::rule::Rule;
use super::table::{Full, Inserted, LONGEST, Table};
use super::trust::Trust;
use crate::finding::{Finding, Place, Severity};

/// Problems reported at once: enough to see what is wrong, few enough to read.
const MAX_PROBLEMS: usize = 50;

impl Policy {
    /// Makes a policy of what the configuration says and its maps hold.
    ///
    /// With the policy come warnings. Errors are all there are, at most 50 of them; there is no policy if a line cannot be
    /// understood or a map cannot be read, since who is signed for must not depend on what happened to be readable.
    pub fn compile(
        trust: Trust,
        rules: Vec<Rule>,
        maps: &mut impl MapSource,
    ) -> Result<(Self, Vec<Finding>), Vec<Finding>> {
        let mut compiler = Compiler { all_read: true, ..Compiler::default() };
        for (number, rule) in rules.iter().enumerate() {
            compiler.rule(rule, number as u32, maps);
        }
        let mut logins = Table::default();
        compiler.logins(&trust, &mut logins, maps);
        let Compiler { authors, recipients, mut findings, problems, all_read, .. } = compiler;
        if problems > MAX_PROBLEMS {
            findings.push(Finding::new(
                "map.more",
                Severity::Error,
                Place::Subject { subject: "maps".into() },
                format!("there are {} more problems than these", problems - MAX_PROBLEMS),
                "mend these first",
            ));
        }
        let built = authors.build().and_then(|authors| Ok((authors, recipients.build()?)));
        let (Ok((authors, recipients)), true) = (built, all_read) else {
            if all_read {
                findings.push(too_large(Path::new("maps"), 1));
            }
            return Err(findings);
        };
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Err(findings);
        }
        Ok((Self::new(trust, rules, authors, recipients, logins), findings))
    }
}

#[derive(Default)]
struct Compiler {
    authors: PatternIndexBuilder,
    recipients: PatternIndexBuilder,
    findings: Vec<Finding>,
    problems: usize,
    all_read: bool,
}

/// What a map's lines are about.
#[derive(Clone, Copy)]
enum Kind {
    Authors,
    Recipients,
}

impl Compiler {
    fn rule(&mut self, rule: &Rule, number: u32, maps: &mut impl MapSource) {
        let (path, line) = match &rule.spot.place {
            Place::Line { path, line, .. } => (path.as_path(), *line),
            _ => (Path::new(""), 0),
        };
        for (kind, patterns, files) in
            [(Kind::Authors, &rule.from, &rule.from_maps), (Kind::Recipients, &rule.to, &rule.to_maps)]
        {
            self.index(kind).table().begin(path, number);
            for pattern in patterns {
                self.pattern(kind, pattern.local_part(), pattern.domain(), "", path, line);
            }
            for file in files {
                let all = maps.read(file, &mut |path, line, text| self.line(kind, number, path, line, text));
                self.all_read &= all;
            }
        }
        if rule.is_for_all_authors() {
            self.index(Kind::Authors).table().begin(path, number);
            self.pattern(Kind::Authors, "*", "*", "", path, line);
        }
    }

    fn index(&mut self, kind: Kind) -> &mut PatternIndexBuilder {
        match kind {
            Kind::Authors => &mut self.authors,
            Kind::Recipients => &mut self.recipients,
        }
    }

    fn line(&mut self, kind: Kind, list: u32, path: &Path, line: usize, text: &str) {
        self.index(kind).table().begin(path, list);
        match kind {
            Kind::Authors => match map::author_line(text) {
                Ok(Some(found)) => self.pattern(kind, &found.local_part, &found.domain, &found.value, path, line),
                Ok(None) => {}
                Err(error) => self.unreadable(path, line, &error),
            },
            Kind::Recipients => match map::recipient_line(text) {
                Ok(Some((local_part, domain))) => self.pattern(kind, &local_part, &domain, "", path, line),
                Ok(None) => {}
                Err(error) => self.unreadable(path, line, &error),
            },
        }
    }

    fn pattern(&mut self, kind: Kind, local_part: &str, domain: &str, value: &str, path: &Path, line: usize) {
        match self.index(kind).insert(local_part, domain, value.as_bytes(), line) {
            Ok(Inserted::New) => {}
            Ok(Inserted::Shadowed(first)) => {
                let first = self.index(kind).table().line_of(first);
                let pattern = if local_part == "*" { domain.to_owned() } else { format!("{local_part}@{domain}") };
                let evidence = format!("{pattern} stands at {first} already, and that line decides");
                self.find("map.shadowed", Severity::Warning, path, line, evidence, "leave one of the two out");
            }
            Err(Full) => self.keep(too_large(path, line)),
        }
    }

    fn logins(&mut self, trust: &Trust, table: &mut Table, maps: &mut impl MapSource) {
        table.begin(Path::new("[login]"), 0);
        for (login, patterns) in &trust.logins.listed {
            let patterns: Vec<String> =
                patterns.iter().map(|pattern| format!("{}@{}", pattern.local_part(), pattern.domain())).collect();
            self.login(table, &login.to_ascii_lowercase(), &patterns.join(" "), Path::new("[login]"), 0);
        }
        for file in &trust.logins.maps {
            let all = maps.read(file, &mut |path, line, text| {
                // One list for all maps: a login stands once.
                table.begin(path, 0);
                match map::login_line(text) {
                    Ok(Some((login, patterns))) => self.login(table, &login, &patterns, path, line),
                    Ok(None) => {}
                    Err(error) => self.unreadable(path, line, &error),
                }
            });
            self.all_read &= all;
        }
        table.shrink();
    }

    fn login(&mut self, table: &mut Table, login: &str, patterns: &str, path: &Path, line: usize) {
        let fits = login.len() <= LONGEST && patterns.len() <= LONGEST;
        match fits.then(|| table.insert(login.as_bytes(), patterns.as_bytes(), line)) {
            Some(Ok(Inserted::New)) => {}
            Some(Ok(Inserted::Shadowed(first))) => {
                let first = table.line_of(first);
                let evidence =
                    format!("the login {login:?} stands at {first} already (upper and lower case are the same)");
                let remedy = "put all that it may write as on one line";
                self.find("map.login_twice", Severity::Error, path, line, evidence, remedy);
            }
            Some(Err(Full)) | None => self.keep(too_large(path, line)),
        }
    }

    fn unreadable(&mut self, path: &Path, line: usize, error: &MapLineError) {
        let remedy = "mend the line, or begin it with # to leave it out; the forms are in docs/policy.md";
        self.find("map.line", Severity::Error, path, line, error.to_string(), remedy);
    }

    fn find(
        &mut self,
        rule: &'static str,
        severity: Severity,
        path: &Path,
        line: usize,
        evidence: String,
        remedy: &str,
    ) {
        let place = Place::Line { path: path.to_owned(), line, column: 1 };
        self.keep(Finding::new(rule, severity, place, evidence, remedy));
    }

    fn keep(&mut self, finding: Finding) {
        // Warnings stop being kept early, so that errors find room.
        let room = match finding.severity {
            Severity::Error => MAX_PROBLEMS,
            _ => MAX_PROBLEMS / 2,
        };
        let is_error = finding.severity == Severity::Error;
        self.problems += usize::from(is_error);
        let of_kind = |other: &&Finding| (other.severity == Severity::Error) == is_error;
        if self.findings.iter().filter(of_kind).count() < room {
            self.findings.push(finding);
        }
    }
}

fn too_large(path: &Path, line: usize) -> Finding {
    Finding::new(
        "map.too_large",
        Severity::Error,
        Place::Line { path: path.to_owned(), line, column: 1 },
        "there is more than one policy can hold: 4 GiB of text, and 64 KiB a line",
        "split it among several daemons, or shorten it",
    )
}
