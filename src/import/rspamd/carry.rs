//! rspamd's setup in Waxseal's terms: configuration, map and keys.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use super::setup::{Setup, Signing, Who};
use crate::config::file::v1;
use crate::dkim::PrivateKey;
use crate::dkim::header_selection::NEVER_SIGNED;
use crate::finding::{Chain, Finding, Severity};
use crate::import::carried::{Carried, CarriedKey, KeyUse, MAP, Wanted, Weight, Wishes, choose};
use crate::import::{KeyUnusable, Sources};
use crate::names::{DomainName, Selector};
use crate::policy::{AddressPattern, EnvelopeMatch, LoginBinding};

impl Setup {
    /// Says the same in Waxseal's terms. With an error among the findings nothing should be made of it.
    pub fn carry(&self, wishes: &Wishes, sources: &mut impl Sources, findings: &mut Vec<Finding>) -> Carried {
        let (map, keys) = match &self.who {
            Who::Tables(tables) => tables.map_and_keys(wishes, sources, findings),
            Who::Domains(domains) => self.domains(domains, sources, findings),
            Who::Nobody => (String::new(), Vec::new()),
        };
        let never = v1::Rule { name: Some("nobody else".into()), never: Some(true), ..v1::Rule::default() };
        let maps = Some(vec![PathBuf::from(MAP)]);
        let signers = v1::Rule { name: Some("dkim_signing".into()), from_maps: maps, ..v1::Rule::default() };
        let listener = v1::Listener { socket: Some(wishes.listen.clone()), ..v1::Listener::default() };
        let spec = v1::Spec {
            version: Some(1),
            listener: Some(vec![listener]),
            keys: Some(v1::Keys { store: Some("keys".into()), ..v1::Keys::default() }),
            trust: Some(self.trust(findings)),
            signing: Some(self.signing(findings)),
            rule: Some(vec![signers, never]),
            ..v1::Spec::default()
        };
        Carried { spec, map, keys }
    }

    /// A line for each domain that has a key, and its keys.
    fn domains(
        &self,
        domains: &BTreeMap<DomainName, Vec<Signing>>,
        sources: &mut impl Sources,
        findings: &mut Vec<Finding>,
    ) -> (String, Vec<CarriedKey>) {
        let paths: Vec<PathBuf> = domains.values().flatten().map(|key| key.path.clone()).collect();
        let mut read = sources.private_keys(&paths).into_iter();
        let mut keys: Vec<CarriedKey> = Vec::new();
        for (domain, named) in domains {
            let mut wanted = Vec::new();
            for key in named {
                let Some(found) = read.next() else { break };
                wanted.extend(take(domain, key, found, findings));
            }
            keys.extend(choose(domain, wanted, findings));
        }
        let mut map = String::from("# Who is signed for, and by whom. The first line that fits decides.\n");
        let signs = |domain: &DomainName| keys.iter().any(|key| key.domain == *domain && key.usage == KeyUse::Signs);
        let fixed = self.fixed_domain();
        let mut signing: Vec<&DomainName> = keys.iter().map(|key| &key.domain).collect();
        signing.dedup();
        for domain in signing {
            if fixed.as_ref().is_some_and(|fixed| fixed == domain && signs(fixed)) {
                let _ = writeln!(map, "*  {domain}");
            } else if fixed.is_none() {
                let _ = writeln!(map, "{domain}  {domain}");
                if self.options.is("use_esld", true) {
                    let _ = writeln!(map, "*.{domain}  {domain}");
                }
            }
        }
        (map, keys)
    }

    /// The domain that signs for all authors, if there is one.
    pub(super) fn fixed_domain(&self) -> Option<DomainName> {
        let named = self.options.text("use_domain")?;
        let is_rule = ["header", "envelope", "auth", "recipient"].contains(&named);
        DomainName::parse(named).ok().filter(|_| !is_rule)
    }

    fn trust(&self, findings: &mut Vec<Finding>) -> v1::Trust {
        let is_table = matches!(self.who, Who::Tables(_));
        let by_network_alone = is_table && self.sign_networks.is_some();
        let signs_locally = self.options.is("sign_local", true) && !by_network_alone;
        let mut networks: Vec<ipnet::IpNet> = Vec::new();
        if signs_locally {
            networks
                .extend(["127.0.0.0/8", "::1/128"].iter().filter_map(|network| network.parse::<ipnet::IpNet>().ok()));
            networks.extend(&self.local);
        }
        networks.extend(self.sign_networks.iter().flatten());
        let mut find = |rule, severity, option: &str, evidence: &str, remedy: &str| {
            let place = self.options.place(option, &self.directory);
            findings.push(Finding::new(rule, severity, place, evidence, remedy));
        };
        if signs_locally {
            let evidence =
                "rspamd signs whatever comes from local addresses, inbound mail too that comes back from this machine";
            let remedy = "taken over as sign_relayed = true and trust.networks; take out what is not yours";
            find("import.relayed", Severity::Warning, "sign_local", evidence, remedy);
        }
        let is_esld = self.options.is("use_esld", true);
        let (mut bind, mut envelope) = (LoginBinding::Off, EnvelopeMatch::Off);
        if !is_table {
            if !self.options.is("allow_username_mismatch", false) {
                bind = if is_esld { LoginBinding::OwnRegistrable } else { LoginBinding::OwnDomain };
            }
            if !self.options.is("allow_hdrfrom_mismatch", false) {
                envelope = if is_esld { EnvelopeMatch::SameRegistrable } else { EnvelopeMatch::SameDomain };
            }
            self.judge_domain(bind, envelope, &mut find);
        }
        for option in ["allow_hdrfrom_mismatch_local", "allow_hdrfrom_mismatch_sign_networks"] {
            if self.options.is(option, false) && envelope != EnvelopeMatch::Off {
                let evidence = format!("{option} is not carried over: the envelope sender must fit for all");
                find(
                    "import.not_carried",
                    Severity::Warning,
                    option,
                    &evidence,
                    "or set trust.match_envelope = \"off\" for all",
                );
            }
        }
        if !self.options.is("allow_envfrom_empty", true) {
            let evidence =
                "allow_envfrom_empty = false is not carried over: the null sender is as good as others to Waxseal";
            find(
                "import.not_carried",
                Severity::Warning,
                "allow_envfrom_empty",
                evidence,
                "bounces of yours will be signed",
            );
        }
        if self.options.is("allow_hdrfrom_multiple", false) {
            let evidence = "allow_hdrfrom_multiple is not carried over: with authors of several domains nobody signs";
            find("import.not_carried", Severity::Info, "allow_hdrfrom_multiple", evidence, "");
        }
        v1::Trust {
            authenticated: Some(self.signs_logins() && !by_network_alone),
            networks: Some(networks.iter().filter_map(|network| network.to_string().parse().ok()).collect()),
            daemon_names: Some(Vec::new()),
            local_submission: Some(signs_locally),
            sign_relayed: signs_locally.then_some(true),
            bind_logins: Some(bind),
            match_envelope: Some(envelope),
            ..v1::Trust::default()
        }
    }

    /// use_domain and what replaces it for some.
    fn judge_domain(
        &self,
        bind: LoginBinding,
        envelope: EnvelopeMatch,
        find: &mut impl FnMut(&'static str, Severity, &str, &str, &str),
    ) {
        let used = self.options.text("use_domain").unwrap_or("header");
        let remedy =
            "Waxseal signs for the author in From: set use_domain = \"header\" first, or write [[rule]] sections";
        for option in ["use_domain_sign_local", "use_domain_sign_networks"] {
            if let Some(other) = self.options.text(option).filter(|other| *other != used) {
                let evidence = format!("{option} is {other:?}, other than use_domain, and cannot be taken over");
                find("import.use_domain", Severity::Error, option, &evidence, remedy);
            }
        }
        match used {
            "header" => {}
            "envelope" if envelope != EnvelopeMatch::Off => {
                let evidence =
                    "use_domain is \"envelope\"; since it must fit From, From is as good, save for the null sender";
                find("import.use_domain", Severity::Warning, "use_domain", evidence, "bounces of yours will be signed");
            }
            "envelope" | "auth" | "recipient" => {
                let evidence = format!("use_domain is {used:?}: who signs is not said by From");
                find("import.use_domain", Severity::Error, "use_domain", &evidence, remedy);
            }
            other if DomainName::parse(other).is_err() => {
                let evidence = format!("use_domain is {other:?}, which is no domain");
                find("import.use_domain", Severity::Error, "use_domain", &evidence, remedy);
            }
            _ if bind != LoginBinding::Off => {
                let evidence =
                    "one domain signs for all, and logins must be of that: Waxseal holds logins against From alone";
                let remedy = "set allow_username_mismatch = true first, if any login may write as anybody";
                find("import.use_domain", Severity::Error, "use_domain", evidence, remedy);
            }
            _ => {}
        }
    }

    fn signing(&self, findings: &mut Vec<Finding>) -> v1::Signing {
        let place = self.options.place("sign_headers", &self.directory);
        let signing = v1::Signing {
            canonicalization: "relaxed/relaxed".parse().ok(),
            subdomains: Some(false),
            ..v1::Signing::default()
        };
        let Some(listed) = self.options.text("sign_headers") else {
            let evidence = "sign_headers is not set: Waxseal signs its own list of header fields";
            findings.push(Finding::new(
                "import.headers",
                Severity::Info,
                place,
                evidence,
                "h= will differ; d= and s= do not",
            ));
            return signing;
        };
        let (mut plain, mut guarded, mut absent) = (Vec::new(), Vec::new(), Vec::new());
        for word in listed.split(':').map(|word| word.trim().to_lowercase()).filter(|word| !word.is_empty()) {
            let (list, name) = match (word.strip_prefix("(o)"), word.strip_prefix("(x)")) {
                (Some(name), _) => {
                    absent.push(name.to_owned());
                    (&mut guarded, name)
                }
                (_, Some(name)) => (&mut guarded, name),
                _ => (&mut plain, word.as_str()),
            };
            list.push(name.to_owned());
        }
        for list in [&mut plain, &mut guarded, &mut absent] {
            for name in list.iter().filter(|name| NEVER_SIGNED.contains(&name.as_str())) {
                let evidence = format!("{name} is never signed by Waxseal: it changes on the way (RFC 6376 §5.4.1)");
                findings.push(Finding::new("import.header", Severity::Warning, place.clone(), evidence, ""));
            }
            list.retain(|name| {
                !NEVER_SIGNED.contains(&name.as_str())
                    && !name.is_empty()
                    && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
            });
        }
        absent.retain(|name| name != "from");
        v1::Signing {
            oversign: Some(guarded),
            sign_present: Some(plain),
            oversign_absent: (!absent.is_empty()).then_some(absent),
            ..signing
        }
    }
}

fn take(
    domain: &DomainName,
    named: &Signing,
    found: Result<PrivateKey, KeyUnusable>,
    findings: &mut Vec<Finding>,
) -> Option<Wanted> {
    let mut find = |rule, severity, evidence: String, remedy: &str| {
        findings.push(Finding::new(rule, severity, named.place.clone(), evidence, remedy));
    };
    let selector = match Selector::parse(&named.selector) {
        Ok(selector) => selector,
        Err(error) => {
            let evidence = format!("{:?} is no selector: {error}", named.selector);
            find("import.name", Severity::Error, evidence, "correct it");
            return None;
        }
    };
    match found {
        Ok(key) => {
            let mut weight = Weight::default();
            if let Ok(pattern) = AddressPattern::parse(domain.as_str()) {
                weight.add(&pattern);
            }
            Some(Wanted { selector, key: Arc::new(key), weight, place: named.place.clone() })
        }
        Err(KeyUnusable::Unreadable(error)) if error.source.kind() == ErrorKind::NotFound => {
            let evidence = format!("{domain} has no key {}: rspamd does not sign for it", named.path.display());
            find("import.no_key", Severity::Warning, evidence, "it is left out");
            None
        }
        Err(error) => {
            let evidence = format!(
                "the key of {}, {}, cannot be taken over: {}",
                selector.record_name(domain),
                named.path.display(),
                Chain(&error)
            );
            find("import.key", Severity::Error, evidence, "mend it, or take out what names it");
            None
        }
    }
}
