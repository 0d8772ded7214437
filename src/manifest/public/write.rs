//! Public manifests to text, a domain at a time.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::line::{Line, VERSION};
use crate::manifest::v1::{
    Active, Binding, DomainManifest, PrivateKeyPlace, Published, Ready, Retiring, Revoked, State,
};

/// Writes a public manifest as it goes: a million domains take no memory.
#[derive(Debug)]
pub struct PublicManifestWriter<W> {
    out: W,
    is_empty: bool,
}

impl<W: Write> PublicManifestWriter<W> {
    /// Begins the file.
    pub fn new(mut out: W) -> io::Result<Self> {
        write!(out, "{{\n  \"version\": {VERSION},\n  \"domains\": {{")?;
        Ok(Self { out, is_empty: true })
    }

    /// Writes the next domain. Give domains in their order ([`crate::names::DomainName`] has one), for clean diffs.
    pub fn domain(&mut self, manifest: &DomainManifest) -> io::Result<()> {
        let comma = if self.is_empty { "" } else { "," };
        self.is_empty = false;
        write!(self.out, "{comma}\n    ")?;
        serde_json::to_writer(&mut self.out, manifest.domain())?;
        self.out.write_all(b": {\"status\": ")?;
        serde_json::to_writer(&mut self.out, &manifest.status())?;
        self.out.write_all(b", \"keys\": [")?;
        self.lines(manifest.bindings().iter().map(Line::of))?;
        if !manifest.tombstones().is_empty() {
            self.out.write_all(b", \"tombstones\": [")?;
            self.lines(manifest.tombstones())?;
        }
        self.out.write_all(b"}")
    }

    /// Ends the file and gives back what it was written to.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.is_empty {
            self.out.write_all(b"\n  ")?;
        }
        self.out.write_all(b"}\n}\n")?;
        Ok(self.out)
    }

    /// Each on a line of its own, and the end of their list.
    fn lines(&mut self, lines: impl IntoIterator<Item = impl Serialize>) -> io::Result<()> {
        let mut before = "\n      ";
        let mut after = "]";
        for line in lines {
            self.out.write_all(before.as_bytes())?;
            serde_json::to_writer(&mut self.out, &line)?;
            before = ",\n      ";
            after = "\n    ]";
        }
        self.out.write_all(after.as_bytes())
    }
}

impl Line {
    fn of(binding: &Binding) -> Self {
        Self {
            selector: binding.selector.clone(),
            state: lasting(&binding.state),
            compromised: binding.compromised.clone(),
            algorithm: binding.algorithm(),
            bits: binding.public_key.bits(),
            key_id: binding.key_id(),
            public_key: STANDARD.encode(binding.public_key.octets()),
            origin: binding.origin,
            created: binding.created,
            record_ttl: binding.record_ttl,
            shared: binding.private_key == PrivateKeyPlace::Shared,
        }
    }
}

/// The state without what changes by being looked at.
fn lasting(state: &State) -> State {
    match state.clone() {
        State::Published(published) => {
            let (first_seen, first_seen_after, confirmed_after, largest_ttl) = (None, None, None, None);
            let rounds_seen = 0;
            State::Published(Published {
                rounds_seen,
                first_seen,
                first_seen_after,
                confirmed_after,
                largest_ttl,
                ..published
            })
        }
        State::Ready(ready) => State::Ready(Ready { last_seen: None, ..ready }),
        State::Retiring(retiring) => State::Retiring(Retiring { last_used: None, largest_ttl: None, ..retiring }),
        State::Active(active) => State::Active(Active { largest_ttl: None, ..active }),
        State::Revoked(revoked) => State::Revoked(Revoked { largest_ttl: None, ..revoked }),
        state => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::key::{Algorithm, PublicKey};
    use crate::manifest::public::{PublicManifest, PublicManifestError};
    use crate::manifest::{Choice, Contradiction, RetirementWaits, Tombstone, Witness};
    use crate::names::{DomainName, Selector};

    fn at(second: i64) -> jiff::Timestamp {
        jiff::Timestamp::from_second(second).unwrap()
    }

    fn selector(name: &str) -> Selector {
        Selector::parse(name).unwrap()
    }

    fn manifest(domain: &str, selectors: &[&str]) -> DomainManifest {
        let mut manifest = DomainManifest::new(DomainName::parse(domain).unwrap());
        for (index, name) in selectors.iter().enumerate() {
            let key = PublicKey::from_octets(Algorithm::Ed25519Sha256, &[index as u8; 32]).unwrap();
            manifest = manifest.bind_generated(selector(name), key, PrivateKeyPlace::Own, 3600, at(5)).unwrap();
        }
        manifest
    }

    fn two() -> Vec<DomainManifest> {
        let mut first = manifest("a.example", &["s1", "s2"])
            .activate(Choice::Newest, RetirementWaits::default(), at(9))
            .unwrap()
            .manifest;
        first.bindings[0].witness =
            Some(Witness { waited: 1, at: at(1), boot_id: "secretive".to_owned(), boot_time: 3 });
        let mut second = manifest("b.example", &["s3"]);
        let key_id = second.bindings[0].key_id();
        second.tombstones.push(Tombstone { selector: selector("old"), key_id, removed: at(1), end: None });
        vec![first, second]
    }

    fn written(manifests: &[DomainManifest]) -> String {
        let mut writer = PublicManifestWriter::new(Vec::new()).unwrap();
        for manifest in manifests {
            writer.domain(manifest).unwrap();
        }
        String::from_utf8(writer.finish().unwrap()).unwrap()
    }

    fn problems(text: &str) -> Vec<PublicManifestError> {
        match PublicManifest::parse(text) {
            Ok(public) => public.domains().iter().filter_map(|domain| domain.read().err()).flatten().collect(),
            Err(error) => vec![error],
        }
    }

    #[test]
    fn what_is_written_is_read_back_with_the_line_of_each_key_and_nothing_private() {
        let text = written(&two());
        assert!(!text.contains("private") && !text.contains("secretive"), "{text}");
        let public = PublicManifest::parse(&text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(public.domains().len(), 2);
        for (domain, manifest) in public.domains().iter().zip(two()) {
            assert!(lines[domain.line() - 1].contains(&format!("\"{}\"", domain.domain())));
            let read = domain.read().unwrap();
            assert_eq!(read.manifest.tombstones(), manifest.tombstones());
            for (found, binding) in read.manifest.bindings().iter().zip(manifest.bindings()) {
                let line = lines[read.line(&binding.selector).unwrap() - 1];
                assert!(line.contains(&format!("\"{}\"", binding.selector)), "{line}");
                assert_eq!(found.private_key, PrivateKeyPlace::None);
                assert_eq!((&found.state, &found.public_key), (&binding.state, &binding.public_key));
            }
            assert_eq!(read.line(&selector("nowhere")), None);
            assert_eq!(public.domain(domain.domain()).unwrap().line(), domain.line());
        }
        assert!(public.domain(&DomainName::parse("c.example").unwrap()).is_none());
    }

    #[test]
    fn a_manifest_without_domains_or_keys_is_one_too() {
        assert_eq!(written(&[]), "{\n  \"version\": 1,\n  \"domains\": {}\n}\n");
        assert!(PublicManifest::parse(&written(&[])).unwrap().domains().is_empty());
        let text = written(&[manifest("a.example", &[])]);
        let public = PublicManifest::parse(&text).unwrap();
        assert!(public.domains()[0].read().unwrap().manifest.bindings().is_empty());
    }

    #[test]
    fn any_layout_is_read() {
        let value: serde_json::Value = serde_json::from_str(&written(&two())).unwrap();
        // Sorted by serde_json's map, so the version comes after the domains.
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let public = PublicManifest::parse(&text).unwrap();
            for domain in public.domains() {
                let read = domain.read().unwrap();
                for binding in read.manifest.bindings() {
                    assert!(read.line(&binding.selector).unwrap() >= domain.line());
                }
            }
        }
    }

    #[test]
    fn a_newer_version_is_named_whatever_else_it_holds() {
        for text in [r#"{"version": 2, "zones": [1]}"#, r#"{"domains": ["a"], "version": 2}"#] {
            assert!(matches!(problems(text)[..], [PublicManifestError::NewerVersion { found: 2 }]));
        }
        assert!(matches!(problems(r#"{"version": 0}"#)[..], [PublicManifestError::NoSuchVersion { found: 0 }]));
    }

    #[test]
    fn what_a_person_broke_is_named_with_its_line() {
        let text = written(&two());
        let line_of = |text: &str, what: &str| text.lines().position(|line| line.contains(what)).unwrap() + 1;
        let key_id = two()[0].bindings()[0].key_id().to_string();
        for (from, to, on, says) in [
            ("\"s2\"", "\"s1\"", "s1", "twice"),
            ("\"status\": \"enabled\"", "\"status\": \"on\"", "a.example", "unknown variant `on`"),
            ("\"bits\":256", "\"bits\":255", "s1", "says 255 bits"),
            (&key_id[..], &key_id.replace(&key_id[..4], "0000"), "s1", "key_id"),
            ("\"s3\"", "\"old\"", "\"old\",\"state\"", "removed once"),
            ("\"s3\"", "\"s!\"", "s!", "0x21"),
            ("\"record_ttl\":3600", "\"record_ttl\":-1", "s1", "-1"),
            ("\"bits\":256,", "", "s1", "missing field `bits`"),
            ("\"b.example\"", "\"A.example.\"", "A.example.", "a.example stands on line 4 already"),
            ("\"b.example\"", "\"b!example\"", "b!example", "0x21"),
            ("\"version\": 1,", "", "", "missing field `version`"),
            ("\"version\": 1", "\"version\": 1, \"revision\": 2", "", "unknown field `revision`"),
        ] {
            let last = from == "\"s2\"";
            let broken = text.replacen(from, to, 1);
            assert_ne!(broken, text, "{from}");
            let found = problems(&broken);
            let Some(error) = found.first() else { panic!("{to} was not found") };
            let told = error.to_string();
            assert!(told.contains(says), "{told}");
            if !on.is_empty() {
                let line = if last { line_of(&broken, on) + 1 } else { line_of(&broken, on) };
                assert_eq!(error.line(), line, "{told}");
                assert!(told.starts_with(&format!("line {line}, column ")), "{told}");
            }
        }
    }

    #[test]
    fn every_contradiction_of_a_domain_is_told_at_once() {
        let text = written(&two()).replace("\"bits\":256", "\"bits\":255");
        assert_eq!(problems(&text).len(), 3);
        let mut twice = manifest("a.example", &["s1", "s2"])
            .activate(Choice::Newest, RetirementWaits::default(), at(9))
            .unwrap()
            .manifest;
        twice.bindings[0].state = twice.bindings[1].state.clone();
        let found = problems(&written(&[twice]));
        assert!(
            matches!(
                &found[..],
                [PublicManifestError::Contradiction { line: 6, contradiction: Contradiction::TwoActive { .. }, .. }]
            ),
            "{found:?}"
        );
    }

    #[test]
    fn arbitrary_text_does_not_panic() {
        proptest::proptest!(|(text: String, at in 0usize..600)| {
            let _ = problems(&text);
            let mut sound = written(&two());
            if sound.is_char_boundary(at) {
                sound.truncate(at);
                sound.push_str(&text);
                let _ = problems(&sound);
            }
        });
    }
}
