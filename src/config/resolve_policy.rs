//! `[trust]`, `[login]`, `[[rule]]` and `[cutover]`: whose mail is signed, and how it differs from author to author.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;

use super::file::v1;
use super::parse::Accounts;
use super::resolve::{HeaderLists, Resolver};
use super::running::Signing;
use super::source::Step;
use super::values::{Expiry, Network};
use crate::dkim::Auid;
use crate::policy::{
    AddressPattern, CutoverSettings, Identity, Lifetime, LoginBinding, Logins, MacroCondition, Rule, RuleAction,
    RuleSettings, Signer, SigningMode, Spot, Trust,
};

/// The macros that can be asked for beside our own: Sendmail takes 50 a stage.
const MACROS: usize = 40;

impl<A: Accounts> Resolver<'_, '_, A> {
    pub(super) fn trust(
        &mut self,
        spec: &v1::Trust,
        logins: Option<&BTreeMap<String, v1::Login>>,
        directory: &Path,
    ) -> Trust {
        let defaults = Trust::default();
        let at = |setting: &str, index: usize| [Step::from("trust"), setting.into(), index.into()];
        let networks: Option<Vec<IpNet>> =
            spec.networks.as_ref().map(|networks: &Vec<Network>| networks.iter().map(|network| network.0).collect());
        for (index, network) in networks.iter().flatten().enumerate().filter(|(_, network)| network.prefix_len() == 0) {
            let evidence = format!("{network} is everybody: whoever reaches the MTA can have mail signed");
            self.warning("config.trust_everybody", &at("networks", index), evidence, "name your own networks");
        }
        let macros = spec.macros.clone().unwrap_or_default();
        for (index, condition) in macros.iter().enumerate() {
            self.macro_condition(condition, &at("macros", index));
        }
        if macros.len() > MACROS {
            let evidence = format!("these are {}, and an MTA can be asked for some {MACROS} beside ours", macros.len());
            self.error("config.macros", &at("macros", MACROS)[..2], evidence, "name fewer");
        }
        Trust {
            authenticated: spec.authenticated.unwrap_or(defaults.authenticated),
            networks: networks.unwrap_or(defaults.networks),
            hosts: spec.hosts.clone().unwrap_or_default(),
            except: spec.except.clone().unwrap_or_default(),
            daemon_names: spec.daemon_names.clone().unwrap_or(defaults.daemon_names),
            macros,
            local_submission: spec.local_submission.unwrap_or(defaults.local_submission),
            sign_relayed: spec.sign_relayed.unwrap_or(defaults.sign_relayed),
            ignore: spec.ignore.clone().unwrap_or_default(),
            logins: self.logins(spec, logins, directory),
            match_envelope: spec.match_envelope.unwrap_or_default(),
        }
    }

    fn macro_condition(&mut self, condition: &MacroCondition, path: &[Step]) {
        if condition.name() == "auth_author" {
            let evidence = "{auth_author} is what the client says in AUTH= of MAIL: anybody can set it".to_owned();
            self.error("config.macro_untrusted", path, evidence, "use {auth_authen}, which is the login");
        }
    }

    fn logins(&mut self, spec: &v1::Trust, logins: Option<&BTreeMap<String, v1::Login>>, directory: &Path) -> Logins {
        let binding = spec.bind_logins.unwrap_or_default();
        let maps = self.maps(spec.login_maps.as_deref(), &[Step::from("trust"), "login_maps".into()], directory);
        let mut listed: BTreeMap<String, Vec<AddressPattern>> = BTreeMap::new();
        for (name, login) in logins.into_iter().flatten() {
            let path = [Step::from("login"), name.as_str().into()];
            if name.is_empty() || name.contains(['\0', '\n', '\r']) {
                let evidence = "no login has such a name".to_owned();
                self.error("config.login_name", &path, evidence, "for example [login.\"joe@example.com\"]");
            }
            let may_send = login.may_send.clone().unwrap_or_default();
            if listed.insert(name.to_ascii_lowercase(), may_send).is_some() {
                let evidence = "upper and lower case of a login are the same, and it stands here twice".to_owned();
                self.error("config.login_twice", &path, evidence, "put both into one section");
            }
        }
        if binding == LoginBinding::Off && !(maps.is_empty() && listed.is_empty()) {
            let path = [Step::from("trust"), "bind_logins".into()];
            let evidence = "off: what is listed for logins binds nobody".to_owned();
            self.warning("config.logins_unbound", &path, evidence, "set \"own-domain\" or \"listed\"");
        }
        if binding == LoginBinding::Listed && maps.is_empty() && listed.is_empty() {
            let path = [Step::from("trust"), "bind_logins".into()];
            let evidence = "listed: nothing is listed, so nobody who logs in has mail signed".to_owned();
            self.error("config.logins_nobody", &path, evidence, "add login_maps, or set \"own-domain\"");
        }
        Logins { binding, listed, maps }
    }

    pub(super) fn rules(&mut self, specs: Option<&[v1::Rule]>, signing: &Signing, directory: &Path) -> Vec<Rule> {
        let mut rules: Vec<Rule> = Vec::new();
        let mut for_all: Option<usize> = None;
        for (index, spec) in specs.unwrap_or_default().iter().enumerate() {
            if spec.name.is_some() && rules.iter().any(|other| other.name == spec.name) {
                let evidence = format!("{:?} is another rule's name", spec.name.as_deref().unwrap_or_default());
                self.error("config.rule_name", &rule_path(index, "name"), evidence, "give each its own");
            }
            if let Some(before) = for_all.and_then(|before| rules.get(before)) {
                let evidence = format!("{} before it is for all mail, so this one never decides", before.label());
                self.warning("config.rule_shadowed", &rule_path(index, "")[..2], evidence, "move it up");
            }
            if for_all.is_none() && self.is_for_all(spec, index) {
                for_all = Some(index);
            }
            let rule = self.rule(spec, index, signing, directory);
            rules.push(rule);
        }
        rules
    }

    /// Whether a rule leaves open whom it is for, and not only because that cannot be read.
    fn is_for_all(&self, spec: &v1::Rule, index: usize) -> bool {
        let names_somebody =
            [spec.from.is_some(), spec.from_maps.is_some(), spec.to.is_some(), spec.to_maps.is_some()].contains(&true);
        let settings = ["from", "from_maps", "to", "to_maps"];
        !names_somebody && !settings.iter().any(|setting| self.source().was_removed(&rule_path(index, setting)))
    }

    fn rule(&mut self, spec: &v1::Rule, index: usize, signing: &Signing, directory: &Path) -> Rule {
        let at = |setting: &str| rule_path(index, setting);
        let empty = [
            ("from", spec.from.as_ref().is_some_and(Vec::is_empty)),
            ("to", spec.to.as_ref().is_some_and(Vec::is_empty)),
        ];
        for (setting, _) in empty.iter().filter(|(_, is_empty)| *is_empty) {
            let evidence = "an empty list would fit nobody".to_owned();
            self.error("config.rule_empty", &at(setting), evidence, "leave it out for everybody, or the whole rule");
        }
        let action = if spec.never.unwrap_or(false) {
            self.nothing_beside_never(spec, index);
            RuleAction::Never
        } else {
            RuleAction::Sign(Box::new(self.rule_settings(spec, index, signing)))
        };
        Rule {
            name: spec.name.clone(),
            spot: Spot { number: index + 1, place: self.source().place_of(&at("")[..2]) },
            from: spec.from.clone().unwrap_or_default(),
            from_maps: self.maps(spec.from_maps.as_deref(), &at("from_maps"), directory),
            to: spec.to.clone().unwrap_or_default(),
            to_maps: self.maps(spec.to_maps.as_deref(), &at("to_maps"), directory),
            action,
        }
    }

    fn nothing_beside_never(&mut self, spec: &v1::Rule, index: usize) {
        let settings = [
            ("sign", spec.sign.is_some()),
            ("also", spec.also.is_some()),
            ("identity", spec.identity.is_some()),
            ("canonicalization", spec.canonicalization.is_some()),
            ("expire_after", spec.expire_after.is_some()),
            ("oversign", spec.oversign.is_some()),
            ("sign_present", spec.sign_present.is_some()),
            ("oversign_absent", spec.oversign_absent.is_some()),
            ("leave_out", spec.leave_out.is_some()),
            ("sign_relayed", spec.sign_relayed.is_some()),
        ];
        for (setting, _) in settings.iter().filter(|(_, is_given)| *is_given) {
            let evidence = "it means nothing in a rule that says never".to_owned();
            self.error("config.rule_never", &rule_path(index, setting), evidence, "leave it out, or never");
        }
    }

    fn rule_settings(&mut self, spec: &v1::Rule, index: usize, signing: &Signing) -> RuleSettings {
        let at = |setting: &str| rule_path(index, setting);
        let lists = HeaderLists {
            oversign: spec.oversign.as_ref(),
            sign_present: spec.sign_present.as_ref(),
            oversign_absent: spec.oversign_absent.as_ref(),
        };
        let has_lists = spec.oversign.is_some() || spec.sign_present.is_some() || spec.oversign_absent.is_some();
        let section = &at("")[..2];
        let headers = has_lists.then(|| Arc::new(self.header_lists(&lists, &signing.domain.headers, section)));
        let (sign, also) = (spec.sign.clone().unwrap_or_default(), spec.also.clone().unwrap_or_default());
        if spec.sign.as_ref().is_some_and(Vec::is_empty) {
            let evidence = "an empty list would have nobody sign".to_owned();
            self.error("config.rule_empty", &at("sign"), evidence, "leave it out, or write never = true");
        }
        self.signers_once(&sign, &also, index);
        if let Some(Identity::Fixed(identity)) = &spec.identity
            && !sign.is_empty()
            && !sign.iter().chain(&also).any(|signer| Auid::parse(identity, &signer.domain).is_ok())
        {
            let evidence = format!("{identity:?} is in none of the signing domains, so no signature can have it");
            self.error("config.identity", &at("identity"), evidence, "write one in a signing domain, or below it");
        }
        let expiry = self.expiry(spec.expire_after, &at("expire_after"), None);
        RuleSettings {
            sign,
            also,
            identity: spec.identity.clone(),
            canonicalization: spec.canonicalization,
            lifetime: spec.expire_after.map(|given| match (given, expiry) {
                (Expiry::After(_), Some(after)) => Lifetime::Limited(after),
                _ => Lifetime::Unlimited,
            }),
            headers,
            leave_out: self.left_out(spec.leave_out.as_ref(), &at("leave_out")),
            sign_relayed: spec.sign_relayed,
        }
    }

    /// Two signatures of one domain and selector would be one too many.
    fn signers_once(&mut self, sign: &[Signer], also: &[Signer], index: usize) {
        let mut before: Vec<&Signer> = Vec::new();
        for (setting, signers) in [("sign", sign), ("also", also)] {
            for (place, signer) in signers.iter().enumerate() {
                let overlaps = |other: &&Signer| {
                    let same_key =
                        other.selector.is_none() || signer.selector.is_none() || other.selector == signer.selector;
                    other.domain == signer.domain && same_key
                };
                if before.iter().any(overlaps) {
                    let path: Vec<Step> = rule_path(index, setting).into_iter().chain([place.into()]).collect();
                    let evidence = format!("{signer} would sign twice");
                    self.error("config.signer_twice", &path, evidence, "name each once");
                }
                before.push(signer);
            }
        }
    }

    pub(super) fn cutover(
        &mut self,
        spec: Option<&v1::Cutover>,
        signing: &Signing,
        directory: &Path,
    ) -> Option<CutoverSettings> {
        let spec = spec?;
        let mode = [Step::from("signing"), "mode".into()];
        if signing.mode == SigningMode::Sign && !self.source().was_removed(&mode) {
            let evidence =
                "it says whose mail is signed while all other mail is not, and signing.mode is \"sign\"".to_owned();
            let remedy = "set mode = \"shadow\" in [signing]; at the end of the cut-over take this section out";
            self.error("config.cutover_mode", &[Step::from("cutover")], evidence, remedy);
        }
        let domains = spec.domains.clone().unwrap_or_default();
        for (index, pattern) in domains.iter().enumerate().filter(|(_, pattern)| pattern.local_part() != "*") {
            let path = [Step::from("cutover"), "domains".into(), index.into()];
            let evidence = format!("{pattern} is an address, and domains are cut over as a whole");
            self.error("config.cutover_domain", &path, evidence, "name the domain alone");
        }
        let path = [Step::from("cutover"), "domain_maps".into()];
        Some(CutoverSettings {
            share: spec.share.unwrap_or_default(),
            domains,
            maps: self.maps(spec.domain_maps.as_deref(), &path, directory),
        })
    }

    fn maps(&mut self, given: Option<&[PathBuf]>, path: &[Step], directory: &Path) -> Vec<PathBuf> {
        let mut maps: Vec<PathBuf> = Vec::new();
        for (index, map) in given.unwrap_or_default().iter().enumerate() {
            let path: Vec<Step> = path.iter().cloned().chain([index.into()]).collect();
            let joined = directory.join(map);
            if map.as_os_str().is_empty() {
                self.error(
                    "config.map",
                    &path,
                    "is empty".into(),
                    "give the path of a file, such as \"customers.map\"",
                );
            } else if maps.contains(&joined) {
                self.error("config.map_twice", &path, format!("{} is there already", map.display()), "name each once");
            }
            maps.push(joined);
        }
        maps
    }
}

/// `rule[index].setting`.
fn rule_path(index: usize, setting: &str) -> [Step; 3] {
    [Step::from("rule"), index.into(), setting.into()]
}
