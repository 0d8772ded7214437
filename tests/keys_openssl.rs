//! Keys that OpenSSL wrote are read here, and OpenSSL reads and verifies with ours.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use waxseal::dkim::key::{Algorithm, KeyError, KeyKind, PrivateKey, UnusableKind};
use waxseal::dkim::key_record::KeyRecord;

struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, octets: &[u8]) -> PathBuf {
        std::fs::write(self.path(name), octets).unwrap();
        self.path(name)
    }
}

/// Runs `openssl` with these words, a path standing for each `{}`; gives what it prints.
fn openssl(words: &str, paths: &[&Path]) -> Vec<u8> {
    let mut paths = paths.iter();
    let arguments = words.split_whitespace().map(|word| match word {
        "{}" => paths.next().unwrap().as_os_str().to_owned(),
        word => word.into(),
    });
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn read(pem: &[u8]) -> PrivateKey {
    PrivateKey::from_pem(pem).unwrap()
}

/// Both sides agree on the public key, and OpenSSL verifies a signature made here.
fn assert_agrees(key: &PrivateKey) {
    let scratch = Scratch::new();
    let private = scratch.write("private.pem", key.to_pem().as_bytes());
    let spki = openssl("pkey -in {} -pubout -outform DER", &[&private]);
    assert!(spki.ends_with(key.public().octets()));
    let public = scratch.write("public.der", &spki);
    let octets = b"some octets";
    let data = scratch.write("data", octets);
    let signature = key.signing_key().unwrap().sign(octets).unwrap();
    let signature = scratch.write("signature", &signature);
    match key.public().algorithm() {
        Algorithm::RsaSha256 => {
            openssl("dgst -sha256 -verify {} -keyform DER -signature {} {}", &[&public, &signature, &data]);
        }
        Algorithm::Ed25519Sha256 => {
            let digest = scratch.path("digest");
            openssl("dgst -sha256 -binary -out {} {}", &[&digest, &data]);
            let paths = [public.as_path(), &digest, &signature];
            openssl("pkeyutl -verify -pubin -keyform DER -inkey {} -rawin -in {} -sigfile {}", &paths);
        }
    }
}

#[test]
#[ignore = "needs openssl; tests/run-all installs it"]
fn keys_that_openssl_generates_are_read() {
    for (words, bits) in [
        ("genpkey -algorithm ED25519", 256),
        ("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024", 1024),
        ("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1536", 1536),
        ("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048", 2048),
        ("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2056", 2056),
        ("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3", 2048),
        ("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:4096", 4096),
        ("genrsa -traditional 1024", 1024),
        ("genrsa -traditional 2048", 2048),
    ] {
        let key = read(&openssl(words, &[]));
        assert_eq!(key.public().bits(), bits, "{words}");
        assert_agrees(&key);
    }
}

#[test]
#[ignore = "needs openssl; tests/run-all installs it"]
fn openssl_reads_what_is_generated_here() {
    assert_agrees(&PrivateKey::generate(KeyKind::Ed25519).unwrap());
    for bits in [2048, 3072] {
        assert_agrees(&PrivateKey::generate(KeyKind::Rsa { bits }).unwrap());
    }
}

#[test]
#[ignore = "needs openssl; tests/run-all installs it"]
fn a_record_holds_what_openssl_calls_the_public_key() {
    let scratch = Scratch::new();
    let private = scratch.write("private.pem", &openssl("genrsa 2048", &[]));
    let pem = String::from_utf8(openssl("pkey -in {} -pubout", &[&private])).unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let key = read(&std::fs::read(&private).unwrap());
    assert_eq!(KeyRecord::of(key.public()).to_string(), format!("v=DKIM1; k=rsa; p={base64}"));
    let bare = openssl("rsa -in {} -RSAPublicKey_out -outform DER", &[&private]);
    assert!(KeyRecord { public_key: bare, ..KeyRecord::of(key.public()) }.matches(key.public()));
}

#[test]
#[ignore = "needs openssl; tests/run-all installs it"]
fn other_files_of_openssl_are_named() {
    let scratch = Scratch::new();
    let private = scratch.write("private.pem", &openssl("genrsa 2048", &[]));
    let certificate = openssl("req -x509 -new -key {} -subj /CN=x -days 1", &[&private]);
    for (file, found) in [
        (openssl("pkey -in {} -pubout", &[&private]), UnusableKind::PublicKey),
        (openssl("rsa -in {} -RSAPublicKey_out", &[&private]), UnusableKind::PublicKey),
        (certificate, UnusableKind::Certificate),
        (openssl("pkcs8 -topk8 -passout pass:secret -in {}", &[&private]), UnusableKind::Encrypted),
        (openssl("rsa -traditional -aes128 -passout pass:secret -in {}", &[&private]), UnusableKind::Encrypted),
        (openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256", &[]), UnusableKind::EllipticCurve),
        (openssl("ecparam -genkey -noout -name prime256v1", &[]), UnusableKind::EllipticCurve),
        (openssl("genpkey -algorithm RSA-PSS", &[]), UnusableKind::RsaPss),
        (openssl("genpkey -algorithm ED448", &[]), UnusableKind::OtherAlgorithm),
        (openssl("genpkey -algorithm X25519", &[]), UnusableKind::OtherAlgorithm),
    ] {
        assert_eq!(PrivateKey::from_pem(&file).unwrap_err(), KeyError::Unusable { found });
    }
    let short = openssl("genrsa 512", &[]);
    assert_eq!(PrivateKey::from_pem(&short).unwrap_err(), KeyError::RsaSize { bits: 512 });
    let der = openssl("pkey -in {} -outform DER", &[&private]);
    assert_eq!(PrivateKey::from_pem(&der).unwrap_err(), KeyError::NoPem);
}

#[test]
#[ignore = "needs openssl; tests/run-all installs it"]
fn the_remedies_in_the_errors_work() {
    let scratch = Scratch::new();
    let run = |error: KeyError, file: &Path| {
        let text = error.to_string();
        let command = text.split('`').nth(1).unwrap();
        let new = scratch.path("new.pem");
        let command = command.replace("FILE", file.to_str().unwrap()).replace("NEW", new.to_str().unwrap());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{command}");
        read(&std::fs::read(new).unwrap())
    };
    let seed = scratch.write("seed", b"nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=\n");
    let error = PrivateKey::from_pem(&std::fs::read(&seed).unwrap()).unwrap_err();
    assert_eq!(run(error, &seed).public().octets()[..4], [0xd7, 0x5a, 0x98, 0x01]);

    let private = scratch.write("private.pem", &openssl("genrsa 2048", &[]));
    let der = scratch.write("private.der", &openssl("pkey -in {} -outform DER", &[&private]));
    let error = PrivateKey::from_pem(&std::fs::read(&der).unwrap()).unwrap_err();
    assert_eq!(run(error, &der).public(), read(&std::fs::read(&private).unwrap()).public());
}
