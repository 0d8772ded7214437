//! Selectors for new keys, by a template.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;

use super::v1::DomainManifest;
use crate::dkim::key::Algorithm;
use crate::names::{Selector, SelectorError};

/// How the selectors of new keys are made: text with `{date}` (as 20261123), `{algorithm}` (r for RSA, e for Ed25519)
/// and `{random}` (eight letters and digits).
///
/// Where the result was used before, a number is put behind it, from 2 on; one with `{random}` is drawn again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorTemplate(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Date,
    Algorithm,
    Random,
}

/// Why text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectorTemplateError {
    /// A word in braces that stands for nothing.
    #[error("{{{word}}} stands for nothing; write {{date}}, {{algorithm}} or {{random}}")]
    UnknownWord {
        /// The word.
        word: String,
    },
    /// A brace without its other half.
    #[error("a brace is not closed or not opened; write {{date}}, {{algorithm}} or {{random}}")]
    Brace,
    /// What it makes is no selector.
    #[error("it makes no selector: {0}")]
    Selector(#[from] SelectorError),
}

impl SelectorTemplate {
    /// The selector of one attempt: `number` counts from 1, `random` is used where the template asks for it.
    fn selector(
        &self,
        date: Date,
        algorithm: Algorithm,
        random: u64,
        number: usize,
    ) -> Result<Selector, SelectorError> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Date => text.push_str(&date.strftime("%Y%m%d").to_string()),
                Part::Algorithm => text.push(algorithm.letter()),
                Part::Random => text.push_str(&letters(random)),
            }
        }
        if number > 1 && !self.is_random() {
            text.push_str(&number.to_string());
        }
        Selector::parse(&text)
    }

    fn is_random(&self) -> bool {
        self.0.contains(&Part::Random)
    }
}

impl Default for SelectorTemplate {
    fn default() -> Self {
        Self(vec![Part::Date, Part::Algorithm])
    }
}

impl fmt::Display for SelectorTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Date => f.write_str("{date}"),
            Part::Algorithm => f.write_str("{algorithm}"),
            Part::Random => f.write_str("{random}"),
        })
    }
}

impl FromStr for SelectorTemplate {
    type Err = SelectorTemplateError;

    fn from_str(text: &str) -> Result<Self, SelectorTemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (before, after) = rest.split_once('{').unwrap_or((rest, ""));
            if before.contains('}') {
                return Err(SelectorTemplateError::Brace);
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            if before.len() == rest.len() {
                break;
            }
            let Some((word, behind)) = after.split_once('}') else { return Err(SelectorTemplateError::Brace) };
            parts.push(match word {
                "date" => Part::Date,
                "algorithm" => Part::Algorithm,
                "random" => Part::Random,
                _ => return Err(SelectorTemplateError::UnknownWord { word: word.to_owned() }),
            });
            rest = behind;
        }
        let template = Self(parts);
        template.selector(jiff::civil::date(2000, 1, 1), Algorithm::RsaSha256, 0, 1)?;
        Ok(template)
    }
}

impl DomainManifest {
    /// Selectors for a new key that were never used here, best first; `random` gives random numbers while there are any.
    pub fn free_selectors(
        &self,
        template: &SelectorTemplate,
        date: Date,
        algorithm: Algorithm,
        mut random: impl FnMut() -> Option<u64>,
    ) -> impl Iterator<Item = Selector> {
        /// How many are offered beyond those that were used: for whoever finds some of them taken elsewhere.
        const SPARE: usize = 64;
        let attempts = self.bindings.len() + self.tombstones.len() + SPARE;
        (1..=attempts)
            .map_while(move |number| {
                let random = if template.is_random() { random()? } else { 0 };
                Some(template.selector(date, algorithm, random, number))
            })
            .filter_map(Result::ok)
            .filter(|candidate| !self.has_used(candidate))
    }
}

/// Eight letters and digits that nobody mistakes for each other.
fn letters(random: u64) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    (0..8).map(|place| char::from(DIGITS[(random >> (5 * place) & 31) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::dkim::key::PublicKey;
    use crate::manifest::{PrivateKeyPlace, Tombstone};
    use crate::names::DomainName;

    fn template(text: &str) -> SelectorTemplate {
        text.parse().unwrap()
    }

    fn first(manifest: &DomainManifest, template: &SelectorTemplate, algorithm: Algorithm) -> String {
        let date = jiff::civil::date(2026, 11, 23);
        let mut random = 0;
        let drawn = || {
            random += 1;
            Some(random)
        };
        manifest.free_selectors(template, date, algorithm, drawn).next().unwrap().as_str().to_owned()
    }

    fn bound(manifest: &DomainManifest, selector: &str) -> DomainManifest {
        let key = PublicKey::from_octets(Algorithm::Ed25519Sha256, &[1; 32]).unwrap();
        let selector = Selector::parse(selector).unwrap();
        manifest.bind_generated(selector, key, PrivateKeyPlace::Own, 3600, Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn selectors_count_on_past_those_that_were_used() {
        let mut manifest = DomainManifest::new(DomainName::parse("example.com").unwrap());
        let default = SelectorTemplate::default();
        assert_eq!(first(&manifest, &default, Algorithm::RsaSha256), "20261123r");
        for expected in ["20261123e", "20261123e2", "20261123e3"] {
            assert_eq!(first(&manifest, &default, Algorithm::Ed25519Sha256), expected);
            manifest = bound(&manifest, expected);
        }
        let key_id = manifest.bindings()[0].key_id();
        let selector = Selector::parse("20261123e4").unwrap();
        manifest.tombstones.push(Tombstone { selector, key_id, removed: Timestamp::UNIX_EPOCH, end: None });
        assert_eq!(first(&manifest, &default, Algorithm::Ed25519Sha256), "20261123e5");
    }

    #[test]
    fn a_template_says_what_stands_where() {
        let manifest = DomainManifest::new(DomainName::parse("example.com").unwrap());
        let selector = |text: &str| first(&manifest, &template(text), Algorithm::RsaSha256);
        assert_eq!(selector("mail"), "mail");
        assert_eq!(selector("{algorithm}-{date}.mx1"), "r-20261123.mx1");
        assert_eq!(selector("k{random}"), "kbaaaaaaa");
        let again = bound(&manifest, "kbaaaaaaa");
        assert_eq!(first(&again, &template("k{random}"), Algorithm::RsaSha256), "kcaaaaaaa");
        assert_eq!(template("{date}x{random}").to_string(), "{date}x{random}");
    }

    #[test]
    fn what_makes_no_selector_is_refused() {
        let refused = |text: &str| text.parse::<SelectorTemplate>().unwrap_err();
        assert_eq!(refused("{year}"), SelectorTemplateError::UnknownWord { word: "year".to_owned() });
        for text in ["{date", "date}", "{", "a}b{date}"] {
            assert_eq!(refused(text), SelectorTemplateError::Brace, "{text}");
        }
        for text in ["", "a b", "a..b", &"a".repeat(64)] {
            assert!(matches!(refused(text), SelectorTemplateError::Selector(_)), "{text}");
        }
    }
}
