//! Cases of the rules K.

use super::world::*;
use crate::check::Rule::*;
use crate::dkim::KeyMaterial;
use crate::finding::Severity::{Error, Info, Warning};
use crate::manifest::StateName;

const F4: &[u8] = &[1, 0, 1];

/// A published RSA key that we do not hold.
fn foreign(world: &mut World, key: &[u8]) {
    world.holds_nothing();
    world.record(&format!("v=DKIM1; k=rsa; p={}", p_of(key)));
}

fn of_bits(world: &mut World, bits: usize) {
    foreign(world, &spki(&modulus(bits), F4));
}

fn with_exponent(world: &mut World, exponent: &[u8]) {
    foreign(world, &spki(&modulus(2048), exponent));
}

fn ours_bare() -> Vec<u8> {
    let key = rsa();
    let KeyMaterial::Rsa { modulus, exponent, .. } = KeyMaterial::of(key.octets()) else { panic!() };
    bare(modulus, exponent)
}

/// Ed25519 beside RSA, the first of two keys.
fn both(world: &mut World) {
    world.holds(&ed25519());
    world.subject.keys.push(published("s2", &rsa()));
}

fn wrapped_ed25519() -> Vec<u8> {
    let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    [head.as_slice(), ed25519().octets()].concat()
}

pub(super) fn examples() -> Vec<Example> {
    [numbers(), forms(), whose()].into_iter().flatten().collect()
}

fn numbers() -> Vec<Example> {
    vec![
        finds("768 bits", &[(K01, Error)], |world| of_bits(world, 768)),
        quiet(K01, "2048 bits", |world| of_bits(world, 2048)),
        finds("1024 bits", &[(K02, Warning)], |world| of_bits(world, 1024)),
        quiet(K02, "3072 bits", |world| of_bits(world, 3072)),
        finds("8192 bits", &[(K03, Warning)], |world| of_bits(world, 8192)),
        finds("16384 bits", &[(K03, Warning)], |world| of_bits(world, 16_384)),
        quiet(K03, "4096 bits", |world| of_bits(world, 4096)),
        finds("an exponent of 3", &[(K04, Warning)], |world| with_exponent(world, &[3])),
        finds("an even exponent", &[(K04, Error)], |world| with_exponent(world, &[1, 0, 0])),
        finds("an exponent of 1", &[(K04, Error)], |world| with_exponent(world, &[1])),
        finds("an exponent as long as the modulus", &[(K04, Warning)], |world| with_exponent(world, &[0x55; 256])),
        quiet(K04, "an exponent of 65537", |world| with_exponent(world, F4)),
        finds("an even modulus", &[(K05, Error)], |world| foreign(world, &spki(&[0xc2; 256], F4))),
        finds("a modulus with a small factor", &[(K05, Error)], |world| foreign(world, &spki(&[0xff; 256], F4))),
        finds("a modulus of the faulty library", &[(K05, Error)], |world| foreign(world, &spki(&roca(), F4))),
        quiet(K05, "a modulus of random primes", |_| {}),
    ]
}

/// The modulus of a key of 2048 bits, its primes made as the faulty library made them.
fn roca() -> Vec<u8> {
    let digits = include_str!("roca-2048.hex").trim().as_bytes();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn forms() -> Vec<Example> {
    vec![
        finds("Ed25519 with its wrapping", &[(K06, Error)], |world| {
            both(world);
            world.record(&format!("v=DKIM1; k=ed25519; p={}", p_of(&wrapped_ed25519())));
        }),
        finds("Ed25519 with an octet too many", &[(K06, Error)], |world| {
            both(world);
            world.record(&format!("v=DKIM1; k=ed25519; p={}", p_of(&[7; 33])));
        }),
        quiet(K06, "Ed25519 of 32 octets", both),
        finds("RSA without its wrapping", &[(K07, Warning)], |world| {
            world.record(&format!("v=DKIM1; k=rsa; p={}", p_of(&ours_bare())));
        }),
        finds("somebody's RSA without its wrapping", &[(K07, Warning)], |world| {
            foreign(world, &bare(&modulus(2048), F4));
        }),
        quiet(K07, "RSA with its wrapping", |world| foreign(world, &spki(&modulus(2048), F4))),
        finds("Ed25519 without k=", &[(K08, Error)], |world| {
            both(world);
            world.record(&format!("v=DKIM1; p={}", p_of(ed25519().octets())));
        }),
        finds("RSA that says Ed25519", &[(K08, Error)], |world| {
            world.record(&format!("v=DKIM1; k=ed25519; p={}", p_of(rsa().octets())));
        }),
        finds("Ed25519 with its wrapping that says RSA", &[(K08, Error)], |world| {
            both(world);
            world.record(&format!("v=DKIM1; k=rsa; p={}", p_of(&wrapped_ed25519())));
        }),
        finds("a kind of key that is not known", &[(K08, Error)], |world| {
            world.record(&format!("v=DKIM1; k=dilithium; p={}", p_of(rsa().octets())));
        }),
        finds("no key at all", &[(K08, Error)], |world| world.record("v=DKIM1; k=rsa; p=QUJDREVG")),
        finds("a modulus of zero", &[(K08, Error)], |world| foreign(world, &spki(&[0], F4))),
        finds("an elliptic curve", &[(K08, Error)], |world| {
            let curve = [0x30, 0x0d, 0x30, 0x09, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 3, 0];
            foreign(world, &curve);
        }),
        finds("the private key", &[(K08, Error)], |world| {
            let pem = include_str!("../../../tests/data/keys/rsa-2048-pkcs8.pem");
            let key: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
            world.record(&format!("v=DKIM1; k=rsa; p={key}"));
        }),
        quiet(K08, "RSA without k=", |world| world.record(&format!("v=DKIM1; p={}", p_of(rsa().octets())))),
    ]
}

fn whose() -> Vec<Example> {
    vec![
        finds("another RSA key", &[(K09, Error)], |world| {
            world.record(&format!("v=DKIM1; k=rsa; p={}", p_of(&spki(&modulus(1024), &[3]))));
        }),
        finds("a key of another algorithm", &[(K09, Error)], |world| {
            world.record(&format!("v=DKIM1; k=ed25519; p={}", p_of(ed25519().octets())));
        }),
        quiet(K09, "a key that nobody here holds", |world| of_bits(world, 2048)),
        finds("Ed25519 alone", &[(K10, Error)], |world| world.holds(&ed25519())),
        finds("Ed25519 signs while RSA waits", &[(K10, Error)], |world| {
            both(world);
            world.subject.keys[1].held.as_mut().unwrap().state = StateName::Published;
        }),
        quiet(K10, "Ed25519 beside RSA", both),
        quiet(K10, "Ed25519 in DNS, whatever we hold", |world| {
            world.holds(&ed25519());
            world.holds_nothing();
        }),
        finds("the same key elsewhere", &[(K11, Warning)], |world| {
            world.held().same_key = vec![(domain("example.org"), selector("s9"))];
        }),
        finds("the same key elsewhere, as declared", &[(K11, Info)], |world| {
            world.held().is_shared = true;
            world.held().same_key = (0..9).map(|n| (domain(&format!("c{n}.example")), selector("s9"))).collect();
        }),
        quiet(K11, "a key declared as shared that is not", |world| world.held().is_shared = true),
    ]
}

#[test]
fn a_wrong_key_is_shown_with_both_fingerprints() {
    let mut world = World::new();
    world.record(&format!("v=DKIM1; k=ed25519; p={}", p_of(ed25519().octets())));
    let finding = &world.findings()[0];
    assert!(finding.evidence.contains(&ed25519().id().to_string()), "{}", finding.evidence);
    assert!(finding.expected.contains(&rsa().id().to_string()), "{}", finding.expected);
}

#[test]
fn a_published_private_key_is_not_repeated() {
    let mut world = World::new();
    let pem = include_str!("../../../tests/data/keys/rsa-2048-pkcs8.pem");
    let key: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    world.record(&format!("v=DKIM1; k=rsa; p={key}"));
    assert!(!format!("{:?}", world.findings()).contains(&key[40..80]));
}
