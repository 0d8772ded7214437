//! Whom rspamd signs for: a model of what it does.

use std::net::IpAddr;

use super::setup::{Setup, Who};
use crate::import::proof::{Sample, Selection, Signature};
use crate::message::parse_mailboxes;
use crate::names::DomainName;
use crate::policy::MacroValues;

impl Setup {
    /// Whom rspamd signs this message for, if the keys that it looks for are there: those of `has_key`.
    pub fn select(&self, sample: &Sample, has_key: &dyn Fn(&DomainName, &str) -> bool) -> Selection {
        let user = MacroValues::value(&sample.macros, "auth_authen").filter(|user| !user.is_empty());
        let user = user.map(|user| String::from_utf8_lossy(user).to_lowercase());
        let client = sample.client.unwrap_or(IpAddr::from([127, 0, 0, 1])).to_canonical();
        let is_local = client.is_loopback() || self.local.iter().any(|network| network.contains(&client));
        let in_networks = self.sign_networks.iter().flatten().any(|network| network.contains(&client));
        let by_login = self.signs_logins() && user.is_some();
        if !(by_login || in_networks || self.options.is("sign_local", true) && is_local) {
            return Selection::Passes;
        }
        if sample.sender.is_empty() && !self.options.is("allow_envfrom_empty", true) {
            return Selection::Passes;
        }
        let fields = sample.headers.named("from");
        let authors: Vec<_> = fields.filter_map(|field| parse_mailboxes(field.value()).ok()).flatten().collect();
        if authors.len() > 1 && !self.options.is("allow_hdrfrom_multiple", false) {
            return Selection::Passes;
        }
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).to_lowercase();
        let author = authors.first().map(|author| (text(&author.local_part), text(&author.domain)));
        let signatures = match &self.who {
            Who::Nobody => Vec::new(),
            Who::Tables(tables) => match author {
                // Whoever logged in did not come by way of its network.
                Some(_) if self.sign_networks.is_some() && (by_login || !in_networks) => Vec::new(),
                Some((local_part, domain)) => tables.signatures(&local_part, &domain).unwrap_or_default(),
                None => Vec::new(),
            },
            Who::Domains(_) => {
                let domain = author.map(|(_, domain)| domain);
                self.domain(domain, sample, user.as_deref())
                    .map(|domain| self.of_domain(&domain, has_key))
                    .unwrap_or_default()
            }
        };
        if signatures.is_empty() { Selection::Passes } else { Selection::Signs(signatures) }
    }

    pub(super) fn signs_logins(&self) -> bool {
        self.options.is("sign_authenticated", self.options.is("auth_only", true))
    }

    /// The domain that would sign, if all that must fit does.
    fn domain(&self, author: Option<String>, sample: &Sample, user: Option<&str>) -> Option<DomainName> {
        let part = |address: &str| address.rsplit_once('@').map(|(_, domain)| domain.to_lowercase());
        let envelope = part(&sample.sender);
        let of_login = user.and_then(part);
        let signing = match self.options.text("use_domain").unwrap_or("header") {
            "header" => author.clone(),
            "envelope" => envelope.clone(),
            "auth" => of_login.clone(),
            other => Some(other.to_lowercase()),
        };
        let signing = self.shortened(&signing?);
        if let (Some(author), Some(envelope)) = (&author, &envelope)
            && !self.options.is("allow_hdrfrom_mismatch", false)
            && self.shortened(author) != self.shortened(envelope)
        {
            return None;
        }
        if user.is_some() && !self.options.is("allow_username_mismatch", false) && self.shortened(&of_login?) != signing
        {
            return None;
        }
        DomainName::parse(&signing).ok()
    }

    /// The registrable domain, where that is what signs.
    fn shortened(&self, domain: &str) -> String {
        let registrable = DomainName::parse(domain).ok().and_then(|domain| domain.registrable());
        match registrable.filter(|_| self.options.is("use_esld", true)) {
            Some(registrable) => registrable.to_string(),
            None => domain.to_owned(),
        }
    }

    fn of_domain(&self, domain: &DomainName, has_key: &dyn Fn(&DomainName, &str) -> bool) -> Vec<Signature> {
        let Who::Domains(domains) = &self.who else { return Vec::new() };
        let keys = domains.get(domain).into_iter().flatten().filter(|key| has_key(domain, &key.selector));
        let signature = |selector: &str| Signature {
            domain: domain.to_string(),
            selector: selector.to_lowercase(),
            identity: None,
        };
        keys.map(|key| signature(&key.selector)).collect()
    }
}
