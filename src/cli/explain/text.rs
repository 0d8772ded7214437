//! An explanation for people.

use std::io::{self, Write};

use super::Asked;
use crate::cli::output::{BAD, FAINT, GOOD, STRONG, WARN};
use crate::control::{ExplainedDomain, ExplainedSignature, Explanation};
use crate::report::safe::line;

/// Columns of a line that is folded.
const COLUMNS: usize = 100;

pub(super) fn write(explanation: &Explanation, asked: &Asked, out: &mut dyn Write) -> io::Result<()> {
    write_verdict(explanation, out)?;
    writeln!(out, "\n{STRONG}Why{STRONG:#}")?;
    if asked.is_origin_assumed {
        writeln!(
            out,
            "     {FAINT}(taken as handed in on this machine; --auth, --client, --daemon say otherwise){FAINT:#}"
        )?;
    }
    // The verdict says it already.
    let steps = explanation.steps.iter().filter(|step| step.facts.get("step").is_none_or(|name| name != "decided"));
    for (number, step) in steps.enumerate() {
        writeln!(out, "  {FAINT}{:>2}{FAINT:#} {}", number + 1, line(&step.text))?;
    }
    for domain in explanation.domains.iter().filter(|domain| !domain.keys.is_empty() || domain.problem.is_some()) {
        write_domain(domain, out)?;
    }
    for (number, signature) in explanation.signatures.iter().enumerate() {
        if number == 0 {
            let plural = if explanation.signatures.len() == 1 { "Signature" } else { "Signatures, the topmost first" };
            writeln!(out, "\n{STRONG}{plural}{STRONG:#}")?;
        }
        // Of several keys of a domain, all but the key is the same.
        let same = number.checked_sub(1).is_some_and(|before| is_alike(&explanation.signatures[before], signature));
        write_signature(signature, same, out)?;
    }
    for (number, warning) in explanation.warnings.iter().enumerate() {
        if number == 0 {
            writeln!(out, "\n{STRONG}Warnings{STRONG:#}")?;
        }
        writeln!(out, "  {WARN}{}{WARN:#}: {}", line(&warning.warning), line(&warning.remedy))?;
    }
    Ok(())
}

fn write_verdict(explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    let (style, words) = match explanation.decision.as_str() {
        "sign" => (GOOD, "would be signed"),
        "pass" => (WARN, "would pass unsigned"),
        "defer" => (BAD, "would be deferred (451)"),
        "refuse" => (BAD, "would be refused (550)"),
        other => (WARN, other),
    };
    let author = explanation.author.as_deref().unwrap_or("the message");
    writeln!(out, "{STRONG}{}{STRONG:#} {style}{}{style:#}: {}", line(author), line(words), line(&explanation.reason))?;
    if explanation.reason != "signed" {
        write_advice(&explanation.means, &explanation.remedy, out)?;
    }
    Ok(())
}

/// What a reason means and what to change, below the verdict.
pub(super) fn write_advice(means: &str, remedy: &str, out: &mut dyn Write) -> io::Result<()> {
    const TITLE: &str = "To change it:";
    writeln!(out, "  {}", folded(&line(means), 2))?;
    // As wide without its style.
    let advice = folded(&format!("{TITLE} {}", line(remedy)), 2);
    writeln!(out, "  {STRONG}{TITLE}{STRONG:#}{}", advice.strip_prefix(TITLE).unwrap_or(&advice))
}

/// Words on lines of [`COLUMNS`], all but the first with so many blanks before them.
fn folded(text: &str, indent: usize) -> String {
    let mut folded = String::with_capacity(text.len() + 16);
    let mut column = indent;
    for word in text.split(' ') {
        let width = word.chars().count();
        if !folded.is_empty() {
            if column + 1 + width > COLUMNS {
                folded.push('\n');
                folded.extend(std::iter::repeat_n(' ', indent));
                column = indent;
            } else {
                folded.push(' ');
                column += 1;
            }
        }
        folded.push_str(word);
        column += width;
    }
    folded
}

fn write_domain(domain: &ExplainedDomain, out: &mut dyn Write) -> io::Result<()> {
    let status = domain.status.as_deref().filter(|status| *status != "enabled");
    let status = status.map(|status| format!(" ({})", line(status))).unwrap_or_default();
    writeln!(out, "\n{STRONG}Keys of {}{STRONG:#}{status}", line(&domain.domain))?;
    if let Some(problem) = &domain.problem {
        writeln!(out, "  {BAD}{}{BAD:#}", line(problem))?;
    }
    let width = domain.keys.iter().map(|key| line(&key.selector).len()).max().unwrap_or_default();
    for key in &domain.keys {
        let style = if key.signs && key.problem.is_none() { GOOD } else { FAINT };
        let since = key.since.map(|since| format!(" since {since:.0}")).unwrap_or_default();
        let selector = line(&key.selector);
        writeln!(out, "  {selector:width$}  {:14}  {style}{}{style:#}{since}", line(&key.algorithm), line(&key.state))?;
        if let Some(problem) = &key.problem {
            writeln!(out, "    {BAD}{}{BAD:#}", line(problem))?;
        }
    }
    Ok(())
}

/// Whether they differ in their keys alone.
fn is_alike(one: &ExplainedSignature, other: &ExplainedSignature) -> bool {
    let without_key = |signature: &ExplainedSignature| ExplainedSignature {
        selector: String::new(),
        algorithm: String::new(),
        bits: 0,
        ..signature.clone()
    };
    without_key(one) == without_key(other)
}

fn write_signature(signature: &ExplainedSignature, same: bool, out: &mut dyn Write) -> io::Result<()> {
    let ExplainedSignature { domain, selector, algorithm, bits, .. } = signature;
    writeln!(out, "  {GOOD}d={} s={}{GOOD:#}  a={} ({bits} bits)", line(domain), line(selector), line(algorithm))?;
    if same {
        return writeln!(out, "     {FAINT}the rest as above{FAINT:#}");
    }
    writeln!(out, "     i= {}", signature.identity.as_deref().map_or("left out".into(), line))?;
    writeln!(out, "     c= {}", line(&signature.canonicalization))?;
    match signature.expires_after {
        None => writeln!(out, "     x= left out: it never expires")?,
        Some(seconds) => writeln!(out, "     x= {} after it is made", duration(seconds))?,
    }
    write_names(out, "h=", &counted(&signature.headers))?;
    if !signature.headers_if_present.is_empty() {
        write_names(out, "and, where present:", &signature.headers_if_present)?;
    }
    Ok(())
}

/// Each name once, with how often it stands in h=.
fn counted(names: &[String]) -> Vec<String> {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for name in names {
        match counted.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, count)) => *count += 1,
            None => counted.push((name, 1)),
        }
    }
    let word = |(name, count): (&str, usize)| if count == 1 { name.to_owned() } else { format!("{name} ×{count}") };
    counted.into_iter().map(word).collect()
}

fn write_names(out: &mut dyn Write, title: &str, names: &[String]) -> io::Result<()> {
    let text = format!("{title} {}", names.join(", "));
    writeln!(out, "     {}", folded(&line(&text), 8))
}

fn duration(seconds: u64) -> String {
    match seconds {
        1.. if seconds.is_multiple_of(86_400) => format!("{} d", seconds / 86_400),
        1.. if seconds.is_multiple_of(3_600) => format!("{} h", seconds / 3_600),
        _ => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_in_their_order() {
        let names = ["from", "from", "to", "To", "list-id"].map(str::to_owned);
        assert_eq!(counted(&names), ["from ×2", "to ×2", "list-id"]);
    }

    #[test]
    fn long_lines_are_folded_between_words() {
        let text = folded(&"word ".repeat(50), 4);
        assert!(text.lines().count() > 2 && text.lines().all(|line| line.len() <= COLUMNS), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("    word")), "{text}");
        assert_eq!(folded("short", 2), "short");
    }

    #[test]
    fn durations_read_as_people_write_them() {
        assert_eq!([1_209_600, 7_200, 61].map(duration), ["14 d", "2 h", "61 s"]);
    }
}
