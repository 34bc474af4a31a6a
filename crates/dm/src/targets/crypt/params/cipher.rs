//! The cipher word of a crypt row: `udm_crypto::spec` reads it, and what is wrong with it becomes a fault of the table language,
//! with the kernel's reason.

use udm_crypto::spec::{CipherSpec, KeyLayoutError, Part, SpecError, Why};
use udm_crypto::{Cipher, Unfit};

use crate::table::{Fault, KernelReason, TableErrorKind, reason, shown};

/// Reads the cipher word.
///
/// # Errors
/// Those of [`CipherSpec::parse`].
pub(super) fn parse(word: &str) -> Result<CipherSpec, Fault> {
    CipherSpec::parse(word).map_err(|error| fault(&error))
}

/// The fault that `error` is in a table.
fn fault(error: &SpecError) -> Fault {
    let found = match &error.why {
        Why::TooLong { bytes } => format!("{bytes} bytes"),
        _ if error.found.is_empty() => "nothing".into(),
        _ => shown(&error.found),
    };
    let fault = Fault::new(kind(error), error.message(shown), found, error.hint());
    let fault = fault.with_bytes(error.at.clone());
    kernel_reason(error).into_iter().fold(fault, Fault::with_kernel)
}

/// What sort of thing is wrong.
fn kind(error: &SpecError) -> TableErrorKind {
    match error.why {
        Why::Unknown { .. } => TableErrorKind::Unknown,
        Why::NotBuilt { .. } | Why::KernelOnly { .. } | Why::Authenticated | Why::StoredIvs => {
            TableErrorKind::Missing
        }
        _ => TableErrorKind::Cipher,
    }
}

/// How the kernel refuses the same word; none where it takes it.
fn kernel_reason(error: &SpecError) -> Option<KernelReason> {
    Some(match &error.why {
        Why::Unknown { .. } if error.part == Part::IvMode => reason::IV_MODE,
        // The kernel takes modes around its cipher that does nothing.
        Why::Unfit(Unfit { cipher: Cipher::CipherNull, .. }) => return None,
        Why::Unknown { .. }
        | Why::Unbalanced
        | Why::Unfit(_)
        | Why::NoMode { .. }
        | Why::EssivUnfit { .. } => reason::CIPHER,
        Why::StoredIvs => reason::INTEGRITY_SPACE,
        Why::NoCapi => reason::CIPHER_FORM,
        Why::TooLong { .. } => reason::CIPHER_LENGTH,
        Why::KeyCount => reason::KEY_COUNT,
        Why::NoIvMode => reason::IV_REQUIRED,
        Why::EssivWithoutHash => reason::ESSIV_HASH,
        Why::NotOneBlock { .. } => reason::IV_CREATE,
        // The kernel finds a digest outside the range of key sizes when it looks for the cipher, one within when it sets
        // the key.
        Why::Digest { bytes, cipher, .. } => match cipher.key_sizes() {
            [least, .., most] if (*least..=*most).contains(bytes) => reason::KEY,
            _ => reason::CIPHER,
        },
        _ => return None,
    })
}

/// How the kernel refuses a key of the wrong size; none where it takes it, and reads bytes that are not there.
pub(super) fn key_reason(error: KeyLayoutError) -> Option<KernelReason> {
    match error {
        KeyLayoutError::CipherKey => Some(reason::KEY),
        KeyLayoutError::LongDiffuserKey => Some(reason::UNKNOWN),
        KeyLayoutError::DiffuserKey => Some(reason::IV_INIT),
        // The kernel takes a seed that is too short.
        _ => None,
    }
}
