//! Keys that OpenSSL wrote are read here, and OpenSSL reads and verifies with ours.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use waxseal::dkim::key::{Algorithm, KeyError, KeyFile, KeyKind, PrivateKey, UnusableKind};
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
        (
            openssl("rsa -traditional -aes128 -passout pass:secret -in {}", &[&private]),
            UnusableKind::TraditionallyEncrypted,
        ),
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

#[test]
#[ignore = "needs openssl; tests/run-all installs it"]
fn keys_that_openssl_encrypted_are_opened() {
    let scratch = Scratch::new();
    for words in ["genrsa 2048", "genrsa -traditional 1024", "genpkey -algorithm ED25519"] {
        let private = scratch.write("private.pem", &openssl(words, &[]));
        let plain = read(&std::fs::read(&private).unwrap());
        for how in [
            "",
            "-v2 aes-128-cbc",
            "-v2 aes-192-cbc",
            "-v2 aes-256-cbc -v2prf hmacWithSHA1",
            "-v2 aes-256-cbc -v2prf hmacWithSHA512 -iter 600000",
            "-v2 des3",
            "-scrypt",
            "-scrypt -scrypt_N 8192 -scrypt_r 8 -scrypt_p 4",
        ] {
            let encrypted = openssl(&format!("pkcs8 -topk8 {how} -passout pass:secret -in {{}}"), &[&private]);
            let Ok(KeyFile::Encrypted(key)) = KeyFile::read(&encrypted) else { panic!("{words} {how}") };
            assert_eq!(key.decrypt(b"secret").unwrap().public(), plain.public(), "{words} {how}");
            assert_eq!(key.decrypt(b"Secret").unwrap_err(), KeyError::WrongPassphrase, "{words} {how}");
        }
    }
}

#[test]
#[ignore = "needs openssl; tests/run-all installs it"]
fn encryption_that_is_not_read_is_named_with_what_converts_it() {
    let scratch = Scratch::new();
    let private = scratch.write("private.pem", &openssl("genrsa 2048", &[]));
    let plain = read(&std::fs::read(&private).unwrap());
    let refused = |file: &[u8]| KeyFile::read(file).unwrap_err();
    // The old schemes of PKCS#5 v1.5 and PKCS#12, where this OpenSSL still writes them, and ciphers beside AES.
    for how in ["-v1 PBE-SHA1-3DES", "-v2 camellia-256-cbc"] {
        let words = format!("pkcs8 -topk8 {how} -passout pass:secret -in {{}}");
        assert_eq!(refused(&openssl(&words, &[&private])), KeyError::Encryption, "{how}");
    }
    let costly = openssl("pkcs8 -topk8 -iter 20000000 -passout pass:secret -in {}", &[&private]);
    let Err(error @ KeyError::Derivation { .. }) = KeyFile::read(&costly) else { panic!() };
    assert!(error.to_string().contains("20000000 iterations of PBKDF2"), "{error}");

    let traditional =
        scratch.write("traditional.pem", &openssl("rsa -traditional -aes128 -passout pass:secret -in {}", &[&private]));
    let error = refused(&std::fs::read(&traditional).unwrap()).to_string();
    let command = error.split('`').nth(1).unwrap();
    let new = scratch.path("new.pem");
    let command = command.replace("FILE", traditional.to_str().unwrap()).replace("NEW", new.to_str().unwrap());
    let command = format!("{command} -passin pass:secret -passout pass:other");
    assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{command}");
    let Ok(KeyFile::Encrypted(key)) = KeyFile::read(&std::fs::read(new).unwrap()) else { panic!() };
    assert_eq!(key.decrypt(b"other").unwrap().public(), plain.public());
}

#[test]
#[ignore = "needs dkimpy; tests/run-all installs it"]
fn keys_that_dkimpy_makes_are_read() {
    let scratch = Scratch::new();
    let dknewkey = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-tools/venv/bin/dknewkey");
    assert!(dknewkey.exists(), "{} is missing: tests/run-all puts it there", dknewkey.display());
    for (kind, algorithm) in [("ed25519", Algorithm::Ed25519Sha256), ("rsa", Algorithm::RsaSha256)] {
        let output = Command::new(&dknewkey).args(["--ktype", kind]).arg(scratch.path(kind)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let file = std::fs::read(scratch.path(&format!("{kind}.key"))).unwrap();
        let Ok(KeyFile::Plain(key)) = KeyFile::read(&file) else { panic!("{kind}") };
        assert_eq!(key.public().algorithm(), algorithm);
        let record = std::fs::read_to_string(scratch.path(&format!("{kind}.dns"))).unwrap();
        let published = record.rsplit("p=").next().unwrap().trim().trim_end_matches('"');
        assert!(KeyRecord::of(key.public()).to_string().ends_with(&format!("p={published}")), "{record}");
        assert_agrees(&key);
    }
}
