//! What an import says in the end, for people and for machines.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::real::ThroughProgram;
use crate::cli::generate::command;
use crate::cli::output::{BAD, FAINT, Format, GOOD, STRONG, WARN, write_json};
use crate::dkim::key::{Algorithm, STRONG_RSA_BITS};
use crate::finding::{Finding, Severity};
use crate::import::{CarriedKey, Comparison, Difference, KeyUse};

/// Differences and findings of one kind that are shown to people; JSON has all.
const SHOWN: usize = 20;

/// What is said at the end.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// What was read.
    pub(super) source: PathBuf,
    /// waxseal.toml; none if nothing was written.
    pub(super) written: Option<PathBuf>,
    pub(super) keys: Vec<ReportedKey>,
    pub(super) findings: Vec<Finding>,
    /// By a model of the other signer; none if there were errors before.
    pub(super) comparison: Option<Comparison>,
    /// By the other signer's program itself; none where it is not installed or not asked.
    pub(super) through_program: Option<ThroughProgram>,
}

#[derive(Debug, Serialize)]
pub(super) struct ReportedKey {
    domain: String,
    selector: String,
    algorithm: String,
    bits: u32,
    signs: bool,
    /// Whether it should be replaced soon.
    rotate: bool,
}

impl ReportedKey {
    pub(super) fn of(key: &CarriedKey) -> Self {
        let public = key.key.public();
        let signs = key.usage == KeyUse::Signs;
        Self {
            domain: key.domain.to_string(),
            selector: key.selector.to_string(),
            algorithm: public.algorithm().to_string(),
            bits: public.bits(),
            signs,
            rotate: signs && public.algorithm() == Algorithm::RsaSha256 && public.bits() < STRONG_RSA_BITS,
        }
    }
}

impl Report {
    /// Writes it; `theirs` is what the other signer is called.
    pub(super) fn write(&self, format: Format, theirs: &str, config: &Path, out: &mut dyn Write) -> io::Result<()> {
        if format == Format::Json {
            return write_json(out, self);
        }
        self.write_findings(out)?;
        if self.comparison.is_some() {
            self.write_keys(out)?;
        }
        if let Some(comparison) = &self.comparison {
            write_comparison(comparison, theirs, "a model of ", out)?;
        }
        if let Some(ThroughProgram { program, unlike_model, comparison }) = &self.through_program {
            write_comparison(comparison, theirs, &format!("{} itself, ", program.display()), out)?;
            for name in unlike_model.iter().take(SHOWN) {
                writeln!(out, "  {WARN}The model was wrong{WARN:#}: {}", plain(name))?;
            }
        }
        match (&self.written, &self.comparison) {
            (Some(path), _) => {
                writeln!(out, "\n{GOOD}Written:{GOOD:#} {}", path.display())?;
                writeln!(
                    out,
                    "The keys are not enrolled into rotation. Next, see that they are published as they sign:\n"
                )?;
                writeln!(out, "  {}\n  {}", command("config check", config, &[]), command("verify", config, &[]))
            }
            (None, Some(_)) if !self.has_errors() => writeln!(out, "\nNothing was written (--dry-run)."),
            (None, _) => {
                writeln!(out, "\n{BAD}Nothing was written:{BAD:#} mend the errors and run this again.")
            }
        }
    }

    pub(super) fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    fn write_findings(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut shown: HashMap<&str, usize> = HashMap::new();
        for finding in &self.findings {
            let count = shown.entry(finding.rule).or_default();
            *count += 1;
            if *count <= SHOWN {
                writeln!(out, "{} {FAINT}[{}]{FAINT:#}", plain(&finding.to_string()), finding.rule)?;
            }
        }
        let mut more: Vec<_> = shown.into_iter().filter(|(_, count)| *count > SHOWN).collect();
        more.sort_unstable();
        for (rule, count) in more {
            writeln!(out, "{WARN}{} more{WARN:#} of {rule}; --format json has all", count - SHOWN)?;
        }
        let count = |severity| self.findings.iter().filter(|finding| finding.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        writeln!(out, "\n{errors} errors, {warnings} warnings, {} remarks", count(Severity::Info))
    }

    fn write_keys(&self, out: &mut dyn Write) -> io::Result<()> {
        let domains: BTreeSet<_> = self.keys.iter().map(|key| &key.domain).collect();
        let signing = self.keys.iter().filter(|key| key.signs).count();
        writeln!(out, "{} keys of {} domains, of which {signing} sign", self.keys.len(), domains.len())?;
        let weak: Vec<_> = self.keys.iter().filter(|key| key.rotate).collect();
        if !weak.is_empty() {
            writeln!(out, "{WARN}To be replaced soon{WARN:#}, for they are weak:")?;
            for ReportedKey { domain, selector, bits, .. } in weak.iter().take(SHOWN) {
                writeln!(out, "  {domain}  {selector}  {bits} bits")?;
            }
            if weak.len() > SHOWN {
                writeln!(out, "  {} more; --format json has all", weak.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}

fn write_comparison(comparison: &Comparison, theirs: &str, by: &str, out: &mut dyn Write) -> io::Result<()> {
    let Comparison { messages, signed, differences } = comparison;
    let (meant, other): (Vec<_>, Vec<_>) = differences.iter().partition(|difference| !difference.by_design.is_empty());
    writeln!(
        out,
        "\n{STRONG}{messages} messages{STRONG:#} put through {by}{theirs}, which signs {signed}, and through Waxseal: {} \
         differences, {} by design",
        differences.len(),
        meant.len()
    )?;
    for Difference { name, theirs: other, waxseal, is_wider, by_design } in other.iter().chain(&meant).take(SHOWN) {
        let name = plain(name);
        writeln!(out, "  {name}\n    {theirs}: {}\n    Waxseal: {}", plain(other), plain(waxseal))?;
        if *is_wider {
            writeln!(out, "    {BAD}Waxseal would sign what {theirs} does not{BAD:#}")?;
        }
        if !by_design.is_empty() {
            writeln!(out, "    By design: {by_design}")?;
        }
    }
    if differences.len() > SHOWN {
        writeln!(out, "  {} more; --format json has all", differences.len() - SHOWN)?;
    }
    Ok(())
}

/// What came from files, fit for a terminal.
fn plain(text: &str) -> String {
    text.replace(|letter: char| letter.is_control() && letter != '\n', "?")
}
