//! Randomness from the system: keys, salts, stripes, and what material is overwritten with.

use rustix::rand::{GetRandomFlags, getrandom};
use uuid::fmt::Hyphenated;
use uuid::{Builder, Uuid};

use crate::error::Error;

/// Fills `bytes`. Early at boot it waits until the system has gathered enough.
///
/// # Errors
/// When the system has none to give.
pub fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match getrandom(&mut *rest, GetRandomFlags::empty()) {
            Ok(filled) => rest = &mut rest[filled..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                let what = "asking the system for randomness".into();
                return Err(Error::Io { what, source: error.into() });
            }
        }
    }
    Ok(())
}

/// So many bytes, of what is no secret.
///
/// # Errors
/// Those of [`fill`].
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// A new UUID, as text (RFC 9562, version 4).
///
/// # Errors
/// Those of [`fill`].
pub fn uuid() -> Result<String, Error> {
    Ok(Builder::from_random_bytes(bytes()?).into_uuid().to_string())
}

/// Whether `text` has the form of a UUID: 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12.
pub fn is_uuid(text: &str) -> bool {
    // The library reads forms of other lengths too, in braces, as a URN, and without dashes.
    text.len() == Hyphenated::LENGTH && Uuid::try_parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_of_version_4_and_of_another_value_each_time() {
        let (one, other) = (uuid().unwrap(), uuid().unwrap());
        assert_ne!(one, other);
        for text in [&one, &other] {
            assert!(is_uuid(text), "{text}");
            assert_eq!(text.as_bytes()[14], b'4', "{text}");
            assert!(b"89ab".contains(&text.as_bytes()[19]), "{text}");
        }
        assert!(is_uuid("1F3B1D16-10D7-4984-8168-1D6C2F700AC8"));
        let wrong = [
            "",
            "g",
            "1f3b1d16-10d7-4984-8168-1d6c2f700ac",
            "1f3b1d1610d7498481681d6c2f700ac8",
            "{1f3b1d16-10d7-4984-8168-1d6c2f700ac8}",
            "urn:uuid:1f3b1d16-10d7-4984-8168-1d6c2f700ac8",
            "1f3b1d1610d7-4984-8168-1d6c2f700ac8-",
            "1f3b1d16-10d7-4984-81681-d6c2f700ac8",
        ];
        for wrong in wrong {
            assert!(!is_uuid(wrong) && !is_uuid(&one.replace('4', "x")), "{wrong}");
        }
    }
}
