//! Cipher strings in both forms, and what is said of wrong ones. Oracle: the kernel's answers, see `tests/contract/spec.rs`
//! and `crates/dm/tests/kernel_lines.rs` for the whole of them; here is what each rule of `drivers/md/dm-crypt.c` makes.

use super::*;
use crate::algorithm::Mode;
use crate::hash::Hash;

#[track_caller]
fn spec(text: &str) -> CipherSpec {
    CipherSpec::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn refused(text: &str, part: Part, at: &str, hint: &str) -> Why {
    let error = CipherSpec::parse(text).expect_err(text);
    assert_eq!((error.part, &text[error.at.clone()]), (part, at), "{error}");
    assert!(error.hint().contains(hint), "{error}");
    error.why
}

const PLAIN64: IvSpec = IvSpec { mode: IvMode::Plain64, essiv: None };
const NO_IV: IvSpec = IvSpec { mode: IvMode::None, essiv: None };

#[test]
fn both_forms_say_the_same() {
    let essiv = IvSpec { mode: IvMode::Plain64, essiv: Some(Hash::Sha256) };
    for (texts, mode, iv) in [
        (["aes-xts-plain64", "capi:xts(aes)-plain64"], Mode::Xts, PLAIN64),
        (["aes-xts-plain64:foo", "capi:xts(aes)-plain64:foo"], Mode::Xts, PLAIN64),
        (["aes-cbc-essiv:sha256", "capi:cbc(aes)-essiv:sha256"], Mode::Cbc, essiv),
        (["aes-cbc-essiv:sha256", "capi:essiv(cbc(aes),sha256)-plain64"], Mode::Cbc, essiv),
        (["aes-ecb", "capi:ecb(aes)"], Mode::Ecb, NO_IV),
        (["aes-ecb-plain64", "capi:ecb(aes)-null"], Mode::Ecb, NO_IV),
        (["aes", "aes-plain"], Mode::Cbc, IvSpec { mode: IvMode::Plain, essiv: None }),
    ] {
        for text in texts {
            let spec = spec(text);
            assert_eq!((spec.algorithm, spec.iv), (Algorithm::aes(mode), iv), "{text}");
            assert_eq!((spec.key_count, spec.to_string().as_str()), (1, text));
        }
    }
    // The twins: one letter, and it is another cipher.
    assert_ne!(spec("aes-xts-plain64").iv, spec("aes-xts-plain").iv);
    assert_ne!(spec("aes-cbc-plain").algorithm, spec("aes-ctr-plain").algorithm);
}

#[test]
fn essiv_takes_every_hash_whose_digest_is_a_key() {
    let hash = |text: &str| spec(text).iv.essiv;
    assert_eq!(hash("aes-cbc-essiv:blake2s-256"), Some(Hash::Blake2s256));
    assert_eq!(hash("serpent-cbc-essiv:rmd160"), Some(Hash::Ripemd160));
    assert_eq!(hash("blowfish-cbc-essiv:sha384"), Some(Hash::Sha384));
    let why = refused("aes-cbc-essiv:rmd160", Part::EssivHash, "rmd160", "use md5, sha256");
    let instead = vec!["md5", "sha256", "sha3-256", "blake2b-256", "blake2s-256", "wp256"];
    assert_eq!(why, Why::Digest { bytes: 20, cipher: Cipher::Aes, instead });
    // cryptsetup's name of it is not the crypto API's.
    refused("serpent-cbc-essiv:ripemd160", Part::EssivHash, "ripemd160", "rmd160");
}

#[test]
fn an_essiv_cipher_keeps_the_iv_mode_that_it_is_given() {
    let iv = spec("capi:essiv(cbc(aes),sha3-256)-plain").iv;
    assert_eq!(iv, IvSpec { mode: IvMode::Plain, essiv: Some(Hash::Sha3_256) });
}

#[test]
fn what_is_without_effect_is_remembered() {
    let dropped = |text: &str| spec(text).dropped_iv_mode;
    assert_eq!(dropped("aes-ecb-plain64").as_deref(), Some("plain64"));
    assert_eq!((dropped("aes-ecb"), dropped("aes-cbc-plain64")), (None, None));
    for (text, without) in [
        ("aes-xts-plain64:sha256", Some(("aes-xts-plain64", "sha256"))),
        ("capi:xts(aes)-plain64:sha3-256", Some(("capi:xts(aes)-plain64", "sha3-256"))),
        ("aes-cbc-eboiv:", Some(("aes-cbc-eboiv", ""))),
        ("capi:essiv(cbc(aes),sha256)-plain64:x", Some(("capi:essiv(cbc(aes),sha256)-plain64", "x"))),
        // The twins: essiv reads its option, and the colon of a number of keys begins none.
        ("capi:cbc(aes)-essiv:sha3-256", None),
        ("aes:2-cbc-plain64", None),
    ] {
        assert_eq!(spec(text).without_idle_option(), without, "{text}");
    }
}

#[test]
fn a_key_count_divides_the_key_as_the_kernel_divides_it() {
    let two = spec("aes:2-cbc-plain64");
    assert_eq!(two.key_count, 2);
    for (bytes, taken) in
        [(16, false), (31, false), (32, true), (33, true), (34, false), (48, true), (64, true)]
    {
        assert_eq!(two.takes_key_size(bytes), taken, "{bytes}");
    }
    assert_eq!(two.key_layout(33), Ok(KeyLayout { key_size: 16, of_iv: 33..33 }));
    assert_eq!(two.key_sizes(), [32, 48, 64]);
    assert_eq!(spec("aes:4").key_count, 4);
}

#[test]
fn iv_modes_have_their_part_of_a_key() {
    let layout = |text: &str, bytes| spec(text).key_layout(bytes);
    assert_eq!(layout("aes-cbc-tcw", 64), Ok(KeyLayout { key_size: 32, of_iv: 32..64 }));
    assert_eq!(layout("aes-cbc-elephant", 64), Ok(KeyLayout { key_size: 32, of_iv: 32..64 }));
    assert_eq!(layout("capi:cbc(aes)-lmk", 65 * 16), Ok(KeyLayout { key_size: 16, of_iv: 1024..1040 }));
    assert_eq!(layout("capi:cbc(aes)-lmk", 64 * 16), Ok(KeyLayout { key_size: 16, of_iv: 1024..1024 }));
    assert_eq!(layout("aes-cbc-tcw", 32), Err(KeyLayoutError::CipherKey));
    assert_eq!(layout("aes-cbc-elephant", 66), Err(KeyLayoutError::LongDiffuserKey));
    assert_eq!(layout("serpent-cbc-elephant", 40), Err(KeyLayoutError::DiffuserKey));
    assert_eq!(layout("blowfish:4-cbc-lmk", 21), Err(KeyLayoutError::ShortSeed));
}

#[test]
fn an_error_has_the_part_its_bytes_and_what_would_do() {
    use Part::{Cipher, EssivHash, IvMode, KeyCount, Mode, Name, Whole};
    for (text, part, at, hint) in [
        ("aes-xts-plain46", IvMode, "plain46", "try plain64"),
        ("aes-xts-PLAIN64", IvMode, "PLAIN64", "try plain64"),
        ("aes-xts-nonsense", IvMode, "nonsense", "use plain, plain64"),
        ("aes-xts-", IvMode, "", "use plain, plain64"),
        ("AES-xts-plain64", Cipher, "AES", "try aes"),
        ("aes-xst-plain64", Mode, "xst", "try xts"),
        ("capi:xts(eas)-plain64", Cipher, "eas", "try aes"),
        ("aes-cbc-essiv:sha265", EssivHash, "sha265", "try sha256"),
        ("serpant-xts-plain64", Cipher, "serpant", "try serpent"),
        ("aria-xts-plain64", Cipher, "aria", "it has aes, serpent"),
        ("capi:hctr2(aes)-plain64", Mode, "hctr2", "it has xts, cbc, ecb"),
        ("capi:salsa20-plain64", Cipher, "salsa20", "it has chacha20"),
        ("aes-xts-random", IvMode, "random", "plain64"),
        ("aes-adiantum-plain64", Mode, "adiantum", "use aes in xts, cbc"),
        ("blowfish-xts-plain64", Mode, "xts", "use blowfish in cbc"),
        ("chacha20-xts-plain64", Mode, "xts", "capi:chacha20-plain64"),
        ("chacha20-plain", Mode, "plain", "capi:chacha20-plain64"),
        ("chacha20", Mode, "chacha20", "capi:chacha20-plain64"),
        ("capi:xchacha12,aes-plain64", Name, "xchacha12,aes", "capi:adiantum(xchacha12,aes)"),
        ("capi:blowfish-plain64", Name, "blowfish", "capi:cbc(blowfish)"),
        ("capi:aes-plain64", Name, "aes", "capi:xts(aes)"),
        ("capi:cipher_null", Name, "cipher_null", "capi:ecb(cipher_null)"),
        ("aes-ctr-eboiv", IvMode, "eboiv", "use cbc"),
        ("xchacha12,aes-adiantum-elephant", IvMode, "elephant", "use cbc"),
        ("xchacha12,aes-adiantum-tcw", IvMode, "tcw", "use cbc"),
        ("aes-xts-lmk", IvMode, "lmk", "aes:64-cbc-lmk"),
        ("capi:essiv(cbc(aes),sha256)-eboiv", IvMode, "eboiv", "leave essiv out"),
        ("xchacha20,aes-adiantum-essiv:sha256", IvMode, "essiv", "use cbc"),
        ("des3_ede-cbc-essiv:sha256", EssivHash, "sha256", "plain64"),
        ("aes-cbc-essiv:sm3", EssivHash, "sm3", "sha256"),
        ("aes-cbc-essiv", IvMode, "essiv", "essiv:sha256"),
        ("aes-cbc-essiv:", EssivHash, "", "use md5"),
        ("capi:authenc(hmac(sha256),xts(aes))-random", Mode, "authenc", "without integrity"),
        ("capi:aegis128-random", Cipher, "aegis128", "without integrity"),
        ("capi:essiv(ecb(aes),sha256)-plain64", Name, "ecb(aes)", "cbc"),
        ("capi:essiv(cbc(aes))-plain64", EssivHash, "", "use md5"),
        ("capi:essiv(cbc(aes),sha256)-essiv:sha256", IvMode, "essiv", "leave one"),
        ("capi:cbc(aes)", Whole, "capi:cbc(aes)", "-plain64"),
        ("capi:xts(aes-plain64", Name, "xts(aes", ")"),
        ("xts(aes)-plain64", Whole, "(", "capi:"),
        ("aes:3-cbc-plain64", KeyCount, "3", "write 1, 2, 4"),
        ("aes:+2-cbc-plain64", KeyCount, "+2", "write 1, 2, 4"),
        ("aes-cbc", Whole, "aes-cbc", "aes-cbc-plain64"),
        ("", Cipher, "", "use aes, serpent"),
    ] {
        refused(text, part, at, hint);
    }
    let long = format!("{}-xts-plain64", "x".repeat(123));
    assert_eq!(refused(&long, Name, &long, "aes-xts-plain64"), Why::TooLong { bytes: 128 });
    assert!(matches!(refused(&long[1..], Cipher, &long[1..123], "use aes"), Why::Unknown { .. }));
}

/// However a string is cut and mistyped, an error points into it, between characters, and has its three sentences.
#[test]
fn every_error_points_into_its_string() {
    let (mut wrong, mut right) = (0, 0);
    let strings = [
        "aes:64-cbc-essiv:sha256",
        "capi:essiv(cbc(aes),sha3-256)-plain64:x",
        "xchacha12,aes-adiantum-plain64",
        "aes-plain",
    ];
    for text in strings {
        for (first, _) in text.char_indices() {
            for (last, _) in text[first..].char_indices().map(|(at, char)| (first + at, char)) {
                for with in ["", "-", ":", "(", ")", ",", "é", "essiv", "random"] {
                    let text = format!("{}{with}{}", &text[..first], &text[last..]);
                    match CipherSpec::parse(&text) {
                        Ok(spec) => {
                            assert!(spec.key_count.is_power_of_two());
                            right += 1;
                        }
                        Err(error) => {
                            let there = text.get(error.at.clone()).expect("whole characters of the string");
                            let meant = ["cbc", "plain"].contains(&error.found.as_str());
                            assert!(there == error.found || meant, "{text}: {error:?}");
                            assert!(!error.message(str::to_owned).is_empty() && !error.hint().is_empty());
                            wrong += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(wrong > 5000 && right > 100, "{wrong} wrong and {right} right strings");
}

#[test]
fn names_that_are_near_are_found_and_strangers_are_not() {
    let known = ["aes", "plain", "plain64", "sha256"];
    for (name, near) in [
        ("plain46", Some("plain64")),
        ("SHA256", Some("sha256")),
        ("sha", None),
        ("ase", Some("aes")),
        ("a", None),
        ("", None),
        ("serpent", None),
        (&"plain64".repeat(100), None),
    ] {
        assert_eq!(nearest(name, known), near, "{name}");
    }
}

#[test]
fn what_encrypts_nothing_is_known_also_where_it_cannot_be_read() {
    for text in ["cipher_null-ecb", "capi:ecb(cipher_null)", "cipher_null-cbc-plain"] {
        assert!(encrypts_nothing(text), "{text}");
    }
    assert!(!encrypts_nothing("aes-ecb") && is_capi("capi:ecb(aes)") && !is_capi("aes-ecb"));
}
