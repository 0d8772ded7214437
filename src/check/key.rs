//! The published key: K01 to K09, K11; and whether a domain has an RSA key at all, K10.

use super::about::{About, Case, shown};
use super::modulus::{Weakness, remainder, weakness};
use super::{Rule, Subject};
use crate::dkim::key::{MAX_RSA_BITS, MIN_RSA_BITS, RsaWrapping, STRONG_RSA_BITS};
use crate::dkim::key_record::KeyType;
use crate::dkim::{Algorithm, KeyId, KeyMaterial, KeyRecord};
use crate::finding::{Finding, Severity};
use crate::manifest::StateName;

/// Most bits that every verifier must take (RFC 8301 §3.2).
const LONG_RSA_BITS: usize = 4096;

/// Other places of the same key that are named.
const NAMED: usize = 4;

/// Judges a record whose p= is not empty.
pub(super) fn judge(case: &Case<'_>, record: &KeyRecord) -> Vec<Finding> {
    let octets = record.public_key.as_slice();
    let material = KeyMaterial::of(octets);
    if let Some(finding) = form(case, record, material) {
        return vec![finding];
    }
    if let Some(finding) = another(case, octets, material) {
        return vec![finding];
    }
    match material {
        KeyMaterial::Rsa { modulus, exponent, wrapping } => rsa(case, modulus, exponent, wrapping),
        _ => Vec::new(),
    }
}

/// What stands in p= is not what k= says.
fn form(case: &Case<'_>, record: &KeyRecord, material: KeyMaterial<'_>) -> Option<Finding> {
    let count = record.public_key.len();
    let publish = |rule, evidence: String, remedy: &str| {
        Some(case.publish(case.finding(rule, Severity::Error, evidence, remedy)))
    };
    let what = match material {
        KeyMaterial::Rsa { .. } => "an RSA key".to_owned(),
        KeyMaterial::Ed25519(_) => "32 octets, as an Ed25519 key has".to_owned(),
        KeyMaterial::Ed25519Wrapped(_) => "a SubjectPublicKeyInfo of an Ed25519 key".to_owned(),
        KeyMaterial::OtherAlgorithm(found) => format!("another kind of key ({found})"),
        KeyMaterial::PrivateKey => {
            let evidence = "`p=` holds a private key, which is private no more".to_owned();
            let remedy = "take the record out of DNS at once and never use this key again: generate a new one";
            return Some(case.finding(Rule::K08, Severity::Error, evidence, remedy));
        }
        KeyMaterial::CutOff { .. } | KeyMaterial::Unknown => format!("{count} octets that are no key of any kind"),
    };
    match (&record.key_type, material) {
        (KeyType::Rsa, KeyMaterial::Rsa { .. }) | (KeyType::Ed25519, KeyMaterial::Ed25519(_)) => None,
        (KeyType::Ed25519, KeyMaterial::Ed25519Wrapped(_)) => publish(
            Rule::K06,
            "`p=` is a SubjectPublicKeyInfo of 44 octets, not the bare key".into(),
            "leave its first 12 octets (16 letters of base64) out",
        ),
        (KeyType::Ed25519, KeyMaterial::CutOff { .. } | KeyMaterial::Unknown) => {
            publish(Rule::K06, format!("`p=` has {count} octets; an Ed25519 key has 32"), case.replace_it())
        }
        (KeyType::Rsa, KeyMaterial::Ed25519(_)) => publish(
            Rule::K08,
            format!("k= is rsa, or missing, which means the same, but `p=` holds {what}"),
            "put k=ed25519 into the record",
        ),
        (KeyType::Other(name), _) => publish(
            Rule::K08,
            format!("k= is {}, which DKIM does not have; `p=` holds {what}", shown(name.as_bytes())),
            case.replace_it(),
        ),
        (kind, _) => publish(Rule::K08, format!("k= is {kind}, but `p=` holds {what}"), case.replace_it()),
    }
}

/// Another key than ours, whatever its worth.
fn another(case: &Case<'_>, octets: &[u8], material: KeyMaterial<'_>) -> Option<Finding> {
    let ours = &case.held()?.public_key;
    let is_same_rsa = match (material, KeyMaterial::of(ours.octets())) {
        (
            KeyMaterial::Rsa { modulus, exponent, .. },
            KeyMaterial::Rsa { modulus: our_modulus, exponent: our_exponent, .. },
        ) => modulus == our_modulus && exponent == our_exponent,
        _ => false,
    };
    if octets == ours.octets() || is_same_rsa {
        return None;
    }
    let evidence = format!("the published key has the fingerprint {}", KeyId::of(octets));
    let remedy = "replace the record by the one shown here, unless another system signs with its own key there: then \
                  generate a key with another selector";
    let finding = case.publish(case.finding(Rule::K09, Severity::Error, evidence, remedy));
    Some(finding.expecting(format!("our {} key with the fingerprint {}", ours.algorithm().k_tag(), ours.id())))
}

fn rsa(case: &Case<'_>, modulus: &[u8], exponent: &[u8], wrapping: RsaWrapping) -> Vec<Finding> {
    let mut findings = Vec::new();
    let replace = "generate a key of 2048 bits with another selector, publish it and rotate to it";
    if let Some(weakness) = weakness(modulus) {
        let evidence = match weakness {
            Weakness::Factor(factor) => format!("the RSA modulus is divisible by {factor}: the private key is public"),
            Weakness::Roca => {
                "the RSA modulus bears the mark of the library with the ROCA flaw (CVE-2017-15361)".into()
            }
        };
        let remedy = "generate a new key on another machine, rotate to it now, and revoke this one";
        findings.push(case.finding(Rule::K05, Severity::Error, evidence, remedy));
    }
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    let size = match bits {
        _ if bits < MIN_RSA_BITS as usize => Some((Rule::K01, Severity::Error, "at least 1024 bits")),
        _ if bits < STRONG_RSA_BITS as usize => Some((Rule::K02, Severity::Warning, "at least 2048 bits")),
        _ if bits > LONG_RSA_BITS => Some((Rule::K03, Severity::Warning, "at most 4096 bits")),
        _ => None,
    };
    if let Some((rule, severity, expected)) = size {
        let more = if bits > MAX_RSA_BITS as usize { ", more than verifiers can take" } else { "" };
        let evidence = format!("the RSA key has {bits} bits{more}");
        findings.push(case.finding(rule, severity, evidence, replace).expecting(expected));
    }
    let is_even = exponent.last().is_none_or(|last| last % 2 == 0);
    let is_unusable = is_even || exponent == [1];
    if exponent != [1, 0, 1] {
        let severity = if is_unusable { Severity::Error } else { Severity::Warning };
        let number = match exponent.len() {
            0..=3 => remainder(exponent, u32::MAX).to_string(),
            length => format!("a number of {length} octets{}", if is_even { ", even" } else { "" }),
        };
        let evidence = format!("the RSA key's public exponent is {number}");
        findings.push(case.finding(Rule::K04, severity, evidence, replace).expecting("65537"));
    }
    if wrapping == RsaWrapping::Bare {
        let evidence = "`p=` is a bare RSAPublicKey (PKCS#1), which many verifiers do not take";
        let remedy = match case.wanted() {
            Some(_) => "publish the SubjectPublicKeyInfo shown here",
            None => "publish its SubjectPublicKeyInfo, as `openssl rsa -RSAPublicKey_in -pubout` writes it",
        };
        findings.push(case.publish(case.finding(Rule::K07, Severity::Warning, evidence, remedy)));
    }
    findings
}

/// The same key in other places.
pub(super) fn elsewhere(case: &Case<'_>) -> Option<Finding> {
    let held = case.held().filter(|held| !held.same_key.is_empty())?;
    let names: Vec<_> =
        held.same_key.iter().take(NAMED).map(|(domain, selector)| selector.record_name(domain)).collect();
    let more = match held.same_key.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more places"),
    };
    let (severity, remedy) = if held.is_shared {
        (Severity::Info, "nothing need be done: the key is declared as shared")
    } else {
        (Severity::Warning, "generate a key for each, or declare it as shared")
    };
    let evidence = format!("the same key is used at {}{more}", names.join(", "));
    Some(case.finding(Rule::K11, severity, evidence, remedy))
}

/// A domain whose keys are all Ed25519: those that sign, or, before any does, those that are to.
pub(super) fn algorithms(subject: &Subject) -> Option<Finding> {
    let held = || subject.keys.iter().filter_map(|key| key.held.as_ref());
    let signs = |state| state == StateName::Active;
    let will_sign = |state| matches!(state, StateName::Generated | StateName::Published | StateName::Ready);
    let has_active = held().any(|held| signs(held.state));
    let mut algorithms = held()
        .filter(|held| if has_active { signs(held.state) } else { will_sign(held.state) })
        .map(|held| held.public_key.algorithm())
        .peekable();
    algorithms.peek()?;
    if algorithms.any(|algorithm| algorithm == Algorithm::RsaSha256) {
        return None;
    }
    let about = About { domain: &subject.domain, selector: None };
    let evidence = "the domain signs with Ed25519 only, which many receivers do not know";
    let remedy = "generate an RSA key for the domain too, publish it and activate it";
    Some(about.finding(Rule::K10, Severity::Error, evidence, remedy).expecting("an RSA key beside it"))
}
