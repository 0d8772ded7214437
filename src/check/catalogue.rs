//! Every rule, with what `waxseal verify --explain` says of it. docs/checks.md has the same list.

use crate::finding::{RuleDescription, Severity};

/// Makes the enum and its table from one list, so that neither can lack what the other has.
macro_rules! rules {
    ($($rule:ident $severity:ident $title:literal $explanation:literal)*) => {
        /// A rule of `waxseal verify`. D is about DNS, S about the record's syntax, K about the key, P about policy.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $title] $rule,)*
        }

        impl Rule {
            /// All of them, in the order of their identifiers.
            pub const ALL: &'static [Self] = &[$(Self::$rule),*];
        }

        /// What each rule is about, in the order of [`Rule::ALL`]. The severity is the highest that its findings have.
        pub static RULES: &[RuleDescription] = &[$(RuleDescription {
            id: stringify!($rule),
            severity: Severity::$severity,
            title: $title,
            explanation: $explanation,
        }),*];
    };
}

rules! {
    D01 Error "no record is published"
        "The zone's own servers say that the record does not exist: NXDOMAIN (no such name) or NODATA (the name \
         exists, but has no TXT record). Every signature with this selector fails (RFC 6376 §6.1.2: no key for \
         signature). Publish the record that the finding shows. NODATA often means that the record was put one \
         label too high or low, or as another type; NXDOMAIN that the panel added the domain to the name once more."
    D02 Error "several TXT records stand at one selector"
        "A selector may have one TXT record only; with several, what a verifier does is undefined (RFC 6376 \
         §3.6.2.2), and most take whichever comes first, which changes from answer to answer. Delete all but the \
         right one. Two records are often the two halves of one key: then publish them as two strings of one \
         record."
    D03 Error "the zone's servers do not say the same"
        "Every server of the zone must give the same answer. Here one has another record or none, refuses to \
         answer, or answers without authority (it is lame: named as a server of the zone, but does not have it, RFC \
         1912 §2.8). Mail then fails or passes by chance, depending on whom the receiver asks. Wait for the zone \
         transfer if the change is fresh; else repair the transfer to that server, or take it out of the \
         delegation."
    D04 Error "SERVFAIL, or DNSSEC validation fails"
        "SERVFAIL means that the server could not answer (RFC 1035 §4.1.1). If it answers when told not to check \
         signatures (CD=1, RFC 4035 §3.2.2), the record is there but its DNSSEC signatures are wrong or expired, or \
         the DS record in the parent zone fits no key: validating receivers see nothing and defer or fail the mail. \
         Sign the zone anew, or correct the DS record at the registrar. Without that, look at the server's log: the \
         zone was perhaps not loaded, or has expired on a secondary."
    D05 Error "a CNAME points to nothing"
        "The record's name is an alias (RFC 1034 §3.6.2), and where it leads there is no TXT record: no key is \
         found (RFC 6376 §6.1.2). Publish the record at the target, or point the alias to where the record is. An \
         alias that dangles below a domain which is free to register also lets whoever registers it sign your mail."
    D06 Error "CNAMEs go in circles or are too many"
        "Following the aliases from the record's name leads back to a name that was seen before, or through more \
         than eight of them. Resolvers give up and answer SERVFAIL (RFC 1034 §5.2.2), so no key is found. Point the \
         first alias straight to the name that has the record."
    D07 Warning "more than one CNAME on the way to the record"
        "The record is found through an alias of an alias. Each hop is one more zone that can fail and one more \
         look-up that counts against the receiver's time, and RFC 1034 §3.6.2 advises against it. Point the first \
         alias straight to the name that has the record."
    D08 Error "a CNAME stands beside other data"
        "A name that is an alias may have no other records (RFC 1034 §3.6.2, RFC 2181 §10.1). Which of the two a \
         receiver sees depends on the server and on what its resolver has in memory. Delete the CNAME, or the TXT \
         record beside it."
    D09 Error "a wildcard answers below _domainkey"
        "A name that nobody published, next to the record, has a TXT record or an alias too: a wildcard answers. \
         Wildcards make no sense here (RFC 6376 §3.6.2.1): whatever selector is asked for has something, so a \
         withdrawn or mistyped selector does not look absent, and a record that is missing may look as if it were \
         there. Remove the wildcard, or give `_domainkey` a record of its own, which ends the wildcard's reach (RFC \
         4592 §4.1)."
    D10 Warning "the TTL is unusual"
        "Resolvers keep the record for its TTL (RFC 1035 §3.2.1). Above a day, a key that was compromised lives on \
         in them for as long, and every rotation takes as much longer. Below five minutes, nearly every message \
         costs a look-up, and a short outage of DNS already makes mail fail. An hour is a good value."
    D11 Error "the answer does not fit into one UDP packet"
        "The answer was cut off at 1232 octets, the size that passes everywhere without fragments, so that \
         resolvers must ask again over TCP (RFC 7766 §5). If TCP fails, they never get the record: an error; allow \
         TCP port 53 in the firewall of that server. If it works, some receivers behind firewalls still will not \
         get it: use a key of 2048 bits, and remove other records and long notes at this name."
    D12 Warning "a resolver says something else than the zone's servers"
        "All servers of the zone agree, but a resolver still gives an earlier answer out of its memory (RFC 2181 \
         §5.2, RFC 2308 §5). Receivers that use resolvers like it see the old state until the TTL has run down. \
         Wait for as long as the finding says and check again. If it does not go away, the resolver has another \
         view of the zone (split horizon)."
    D13 Warning "the zone is not signed, or a signature expires soon"
        "Without DNSSEC (RFC 4033 §2) whoever can forge an answer to the receiver can publish a key for you. That \
         is information, or a warning where the configuration wants signed zones: sign the zone and give its DS \
         record to the registrar. A signature that expires within 12 hours is always a warning: the server does not \
         renew signatures in time (RFC 6781 §4.4.2), and once it has expired, validating receivers get SERVFAIL. \
         Look at the signer's log."
    D14 Warning "absence is remembered for long"
        "The zone's SOA record says for how long resolvers remember that a name does not exist: the lesser of its \
         TTL and its last field (RFC 2308 §5). Whoever asks for a new selector before it is published keeps it from \
         being seen for that long. RFC 2308 recommends one to three hours; more is information, more than a day a \
         warning. Lower the last field of the SOA record."
    D15 Warning "delegation and zone disagree"
        "The name servers that the parent zone names and those that the zone names itself must be the same (RFC \
         1034 §4.2.2). A server in only one of the lists is asked by some resolvers and not by others, so that its \
         faults show up by chance: give the registrar the list that the zone has, or correct the zone. Serial \
         numbers that differ (RFC 1982) are only information: a transfer is under way, or has failed if it stays \
         like that."
    D16 Warning "some servers do not answer"
        "A server that is named for the zone gives no answer, over UDP or TCP. Resolvers ask the next one, so mail \
         flows, but slower, and with one server fewer to fall back on (RFC 2182 §3). When the rest fail too, \
         receivers defer mail (RFC 6376 §6.1.2: key unavailable). Repair the server, or take it out of the \
         delegation. Servers that have only IPv6 addresses cannot be asked from a machine without IPv6: that is \
         information."
    S01 Error "v= is not first or not DKIM1"
        "If the record has the tag v=, it must be the first, and its value must be DKIM1 to the letter; any other \
         record is ignored (RFC 6376 §3.6.1). Then no signature with this selector verifies. Often this is a record \
         for something else (SPF, DMARC) at the wrong name. Publish the record that the finding shows."
    S02 Error "a tag stands there twice"
        "Two tags of the same name make the whole list invalid (RFC 6376 §3.2). Some verifiers take the first, some \
         the last, some none. Mostly two versions of the record were pasted after each other. Leave one."
    S03 Error "p= is missing"
        "A key record must have the tag p= with the public key (RFC 6376 §3.6.1); without it there is no key. If \
         the key was meant to be revoked, p= must be there with nothing after it. Publish the record that the \
         finding shows."
    S04 Error "p= is not base64"
        "The value of p= holds something that is not base64 (RFC 6376 §2.10), so that no key can be read. Look for \
         letters lost when copying, a hyphen or underscore (base64url is another alphabet), PEM's BEGIN and END \
         lines, or a line break that became a letter. If only the padding (`=`) at the end is missing, most \
         verifiers can read the key, but not all: a warning. Publish the record that the finding shows."
    S05 Info "white space inside p="
        "White space in base64 is allowed and means nothing (RFC 6376 §2.10), so nothing is broken. It shows that \
         the record was pasted with its line breaks, and a few verifiers trip over it. At the next occasion, \
         publish it without. No mail fails on the verifiers that Waxseal is tested against."
    S06 Error "quotes or backslashes became part of the value"
        "Quotation marks and `\\;` belong to zone files (RFC 1035 §5.1); many web forms and APIs take them \
         literally, and then they stand in the record itself, where they make the list of tags invalid (RFC 6376 \
         §3.2). Curly quotation marks come from word processors. Enter the value without quotes and backslashes \
         (`waxseal record --format plain`)."
    S07 Error "the key is cut off"
        "A TXT record consists of strings of at most 255 octets (RFC 1035 §3.3), and an RSA key needs more than \
         one. Some forms drop everything after the first 255 without a word, or the second string was lost. What is \
         left of the key does not verify anything (RFC 6376 §3.6.2.2 says how strings are joined). Enter the value \
         as several strings, as the finding shows it, or use a key that fits (Ed25519 beside RSA does; RSA with \
         1024 bits is too weak)."
    S08 Error "a semicolon between two tags was lost"
        "The strings of a TXT record are joined with nothing between them (RFC 6376 §3.6.2.2). Where one ends \
         without `;` and the next begins with another tag, the two tags become one and the record means something \
         else. Put `; ` at the end of each string that ends a tag, or publish the record as the finding shows it."
    S09 Warning "n= may confuse verifiers"
        "The note in n= is meant for people (RFC 6376 §3.6.1) and must be quoted-printable. Spaces and equals signs \
         in it are read by some verifiers as further tags, and then the key is not found. Write a space as `=20`, \
         or better leave the note out."
    S10 Info "a tag that no standard knows"
        "Tags that a verifier does not know are ignored (RFC 6376 §3.2), so nothing is broken. Mostly it is a \
         typing error for a tag that was meant to do something, such as `K=` for `k=`: names are case-sensitive. \
         Remove it, or correct it."
    S11 Warning "g= is obsolete"
        "RFC 4871 had the tag g= to limit a key to some local parts; RFC 6376 removed it. Old verifiers still obey \
         it, and to them an empty `g=` means that the key is good for no address at all. Remove the tag."
    S12 Error "the record is no list of tags"
        "A key record is a list of `name=value`, separated by single semicolons (RFC 6376 §3.2). Here there is a \
         part without `=`, an empty one, a name that is none, or a control character. Strict verifiers ignore such \
         a record, others guess. Publish the record that the finding shows."
    K01 Error "the RSA key has fewer than 1024 bits"
        "Verifiers must not take signatures of RSA keys with fewer than 1024 bits (RFC 8301 §3.2): the mail counts \
         as unsigned. Keys of 512 bits are broken for a few dollars. Generate a key of 2048 bits and rotate to it."
    K02 Warning "the RSA key has fewer than 2048 bits"
        "Signers should use at least 2048 bits (RFC 8301 §3.2). Keys of 1024 bits still verify today, but are \
         within reach of those with means, and large receivers have announced to refuse them. Generate a key of \
         2048 bits and rotate to it."
    K03 Warning "the RSA key has more than 4096 bits"
        "Verifiers must handle keys of 1024 to 4096 bits and need not handle longer ones (RFC 8301 §3.2). Some fail \
         the signature, and the record needs TCP. Use 2048 bits: more protects nothing that lives as briefly as a \
         DKIM key."
    K04 Error "the RSA key's exponent is unusual or unusable"
        "The public exponent must be odd and at least 3 (RFC 8017 §3.1); otherwise there is no RSA key, and no \
         signature verifies: an error. All common tools use 65537; another value is a warning, for some libraries \
         refuse small ones, and nearly all refuse those of more than 33 bits. Generate a new key."
    K05 Error "the RSA modulus can be factored"
        "The modulus is even, is divisible by a small prime, or bears the mark of the Infineon library that made \
         guessable primes (ROCA, CVE-2017-15361). Anyone can compute the private key from the record, in the last \
         case with some effort, and sign your mail. A modulus is to be the product of large random primes (RFC 8017 \
         §3.1). Generate a new key elsewhere, rotate to it now, and revoke this one."
    K06 Error "the Ed25519 key is not 32 octets"
        "p= of an Ed25519 record is the base64 of the bare 32 octets (RFC 8463 §4.2). With 44 octets it is a \
         SubjectPublicKeyInfo, as `openssl pkey -pubout` writes it: its first 12 octets must go. No verifier takes \
         such a record. Publish the one that the finding shows."
    K07 Warning "the RSA key is published without its wrapping"
        "p= holds a bare RSAPublicKey (PKCS#1). RFC 6376 §3.6.1 names that form, but its examples and everybody \
         since publish a SubjectPublicKeyInfo, and many verifiers, OpenDKIM among them, take nothing else. Publish \
         the record that the finding shows, or convert the key with `openssl rsa -RSAPublicKey_in -pubout`."
    K08 Error "k= and the key contradict each other"
        "k= says one kind of key, and what p= holds is another, or no key at all. A verifier that believes k= (RFC \
         6376 §3.6.1; without it it means rsa) cannot read p= and fails the signature. Records of kinds that are \
         not known are ignored (§6.1.2). A forgotten `k=ed25519` is the usual cause. Publish the record that the \
         finding shows."
    K09 Error "the published key is not the one we hold"
        "The record at this selector holds another key than the one Waxseal signs with, so that every signature \
         fails (RFC 6376 §6.1.3). Either the record was never changed after a new key was made, or another system \
         uses the same selector. Never overwrite a key that another system still signs with: give one of the two a \
         new selector."
    K10 Error "there is an Ed25519 key, but no RSA key"
        "Many receivers, large ones among them, do not know ed25519-sha256 (RFC 8463) and treat such mail as \
         unsigned. Ed25519 is good beside RSA, not instead of it. Generate an RSA key for the domain as well \
         (`waxseal generate --algorithm rsa`) and sign with both."
    K11 Warning "the same key is used elsewhere"
        "The same key stands under another domain or selector. If it leaks, all of them are forged, and none can be \
         rotated alone. If that is wanted (one key for many customers, each with a CNAME), declare it as shared: \
         then it is information. Else generate a key for each."
    P01 Error "h= does not fit"
        "h= lists the hash algorithms that the key may be used with (RFC 6376 §3.6.1). If sha256 is not among them, \
         every signature of Waxseal fails: an error. If sha1 is, signatures with it are allowed, which nobody may \
         make or trust any more (RFC 8301 §3.1): a warning. Remove h=; without it the record means what it should."
    P02 Error "s= excludes e-mail"
        "s= lists the services the key is for (RFC 6376 §3.6.1). Where it has neither `email` nor `*`, verifiers of \
         mail must ignore the record. Remove s=, or add `email`."
    P03 Warning "t=y: the domain says it is testing"
        "With t=y receivers must not treat a failed signature worse than none (RFC 6376 §3.6.1), and some treat a \
         good one no better than none. It is meant for the first days only. Remove the flag once mail verifies."
    P04 Error "t=s forbids the i= that is used"
        "With t=s, the domain of i= must be that of d= itself, not below it (RFC 6376 §3.6.1); but the \
         configuration signs with an i= in a subdomain. All these signatures fail. Remove t=s from the record, or \
         i= from the configuration."
    P05 Error "the record is revoked, but the key is in use"
        "p= is empty: the key is revoked (RFC 6376 §3.6.1), and every signature with it fails. The manifest says \
         that the key is in use. If it was revoked on purpose, activate another key and tell Waxseal that this one \
         is compromised; else publish the record again."
    P06 Warning "the record of a key that is done with is still there"
        "The key is withdrawn or revoked, but its record still stands in DNS. Whoever got hold of the old private \
         key can go on signing as you. Delete the record, or, while the key is revoked, publish it with an empty p= \
         (RFC 6376 §3.6.1). A CNAME that is left over belongs deleted too."
    P07 Warning "the key is older than the policy wants"
        "A key that is used for long has had more time to leak, through backups, former staff, or arithmetic. The \
         policy is half a year unless it says otherwise. Rotate: generate a new key, publish it, wait until it is \
         seen everywhere, activate it. The old one stays in DNS until mail under way has arrived."
    P08 Info "no key stands by"
        "No further key is published and ready. If the active one is compromised, its successor must first be \
         published and become visible, which takes as long as resolvers remember its absence, usually hours. With a \
         key standing by, it takes seconds. Generate one and publish it."
    P09 Error "DMARC is not met, or absent"
        "DMARC passes by DKIM only if d= is aligned with the domain in From: the same organisational domain, or \
         with adkim=s the very same domain (RFC 7489 §3.1.1). The configuration signs mail of subdomains with this \
         domain's key, and the DMARC record demands strict alignment: those messages fail. Remove adkim=s, or give \
         the subdomains keys of their own. That there is no DMARC record is information: large receivers want one."
    P11 Error "others can read the private key"
        "The file of the private key, or a directory above it, can be read by others than its owner and the \
         daemon's group. Whoever reads it can sign as the domain. Set the mode as the finding says. If people or \
         programs that you do not trust had access, replace the key: generate, publish, activate, then revoke this \
         one."
}
