//! Records of those who want no good: nothing panics, nothing takes long, nothing reaches a terminal raw.

use proptest::collection::vec;
use proptest::prelude::*;

use super::world::*;
use crate::check::Rule;
use crate::observation::*;

/// All that is said of a record, as one text.
fn said(records: &[Txt]) -> String {
    let mut world = World::new();
    world.all_say(records);
    let mut text: String = world.findings().iter().map(|finding| format!("{finding}{}\n", finding.expected)).collect();
    world.holds_nothing();
    text.extend(world.findings().iter().map(|finding| format!("{finding}{}\n", finding.expected)));
    text
}

fn is_printable(text: &str) -> bool {
    !text.chars().any(|character| character.is_control() && character != '\n')
}

#[test]
fn huge_records_are_judged_and_not_repeated() {
    let string = |octet: u8| vec![octet; 255];
    let cases: Vec<Vec<Vec<u8>>> = vec![
        vec![vec![b'a'; 65_535]],
        (0..257).map(|_| string(b';')).collect(),
        (0..257).map(|_| string(b'=')).collect(),
        (0..257).map(|_| string(0x1b)).collect(),
        (0..257).map(|_| b"p=".repeat(127)).collect(),
        (0..257).map(|_| b"n=a;".repeat(63)).collect(),
        (0..500).map(|_| b"x".to_vec()).collect(),
        (0..500).map(|_| Vec::new()).collect(),
        (0..30_000).map(|_| b"k=".to_vec()).collect(),
        vec![(0..6_000).flat_map(|n| format!("t{n}=1;").into_bytes()).collect()],
        (0..32_000).map(|_| b" ".to_vec()).collect(),
        std::iter::once(b"p=".to_vec()).chain((0..32_000).map(|_| b"p".to_vec())).collect(),
        vec![(0..13_000).flat_map(|n| format!("a{n:x}=;").into_bytes()).collect()],
        vec![[b"v=DKIM1; k=".as_slice(), &b"k=".repeat(32_000)].concat()],
        vec![[b"v=DKIM1; n=".as_slice(), &b"=zz ".repeat(16_000)].concat()],
    ];
    for strings in cases {
        let text = said(&[Txt { strings, ttl: u32::MAX }]);
        assert!(is_printable(&text) && text.len() < 12_000, "{} octets", text.len());
        assert!(!text.is_empty());
    }
}

#[test]
fn huge_numbers_are_judged() {
    for (modulus, exponent) in [
        (vec![0xff; 40_000], vec![0xff; 8_000]),
        (vec![1], vec![3]),
        (vec![0xc1; 256], vec![0]),
        (vec![], vec![]),
        (vec![0], vec![1, 0, 1]),
        (vec![0xc1; 3], vec![0xff; 40_000]),
    ] {
        for key in [spki(&modulus, &exponent), bare(&modulus, &exponent)] {
            for kind in ["rsa", "ed25519", "\u{1b}[31m"] {
                let text = said(&[cut(&format!("v=DKIM1; k={kind}; p={}", p_of(&key)))]);
                assert!(is_printable(&text) && !text.is_empty());
            }
        }
    }
}

#[test]
fn many_servers_that_all_say_something_else_are_judged() {
    let mut world = World::new();
    world.seen().hops[0].answers = (0..200u8)
        .map(|number| ServerAnswer {
            server: server(number),
            outcome: answered(response((0..20).map(|at| txt(&[&[number, at, 0x1b]])).collect())),
        })
        .collect();
    let findings = world.findings();
    assert!(findings.len() >= 199);
    assert!(findings.iter().all(|finding| is_printable(&finding.to_string())));
}

#[test]
fn names_and_words_of_others_reach_no_terminal_raw() {
    let evil = "\u{1b}]0;owned\u{7}\r\n\u{9b}x";
    let mut world = World::new();
    world.leads_through(&[evil, evil], Some(&nothing(Code::NxDomain)));
    for server in &mut world.zone().name_servers {
        server.name = evil.into();
        server.addresses.clear();
        server.unresolved = Some(evil.into());
    }
    world.zone().apex = evil.into();
    world.zone().has_ds = Some(false);
    for soa in &mut world.zone().soas {
        soa.soa = Some(Soa {
            serial: u32::from(soa.server.address.ip().to_string().ends_with('1')),
            ttl: u32::MAX,
            minimum: u32::MAX,
        });
        soa.server.name = evil.into();
    }
    for hop in &mut world.seen().hops {
        hop.answers[0].server.name = evil.into();
    }
    let truncation = Truncation::TcpFailed { detail: evil.into() };
    world.says(1, Response { truncation, ..response(vec![txt(&[evil.as_bytes()])]) });
    world.seen().recursive =
        Recursive { resolver: evil.into(), answer: RecursiveAnswer::Bogus { detail: evil.into() } };
    world.subject.dmarc = Dmarc::Found { name: evil.into(), record: evil.into() };
    let findings = world.findings();
    assert!(findings.len() > 5, "{findings:#?}");
    for finding in findings {
        assert!(is_printable(&format!("{finding}{}{}", finding.expected, finding.record)), "{finding:?}");
    }
    world.seen().hops.truncate(1);
    world.outcome(1, Outcome::Silent(Silence::Malformed { detail: evil.into() }));
    world.outcome(2, Outcome::Silent(Silence::Unreachable { detail: evil.into() }));
    world.seen().recursive.answer = RecursiveAnswer::Failed { detail: evil.into() };
    assert!(is_printable(&world.undetermined().unwrap()));
}

/// Pieces of which records are made, right ones and wrong ones.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"v=DKIM1; ".to_vec()),
        Just(b"k=rsa; p=".to_vec()),
        Just(b"k=ed25519; p=".to_vec()),
        Just(b";".to_vec()),
        Just(b"\\;".to_vec()),
        Just(b"=".to_vec()),
        Just(b"\"".to_vec()),
        Just(b"n= ".to_vec()),
        Just(b"\xe2\x80\x9c".to_vec()),
        Just(p_of(rsa().octets()).into_bytes()),
        vec(any::<u8>(), 0..40).prop_map(|octets| p_of(&octets).into_bytes()),
        vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_record_is_judged(strings in vec(vec(piece(), 0..6), 0..5)) {
        let strings = strings.into_iter().map(|pieces| pieces.concat()).collect();
        let text = said(&[Txt { strings, ttl: 3600 }]);
        prop_assert!(is_printable(&text), "{:?}", text);
    }

    #[test]
    fn any_key_is_judged(key in vec(any::<u8>(), 0..300), head in prop_oneof![Just(vec![]), Just(vec![0x30, 0x82, 1, 0x22])]) {
        let text = said(&[cut(&format!("p={}", p_of(&[head, key].concat())))]);
        prop_assert!(is_printable(&text));
    }

    /// A record that says nothing wrong of itself, and holds our key, has no error.
    #[test]
    fn our_record_is_right_however_it_is_cut(cuts in vec(1usize..380, 0..6)) {
        let text = crate::dkim::KeyRecord::of(&rsa()).to_string();
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|at| *at < text.len()).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let strings = cuts.windows(2).map(|pair| text.as_bytes()[pair[0]..pair[1]].to_vec()).collect();
        let mut world = World::new();
        world.all_say(&[Txt { strings, ttl: 3600 }]);
        prop_assert_eq!(world.findings(), vec![]);
    }
}

#[test]
fn an_identifier_of_any_kind_is_answered() {
    proptest!(|(text: String)| {
        if let Err(error) = text.parse::<Rule>() {
            prop_assert!(is_printable(&error.to_string()));
        }
    });
}
