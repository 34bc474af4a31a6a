//! Keys of the kernel's keyring: `:<bytes>:<type>:<description>` in a table's key word.
//!
//! The kernel's dm-crypt asks for the key as the process that loads the table (`request_key`); so do we, in the
//! thread's, the process's and the session's keyring, in that order. Unlike the kernel we are a program, which the
//! keyring shows keys of the type `user` alone.

use linux_keyutils::{Key, KeyError, KeyRing, KeyRingIdentifier};
use zeroize::Zeroizing;

use crate::table::{Fault, KernelReason, TableErrorKind, reason};
use crate::targets::crypt::params::{KeyBytes, KeyringKey, KeyringType};

/// Where a key is looked for, as `request_key` does.
const RINGS: [KeyRingIdentifier; 3] =
    [KeyRingIdentifier::Thread, KeyRingIdentifier::Process, KeyRingIdentifier::Session];

const ENOSYS: i32 = 38;

/// The bytes of a key.
///
/// # Errors
/// When it is of a type that no program can read, is not there, may not be read, or has another size than the table
/// says. The fault belongs to the key word.
pub fn read(key: &KeyringKey) -> Result<KeyBytes, Fault> {
    match key.kind {
        KeyringType::User => {}
        KeyringType::Logon => {
            return Err(unreadable(key, "is of type logon, which the kernel shows to no program"));
        }
        KeyringType::Encrypted | KeyringType::Trusted => {
            let what =
                format!("is of type {}, of which a program sees the sealed form alone", key.kind.name());
            return Err(unreadable(key, &what));
        }
    }
    let found = find(&key.description).map_err(|error| not_found(key, error))?;
    // A byte more than it should have, to see whether there is one: the kernel says how long the whole is.
    let mut bytes = Zeroizing::new(vec![0; key.size + 1]);
    let size = found.read(&mut *bytes).map_err(|error| not_found(key, error))?;
    if size != key.size {
        let message = format!(
            "the keyring key \"{}\" has {size} bytes, and the table says {}",
            key.description, key.size
        );
        let hint = format!("write :{size}:user:..., or add a key of {} bytes", key.size);
        return Err(
            Fault::new(TableErrorKind::Key, message, format!("{size} bytes"), hint).with_kernel(reason::KEY)
        );
    }
    bytes.truncate(size);
    Ok(KeyBytes::new(bytes))
}

/// The key of this description in the first keyring that has one.
fn find(description: &str) -> Result<Key, KeyError> {
    let mut why = KeyError::KeyDoesNotExist;
    for ring in RINGS {
        match KeyRing::from_special_id(ring, false).and_then(|ring| ring.search(description)) {
            Ok(key) => return Ok(key),
            // That there is no keyring, or no key in it, says less than what another keyring says.
            Err(KeyError::KeyDoesNotExist | KeyError::KeyringDoesNotExist) => {}
            Err(error) => why = error,
        }
    }
    Err(why)
}

/// The fault of a key that no program reads.
fn unreadable(key: &KeyringKey, what: &str) -> Fault {
    let message = format!("the keyring key \"{}\" {what}", key.description);
    let hint = format!(
        "add it as a user key (keyctl padd user {} @s) and write :{}:user:{}",
        key.description, key.size, key.description
    );
    Fault::new(TableErrorKind::Missing, message, key.kind.name(), hint)
}

/// The fault of a key that the keyring did not give.
fn not_found(key: &KeyringKey, error: KeyError) -> Fault {
    const ENOKEY: i32 = 126;
    const EKEYEXPIRED: i32 = 127;
    const EKEYREVOKED: i32 = 128;
    let name = &key.description;
    let (message, hint, errno) = match error {
        KeyError::KeyDoesNotExist => (
            format!("the keyring has no user key \"{name}\""),
            format!("add it (keyctl padd user {name} @s) in the session that starts udm"),
            ENOKEY,
        ),
        KeyError::KeyExpired => {
            (format!("the keyring key \"{name}\" has expired"), "add it again".to_owned(), EKEYEXPIRED)
        }
        KeyError::KeyRevoked => {
            (format!("the keyring key \"{name}\" was revoked"), "add it again".to_owned(), EKEYREVOKED)
        }
        KeyError::AccessDenied | KeyError::PermissionDenied => (
            format!("this process may not read the keyring key \"{name}\""),
            "let its user search and read it (keyctl setperm), or run udm in the session that added it"
                .to_owned(),
            13,
        ),
        KeyError::Unknown(ENOSYS) => (
            "this kernel has no keyring".to_owned(),
            "give the key in hexadecimal, in a file that only you can read".to_owned(),
            ENOSYS,
        ),
        error => (
            format!("the keyring did not give the key \"{name}\": {error}"),
            "give the key in hexadecimal".to_owned(),
            22,
        ),
    };
    let found = format!("errno {errno}");
    Fault::new(TableErrorKind::Key, message, found, hint)
        .with_kernel(KernelReason { errno, text: reason::KEY.text })
}
