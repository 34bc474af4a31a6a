//! IV modes and ciphers that do not go together.

use udm_crypto::{Algorithm, HashAlgorithm, Mode};

use super::cipher::IvMode;
use super::part::Part;
use crate::table::{Fault, TableErrorKind, reason, shown};

/// The bytes that lmk and tcw have for an IV; the kernel reads on behind them for a longer one.
const SHORT_IV: usize = 16;

/// Checks that `mode`, which stands at `name`, can be the IV mode of `algorithm` and, where there is one, of an `essiv`
/// around it.
pub(super) fn check(
    mode: IvMode,
    algorithm: Algorithm,
    essiv: Option<HashAlgorithm>,
    name: Part<'_>,
) -> Result<(), Fault> {
    let found = shown(name.text);
    let fault = |message: String, hint: &str| {
        Fault::new(TableErrorKind::Cipher, message, found.clone(), hint).with_bytes(name.range())
    };
    let is_number = !matches!(mode, IvMode::Eboiv | IvMode::Elephant | IvMode::Lmk | IvMode::Tcw);
    if essiv.is_some() && !is_number {
        let message = format!("essiv enciphers a sector's number, and IV mode {found} makes something else");
        return Err(fault(message, "use plain64 within essiv, or leave essiv out"));
    }
    match mode {
        IvMode::Eboiv | IvMode::Elephant if algorithm.block_size() != algorithm.iv_size() => {
            let message = format!(
                "IV mode {found} makes an IV of one block, which that of {algorithm} is not: {} bytes, in blocks of {}",
                algorithm.iv_size(),
                algorithm.block_size()
            );
            Err(fault(message, "use cbc or xts, or plain64").with_kernel(reason::IV_CREATE))
        }
        IvMode::Lmk if algorithm.mode != Mode::Cbc => {
            let message = format!("what {algorithm} writes with IV mode {found} cannot be read back");
            Err(fault(message, "use cbc, as in aes:64-cbc-lmk"))
        }
        IvMode::Tcw if algorithm.iv_size() > SHORT_IV => {
            let message = format!(
                "IV mode {found} has an IV of {SHORT_IV} bytes, and {algorithm} takes {}",
                algorithm.iv_size()
            );
            Err(fault(message, "use cbc, as in aes-cbc-tcw, or plain64"))
        }
        _ => Ok(()),
    }
}
