use proptest::prelude::*;

use super::*;

/// The addresses, as `local part|domain`.
fn read(value: &str) -> Result<Vec<String>, AddressError> {
    let mailboxes = parse_mailboxes(value.as_bytes())?;
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    Ok(mailboxes.iter().map(|mailbox| format!("{}|{}", text(&mailbox.local_part), text(&mailbox.domain))).collect())
}

#[track_caller]
fn reads(value: &str, expected: &[&str]) {
    assert_eq!(read(value).unwrap(), expected, "{value:?}");
}

#[test]
fn plain_addresses_are_read_with_and_without_display_name() {
    reads("joe@example.com", &["joe|example.com"]);
    reads(" Joe SixPack <joe.x+y@Example.com>", &["joe.x+y|Example.com"]);
    reads("<joe@example.com>", &["joe|example.com"]);
    reads("\"Doe, <j@evil.example>\" <joe@example.com>", &["joe|example.com"]);
    reads("=?utf-8?q?J=C3=B6?= <joe@example.com>", &["joe|example.com"]);
    reads("a@b, C <c@d>,e@f", &["a|b", "c|d", "e|f"]);
}

#[test]
fn dots_in_display_names_are_accepted() {
    reads("J. R. Rig <x@y>", &["x|y"]);
    reads("...\"x\". <x@y>", &["x|y"]);
}

#[test]
fn display_names_may_hold_any_8_bit_octets_but_addresses_only_utf_8() {
    assert_eq!(parse_mailboxes(b"J\xf6rg <x@y>").unwrap().len(), 1);
    assert_eq!(parse_mailboxes(b"\"J\xf6rg\" (\xff) <x@y>").unwrap().len(), 1);
    reads("jörg@bücher.example", &["jörg|bücher.example"]);
    assert_eq!(parse_mailboxes(b"j\xf6rg@y"), Err(AddressError::NotUtf8 { at: 0 }));
    assert_eq!(parse_mailboxes(b"<j@\xf6y>"), Err(AddressError::NotUtf8 { at: 3 }));
    assert_eq!(parse_mailboxes(b"\"\xf6\"@y"), Err(AddressError::NotUtf8 { at: 0 }));
}

#[test]
fn comments_and_folds_are_passed_over() {
    reads("joe@example.com (Joe)", &["joe|example.com"]);
    reads("(a(b\\)(c)))\r\n\tJoe\r\n <joe@example.com\r\n >\r\n ", &["joe|example.com"]);
    reads("joe (x@evil.example) @ (,) example.com", &["joe|example.com"]);
    reads("Joe\r\n \r\n <a@b>", &["a|b"]);
}

#[test]
fn quoted_local_parts_lose_their_quotes() {
    reads("\"joe x\"@example.com", &["joe x|example.com"]);
    reads("\"a\\\"b\\@c\"@d", &["a\"b@c|d"]);
    reads("a.\"b\".c@d", &["a.b.c|d"]);
    reads("\"a\r\n b\"@d", &["a b|d"]);
    reads("\"\"@d", &["|d"]);
    reads("\"x@evil.example\"@d", &["x@evil.example|d"]);
}

#[test]
fn groups_are_read_through() {
    reads("Team: a@b, C <c@d>;", &["a|b", "c|d"]);
    reads("Team:;, x@y", &["x|y"]);
    reads("x@y, Team: a@b; (end)", &["x|y", "a|b"]);
    assert_eq!(read("undisclosed recipients:;"), Err(AddressError::NoMailbox));
    assert_eq!(read("Team: a@b"), Err(AddressError::UnclosedGroup { at: 4 }));
    assert_eq!(read("A: B: a@b;;"), Err(AddressError::StrayColon { at: 4 }));
    assert_eq!(read(": a@b;"), Err(AddressError::StrayColon { at: 0 }));
    assert_eq!(read("A: a@b; x"), Err(AddressError::AfterAddress { at: 8 }));
    assert_eq!(read("a@b;"), Err(AddressError::AfterAddress { at: 3 }));
}

#[test]
fn obsolete_forms_of_one_meaning_are_read() {
    reads("<@relay.example,@other.example:joe@example.com>", &["joe|example.com"]);
    reads(",a@b,, c@d,", &["a|b", "c|d"]);
    reads("joe @ example.com", &["joe|example.com"]);
}

#[test]
fn what_could_name_two_domains_is_refused() {
    for (value, error) in [
        ("a@b@c", AddressError::SecondAt { at: 3 }),
        ("<a@b@c>", AddressError::SecondAt { at: 4 }),
        ("a@@c", AddressError::SecondAt { at: 2 }),
        ("a@b c@d", AddressError::AfterAddress { at: 4 }),
        ("a@b <c@d>", AddressError::AfterAddress { at: 4 }),
        ("<a@b> <c@d>", AddressError::AfterAddress { at: 6 }),
        ("<a@b> x", AddressError::AfterAddress { at: 6 }),
        ("<<a@b>>", AddressError::AfterAddress { at: 1 }),
        ("<a@b", AddressError::UnclosedAngle { at: 0 }),
        ("x <a@b, c@d", AddressError::AfterAddress { at: 6 }),
        ("a@b>", AddressError::AfterAddress { at: 3 }),
        ("a@b.com .evil.example", AddressError::Split { at: 9 }),
        ("a@b(x).com", AddressError::Split { at: 7 }),
        ("a@b. com", AddressError::Split { at: 5 }),
        ("a b@c", AddressError::Split { at: 2 }),
        ("a . b@c", AddressError::Split { at: 2 }),
        ("\"a\"b@c", AddressError::Split { at: 3 }),
        ("a@\"b\"", AddressError::NoDomain { at: 2 }),
        ("Doe, Joe <a@b>", AddressError::NoAddress { at: 0 }),
    ] {
        assert_eq!(read(value), Err(error), "{value:?}");
    }
}

#[test]
fn what_is_no_address_is_refused() {
    for (value, error) in [
        ("", AddressError::NoMailbox),
        (" \r\n ", AddressError::NoMailbox),
        (",,", AddressError::NoMailbox),
        ("(only a comment)", AddressError::NoMailbox),
        ("<>", AddressError::NoAddress { at: 0 }),
        ("joe", AddressError::NoAddress { at: 0 }),
        ("<joe>", AddressError::NoAddress { at: 1 }),
        ("@b", AddressError::EmptyLocalPart { at: 0 }),
        ("<@b>", AddressError::EmptyLocalPart { at: 1 }),
        ("a@", AddressError::NoDomain { at: 2 }),
        ("a@,b@c", AddressError::NoDomain { at: 2 }),
        (".a@b", AddressError::Dot { at: 0 }),
        ("a.@b", AddressError::Dot { at: 1 }),
        ("a..b@c", AddressError::Dot { at: 2 }),
        ("a@.b", AddressError::Dot { at: 2 }),
        ("a@b.", AddressError::Dot { at: 3 }),
        ("a@b..c", AddressError::Dot { at: 3 }),
        ("a@[192.0.2.1]", AddressError::DomainLiteral { at: 2 }),
        ("<a@[IPv6:::1]>", AddressError::DomainLiteral { at: 3 }),
        ("[x] <a@b>", AddressError::Unquoted { octet: b'[', at: 0 }),
        ("a)@b", AddressError::Unquoted { octet: b')', at: 1 }),
        ("a\\b@c", AddressError::Unquoted { octet: b'\\', at: 1 }),
        ("(a@b", AddressError::UnclosedComment { at: 0 }),
        ("(a\\", AddressError::UnclosedComment { at: 0 }),
        ("\"a@b", AddressError::UnclosedQuote { at: 0 }),
        ("\"a\\", AddressError::UnclosedQuote { at: 0 }),
        ("a\0@b", AddressError::Control { octet: 0, at: 1 }),
        ("\"\\\0\"@b", AddressError::Control { octet: 0, at: 2 }),
        ("(\x7f) a@b", AddressError::Control { octet: 0x7f, at: 1 }),
        ("a@b\r\n", AddressError::Control { octet: b'\r', at: 3 }),
        ("a@b\r\nX: y", AddressError::Control { octet: b'\r', at: 3 }),
        ("a\n <b@c>", AddressError::Control { octet: b'\n', at: 1 }),
        ("\"a\rb\"@c", AddressError::Control { octet: b'\r', at: 2 }),
    ] {
        assert_eq!(read(value), Err(error), "{value:?}");
    }
}

#[test]
fn depth_and_number_are_bounded() {
    let comment = |depth| format!("{}x{} a@b", "(".repeat(depth), ")".repeat(depth));
    reads(&comment(32), &["a|b"]);
    assert_eq!(read(&comment(33)), Err(AddressError::CommentDepth { at: 32 }));
    assert!(matches!(read(&"(".repeat(1_000_000)), Err(AddressError::CommentDepth { .. })));
    assert_eq!(read(&"a@b,".repeat(1000)).unwrap().len(), 1000);
    assert_eq!(read(&"a@b,".repeat(1001)), Err(AddressError::TooMany));
}

proptest! {
    #[test]
    fn any_octets_are_read_or_refused_and_addresses_are_never_empty(value in proptest::collection::vec(
        prop_oneof![
            proptest::sample::select(&b"ab.@<>,;:()[]\\\" \t\r\n\xc3\xb6\0"[..]),
            any::<u8>(),
        ], 0..60)) {
        if let Ok(mailboxes) = parse_mailboxes(&value) {
            prop_assert!(!mailboxes.is_empty());
            for mailbox in mailboxes {
                prop_assert!(!mailbox.domain.is_empty());
                prop_assert!(!mailbox.domain.iter().any(|octet| b" \t\r\n@<>,;:()[]\\\"\0".contains(octet)));
            }
        }
    }

    #[test]
    fn well_formed_addresses_come_back_whatever_stands_around_them(
        local_part in "[a-z0-9!#$+]{1,8}(\\.[a-z]{1,5}){0,2}",
        domain in "[a-z]{1,8}(\\.[a-z]{1,5}){0,3}",
        before in "( |\r\n |\\([a-z@,]{0,5}\\)){0,3}",
        name in "([A-Za-z.=?' é]{0,10}|\"[A-Za-z@<>, ]{0,9}\")",
    ) {
        let expected = vec![format!("{local_part}|{domain}")];
        prop_assert_eq!(read(&format!("{before}{local_part}@{domain}{before}")).unwrap(), expected.clone());
        prop_assert_eq!(read(&format!("{name}{before}<{before}{local_part}@{domain}{before}>")).unwrap(), expected);
    }
}
