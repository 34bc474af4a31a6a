//! What IV modes do to the sectors of a run.

use udm_block::{SpanIterMut, SpanMut};
use udm_crypto::{CryptError, Direction, Iv, IvRule, MAX_UNIT_SIZE, Request, Skcipher};

/// Enciphers each IV by itself, all in one pass, with the IVs that `rule` says.
pub(super) fn encipher(cipher: &Skcipher, rule: IvRule<'_>, ivs: &mut [Iv]) -> Result<(), CryptError> {
    let mut run = [SpanMut::new(ivs.as_flattened_mut())];
    let mut blocks = SpanIterMut::new(&mut run);
    let (src, dst) = blocks.in_place();
    cipher.crypt(&mut Request {
        direction: Direction::Encrypt,
        src,
        dst,
        unit_size: size_of::<Iv>(),
        iv: rule,
    })
}

/// Copies each sector of a run out of its source, has `change` change it, and puts it into the destination. `change` gets
/// what the rule makes of the sector's number.
pub(super) fn each_sector(run: &mut Request<'_>, mut change: impl FnMut(Iv, &mut [u8])) {
    let (mut src, units) = (run.src, run.units());
    let mut buffer = [0; MAX_UNIT_SIZE];
    let sector = &mut buffer[..run.unit_size];
    let mut dst = run.dst.reborrow();
    for unit in 0..units {
        src.read(sector);
        change(run.iv.iv(unit), sector);
        dst.write(sector);
    }
}
