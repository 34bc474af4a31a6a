//! What is said of ciphers, hashes and drivers that this crate was built without. It is empty with the default features;
//! `cargo test -p udm-crypto --no-default-features --test not_built` runs it.
#![cfg(not(any(feature = "aws-lc", feature = "rare-ciphers")))]

use udm_crypto::spec::Why;
use udm_crypto::{Algorithm, Choice, Cipher, CipherSpec, Hash, KeyError, Mode, Registry, Skcipher, Standing};

/// A key of AES or Serpent in XTS.
const KEY: [u8; 64] = {
    let mut key = [0; 64];
    key[0] = 1;
    key
};

#[test]
fn a_cipher_string_is_refused_with_the_feature_that_it_needs() {
    for (text, said) in [
        ("camellia-xts-plain64", "this build has no cipher \"camellia\""),
        ("capi:xts(serpent)-plain64", "this build has no cipher \"serpent\""),
        ("aes-cbc-essiv:wp256", "this build has no hash \"wp256\""),
    ] {
        let error = CipherSpec::parse(text).unwrap_err();
        assert_eq!(error.why, Why::NotBuilt { feature: "rare-ciphers" });
        assert_eq!(error.to_string(), format!("{said}: build it with the feature rare-ciphers"));
    }
    assert!(CipherSpec::parse("aes-cbc-essiv:sha256").is_ok());
}

#[test]
fn a_hash_of_a_header_is_refused_likewise() {
    for name in ["ripemd160", "WHIRLPOOL"] {
        let error = Hash::from_luks_name(name).unwrap_err();
        assert_eq!(error.why, Why::NotBuilt { feature: "rare-ciphers" }, "{name}");
    }
    assert!(matches!(Hash::from_luks_name("whirlpoll").unwrap_err().why, Why::Unknown { .. }));
}

#[test]
fn a_key_is_refused_likewise() {
    let key = |cipher, choice| {
        let algorithm = Algorithm { mode: Mode::Xts, cipher };
        Skcipher::new(Registry::global(), choice, algorithm, &KEY).map(|_| ())
    };
    let error = key(Cipher::Serpent, Choice::Best).unwrap_err();
    assert_eq!(error.to_string(), "this build has no cipher serpent: feature rare-ciphers");
    let error = key(Cipher::Aes, Choice::Named("aws-lc")).unwrap_err();
    assert_eq!(error.to_string(), "this build has no driver aws-lc: feature aws-lc");
    // The twins: a driver that nobody has, and a key that is taken.
    assert!(matches!(key(Cipher::Aes, Choice::Named("aws")), Err(KeyError::NoDriver { .. })));
    assert_eq!(key(Cipher::Aes, Choice::Best), Ok(()));
}

#[test]
fn the_drivers_that_are_left_pass_their_tests() {
    for line in Registry::global().list() {
        assert!(!matches!(line.standing, Standing::Failed(_)), "{line:?}");
    }
}
