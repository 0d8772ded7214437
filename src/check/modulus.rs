//! RSA moduli that anyone can factor.

/// Primes up to here are tried as factors. More finds little: a modulus of random primes has no factor anywhere near.
const LARGEST_FACTOR: u32 = 1_000;

/// The primes below are the factors of the number from which the faulty library made its primes, whatever their size.
const LARGEST_OF_ROCA: u32 = 167;

/// The generator of that library.
const ROCA_GENERATOR: u32 = 65_537;

/// What makes a modulus weak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weakness {
    /// A small factor.
    Factor(u32),
    /// The mark of primes of Infineon's library (CVE-2017-15361).
    Roca,
}

/// Looks for what makes a modulus, big-endian, weak.
pub(super) fn weakness(modulus: &[u8]) -> Option<Weakness> {
    if let Some(factor) = primes(LARGEST_FACTOR).find(|prime| remainder(modulus, *prime) == 0) {
        return Some(Weakness::Factor(factor));
    }
    is_roca(modulus).then_some(Weakness::Roca)
}

/// Whether the modulus bears the mark of Infineon's library: its primes are k·M + (65537^a mod M), M the product of the
/// first primes, so that modulo each of these the modulus is a power of 65537 (Nemec, Sys, Svenda, Klinec, Matyas: The
/// Return of Coppersmith's Attack, 2017, §2). A random modulus is that for all of them by a chance of about 1 in 2^27.
fn is_roca(modulus: &[u8]) -> bool {
    primes(LARGEST_OF_ROCA).skip(1).all(|prime| is_power(ROCA_GENERATOR % prime, remainder(modulus, prime), prime))
}

/// Whether `value` is a power of `base` modulo `prime`: whether it has a discrete logarithm.
fn is_power(base: u32, value: u32, prime: u32) -> bool {
    let mut power = 1;
    for _ in 0..prime {
        if power == value {
            return true;
        }
        power = power * base % prime;
    }
    false
}

/// A number, big-endian, modulo a small one above zero.
pub(super) fn remainder(number: &[u8], divisor: u32) -> u32 {
    let divisor = u64::from(divisor);
    // Four octets at a time, the odd ones first.
    let (head, words) = number.split_at(number.len() % 4);
    let start = head.iter().fold(0, |rest, octet| (rest << 8 | u64::from(*octet)) % divisor);
    let rest = words.chunks_exact(4).fold(start, |rest, word| {
        let word = word.iter().fold(0, |word, octet| word << 8 | u64::from(*octet));
        (rest << 32 | word) % divisor
    });
    u32::try_from(rest).unwrap_or(0)
}

fn primes(largest: u32) -> impl Iterator<Item = u32> {
    (2..=largest)
        .filter(|number| (2..).take_while(|factor| factor * factor <= *number).all(|factor| number % factor != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::{KeyKind, KeyMaterial, PrivateKey};

    /// 65537 to this power, big-endian: a power of 65537 modulo everything.
    fn power(exponent: usize) -> Vec<u8> {
        // (2^16 + 1) times a number is the number and the number moved by two octets.
        let mut number = vec![1u8];
        for _ in 0..exponent {
            let moved = [number.as_slice(), &[0, 0]].concat();
            let mut carry = 0u16;
            let padded = [vec![0; moved.len() - number.len()], number].concat();
            let mut sum: Vec<u8> = moved
                .iter()
                .zip(&padded)
                .rev()
                .map(|(a, b)| {
                    carry += u16::from(*a) + u16::from(*b);
                    let digit = carry as u8;
                    carry >>= 8;
                    digit
                })
                .collect();
            if carry > 0 {
                sum.push(1);
            }
            sum.reverse();
            number = sum;
        }
        number
    }

    #[test]
    fn there_are_as_many_primes_as_there_should_be() {
        assert_eq!(primes(1_000).count(), 168);
        assert_eq!(primes(LARGEST_OF_ROCA).count(), 39);
    }

    #[test]
    fn a_remainder_is_that_of_the_number() {
        assert_eq!(remainder(&[], 7), 0);
        assert_eq!(remainder(&[1, 0], 7), 256 % 7);
        proptest::proptest!(|(number: u128, divisor in 1u32..)| {
            let expected = (number % u128::from(divisor)) as u32;
            proptest::prop_assert_eq!(remainder(&number.to_be_bytes(), divisor), expected);
            proptest::prop_assert_eq!(remainder(&[&[0; 3], number.to_be_bytes().as_slice()].concat(), divisor), expected);
        });
    }

    #[test]
    fn small_factors_are_found() {
        assert_eq!(weakness(&[0]), Some(Weakness::Factor(2)));
        assert_eq!(weakness(&[0xff, 0xff]), Some(Weakness::Factor(3)));
        // 997 · 1009.
        assert_eq!(weakness(&1_005_973u32.to_be_bytes()), Some(Weakness::Factor(997)));
    }

    #[test]
    fn primes_of_the_faulty_library_are_recognised() {
        assert_eq!(weakness(&power(127)), Some(Weakness::Roca));
        let mut other = power(127);
        *other.last_mut().unwrap() = other.last().unwrap().wrapping_add(2);
        assert_ne!(weakness(&other), Some(Weakness::Roca));
    }

    #[test]
    fn good_keys_are_not_accused() {
        for bits in [2048, 3072] {
            let key = PrivateKey::generate(KeyKind::rsa(bits).unwrap()).unwrap();
            let KeyMaterial::Rsa { modulus, .. } = KeyMaterial::of(key.public().octets()) else { panic!() };
            assert_eq!(weakness(modulus), None);
        }
    }
}
