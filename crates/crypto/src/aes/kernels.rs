//! The drivers: a width of registers and a mode each.

use super::cbc::Cbc;
use super::ecb::Ecb;
use super::lanes::{Lanes, Xmm, Ymm, Zmm};
use super::schedule::rounds;
use super::tuning::bytes_come_first;
use super::tweaks::{Bytes, General, Shifts, Tweaks};
use super::xts::Xts;
use crate::algorithm::{Algorithm, Mode};
use crate::driver::{Driver, DriverInfo, KeyedCipher, MultiUnit, Speed};

/// The modes that they have.
const MODES: [Mode; 3] = [Mode::Xts, Mode::Cbc, Mode::Ecb];

/// The drivers for each algorithm, also those whose instructions this machine lacks. The library's have a priority of
/// 200.
pub fn drivers() -> impl Iterator<Item = Driver> {
    MODES.into_iter().flat_map(|mode| {
        widest(mode).into_iter().flatten().chain([
            driver::<Ymm, General>(
                mode,
                "vaes256",
                Speed::Wide,
                400,
                "VAES on 256 bits, several units at once",
            ),
            driver::<Xmm, General>(mode, "aesni", Speed::Instructions, 300, "AES-NI, several units at once"),
        ])
    })
}

/// The driver with the widest registers, which makes the masks of XTS in one of two ways; the faster one comes first.
fn widest(mode: Mode) -> [Option<Driver>; 2] {
    if mode != Mode::Xts {
        let description = "VAES on 512 bits, several units at once";
        return [Some(driver::<Zmm, Shifts>(mode, "vaes512", Speed::Wide, 500, description)), None];
    }
    let [bytes, shifts] = if bytes_come_first() { [501, 500] } else { [500, 501] };
    let description = "VAES on 512 bits, several units at once, masks by byte shifts and carry-less products";
    let bytes = driver::<Zmm, Bytes>(mode, "vaes512:bytes", Speed::Wide, bytes, description);
    let description = "VAES on 512 bits, several units at once, masks by bit shifts";
    let shifts = driver::<Zmm, Shifts>(mode, "vaes512:shifts", Speed::Wide, shifts, description);
    [Some(bytes), Some(shifts)]
}

/// The driver with registers `L`, whose masks of XTS are made by the way `T`.
fn driver<L: Lanes, T: Tweaks<L>>(
    mode: Mode,
    name: &'static str,
    speed: Speed,
    priority: u32,
    description: &'static str,
) -> Driver {
    Driver {
        info: DriverInfo {
            name,
            multi_unit: MultiUnit::Native,
            speed,
            priority,
            description,
            for_tests: false,
        },
        algorithm: Algorithm::aes(mode),
        lacking: L::detect().and_then(T::detect).err(),
        key: key::<L, T>,
    }
}

/// Takes a key of any size that the algorithm has.
fn key<L: Lanes, T: Tweaks<L>>(
    algorithm: Algorithm,
    key: &[u8],
) -> Result<Box<dyn KeyedCipher>, &'static str> {
    algorithm.check_key_size(key.len()).map_err(|_| WRONG_SIZE)?;
    let (lanes, mode) = (L::detect()?, algorithm.mode);
    match rounds(mode.cipher_key_size(key.len())) {
        10 => in_mode::<L, T, 10>(lanes, mode, key),
        12 => in_mode::<L, T, 12>(lanes, mode, key),
        14 => in_mode::<L, T, 14>(lanes, mode, key),
        _ => Err(WRONG_SIZE),
    }
}

/// Takes a key of the size that asks for `ROUNDS`.
fn in_mode<L: Lanes, T: Tweaks<L>, const ROUNDS: usize>(
    lanes: L,
    mode: Mode,
    key: &[u8],
) -> Result<Box<dyn KeyedCipher>, &'static str> {
    Ok(match mode {
        Mode::Xts => Xts::<L, T, ROUNDS>::new(lanes, T::detect(lanes)?, key),
        Mode::Cbc => Cbc::<L, ROUNDS>::new(lanes, key),
        Mode::Ecb => Ecb::<L, ROUNDS>::new(lanes, key),
        _ => return Err("it does not have the mode"),
    })
}

const WRONG_SIZE: &str = "its size is none of the algorithm's";
