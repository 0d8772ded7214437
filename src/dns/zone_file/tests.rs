use super::*;
use crate::names::Selector;
use crate::observation::{ChainEnd, Code, Observation, Outcome, Response};

const ZONE: &str = r#"
$ORIGIN example.test.
$TTL 1h
@   IN SOA ns1 hostmaster ( 2026112301 ; serial
        2h 15m 2w 10m )
    IN NS ns1
ns1 IN A 192.0.2.1
s._domainkey 1800 IN TXT ( "v=DKIM1; k=rsa; "
                           "p=AA\"\\\027" )
             IN TXT second
alias._domainkey CNAME s._domainkey.example.test.
loop._domainkey CNAME pool._domainkey
pool._domainkey CNAME loop._domainkey
away._domainkey CNAME keys.example.net.
*.wild TXT "w"
sub NS ns.example.net.
"#;

fn parse(text: &str) -> Result<ZoneFile, ZoneFileError> {
    ZoneFile::parse(text, None, "zones/example.zone")
}

fn seen(file: &ZoneFile, domain: &str, selector: &str) -> Observation {
    let at = "2026-11-23T12:00:00Z".parse().unwrap();
    file.observe(&DomainName::parse(domain).unwrap(), &Selector::parse(selector).unwrap(), at)
}

fn response(observation: &Observation, hop: usize) -> &Response {
    match &observation.hops[hop].answers[0].outcome {
        Outcome::Answered(response) => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn strings_are_kept_apart_and_to_the_octet() {
    let seen = seen(&parse(ZONE).unwrap(), "example.test", "s");
    let response = response(&seen, 0);
    assert_eq!(response.txt.len(), 2);
    assert_eq!(response.txt[0].strings, [b"v=DKIM1; k=rsa; ".to_vec(), b"p=AA\"\\\x1b".to_vec()]);
    assert_eq!((response.txt[0].ttl, response.txt[1].ttl), (1800, 3600));
    assert_eq!(seen.hops[0].answers[0].server.to_string(), "zones/example.zone");
    let zone = seen.hops[0].zone.as_ref().unwrap();
    assert_eq!(zone.apex, "example.test");
    assert_eq!(zone.soas[0].soa, Some(Soa { serial: 2026112301, ttl: 3600, minimum: 600 }));
}

#[test]
fn cnames_are_followed_as_far_as_the_file_goes() {
    let file = parse(ZONE).unwrap();
    let alias = seen(&file, "example.test", "alias");
    assert_eq!(alias.hops.len(), 2);
    assert_eq!(response(&alias, 1).txt.len(), 2);
    assert_eq!(seen(&file, "example.test", "loop").chain, ChainEnd::Loop);
    let away = seen(&file, "example.test", "away");
    assert!(away.hops[1].answers.is_empty());
    assert!(away.hops[1].zone_unknown.as_ref().unwrap().contains("not in the zone example.test"));
}

#[test]
fn no_name_no_record_and_wildcards_are_told_apart() {
    let file = parse(ZONE).unwrap();
    let absent = seen(&file, "example.test", "absent");
    assert_eq!(response(&absent, 0).code, Code::NxDomain);
    assert_eq!(response(&absent, 0).soa.as_ref().unwrap().negative_ttl(), 600);
    assert!(absent.wildcard.is_some_and(|wildcard| wildcard.name.ends_with("._domainkey.example.test")));
    let wild = seen(&file, "wild.example.test", "s");
    assert_eq!(response(&wild, 0).txt[0].strings, [b"w".to_vec()]);
    let Outcome::Answered(sibling) = &wild.wildcard.unwrap().answers[0].outcome.clone() else { panic!() };
    assert_eq!(sibling.txt.len(), 1);
    assert_eq!(
        response(&seen(&parse("$ORIGIN a.test.\n$TTL 1\nx.y TXT z").unwrap(), "a.test", "y"), 0).code,
        Code::NxDomain
    );
}

#[test]
fn what_is_delegated_or_elsewhere_is_not_known() {
    let file = parse(ZONE).unwrap();
    let below = seen(&file, "sub.example.test", "s");
    assert!(below.hops[0].zone_unknown.as_ref().unwrap().contains("delegates sub.example.test"));
    let elsewhere = seen(&file, "example.org", "s");
    assert!(elsewhere.hops[0].answers.is_empty());
}

#[test]
fn records_alone_need_no_soa() {
    let file = parse("s._domainkey.example.test. 300 IN TXT ( \"v=DKIM1; p=\" )\n").unwrap();
    assert_eq!(response(&seen(&file, "example.test", "s"), 0).txt[0].ttl, 300);
    let origin = DomainName::parse("example.test").unwrap();
    let file = ZoneFile::parse("$TTL 60\ns._domainkey TXT x", Some(&origin), "f").unwrap();
    assert_eq!(response(&seen(&file, "example.test", "s"), 0).txt.len(), 1);
}

#[test]
fn signatures_are_seen_with_their_end() {
    let text = "$ORIGIN a.test.\n$TTL 1\ns._domainkey TXT x\n RRSIG TXT 13 4 1 20261224120000 20261123110000 1 a.test. AAAA\n \
                RRSIG NSEC 13 4 1 20261224120000 20261123110000 1 a.test. AAAA";
    let seen = seen(&parse(text).unwrap(), "a.test", "s");
    let [signature] = response(&seen, 0).signatures.as_slice() else { panic!("{seen:?}") };
    assert_eq!(signature.expires.to_string(), "2026-12-24T12:00:00Z");
}

#[test]
fn what_is_wrong_is_named_with_file_line_and_remedy() {
    let error = |text: &str| parse(text).unwrap_err().to_string();
    for (text, line, part) in [
        ("\n\na TXT x", 3, "begin the file with $ORIGIN"),
        ("$ORIGIN a.test.\nb TXT x", 2, "$TTL 3600"),
        ("$ORIGIN a.test.\n$TTL soon\n", 2, "no TTL"),
        (" TXT x", 1, "begin the line with a name"),
        ("a. 60 IN", 1, "no type"),
        ("a. 60 \"x\"", 1, "no type"),
        ("a. 60 TXT", 1, "quoted strings"),
        ("a. 60 TXT \\# 1 00", 1, "quoted strings"),
        ("a. 60 TXT \"x\\300\"", 1, "three decimal digits"),
        ("a. 60 CNAME b. c.", 1, "one name"),
        ("a. 60 SOA b. c. 1", 1, "serial number"),
        ("a..b. 60 TXT x", 1, "no domain name"),
        ("\n$INCLUDE /etc/shadow", 2, "$INCLUDE is not followed"),
        ("a. 60 SOA b. c. 1 1 1 1 1\na. 60 SOA b. c. 1 1 1 1 1", 2, "second SOA"),
    ] {
        let error = error(text);
        assert!(error.starts_with(&format!("zones/example.zone:{line}: ")), "{text:?}: {error}");
        assert!(error.contains(part), "{text:?}: {error}");
    }
    let long = format!("a. 60 TXT {}", "x".repeat(256));
    assert!(error(&long).contains("a string of 256 octets"));
}

proptest::proptest! {
    #[test]
    fn nothing_panics(text in ".{0,200}", octets in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        for text in [text.as_bytes(), octets.as_slice()] {
            if let Ok(file) = ZoneFile::parse(text, Some(&DomainName::parse("example.test").unwrap()), "f") {
                seen(&file, "example.test", "s");
            }
        }
    }
}
