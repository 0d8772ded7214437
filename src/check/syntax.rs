//! The record's syntax: S01 to S12. One cause, not what follows from it.

use base64::Engine;

use super::Rule;
use super::about::{Case, MAX_STRING, shown, shown_record};
use crate::dkim::key_record::KeyRecordError;
use crate::dkim::{KeyMaterial, KeyRecord, RawTag, TagListError, raw_tags};
use crate::finding::{Finding, Severity};
use crate::observation::{Txt, presentation};

/// Tags that a lost semicolon may have swallowed.
const TAGS: [&[u8]; 8] = [b"v", b"k", b"p", b"h", b"s", b"t", b"n", b"g"];

/// Typographic quotation marks in UTF-8 and in Windows-1252.
const SMART_QUOTES: [&[u8]; 8] = [
    "\u{2018}".as_bytes(),
    "\u{2019}".as_bytes(),
    "\u{201c}".as_bytes(),
    "\u{201d}".as_bytes(),
    b"\x91",
    b"\x92",
    b"\x93",
    b"\x94",
];

/// Octets of ours that a cut key must begin with to be recognised.
const RECOGNISED: usize = 20;

/// Octets in which a tag's name and what tells it from padding are looked for.
const HEAD: usize = 16;

/// Tags that no standard knows and that are told of.
const UNKNOWN: usize = 5;

/// Judges one TXT record; gives it parsed unless it is broken.
pub(super) fn judge(case: &Case<'_>, txt: &Txt) -> (Vec<Finding>, Option<KeyRecord>) {
    let octets = txt.joined();
    if let Some(finding) = obvious(case, txt, &octets) {
        return (vec![finding], None);
    }
    match KeyRecord::parse(&octets) {
        Err(error) => (vec![broken(case, txt, &octets, &error)], None),
        Ok(record) => match cut_off(case, txt, &record.public_key) {
            Some(finding) => (vec![finding], None),
            None => (oddities(case, &octets, &record), Some(record)),
        },
    }
}

/// Faults that make a record look as if it had others.
fn obvious(case: &Case<'_>, txt: &Txt, octets: &[u8]) -> Option<Finding> {
    if let Some(what) = zone_file_marks(octets) {
        let evidence = format!("the record holds {what}, which became part of the value: {}", shown(octets));
        let remedy = "enter the value without quotes and backslashes (`waxseal record --format plain` prints it)";
        return Some(error(case, Rule::S06, evidence, remedy));
    }
    if let Some(at) = lost_semicolon(txt, octets) {
        let from = at.saturating_sub(12);
        let evidence = format!(
            "a `;` is missing at octet {}: {} is followed by {}",
            at + 1,
            shown(&octets[from..at]),
            shown(&octets[at..octets.len().min(at + 12)])
        );
        return Some(error(case, Rule::S08, evidence, case.replace_it()));
    }
    let version = raw_tags(octets).find(|tag| tag.name == b"v")?;
    let value = version.value?;
    if version.position != 1 {
        let evidence = format!("`v=` is tag {} of the record: {}", version.position, shown(octets));
        return Some(error(case, Rule::S01, evidence, case.replace_it()).expecting("v=DKIM1 first, or no v= at all"));
    }
    if value != b"DKIM1" {
        let evidence = format!("the record's version is {}: it is no key record", shown(value));
        return Some(error(case, Rule::S01, evidence, case.replace_it()).expecting("v=DKIM1"));
    }
    None
}

/// An error whose remedy is to publish the record again.
fn error(case: &Case<'_>, rule: Rule, evidence: String, remedy: &str) -> Finding {
    case.publish(case.finding(rule, Severity::Error, evidence, remedy))
}

/// Quotes and backslashes, as zone files and word processors have them; in n= they may stand.
fn zone_file_marks(octets: &[u8]) -> Option<&'static str> {
    for tag in raw_tags(octets).filter(|tag| tag.name != b"n") {
        let [name, value] = [tag.name, tag.value.unwrap_or_default()];
        let has = |mark: &[u8]| memchr::memmem::find(name, mark).or(memchr::memmem::find(value, mark)).is_some();
        if has(b"\\") {
            return Some("a backslash");
        }
        if has(b"\"") || name.starts_with(b"'") || value.ends_with(b"'") {
            return Some("a quotation mark");
        }
        if SMART_QUOTES.iter().take(4).any(|quote| has(quote)) {
            return Some("a typographic quotation mark");
        }
        let is_utf8 = std::str::from_utf8(name).is_ok() && std::str::from_utf8(value).is_ok();
        if !is_utf8 && SMART_QUOTES.iter().skip(4).any(|quote| has(quote)) {
            return Some("a typographic quotation mark");
        }
    }
    None
}

/// Where a tag begins without a semicolon before it.
fn lost_semicolon(txt: &Txt, octets: &[u8]) -> Option<usize> {
    let mut boundaries = Vec::new();
    let mut end = 0;
    for string in &txt.strings {
        if end > 0 && end < octets.len() {
            boundaries.push(end);
        }
        end += string.len();
    }
    for tag in raw_tags(octets) {
        let Some(value) = tag.value else { continue };
        let inside = tag.offset..tag.offset + value.len();
        // At the seam of two strings, whatever the tag before.
        let from = boundaries.partition_point(|at| *at <= inside.start);
        let seam = boundaries[from..].iter().take_while(|at| **at < inside.end);
        if let Some(at) = seam.copied().find(|at| begins_tag(&octets[*at..inside.end], &tag)) {
            return Some(at);
        }
        // Elsewhere, where no value can have an equals sign: after white space, or, in these, anywhere.
        let equals: Vec<usize> = match tag.name {
            b"v" | b"k" | b"h" | b"s" | b"t" | b"p" => memchr::memchr_iter(b'=', value).take(TAGS.len()).collect(),
            _ => continue,
        };
        for equals in equals {
            let Some(start) = value[..equals].trim_ascii_end().len().checked_sub(1) else { continue };
            let is_apart = start == 0 || value[start - 1].is_ascii_whitespace();
            let is_tag = begins_tag(&value[start..], &tag) && (is_apart || tag.name != b"p");
            if is_tag && start > 0 {
                return Some(tag.offset + start);
            }
        }
    }
    None
}

/// Whether another tag begins here: `p=` and something after it, but not the padding at the end of base64, nor an encoded
/// octet of a note.
fn begins_tag(rest: &[u8], inside: &RawTag<'_>) -> bool {
    let rest = rest[..rest.len().min(HEAD)].trim_ascii_start();
    let Some(equals) = memchr::memchr(b'=', rest) else { return false };
    let (name, value) = (rest[..equals].trim_ascii_end(), &rest[equals + 1..]);
    let is_padding = inside.name == b"p" && value.iter().all(|octet| *octet == b'=' || octet.is_ascii_whitespace());
    let is_encoded = inside.name == b"n" && value.len() >= 2 && value[..2].iter().all(u8::is_ascii_hexdigit);
    TAGS.contains(&name) && !is_padding && !is_encoded
}

/// What the parser's complaint means.
fn broken(case: &Case<'_>, txt: &Txt, octets: &[u8], problem: &KeyRecordError) -> Finding {
    let seen = || shown_record(txt);
    match problem {
        KeyRecordError::Syntax(TagListError::Duplicate { name }) => {
            let evidence = format!("the tag `{name}=` stands there twice: {}", seen());
            error(case, Rule::S02, evidence, case.replace_it())
        }
        KeyRecordError::Syntax(TagListError::Octet { name, octet }) if name == "p" => {
            let evidence = format!("`p=` holds the control character 0x{octet:02x}");
            error(case, Rule::S04, evidence, case.replace_it())
        }
        KeyRecordError::Syntax(problem) => error(case, Rule::S12, format!("{problem}: {}", seen()), case.replace_it()),
        KeyRecordError::NoPublicKey => {
            error(case, Rule::S03, format!("the record has no `p=`: {}", seen()), case.replace_it())
        }
        KeyRecordError::PublicKeyBase64 => {
            let value = raw_tags(octets).find(|tag| tag.name == b"p").and_then(|tag| tag.value).unwrap_or_default();
            let dense: Vec<u8> = value.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
            if let Some(at) = dense.iter().position(|octet| !is_base64(*octet)) {
                let evidence =
                    format!("`p=` is not base64: octet {} of it is `{}`", at + 1, presentation(&dense[at..=at]));
                return error(case, Rule::S04, evidence, case.replace_it());
            }
            // Whole groups of four decode: the rest shows whether the end was lost.
            let whole = base64::engine::general_purpose::STANDARD_NO_PAD.decode(&dense[..dense.len() / 4 * 4]);
            let cut = whole.ok().and_then(|key| cut_off(case, txt, &key));
            cut.unwrap_or_else(|| {
                let evidence = format!("`p=` is not base64: its {} letters do not come out even", dense.len());
                error(case, Rule::S04, evidence, case.replace_it())
            })
        }
        // Both are found before parsing.
        KeyRecordError::VersionNotFirst | KeyRecordError::Version { .. } => {
            error(case, Rule::S01, problem.to_string(), case.replace_it())
        }
    }
}

fn is_base64(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || [b'+', b'/', b'='].contains(&octet)
}

/// A key that ends before its time: by its own DER, or held against ours.
fn cut_off(case: &Case<'_>, txt: &Txt, key: &[u8]) -> Option<Finding> {
    let ours = case.held().map(|held| held.public_key.octets()).unwrap_or_default();
    let declared = match KeyMaterial::of(key) {
        KeyMaterial::CutOff { declared } => declared,
        KeyMaterial::Unknown if key.len() >= RECOGNISED && key.len() < ours.len() && ours.starts_with(key) => {
            ours.len()
        }
        _ => return None,
    };
    let total: usize = txt.strings.iter().map(Vec::len).sum();
    let at_boundary = total > 0 && total.is_multiple_of(MAX_STRING);
    let how = match (at_boundary, txt.strings.len()) {
        (true, 1) => format!("the record ends after {MAX_STRING} octets, the most that one string holds"),
        (true, count) => format!("the record ends with its string {count}, after {total} octets"),
        (false, _) => format!("a part of it was lost; the record has {total} octets"),
    };
    let evidence = format!("the key is cut off: {} of {declared} octets are there, and {how}", key.len());
    let remedy = match case.wanted() {
        Some(record) if record.txt_strings().len() > 1 => "publish the record as several strings, as shown here",
        Some(_) => case.replace_it(),
        None => "publish the record as several strings of at most 255 octets",
    };
    Some(error(case, Rule::S07, evidence, remedy))
}

/// What is odd about a record that can be read.
fn oddities(case: &Case<'_>, octets: &[u8], record: &KeyRecord) -> Vec<Finding> {
    let mut findings = Vec::new();
    let key = raw_tags(octets).find(|tag| tag.name == b"p").and_then(|tag| tag.value).unwrap_or_default();
    if key.iter().any(u8::is_ascii_whitespace) {
        let evidence = "`p=` has white space in it, which is allowed and means nothing";
        findings.push(case.finding(Rule::S05, Severity::Info, evidence, "publish it without at the next occasion"));
    }
    if key.iter().filter(|octet| !octet.is_ascii_whitespace()).count() % 4 != 0 {
        let evidence = "the padding (`=`) at the end of `p=` is missing";
        let finding = case.finding(Rule::S04, Severity::Warning, evidence, case.replace_it());
        findings.push(case.publish(finding));
    }
    if let Some(notes) = record.notes.as_ref().filter(|notes| may_be_misread(notes)) {
        let evidence = format!("the note has spaces or an equals sign: {}", shown(notes.as_bytes()));
        let remedy = "leave n= out, or write each space in it as =20";
        findings.push(case.finding(Rule::S09, Severity::Warning, evidence, remedy));
    }
    for (name, value) in record.unknown.iter().take(UNKNOWN) {
        let tag = shown(format!("{name}={value}").as_bytes());
        if name == "g" {
            let evidence = format!("the record has the obsolete tag {tag}");
            findings.push(case.finding(Rule::S11, Severity::Warning, evidence, "remove the tag"));
            continue;
        }
        let known = TAGS.iter().any(|known| name.as_bytes().eq_ignore_ascii_case(known));
        let remedy = if known { "write the tag's name in lower case" } else { "remove the tag, or correct its name" };
        let evidence = format!("no standard knows the tag {tag}");
        findings.push(case.finding(Rule::S10, Severity::Info, evidence, remedy));
    }
    findings
}

/// Spaces, and equals signs that encode nothing.
fn may_be_misread(notes: &str) -> bool {
    let is_encoding = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|octet| octet.is_ascii_hexdigit());
    notes.contains(|character: char| character.is_ascii_whitespace())
        || notes.match_indices('=').any(|(at, _)| !is_encoding(&notes[at + 1..]))
}
