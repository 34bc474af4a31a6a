//! The words of a crypt row by themselves. What is right and wrong here is what the kernel answered, see
//! `crates/dm/tests/kernel_lines.rs` for the whole of its answers.

use udm_crypto::{Algorithm, HashAlgorithm, Mode};

use super::{CipherSpec, IvMode, IvSpec, KeyLayout, KeySpec};
use crate::table::{ShowKeys, TableErrorKind};

fn cipher(text: &str) -> CipherSpec {
    CipherSpec::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

#[track_caller]
fn refused(text: &str, kind: TableErrorKind, at: &str, hint: &str) {
    let fault = CipherSpec::parse(text).expect_err(text);
    assert_eq!(fault.kind(), kind, "{fault}");
    assert_eq!(&text[fault.bytes().unwrap_or(0..text.len())], at, "{fault}");
    assert!(fault.hint().contains(hint), "{fault}");
}

#[test]
fn both_forms_say_the_same() {
    let plain64 = IvSpec { mode: IvMode::Plain64, essiv: None };
    let essiv = IvSpec { mode: IvMode::Plain64, essiv: Some(HashAlgorithm::Sha256) };
    for (texts, mode, iv) in [
        (["aes-xts-plain64", "capi:xts(aes)-plain64"], Mode::Xts, plain64),
        (["aes-xts-plain64:foo", "capi:xts(aes)-plain64:foo"], Mode::Xts, plain64),
        (["aes-cbc-essiv:sha256", "capi:cbc(aes)-essiv:sha256"], Mode::Cbc, essiv),
        (["aes-cbc-essiv:sha256", "capi:essiv(cbc(aes),sha256)-plain64"], Mode::Cbc, essiv),
        (["aes-ecb", "capi:ecb(aes)"], Mode::Ecb, IvSpec { mode: IvMode::None, essiv: None }),
        (["aes-ecb-plain64", "capi:ecb(aes)-null"], Mode::Ecb, IvSpec { mode: IvMode::None, essiv: None }),
        (["aes", "aes-plain"], Mode::Cbc, IvSpec { mode: IvMode::Plain, essiv: None }),
    ] {
        for text in texts {
            let spec = cipher(text);
            assert_eq!((spec.algorithm, spec.iv), (Algorithm::aes(mode), iv), "{text}");
            assert_eq!((spec.key_count, spec.text.as_str()), (1, text));
        }
    }
}

#[test]
fn an_essiv_cipher_keeps_the_iv_mode_that_it_is_given() {
    let spec = cipher("capi:essiv(cbc(aes),sha3-256)-plain");
    assert_eq!(spec.iv, IvSpec { mode: IvMode::Plain, essiv: Some(HashAlgorithm::Sha3_256) });
}

#[test]
fn a_dropped_iv_mode_is_remembered() {
    assert_eq!(cipher("aes-ecb-plain64").dropped_iv_mode.as_deref(), Some("plain64"));
    assert_eq!(cipher("aes-ecb").dropped_iv_mode, None);
    assert_eq!(cipher("aes-cbc-plain64").dropped_iv_mode, None);
}

#[test]
fn a_key_count_divides_the_key_as_the_kernel_divides_it() {
    let spec = cipher("aes:2-cbc-plain64");
    assert_eq!(spec.key_count, 2);
    for (bytes, taken) in
        [(16, false), (31, false), (32, true), (33, true), (34, false), (48, true), (64, true)]
    {
        assert_eq!(spec.takes_key_size(bytes), taken, "{bytes}");
    }
    assert_eq!(spec.key_layout(33), Ok(KeyLayout { key_size: 16, of_iv: 33..33 }));
    assert_eq!(cipher("aes:4").key_count, 4);
}

#[test]
fn a_fault_points_at_the_piece_and_says_what_would_do() {
    use TableErrorKind::{Cipher, Missing, Unknown};
    refused("aes-xts-plain46", Unknown, "plain46", "try plain64");
    refused("aes-xts-PLAIN64", Unknown, "PLAIN64", "try plain64");
    refused("aes-xts-nonsense", Unknown, "nonsense", "use plain, plain64");
    refused("AES-xts-plain64", Unknown, "AES", "try aes");
    refused("aes-xst-plain64", Unknown, "xst", "try xts");
    refused("capi:xts(eas)-plain64", Unknown, "eas", "try aes");
    refused("aes-cbc-essiv:sha265", Unknown, "sha265", "try sha256");
    refused("serpant-xts-plain64", Unknown, "serpant", "try serpent");
    refused("aria-xts-plain64", Missing, "aria", "it has aes, serpent");
    refused("capi:hctr2(aes)-plain64", Missing, "hctr2", "it has xts, cbc, ecb");
    refused("capi:salsa20-plain64", Missing, "salsa20", "it has chacha20");
    refused("aes-xts-random", Missing, "random", "plain64");
    refused("aes-adiantum-plain64", Cipher, "adiantum", "use aes in xts, cbc");
    refused("blowfish-xts-plain64", Cipher, "xts", "use blowfish in cbc");
    refused("chacha20-xts-plain64", Cipher, "xts", "capi:chacha20-plain64");
    refused("capi:xchacha12,aes-plain64", Cipher, "xchacha12,aes", "capi:adiantum(xchacha12,aes)");
    refused("capi:blowfish-plain64", Cipher, "blowfish", "capi:cbc(blowfish)");
    refused("aes-ctr-eboiv", Cipher, "eboiv", "use cbc");
    refused("xchacha12,aes-adiantum-elephant", Cipher, "elephant", "use cbc");
    refused("xchacha12,aes-adiantum-tcw", Cipher, "tcw", "use cbc");
    refused("aes-xts-lmk", Cipher, "lmk", "aes:64-cbc-lmk");
    refused("capi:essiv(cbc(aes),sha256)-eboiv", Cipher, "eboiv", "leave essiv out");
    refused("xchacha20,aes-adiantum-essiv:sha256", Cipher, "essiv", "use cbc");
    refused("des3_ede-cbc-essiv:sha256", Cipher, "sha256", "plain64");
    refused("aes-cbc-essiv:sm3", Missing, "sm3", "sha256");
    refused("capi:authenc(hmac(sha256),xts(aes))-random", Missing, "authenc", "without integrity");
    refused("capi:rfc7539(chacha20,poly1305)-random", Missing, "rfc7539", "without integrity");
    refused("capi:aegis128-random", Missing, "aegis128", "without integrity");
    refused("aes-cbc-essiv:sha1", Cipher, "sha1", "use md5, sha256");
    refused("capi:essiv(ecb(aes),sha256)-plain64", Cipher, "ecb(aes)", "cbc");
    refused("capi:essiv(cbc(aes))-plain64", Unknown, "", "use md5");
    refused("capi:essiv(cbc(aes),sha256)-essiv:sha256", Cipher, "essiv", "leave one");
    refused("capi:cbc(aes)", Cipher, "capi:cbc(aes)", "-plain64");
    refused("capi:aes-plain64", Cipher, "aes", "capi:xts(aes)");
    refused("capi:xts(aes-plain64", Cipher, "xts(aes", ")");
    refused("xts(aes)-plain64", Cipher, "(", "capi:");
    refused("aes:3-cbc-plain64", Cipher, "3", "write 1, 2, 4");
    refused("aes-cbc", Cipher, "aes-cbc", "aes-cbc-plain64");
}

#[test]
fn a_key_is_read_and_printed_and_never_in_debug() {
    let spec = cipher("aes-cbc-plain64");
    let key = KeySpec::parse("00112233445566778899AABBCCDDEEFF", &spec).expect("hex");
    let KeySpec::Bytes(bytes) = &key else { panic!("{key:?}") };
    assert_eq!(bytes.as_slice()[..3], [0x00, 0x11, 0x22]);
    assert_eq!(bytes.as_slice()[15], 0xff);
    assert_eq!(format!("{key:?}"), "KeyBytes(16 bytes)");
    assert_eq!(Printed(&key, ShowKeys::Shown).to_string(), "00112233445566778899aabbccddeeff");
    assert_eq!(Printed(&key, ShowKeys::Hidden).to_string(), "0".repeat(32));
    assert_eq!(key, KeySpec::parse("00112233445566778899aabbccddeeff", &spec).expect("hex"));
    assert_ne!(key, KeySpec::parse("00112233445566778899aabbccddeefe", &spec).expect("hex"));
}

#[test]
fn a_bad_key_is_refused_with_its_size_and_without_its_text() {
    let spec = cipher("aes:2-xts-plain64");
    for (key, found) in [
        ("c0ffee", "3 bytes (6 hex digits)"),
        ("c0ffeec", "7 hex digits (3 bytes and a half)"),
        ("c0ffeé", "another character"),
        ("-", "which is none"),
        (":64", "one colon"),
        (":c0ffee:user:k", "no number"),
        (":64:c0ffee", "two colons"),
        (":128:c0ffee:k", "a type of 6 characters"),
        (":128:user:", "nothing"),
        (":128:user:c0ffee k", "a space"),
        (":16:user:c0ffee", "16 bytes"),
        (":18446744073709551615:user:c0ffee", "18446744073709551615 bytes"),
    ] {
        let fault = KeySpec::parse(key, &spec).expect_err(key);
        assert_eq!(fault.kind(), TableErrorKind::Key);
        let text = fault.to_string();
        assert!(text.contains(found) && !text.contains("c0ffe"), "{text}");
    }
    let fault = KeySpec::parse("00", &spec).expect_err("one byte");
    assert_eq!(fault.hint(), "give 64, 96 or 128 bytes (128, 192 or 256 hex digits)");
}

struct Printed<'a>(&'a KeySpec, ShowKeys);

impl std::fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.write(f, self.1)
    }
}
