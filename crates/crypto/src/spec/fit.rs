//! IV modes and ciphers that go together, and those that do not.

use super::error::{Part, SpecError, Why};
use super::iv::IvMode;
use super::piece::Piece;
use crate::algorithm::{Algorithm, Mode};
use crate::hash::Hash;

/// The bytes that lmk and tcw have for an IV; the kernel reads on behind them for a longer one.
const SHORT_IV: usize = 16;

/// Checks that `mode`, which stands at `name`, can be the IV mode of `algorithm` and, where there is one, of an `essiv`
/// around it.
pub(super) fn iv_mode(
    mode: IvMode,
    algorithm: Algorithm,
    essiv: Option<Hash>,
    name: Piece<'_>,
) -> Result<(), SpecError> {
    let wrong = |why| Err(SpecError::new(Part::IvMode, name, why));
    match mode {
        _ if essiv.is_some() && !mode.is_number() => wrong(Why::NotANumber),
        IvMode::Eboiv | IvMode::Elephant if algorithm.block_size() != algorithm.iv_size() => {
            wrong(Why::NotOneBlock { algorithm })
        }
        IvMode::Lmk if algorithm.mode != Mode::Cbc => wrong(Why::NotReadable { algorithm }),
        IvMode::Tcw if algorithm.iv_size() > SHORT_IV => wrong(Why::ShortIv { algorithm, bytes: SHORT_IV }),
        _ => Ok(()),
    }
}

/// Checks that `algorithm` can have an essiv, which is named or made for it at `at`: a cipher with an IV of one block,
/// which essiv enciphers.
pub(super) fn essiv(algorithm: Algorithm, part: Part, at: Piece<'_>) -> Result<(), SpecError> {
    if algorithm.blocks().is_some() && algorithm.iv_size() == algorithm.cipher.block_size() {
        return Ok(());
    }
    Err(SpecError::new(part, at, Why::EssivUnfit { algorithm }))
}
