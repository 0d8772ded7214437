//! Whose mail is it, and which domains may answer for it?

use super::Reason;
use super::rule::{Identity, is_plain_in_auid};
use crate::dkim::Auid;
use crate::message::{Headers, parse_mailboxes};
use crate::names::DomainName;

/// The authors in the From field (RFC 5322 §3.6.2), who all have addresses of one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The domain of all.
    pub domain: DomainName,
    /// What stands before the `@` of each address, as written, without quotes; at least one.
    local_parts: Vec<Vec<u8>>,
}

impl Author {
    /// Reads the author.
    ///
    /// Anything unclear is a reason not to sign, never a guess: readers of the message might take another author than we do.
    pub fn of(headers: &Headers) -> Result<Self, Reason> {
        let mut fields = headers.named("From");
        let from = fields.next().ok_or(Reason::NoFrom)?;
        if fields.next().is_some() {
            return Err(Reason::SeveralFrom);
        }
        let mailboxes = parse_mailboxes(from.value()).map_err(|_| Reason::UnparsableFrom)?;
        let mut domains = mailboxes.iter().map(|mailbox| DomainName::from_octets(&mailbox.domain));
        let author = domains.next().ok_or(Reason::UnparsableFrom)?.map_err(|_| Reason::UnparsableFrom)?;
        for domain in domains {
            match domain {
                Ok(domain) if domain == author => {}
                Ok(_) => return Err(Reason::SeveralDomains),
                Err(_) => return Err(Reason::UnparsableFrom),
            }
        }
        let local_parts = mailboxes.into_iter().map(|mailbox| mailbox.local_part.into_owned()).collect();
        Ok(Self { domain: author, local_parts })
    }

    /// The local part of the first author, by which rules are found.
    pub fn local_part(&self) -> &[u8] {
        self.local_parts.first().map_or(&[], Vec::as_slice)
    }

    /// The local parts of all authors.
    pub fn local_parts(&self) -> impl Iterator<Item = &[u8]> {
        self.local_parts.iter().map(Vec::as_slice)
    }

    /// The first author's address, for people: octets that are no UTF-8 are replaced.
    pub fn address(&self) -> String {
        format!("{}@{}", String::from_utf8_lossy(self.local_part()), self.domain)
    }

    /// i= of a signature, if it can stand in one of that domain. An author's local part that would have to be encoded, which
    /// few verifiers decode, is left out.
    pub(super) fn auid(&self, identity: &Identity, signing_domain: &DomainName) -> Option<Auid> {
        let local_part = self.local_part();
        let plain = local_part.iter().all(|octet| is_plain_in_auid(*octet)) && local_part.len() <= 64;
        let text = match identity {
            Identity::Author if plain => self.address(),
            Identity::Author | Identity::AuthorDomain => format!("@{}", self.domain),
            Identity::Fixed(text) => text.clone(),
        };
        Auid::parse(&text, signing_domain).ok()
    }
}

/// The parents that may sign for an author's domain, the closest first: each that says it signs for its subdomains, up
/// to the registrable domain.
pub fn signing_parents(
    author: &DomainName,
    signs_for_subdomains: impl Fn(&DomainName) -> bool,
) -> impl Iterator<Item = DomainName> {
    let registrable = author.registrable();
    std::iter::successors(author.parent(), DomainName::parent)
        .take_while(move |parent| registrable.as_ref().is_some_and(|registrable| parent.is_within(registrable)))
        .filter(move |parent| signs_for_subdomains(parent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Spacing;

    fn author(from: &[&str]) -> Result<String, Reason> {
        let mut headers = Headers::new();
        for value in from {
            headers.push(b"From", value.as_bytes(), Spacing::AsReceived);
        }
        Author::of(&headers).map(|author| author.address())
    }

    #[test]
    fn the_author_is_read_without_guessing() {
        assert_eq!(author(&[" Joe <Joe@Example.COM>"]), Ok("Joe@example.com".into()));
        assert_eq!(author(&[" joe@bücher.example"]), Ok("joe@xn--bcher-kva.example".into()));
        assert_eq!(author(&[" a@example.com, b@EXAMPLE.com"]), Ok("a@example.com".into()));
        assert_eq!(author(&[" \"a@b\"@example.com"]), Ok("a@b@example.com".into()));
        assert_eq!(author(&[]), Err(Reason::NoFrom));
        assert_eq!(author(&[" a@example.com", " a@example.com"]), Err(Reason::SeveralFrom));
        assert_eq!(author(&[" a@example.com, b@example.net"]), Err(Reason::SeveralDomains));
        assert_eq!(author(&[" nobody"]), Err(Reason::UnparsableFrom));
        assert_eq!(author(&[" undisclosed:;"]), Err(Reason::UnparsableFrom));
        assert_eq!(author(&[" a@exa_mple..com"]), Err(Reason::UnparsableFrom));
    }

    fn parents(author: &str, with_subdomains: &[&str]) -> Vec<String> {
        let author = DomainName::parse(author).unwrap();
        signing_parents(&author, |domain| with_subdomains.contains(&domain.as_str()))
            .map(|domain| domain.to_string())
            .collect()
    }

    #[test]
    fn parents_sign_only_where_they_say_so_and_never_a_public_suffix() {
        assert_eq!(parents("a.b.example.com", &[]), [""; 0]);
        assert_eq!(parents("a.b.example.com", &["example.com"]), ["example.com"]);
        assert_eq!(parents("a.b.example.co.uk", &["co.uk", "uk"]), [""; 0]);
        assert_eq!(parents("example.com", &["com"]), [""; 0]);
    }

    #[test]
    fn an_identity_is_left_out_where_it_cannot_stand() {
        let mut headers = Headers::new();
        headers.push(b"From", b" \"j o\"@mail.example.com", Spacing::AsReceived);
        let author = Author::of(&headers).unwrap();
        let [own, other] = ["example.com", "example.net"].map(|name| DomainName::parse(name).unwrap());
        let auid = |identity: Identity, domain| author.auid(&identity, domain).map(|auid| auid.to_string());
        assert_eq!(auid(Identity::Author, &own).as_deref(), Some("@mail.example.com"));
        assert_eq!(auid(Identity::AuthorDomain, &other), None);
        assert_eq!(auid(Identity::Fixed("x@example.net".into()), &other).as_deref(), Some("x@example.net"));
    }
}
