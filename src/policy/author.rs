//! Whose mail is it, and which domains may answer for it?

use crate::message::{Headers, parse_mailboxes};
use crate::names::DomainName;

use super::Reason;

/// The one domain of all authors in the From field (RFC 5322 §3.6.2).
///
/// Anything unclear is a reason not to sign, never a guess: readers of the message might take another author than we do.
pub fn author_domain(headers: &Headers) -> Result<DomainName, Reason> {
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
    Ok(author)
}

/// The domains that may sign for an author, best first: the author's own, then each parent that says it signs for its
/// subdomains, up to the registrable domain.
pub fn signing_candidates(
    author: &DomainName,
    signs_for_subdomains: impl Fn(&DomainName) -> bool,
) -> impl Iterator<Item = DomainName> {
    let registrable = author.registrable();
    let parents = std::iter::successors(author.parent(), DomainName::parent)
        .take_while(move |parent| registrable.as_ref().is_some_and(|registrable| parent.is_within(registrable)))
        .filter(move |parent| signs_for_subdomains(parent));
    std::iter::once(author.clone()).chain(parents)
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
        author_domain(&headers).map(|domain| domain.to_string())
    }

    #[test]
    fn the_author_is_read_without_guessing() {
        assert_eq!(author(&[" Joe <joe@Example.COM>"]), Ok("example.com".into()));
        assert_eq!(author(&[" joe@bücher.example"]), Ok("xn--bcher-kva.example".into()));
        assert_eq!(author(&[" a@example.com, b@EXAMPLE.com"]), Ok("example.com".into()));
        assert_eq!(author(&[]), Err(Reason::NoFrom));
        assert_eq!(author(&[" a@example.com", " a@example.com"]), Err(Reason::SeveralFrom));
        assert_eq!(author(&[" a@example.com, b@example.net"]), Err(Reason::SeveralDomains));
        assert_eq!(author(&[" nobody"]), Err(Reason::UnparsableFrom));
        assert_eq!(author(&[" undisclosed:;"]), Err(Reason::UnparsableFrom));
        assert_eq!(author(&[" a@exa_mple..com"]), Err(Reason::UnparsableFrom));
    }

    fn candidates(author: &str, with_subdomains: &[&str]) -> Vec<String> {
        let author = DomainName::parse(author).unwrap();
        signing_candidates(&author, |domain| with_subdomains.contains(&domain.as_str()))
            .map(|domain| domain.to_string())
            .collect()
    }

    #[test]
    fn parents_sign_only_where_they_say_so_and_never_a_public_suffix() {
        assert_eq!(candidates("a.b.example.com", &[]), ["a.b.example.com"]);
        assert_eq!(candidates("a.b.example.com", &["example.com"]), ["a.b.example.com", "example.com"]);
        assert_eq!(candidates("a.b.example.co.uk", &["co.uk", "uk"]), ["a.b.example.co.uk"]);
        assert_eq!(candidates("example.com", &["com"]), ["example.com"]);
    }
}
