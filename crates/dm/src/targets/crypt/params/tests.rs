//! The words of a crypt row by themselves. What is right and wrong here is what the kernel answered, see
//! `crates/dm/tests/kernel_lines.rs` for the whole of its answers.

use udm_crypto::CipherSpec;

use super::{KeySpec, cipher};
use crate::table::{ArgWriter, KernelReason, ShowKeys, TableErrorKind, reason};

fn cipher(text: &str) -> CipherSpec {
    cipher::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

/// Each reason for which a cipher string is refused, with the kernel's. Which part it is about, and what would do, is tested
/// with the grammar (`crates/crypto/src/spec/tests.rs`).
#[test]
fn a_fault_has_its_sort_its_bytes_and_the_kernels_reason() {
    use TableErrorKind::{Cipher, Missing, Unknown};
    let rows: [(&str, TableErrorKind, &str, Option<KernelReason>); 26] = [
        ("aes-xts-plain46", Unknown, "plain46", Some(reason::IV_MODE)),
        ("aes-xst-plain64", Unknown, "xst", Some(reason::CIPHER)),
        ("capi:xts(eas)-plain64", Unknown, "eas", Some(reason::CIPHER)),
        ("aes-cbc-essiv:sha265", Unknown, "sha265", Some(reason::CIPHER)),
        ("aria-xts-plain64", Missing, "aria", None),
        ("capi:hctr2(aes)-plain64", Missing, "hctr2", None),
        ("aes-cbc-essiv:sm3", Missing, "sm3", None),
        ("capi:gcm(aes)-random", Missing, "gcm", None),
        ("aes-xts-random", Missing, "random", Some(reason::INTEGRITY_SPACE)),
        ("blowfish-xts-plain64", Cipher, "xts", Some(reason::CIPHER)),
        ("cipher_null-cbc-plain", Cipher, "cbc", None),
        ("capi:aes-plain64", Cipher, "aes", Some(reason::CIPHER)),
        ("capi:xts(aes-plain64", Cipher, "xts(aes", Some(reason::CIPHER)),
        ("xts(aes)-plain64", Cipher, "(", Some(reason::CIPHER_FORM)),
        ("aes:3-cbc-plain64", Cipher, "3", Some(reason::KEY_COUNT)),
        ("aes-cbc", Cipher, "aes-cbc", Some(reason::IV_REQUIRED)),
        ("capi:cbc(aes)", Cipher, "capi:cbc(aes)", None),
        ("aes-cbc-essiv", Cipher, "essiv", Some(reason::ESSIV_HASH)),
        ("aes-ecb-essiv:sha256", Cipher, "essiv", Some(reason::CIPHER)),
        ("capi:essiv(cbc(aes),sha256)-essiv:sha256", Cipher, "essiv", None),
        ("capi:essiv(cbc(aes),sha256)-eboiv", Cipher, "eboiv", None),
        ("aes-cbc-essiv:sha1", Cipher, "sha1", Some(reason::KEY)),
        ("aes-cbc-essiv:sha512", Cipher, "sha512", Some(reason::CIPHER)),
        ("aes-ctr-eboiv", Cipher, "eboiv", Some(reason::IV_CREATE)),
        ("aes-xts-lmk", Cipher, "lmk", None),
        ("xchacha12,aes-adiantum-tcw", Cipher, "tcw", None),
    ];
    for (text, kind, at, kernel) in rows {
        let fault = cipher::parse(text).expect_err(text);
        assert_eq!((fault.kind(), fault.kernel_reason()), (kind, kernel), "{fault}");
        assert_eq!(&text[fault.bytes().expect("its place")], at, "{fault}");
    }
}

/// A key that stands where the cipher belongs is not repeated.
#[test]
fn a_fault_of_a_cipher_does_not_show_a_key() {
    let key = "0123456789abcdef".repeat(4);
    for word in [key.clone(), format!("{key}-xts-plain64"), format!("aes-xts-{key}"), format!("capi:{key}")] {
        let text = cipher::parse(&word).expect_err("no cipher").to_string();
        assert!(text.contains("<key>") && !text.contains("0123"), "{text}");
    }
}

#[test]
fn a_key_is_read_and_printed_and_never_in_debug() {
    let spec = cipher("aes-cbc-plain64");
    let key = KeySpec::parse("00112233445566778899AABBCCDDEEFF", &spec).expect("hex");
    let KeySpec::Bytes(bytes) = &key else { panic!("{key:?}") };
    assert_eq!(bytes.as_slice()[..3], [0x00, 0x11, 0x22]);
    assert_eq!(bytes.as_slice()[15], 0xff);
    assert_eq!(format!("{key:?}"), "KeyBytes(16 bytes)");
    assert_eq!(Printed(&key, ShowKeys::Shown).to_string(), " 00112233445566778899aabbccddeeff");
    assert_eq!(Printed(&key, ShowKeys::Hidden).to_string(), format!(" {}", "0".repeat(32)));
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
        self.0.write(&mut ArgWriter::new(f, self.1, &[0]))
    }
}
