//! The parameters of a crypt target: `<cipher> <key> <iv_offset> <device> <start> [<count> <option>...]`.
//!
//! - [`CipherSpec`] is the cipher word, which `udm_crypto::spec` reads; `cipher` makes faults of what is wrong with it.
//! - [`KeySpec`] is the key word; [`KeyLayout`](udm_crypto::spec::KeyLayout) says how its bytes are divided.
//! - [`CryptOptions`] are the optional words.

mod cipher;
mod key;
mod options;
#[cfg(test)]
mod tests;

use udm_block::Sector;
use udm_crypto::CipherSpec;

pub use key::{KeyBytes, KeySpec, KeyringKey, KeyringType};
pub use options::CryptOptions;

use crate::table::{Args, Fault, TableError, TableErrorKind, Word, reason};
use crate::targets::DeviceArg;

/// What a crypt row says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CryptSpec {
    /// The cipher, and how IVs are made.
    pub cipher: CipherSpec,
    /// The key. Its size is one that the cipher takes.
    pub key: KeySpec,
    /// What is added to a sector's number before it becomes an IV, in sectors of 512 bytes.
    pub iv_offset: u64,
    /// The device that the ciphertext is on, and where on it the ciphertext begins.
    pub device: DeviceArg,
    /// The optional parameters.
    pub options: CryptOptions,
}

/// The words that a crypt row must have after its target, for a message that names the missing one.
const WORDS: [&str; 5] = ["cipher", "key", "iv_offset", "device", "start"];

impl CryptSpec {
    /// Which argument is the key, counted from 0.
    pub(crate) const KEY_WORD: usize = 1;
    /// The same of the device; its start is the next.
    const DEVICE_WORD: usize = 3;

    /// Reads the arguments of a crypt row.
    pub(crate) fn parse(args: &Args<'_>) -> Result<Self, TableError> {
        let [cipher_word, key_word, iv_offset_word, _, device_start_word, rest @ ..] = args.words() else {
            return Err(missing_word(args.last_word(), args.words().len()));
        };
        let cipher = cipher::parse(cipher_word).map_err(|fault| cipher_word.fault(fault))?;
        let key = KeySpec::parse(key_word, &cipher).map_err(|fault| key_word.fault(fault))?;
        let iv_offset = iv_offset_word.number("iv_offset", Some(reason::IV_OFFSET))?;
        let device = args.device(Self::DEVICE_WORD, args.length, reason::DEVICE_START)?;
        let options = CryptOptions::parse(rest)?;
        check_sector_size(&cipher, &options).map_err(|fault| cipher_word.fault(fault))?;
        let unit = options.sectors_per_unit();
        let multiple = |word: &Word<'_>, what: &str, value: u64, kernel| {
            check_multiple(what, value, unit).map_err(|fault| word.fault(fault.with_kernel(kernel)))
        };
        multiple(args.length_word(), "the row's length", args.length.0, reason::LENGTH)?;
        multiple(iv_offset_word, "iv_offset", iv_offset, reason::IV_OFFSET)?;
        multiple(args.start_word(), "the row's start", args.start.0, reason::BLOCK_SIZE)?;
        multiple(device_start_word, "the device's start", device.start.0, reason::BLOCK_SIZE)?;
        Ok(Self { cipher, key, iv_offset, device, options })
    }

    /// A row that no text was written for, from another description of a volume. Its places are multiples of the sector
    /// size.
    ///
    /// # Errors
    /// Where the cipher is not known here, or does not take the key or the sector size.
    pub fn new(
        cipher: &str,
        key: KeyBytes,
        iv_offset: u64,
        device: (String, Sector),
        options: CryptOptions,
    ) -> Result<Self, Fault> {
        let cipher = cipher::parse(cipher)?;
        let key = KeySpec::of_bytes(key, &cipher)?;
        check_sector_size(&cipher, &options)?;
        let (name, start) = device;
        let device = DeviceArg { name, start, word: Self::DEVICE_WORD };
        Ok(Self { cipher, key, iv_offset, device, options })
    }

    /// The same with another key.
    #[must_use]
    pub(crate) fn with_key(&self, key: KeySpec) -> Self {
        let Self { cipher, iv_offset, device, options, .. } = self;
        let (cipher, device, options) = (cipher.clone(), device.clone(), options.clone());
        Self { cipher, key, iv_offset: *iv_offset, device, options }
    }
}

/// The error of a row that ends after `there` of its words, the last of which is `last`.
fn missing_word(last: &Word<'_>, there: usize) -> TableError {
    let form = WORDS.map(|word| format!("<{word}>")).join(" ");
    let found = format!("{there} of {} words", WORDS.len());
    let message = format!("a crypt row needs its <{}> after this: {found} are there", WORDS[there]);
    let fault =
        Fault::new(TableErrorKind::Words, message, found, format!("write {form} [<count> <option>...]"));
    last.fault(fault.with_kernel(reason::NOT_ENOUGH_ARGUMENTS))
}

/// Checks that the IV mode is one for sectors of this size.
fn check_sector_size(cipher: &CipherSpec, options: &CryptOptions) -> Result<(), Fault> {
    let (mode, size) = (cipher.iv.mode, options.sector_size);
    if !mode.is_of_512() || size == udm_block::SECTOR_SIZE {
        return Ok(());
    }
    let message = format!("IV mode {} is for sectors of 512 bytes, not for sector_size:{size}", mode.name());
    let hint = "leave sector_size out, or use plain64";
    Err(Fault::new(TableErrorKind::Cipher, message, mode.name(), hint).with_kernel(reason::IV_CREATE))
}

/// Checks that `value`, which `what` names, is a multiple of `unit`, both in sectors of 512 bytes.
fn check_multiple(what: &str, value: u64, unit: u64) -> Result<(), Fault> {
    if value.is_multiple_of(unit) {
        return Ok(());
    }
    let size = unit * udm_block::SECTOR_SIZE as u64;
    let message =
        format!("{what} is {value}, which is not a multiple of sector_size:{size} ({unit} sectors)");
    // A number near by would do for the form, and find other data: it is not offered.
    let hint = format!("write a multiple of {unit}, or a smaller sector_size");
    Err(Fault::new(TableErrorKind::Alignment, message, value.to_string(), hint))
}
