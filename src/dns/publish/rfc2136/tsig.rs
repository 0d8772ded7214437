//! The key, and whether an answer is to be believed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::Name;
use hickory_resolver::proto::rr::rdata::tsig::{
    TSIG, TsigAlgorithm, TsigError, make_tsig_record, message_tbs, signed_bitmessage_to_buf,
};
use jiff::SignedDuration;
use zeroize::Zeroizing;

use super::super::CredentialsProblem;
use crate::config::TsigHash;
use crate::dns::name::{absolute, plain};

/// How far the clocks may be apart, in seconds (RFC 8945 §10 recommends 300).
const FUDGE: u16 = 300;

/// A key shared with a name server. Its secret is never shown, and wiped when dropped. (hickory's `TSigner` would keep a
/// copy that is not.)
#[derive(Clone)]
pub struct TsigKey {
    name: Name,
    algorithm: TsigAlgorithm,
    secret: Zeroizing<Vec<u8>>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TsigKeyError {
    /// The name cannot be one.
    #[error("{name:?} is no name of a TSIG key")]
    Name {
        /// As given.
        name: String,
    },
    /// The secret is no base64. It is not shown.
    #[error("the secret of the TSIG key {name} is not base64; give the value of `secret` as tsig-keygen prints it")]
    Encoding {
        /// The key's name.
        name: String,
    },
    /// The secret has hardly any octets. It is not shown.
    #[error("the secret of the TSIG key {name} is only {octets} octets long; make one with tsig-keygen")]
    Short {
        /// The key's name.
        name: String,
        /// Its length.
        octets: usize,
    },
}

impl TsigKey {
    /// A key of this name, with a secret in base64; white space around the secret is not part of it.
    ///
    /// # Errors
    /// When the name is none, or the secret is no base64 or shorter than 16 octets.
    pub fn new(name: &str, hash: TsigHash, secret: &[u8]) -> Result<Self, TsigKeyError> {
        let Some(name_of_key) = absolute(name) else { return Err(TsigKeyError::Name { name: name.into() }) };
        let Ok(secret) = STANDARD.decode(secret.trim_ascii()).map(Zeroizing::new) else {
            return Err(TsigKeyError::Encoding { name: name.into() });
        };
        if secret.len() < 16 {
            return Err(TsigKeyError::Short { name: name.into(), octets: secret.len() });
        }
        let algorithm = match hash {
            TsigHash::Sha256 => TsigAlgorithm::HmacSha256,
            TsigHash::Sha384 => TsigAlgorithm::HmacSha384,
            TsigHash::Sha512 => TsigAlgorithm::HmacSha512,
        };
        Ok(Self { name: name_of_key, algorithm, secret })
    }

    /// Its name, without the final dot.
    pub fn name(&self) -> String {
        plain(&self.name)
    }

    /// Signs a message (RFC 8945 §5.1), and gives what verifies its answer. `now` is in seconds since 1970.
    pub(super) fn sign(&self, message: &mut Message, now: u64) -> Result<Verifier<'_>, ProtoError> {
        let unsigned = TSIG::new(self.algorithm.clone(), now, FUDGE, Vec::new(), message.metadata.id, None, Vec::new());
        let signed = message_tbs(message, &unsigned, &self.name)?;
        let mac =
            self.algorithm.mac_data(&self.secret, &signed).map_err(|error| ProtoError::from(error.to_string()))?;
        message.set_signature(Box::new(make_tsig_record(self.name.clone(), unsigned.set_mac(mac.clone()))));
        Ok(Verifier { key: self, mac, asked_at: now })
    }
}

/// Verifies the answer to one message.
pub(super) struct Verifier<'a> {
    key: &'a TsigKey,
    /// Of the question; the answer's covers it.
    mac: Vec<u8>,
    /// The time in the question's signature, in seconds since 1970.
    asked_at: u64,
}

impl Verifier<'_> {
    /// Whether an answer is signed with our key, as one to our question, at a time near to it (RFC 8945 §5.3, §5.4).
    /// Truncated codes are not taken.
    fn is_good(&self, octets: &[u8]) -> bool {
        let Ok((signed, signature)) = signed_bitmessage_to_buf(octets, Some(&self.mac), true) else { return false };
        let tsig = &signature.data;
        signature.name == self.key.name
            && tsig.algorithm == self.key.algorithm
            && tsig.algorithm.verify_mac(&self.key.secret, &signed, &tsig.mac).is_ok()
            && tsig.time.abs_diff(self.asked_at) <= u64::from(tsig.fudge)
    }
}

impl fmt::Debug for TsigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TsigKey").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// What an answer to a signed message says, once it is believed.
///
/// An error without a signature is passed on: it claims nothing that could do harm, and PowerDNS signs none (RFC 8945
/// §5.3.2 asks for it).
pub(super) fn believe(octets: &[u8], verifier: &Verifier<'_>) -> Result<Message, Result<CredentialsProblem, String>> {
    let message = Message::from_vec(octets).map_err(|error| Err(error.to_string()))?;
    let Some(signature) = message.signature() else {
        return match message.metadata.response_code {
            // Of a question, this can only mean its signature (RFC 8945 §5.2).
            ResponseCode::NotAuth if message.metadata.op_code == OpCode::Query => Err(Ok(CredentialsProblem::NotSaid)),
            ResponseCode::Refused
            | ResponseCode::NotAuth
            | ResponseCode::NotZone
            | ResponseCode::ServFail
            | ResponseCode::NotImp
            | ResponseCode::FormErr => Ok(message),
            _ => Err(Ok(CredentialsProblem::Unsigned)),
        };
    };
    match signature.data.error {
        None | Some(TsigError::Unknown(0)) if verifier.is_good(octets) => Ok(message),
        None | Some(TsigError::Unknown(0)) => Err(Ok(CredentialsProblem::Forged)),
        Some(TsigError::BadKey) => Err(Ok(CredentialsProblem::UnknownKey)),
        Some(TsigError::BadSig) => Err(Ok(CredentialsProblem::WrongSecret)),
        Some(TsigError::BadTrunc) => Err(Ok(CredentialsProblem::Truncated)),
        // The server's time stands in Other Data, 48 bits (RFC 8945 §5.2.3).
        Some(TsigError::BadTime) => {
            let ahead = match (verifier.is_good(octets), signature.data.other.as_slice()) {
                (true, [a, b, c, d, e, f]) => {
                    Some(difference(u64::from_be_bytes([0, 0, *a, *b, *c, *d, *e, *f]), verifier.asked_at))
                }
                _ => None,
            };
            Err(Ok(CredentialsProblem::Clock { ahead }))
        }
        Some(TsigError::Unknown(code)) => Err(Ok(CredentialsProblem::Other(code))),
    }
}

/// How far the server is ahead. Both fit 48 bits, or nearly.
fn difference(server: u64, here: u64) -> SignedDuration {
    let seconds = i64::try_from(i128::from(server) - i128::from(here)).unwrap_or(i64::MAX);
    SignedDuration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::MessageType;
    use hickory_resolver::proto::rr::{TSigResponseContext, TSigner};

    use super::*;
    use crate::dns::publish::rfc2136::update;

    const NOW: u64 = 1_795_464_000;
    const SECRET: &[u8] = b"d2F4c2VhbCB0ZXN0cyB1c2UgdGhpcyBzZWNyZXQgb25seQ==\n";

    fn key(secret: &[u8]) -> TsigKey {
        TsigKey::new("waxseal", TsigHash::Sha256, secret).unwrap()
    }

    /// As a server holds it.
    fn signer(secret: &[u8]) -> TSigner {
        let TsigKey { name, algorithm, secret } = key(secret);
        TSigner::new(secret.to_vec(), algorithm, name, FUDGE).unwrap()
    }

    /// A signed question, and the message that answers it with this code.
    fn exchange(key: &TsigKey, code: ResponseCode) -> (Message, Verifier<'_>, Message) {
        let mut question = update::add(
            &absolute("example.test").unwrap(),
            &absolute("s._domainkey.example.test").unwrap(),
            60,
            update::rdata(&[b"v=DKIM1; p="]),
        );
        let verifier = key.sign(&mut question, NOW).unwrap();
        let mut answer = Message::query();
        answer.metadata.id = question.metadata.id;
        answer.metadata.message_type = MessageType::Response;
        answer.metadata.op_code = question.metadata.op_code;
        answer.metadata.response_code = code;
        (question, verifier, answer)
    }

    /// The answer signed by a server with this secret.
    fn signed(question: &Message, mut answer: Message, secret: &[u8]) -> Vec<u8> {
        let mac = question.signature().unwrap().data.mac.clone();
        let context = TSigResponseContext::new(answer.metadata.id, NOW, signer(secret), mac, None);
        answer.set_signature(context.sign(&answer.to_vec().unwrap()).unwrap());
        answer.to_vec().unwrap()
    }

    fn problem(octets: &[u8], verifier: &Verifier<'_>) -> CredentialsProblem {
        believe(octets, verifier).unwrap_err().unwrap()
    }

    #[test]
    fn success_is_believed_only_with_our_signature() {
        let key = key(SECRET);
        let (question, verifier, answer) = exchange(&key, ResponseCode::NoError);
        assert!(believe(&signed(&question, answer, SECRET), &verifier).is_ok());
        let (_, verifier, answer) = exchange(&key, ResponseCode::NoError);
        assert_eq!(problem(&answer.to_vec().unwrap(), &verifier), CredentialsProblem::Unsigned);
        let (question, verifier, answer) = exchange(&key, ResponseCode::NoError);
        let other = b"YW5vdGhlciBzZWNyZXQgdGhhdCBpcyBub3QgdGhlIHNlcnZlcnM=";
        assert_eq!(problem(&signed(&question, answer, other), &verifier), CredentialsProblem::Forged);
        // An answer to another question of ours.
        let (question, _, answer) = exchange(&key, ResponseCode::NoError);
        let (_, verifier, _) = exchange(&key, ResponseCode::NoError);
        assert_eq!(problem(&signed(&question, answer, SECRET), &verifier), CredentialsProblem::Forged);
        // A failed prerequisite says what stands there, and is believed no sooner.
        let (_, verifier, answer) = exchange(&key, ResponseCode::YXDomain);
        assert_eq!(problem(&answer.to_vec().unwrap(), &verifier), CredentialsProblem::Unsigned);
        let (_, verifier, mut answer) = exchange(&key, ResponseCode::NotAuth);
        answer.metadata.op_code = OpCode::Query;
        assert_eq!(problem(&answer.to_vec().unwrap(), &verifier), CredentialsProblem::NotSaid);
        for code in [ResponseCode::Refused, ResponseCode::NotAuth, ResponseCode::ServFail] {
            let (_, verifier, answer) = exchange(&key, code);
            assert!(believe(&answer.to_vec().unwrap(), &verifier).is_ok(), "{code}");
        }
    }

    #[test]
    fn tsig_errors_are_named() {
        let key = key(SECRET);
        for (error, expected) in [
            (TsigError::BadKey, CredentialsProblem::UnknownKey),
            (TsigError::BadSig, CredentialsProblem::WrongSecret),
            (TsigError::BadTrunc, CredentialsProblem::Truncated),
            (TsigError::Unknown(99), CredentialsProblem::Other(99)),
            // Unsigned, so that its time is not believed.
            (TsigError::BadTime, CredentialsProblem::Clock { ahead: None }),
        ] {
            let (_, verifier, mut answer) = exchange(&key, ResponseCode::NotAuth);
            let other = vec![0; 6];
            let rdata = TSIG::new(TsigAlgorithm::HmacSha256, NOW, 300, vec![], answer.metadata.id, Some(error), other);
            answer.set_signature(Box::new(make_tsig_record(absolute("waxseal").unwrap(), rdata)));
            assert_eq!(problem(&answer.to_vec().unwrap(), &verifier), expected, "{error:?}");
        }
        let ahead = |seconds| CredentialsProblem::Clock { ahead: Some(SignedDuration::from_secs(seconds)) }.to_string();
        assert!(ahead(-3600).contains("3600 s behind") && ahead(7).contains("7 s ahead of"));
    }

    #[test]
    fn no_octets_make_it_panic() {
        let key = key(SECRET);
        let (question, _, answer) = exchange(&key, ResponseCode::NoError);
        let good = signed(&question, answer, SECRET);
        for length in 0..good.len() {
            let (_, verifier, _) = exchange(&key, ResponseCode::NoError);
            assert!(believe(&good[..length], &verifier).is_err(), "{length}");
            let (_, verifier, _) = exchange(&key, ResponseCode::NoError);
            let mut changed = good.clone();
            changed[length] ^= 0xff;
            let believed = believe(&changed, &verifier);
            assert!(believed.is_err() || length < 2, "octet {length}: {believed:?}");
        }
    }

    #[test]
    fn a_key_shows_no_secret_and_must_be_one() {
        assert!(!format!("{:?}", key(SECRET)).contains("d2F4"));
        let wrong = [("waxseal", "no base64!"), ("waxseal", "c2hvcnQ="), ("way..wrong", "d2F4c2VhbCB0ZXN0cyB1c2U=")];
        for (name, secret) in wrong {
            let error = TsigKey::new(name, TsigHash::Sha512, secret.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(secret), "{error:?}");
        }
    }
}
