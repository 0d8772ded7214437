//! Cases of the rules S.

use super::world::*;
use crate::check::Rule::*;
use crate::dkim::KeyRecord;
use crate::finding::Severity::{Error, Info, Warning};
use crate::manifest::StateName;

fn ours() -> String {
    KeyRecord::of(&rsa()).to_string()
}

fn p() -> String {
    p_of(rsa().octets())
}

pub(super) fn examples() -> Vec<Example> {
    [tags(), marks(), cuts(), oddities()].into_iter().flatten().collect()
}

fn tags() -> Vec<Example> {
    vec![
        finds("v= is not first", &[(S01, Error)], |world| world.record(&format!("k=rsa; v=DKIM1; p={}", p()))),
        finds("v= is in lower case", &[(S01, Error)], |world| world.record(&ours().replace("DKIM1", "dkim1"))),
        finds("an SPF record", &[(S01, Error)], |world| world.record("v=spf1 include:_spf.example.com -all")),
        finds("a DMARC record", &[(S01, Error)], |world| world.record("v=DMARC1; p=none; rua=mailto:x@example.com")),
        quiet(S01, "no v= at all", |world| world.record(&format!("k=rsa; p={}", p()))),
        quiet(S01, "white space around v=", |world| world.record(&format!(" v = DKIM1 ; p={}", p()))),
        finds("two records in one", &[(S02, Error)], |world| {
            let twice = format!("k=rsa; p={0}; k=rsa; p={0}", p());
            world.record(&twice);
        }),
        quiet(S02, "t= has two flags", |world| {
            world.with_tags("t=s:x");
        }),
        finds("no p=", &[(S03, Error)], |world| world.record("v=DKIM1; k=rsa")),
        quiet(S03, "p= alone", |world| world.record(&format!("p={}", p()))),
        finds("PEM lines in p=", &[(S04, Error)], |world| {
            world.record(&format!("v=DKIM1; k=rsa; p=-----BEGIN PUBLIC KEY-----{}-----END PUBLIC KEY-----", p()));
        }),
        finds("base64url in p=", &[(S04, Error)], |world| {
            let url = p().replace('+', "-").replace('/', "_");
            assert_ne!(url, p());
            world.record(&format!("p={url}"));
        }),
        finds("a control character in p=", &[(S04, Error)], |world| world.record(&format!("p={}\u{7f}", p()))),
        finds("a letter of p= is lost", &[(S04, Error)], |world| {
            let key = p_of(ed25519().octets());
            world.holds(&ed25519());
            world.record(&format!("v=DKIM1; k=ed25519; p={}{}", &key[..10], key[11..].trim_end_matches('=')));
            world.subject.keys.push(published("s2", &rsa()));
        }),
        finds("padding is missing", &[(S04, Warning)], |world| {
            world.holds(&ed25519());
            world.subject.keys.push(published("s2", &rsa()));
            world.record(KeyRecord::of(&ed25519()).to_string().trim_end_matches('='));
        }),
        quiet(S04, "padding is not needed", |world| {
            assert!(!p().ends_with('='));
            world.record(&format!("v=DKIM1; k=rsa; p={}", p()));
        }),
        finds("two semicolons", &[(S12, Error)], |world| world.record(&ours().replacen(';', ";;", 1))),
        finds("a part without an equals sign", &[(S12, Error)], |world| world.record(&format!("{}; rsa", ours()))),
        finds("some other text", &[(S12, Error)], |world| world.record("hello \u{1b}[31mworld")),
        finds("a record of another service", &[(S12, Error)], |world| world.record("some-site-verification=abc")),
        finds("an empty record", &[(S12, Error)], |world| world.all_say(&[txt(&[b""])])),
        finds("a record without strings", &[(S12, Error)], |world| world.all_say(&[txt(&[])])),
        quiet(S12, "a semicolon at the end", |world| world.record(&format!("{} ;", ours()))),
    ]
}

fn marks() -> Vec<Example> {
    vec![
        finds("backslashes of a zone file", &[(S06, Error)], |world| world.record(&ours().replace(';', "\\;"))),
        finds("quotes of a zone file", &[(S06, Error)], |world| world.record(&format!("\"{}\"", ours()))),
        finds("quotes between the strings", &[(S06, Error)], |world| {
            world.record(&ours().replacen("MIIB", "MI\" \"IB", 1));
        }),
        finds("curly quotes", &[(S06, Error)], |world| world.record(&format!("\u{201c}{}\u{201d}", ours()))),
        finds("curly quotes of Windows", &[(S06, Error)], |world| {
            let strings = [b"\x93v=DKIM1; k=rsa; p=".as_slice(), &p().as_bytes()[..100], b"\x94"].concat();
            world.all_say(&[txt(&[&strings])]);
        }),
        finds("single quotes", &[(S06, Error)], |world| world.record(&format!("'{}'", ours()))),
        quiet(S06, "quotes in a note", |world| world.with_tags("n=\"a\\b\"")),
        finds("no semicolon at the end of a string", &[(S08, Error)], |world| {
            let key = p();
            let [first, second] = [&key.as_bytes()[..200], &key.as_bytes()[200..]];
            world.all_say(&[txt(&[b"v=DKIM1; k=rsa", b"p=", first, second])]);
        }),
        finds("no semicolon at all", &[(S08, Error)], |world| world.record(&ours().replace(';', ""))),
        finds("no semicolon after the version", &[(S08, Error)], |world| world.record(&ours().replacen(';', "", 1))),
        finds("no semicolon after p=", &[(S08, Error)], |world| {
            let key = p();
            let [first, second] = [&key.as_bytes()[..200], &key.as_bytes()[200..]];
            world.all_say(&[txt(&[b"v=DKIM1; p=", first, second, b"t=s"])]);
        }),
        finds("no semicolon after a note", &[(S08, Error)], |world| {
            let key = format!("p={}", &p()[..200]);
            world.all_say(&[txt(&[b"v=DKIM1; n=note", key.as_bytes(), &p().as_bytes()[200..]])]);
        }),
        quiet(S08, "strings that end where they like", |world| {
            let text = ours();
            let strings: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            world.all_say(&[txt(&strings)]);
        }),
        quiet(S08, "the padding is a string of its own", |world| {
            world.holds(&ed25519());
            let text = KeyRecord::of(&ed25519()).to_string();
            let strings: Vec<&[u8]> = text.as_bytes().chunks(text.len() - 2).collect();
            world.all_say(&[txt(&strings)]);
            world.subject.keys.push(published("s2", &rsa()));
        }),
        quiet(S08, "a note in which an octet is encoded", |world| {
            let key = p();
            let [first, second] = [&key.as_bytes()[..200], &key.as_bytes()[200..]];
            world.all_say(&[txt(&[b"v=DKIM1; n=no", b"t=20this; p=", first, second])]);
        }),
    ]
}

fn cuts() -> Vec<Example> {
    vec![
        finds("only the first 255 octets", &[(S07, Error)], |world| world.record(&ours()[..255])),
        finds("only the first 255 octets, whoever holds the key", &[(S07, Error)], |world| {
            world.holds_nothing();
            world.record(&ours()[..255]);
        }),
        finds("a string was lost on the way", &[(S07, Error)], |world| {
            let text = format!("{}{}", &ours()[..200], &ours()[300..]);
            world.record(&text);
        }),
        finds("a key cut in the middle of base64", &[(S07, Error)], |world| world.record(&ours()[..253])),
        finds("an Ed25519 key cut off", &[(S07, Error)], |world| {
            world.holds(&ed25519());
            world.subject.keys.push(published("s2", &rsa()));
            let text = KeyRecord::of(&ed25519()).to_string();
            world.record(&text[..text.len() - 8]);
        }),
        quiet(S07, "a record of exactly 255 octets", |world| {
            world.holds(&ed25519());
            world.subject.keys.push(published("s2", &rsa()));
            let text = KeyRecord::of(&ed25519()).to_string();
            let note = "x".repeat(255 - text.len() - "n=; ".len());
            let text = text.replacen("p=", &format!("n={note}; p="), 1);
            assert_eq!(text.len(), 255);
            world.record(&text);
        }),
    ]
}

fn oddities() -> Vec<Example> {
    vec![
        finds("white space in p=", &[(S05, Info)], |world| {
            let key = p();
            world.record(&format!("v=DKIM1; k=rsa; p={} \t {}", &key[..100], &key[100..]));
        }),
        quiet(S05, "white space around p=", |world| world.record(&format!("v=DKIM1; k=rsa; p = {} ; ", p()))),
        finds("a note with spaces", &[(S09, Warning)], |world| world.with_tags("n=our first key")),
        finds("a note with an equals sign", &[(S09, Warning)], |world| world.with_tags("n=year=twenty")),
        quiet(S09, "a note in quoted-printable", |world| world.with_tags("n=our=20first=20key")),
        finds("a tag of somebody's own", &[(S10, Info)], |world| world.with_tags("made=2026")),
        finds("tags in the wrong case", &[(S10, Info)], |world| world.with_tags("T=s")),
        quiet(S10, "all tags that the standard knows", |world| world.with_tags("h=sha256; s=email; t=s; n=x")),
        finds("an empty g=", &[(S11, Warning)], |world| world.with_tags("g=")),
        finds("g= with a star", &[(S11, Warning)], |world| world.with_tags("g=*")),
        quiet(S11, "no g=", |world| world.with_tags("s=*")),
    ]
}

#[test]
fn a_revoked_key_is_to_be_replaced_by_its_revocation() {
    let mut world = World::new();
    world.held().state = StateName::Revoked;
    world.record("v=DKIM1; k=rsa");
    let finding = &world.findings()[0];
    assert_eq!(
        (finding.rule, finding.record.as_str()),
        ("S03", "s1._domainkey.example.com. 3600 IN TXT ( \"v=DKIM1; k=rsa; p=\" )")
    );
}

#[test]
fn the_record_is_to_be_published_where_the_alias_leads() {
    let mut world = World::new();
    world.leads_through(&["s1.keys.example.net"], Some(&response(vec![txt(&[b"v=DKIM1; k=rsa"])])));
    let finding = &world.findings()[0];
    assert!(finding.rule == "S03" && finding.record.starts_with("s1.keys.example.net. 3600 IN TXT"), "{finding:?}");
}
