//! `[[publisher]]`: each kind has settings of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::v1;
use super::parse::Accounts;
use super::publisher::{DomainPattern, Publisher, PublisherKind, PublishingMethod, SecretPlace};
use super::resolve::Resolver;
use super::source::Step;
use crate::names::DomainName;

/// Name servers answer within milliseconds, a zone of a million names is loaded within seconds.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

impl<A: Accounts> Resolver<'_, '_, A> {
    pub(super) fn publishers(&mut self, specs: Option<&[v1::Publisher]>, directory: &Path) -> Vec<Publisher> {
        let mut publishers: Vec<Publisher> = Vec::new();
        let mut names: Vec<String> = Vec::new();
        for (index, spec) in specs.unwrap_or_default().iter().enumerate() {
            let at = |setting: &str| [Step::from("publisher"), index.into(), setting.into()];
            let Some(kind) = spec.kind else {
                if !self.source().was_removed(&at("kind")) {
                    let evidence = "a publisher must say how it publishes".to_owned();
                    self.error("config.publisher_kind", &at("kind"), evidence, "for example kind = \"rfc2136\"");
                }
                continue;
            };
            let name = spec.name.clone().unwrap_or_else(|| kind.to_string());
            if names.contains(&name) {
                let evidence = format!("{name:?} is another publisher's name");
                self.error("config.publisher_name", &at("name"), evidence, "give each its own");
            }
            names.push(name.clone());
            let domains = spec.domains.clone().unwrap_or_else(|| vec![DomainPattern::Any]);
            for (place, pattern) in domains.iter().enumerate() {
                self.pattern(pattern, spec.zone.as_ref(), index, place, &publishers);
            }
            self.settings_of_other_kinds(spec, kind, index);
            let timeout = spec.timeout.map_or(TIMEOUT, |period| period.0);
            if timeout.is_zero() {
                let evidence = "0s leaves no time at all".to_owned();
                self.error("config.timeout", &at("timeout"), evidence, "for example \"30s\"");
            }
            if let Some(method) = self.method(spec, kind, index, directory) {
                publishers.push(Publisher { name, domains, method, timeout });
            }
        }
        publishers
    }

    fn pattern(
        &mut self,
        pattern: &DomainPattern,
        zone: Option<&DomainName>,
        index: usize,
        place: usize,
        before: &[Publisher],
    ) {
        let at = [Step::from("publisher"), index.into(), "domains".into(), place.into()];
        if let Some(other) = before.iter().find(|other| other.domains.contains(pattern)) {
            let evidence = format!("{pattern} is already for the publisher {:?}, which comes first", other.name);
            self.warning("config.publisher_shadowed", &at, evidence, "name each pattern once");
        }
        // The zone may also be that of the keys alone.
        if let (DomainPattern::Exactly(domain), Some(zone)) = (pattern, zone)
            && !domain.is_within(zone)
            && zone.as_str().strip_prefix("_domainkey.") != Some(domain.as_str())
        {
            let evidence = format!("{domain} has no records in the zone {zone}");
            self.error("config.publisher_zone", &at, evidence, "give it a publisher of its own, or leave zone out");
        }
    }

    fn method(
        &mut self,
        spec: &v1::Publisher,
        kind: PublisherKind,
        index: usize,
        directory: &Path,
    ) -> Option<PublishingMethod> {
        let zone = spec.zone.clone();
        match kind {
            PublisherKind::Rfc2136 => {
                let server = self.wanted(spec.server.clone(), kind, index, "server = \"192.0.2.1\"");
                let key_name = self.wanted(spec.key_name.clone(), kind, index, "key_name = \"waxseal\"");
                let secret = self.secret(spec, index, directory);
                let (server, key_name, secret) = (server?, key_name?, secret?);
                let algorithm = spec.algorithm.unwrap_or_default();
                Some(PublishingMethod::Rfc2136 { server, zone, key_name, algorithm, secret })
            }
            PublisherKind::PowerDns => {
                let api_url = self.wanted(spec.api_url.clone(), kind, index, "api_url = \"http://127.0.0.1:8081\"");
                if let Some(url) = api_url.as_ref().filter(|url| !url.is_local()) {
                    let at = [Step::from("publisher"), index.into(), "api_url".into()];
                    let evidence = format!("the key travels to {} where others may read it", url.host);
                    self.warning("config.publisher_cleartext", &at, evidence, "use the API on loopback or a tunnel");
                }
                let secret = self.secret(spec, index, directory);
                let (api_url, secret) = (api_url?, secret?);
                Some(PublishingMethod::PowerDns { api_url, zone, secret })
            }
            PublisherKind::ZoneInclude => {
                let example = "path = \"/var/lib/waxseal/example.com.include\"";
                let path = self.wanted(spec.path.clone(), kind, index, example);
                let zone = self.wanted(zone, kind, index, "zone = \"example.com\"");
                let example = "reload = [\"/usr/local/sbin/reload-zone\"]";
                let reload = self.wanted(spec.reload.clone(), kind, index, example);
                let reload = self.command(reload, index, example);
                if spec.server.is_none() {
                    let at = [Step::from("publisher"), index.into(), "server".into()];
                    let evidence = "without it nobody looks whether the zone was loaded and its serial rose".to_owned();
                    self.warning("config.publisher_serial", &at, evidence, "add server, the address of the primary");
                }
                let (path, zone, reload) = (directory.join(path?), zone?, reload?);
                Some(PublishingMethod::ZoneInclude { path, zone, reload, server: spec.server.clone() })
            }
            PublisherKind::Exec => {
                let example = "program = [\"/usr/local/lib/waxseal/publish\"]";
                let program = self.wanted(spec.program.clone(), kind, index, example);
                let program = self.command(program, index, example)?;
                Some(PublishingMethod::Exec { program, zone })
            }
            PublisherKind::Manual => Some(PublishingMethod::Manual),
        }
    }

    /// A setting that its kind cannot do without.
    fn wanted<T>(&mut self, given: Option<T>, kind: PublisherKind, index: usize, example: &str) -> Option<T> {
        let setting = example.split(' ').next().unwrap_or_default();
        let at = [Step::from("publisher"), index.into(), setting.into()];
        if given.is_none() && !self.source().was_removed(&at) {
            let evidence = format!("a publisher of kind {kind} needs it");
            self.error("config.publisher_missing", &at, evidence, &format!("for example {example}"));
        }
        given
    }

    /// A program by its path, since it gets no environment to be searched in.
    fn command(&mut self, given: Option<Vec<String>>, index: usize, example: &str) -> Option<Vec<String>> {
        let given = given?;
        if given.first().is_some_and(|program| program.starts_with('/')) {
            return Some(given);
        }
        let setting = example.split(' ').next().unwrap_or_default();
        let at = [Step::from("publisher"), index.into(), setting.into()];
        let evidence = "the first must be the path of a program, from the root".to_owned();
        self.error("config.publisher_program", &at, evidence, &format!("for example {example}"));
        None
    }

    fn secret(&mut self, spec: &v1::Publisher, index: usize, directory: &Path) -> Option<SecretPlace> {
        let at = |setting: &str| [Step::from("publisher"), index.into(), setting.into()];
        let remedy = "for example secret_file = \"secrets/dns\", or credential = \"dns\" with systemd";
        match (&spec.secret_file, &spec.credential) {
            (Some(_), Some(_)) => {
                let evidence = "there is a secret_file as well".to_owned();
                self.error("config.publisher_secret", &at("credential"), evidence, "leave one of the two out");
                None
            }
            (Some(path), None) => Some(SecretPlace::File(directory.join(path))),
            (None, Some(name)) => {
                let is_name = !name.is_empty() && !name.contains(['/', '\0']) && name != "." && name != "..";
                if is_name {
                    return Some(SecretPlace::Credential(name.clone()));
                }
                let evidence = format!("{name:?} is no name of a credential");
                self.error("config.publisher_secret", &at("credential"), evidence, remedy);
                None
            }
            (None, None) => {
                if !self.source().was_removed(&at("secret_file")) && !self.source().was_removed(&at("credential")) {
                    let evidence = "a publisher of this kind needs a secret".to_owned();
                    self.error("config.publisher_secret", &at("secret_file"), evidence, remedy);
                }
                None
            }
        }
    }

    fn settings_of_other_kinds(&mut self, spec: &v1::Publisher, kind: PublisherKind, index: usize) {
        use PublisherKind::{Exec, PowerDns, Rfc2136, ZoneInclude};
        let settings: [(&str, bool, &[PublisherKind]); 10] = [
            ("server", spec.server.is_some(), &[Rfc2136, ZoneInclude]),
            ("zone", spec.zone.is_some(), &[Rfc2136, PowerDns, ZoneInclude, Exec]),
            ("key_name", spec.key_name.is_some(), &[Rfc2136]),
            ("algorithm", spec.algorithm.is_some(), &[Rfc2136]),
            ("secret_file", spec.secret_file.is_some(), &[Rfc2136, PowerDns]),
            ("credential", spec.credential.is_some(), &[Rfc2136, PowerDns]),
            ("api_url", spec.api_url.is_some(), &[PowerDns]),
            ("path", spec.path.is_some(), &[ZoneInclude]),
            ("reload", spec.reload.is_some(), &[ZoneInclude]),
            ("program", spec.program.is_some(), &[Exec]),
        ];
        for (setting, is_given, kinds) in settings {
            if is_given && !kinds.contains(&kind) {
                let at = [Step::from("publisher"), index.into(), setting.into()];
                let evidence = format!("it means nothing to a publisher of kind {kind}");
                self.error("config.publisher_setting", &at, evidence, "leave it out");
            }
        }
    }
}

impl super::Config {
    /// Who publishes for a domain: of the patterns that fit it the closest, and of equal ones the first in the file.
    pub fn publisher_for(&self, domain: &DomainName) -> Option<&Publisher> {
        let closeness =
            |publisher: &Publisher| publisher.domains.iter().filter_map(|pattern| pattern.closeness(domain)).max();
        let mut best: Option<(usize, &Publisher)> = None;
        for publisher in &self.publishers {
            if let Some(closeness) = closeness(publisher)
                && best.is_none_or(|(so_far, _)| closeness > so_far)
            {
                best = Some((closeness, publisher));
            }
        }
        best.map(|(_, publisher)| publisher)
    }
}

/// As the file has it.
pub(super) fn shown(publisher: &Publisher) -> v1::Publisher {
    let mut spec = v1::Publisher {
        name: Some(publisher.name.clone()),
        kind: Some(publisher.method.kind()),
        domains: Some(publisher.domains.clone()),
        timeout: Some(super::values::Period(publisher.timeout)),
        ..v1::Publisher::default()
    };
    match publisher.method.secret() {
        Some(SecretPlace::File(path)) => spec.secret_file = Some(PathBuf::clone(path)),
        Some(SecretPlace::Credential(name)) => spec.credential = Some(name.clone()),
        None => {}
    }
    match &publisher.method {
        PublishingMethod::Rfc2136 { server, zone, key_name, algorithm, .. } => {
            (spec.server, spec.zone) = (Some(server.clone()), zone.clone());
            (spec.key_name, spec.algorithm) = (Some(key_name.clone()), Some(*algorithm));
        }
        PublishingMethod::PowerDns { api_url, zone, .. } => {
            (spec.api_url, spec.zone) = (Some(api_url.clone()), zone.clone());
        }
        PublishingMethod::ZoneInclude { path, zone, reload, server } => {
            (spec.path, spec.zone) = (Some(path.clone()), Some(zone.clone()));
            (spec.reload, spec.server) = (Some(reload.clone()), server.clone());
        }
        PublishingMethod::Exec { program, zone } => {
            (spec.program, spec.zone) = (Some(program.clone()), zone.clone());
        }
        PublishingMethod::Manual => {}
    }
    spec
}
