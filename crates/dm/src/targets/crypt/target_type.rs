//! `crypt` as a target type: how a row becomes a target, with its key set.

use std::fmt;

use udm_block::stack;

use super::params::{CryptSpec, KeySpec};
use super::{CipherChoice, Converter, Crypt};
use crate::keyring;
use crate::load::LoadError;
use crate::table::{Args, Fault, Row, ShowKeys, TableError, TableErrorKind, reason};
use crate::targets::{BuildContext, DeviceArg, Target, TargetSpec, TargetType};

/// The target type `crypt`.
pub struct CryptType;

impl TargetType for CryptType {
    fn name(&self) -> &'static str {
        "crypt"
    }

    fn parse(&self, args: &Args<'_>) -> Result<Box<dyn TargetSpec>, TableError> {
        Ok(Box::new(CryptSpec::parse(args)?))
    }

    fn secret_word(&self) -> Option<usize> {
        Some(CryptSpec::KEY_WORD)
    }
}

impl TargetSpec for CryptSpec {
    fn name(&self) -> &'static str {
        "crypt"
    }

    fn devices(&self) -> &[DeviceArg] {
        std::slice::from_ref(&self.device)
    }

    fn block_size(&self) -> u32 {
        self.options.sector_size as u32
    }

    fn is_key_wiped(&self) -> bool {
        matches!(self.key, KeySpec::Wiped { .. })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, keys: ShowKeys) -> fmt::Result {
        self.write(f, keys)
    }

    fn build(&self, cx: &BuildContext<'_>) -> Result<Box<dyn Target>, LoadError> {
        // Wiped before anything else is made: what memory is filled with next may have padding, and padding is
        // whatever was on the stack.
        let converter = stack::wiped(|| converter(cx.row, self, cx.cipher))?;
        Ok(Box::new(Crypt::new(self, converter, cx.device(0), cx.source, cx.reserves)?))
    }
}

/// The keyed converter of a crypt row.
pub(crate) fn converter(row: &Row, spec: &CryptSpec, cipher: &CipherChoice) -> Result<Converter, TableError> {
    let at_key = |fault: Fault| TableError::new(row.places().arg(CryptSpec::KEY_WORD).clone(), fault);
    let key_error = |message: String, found: &str, hint: &str| {
        at_key(Fault::new(TableErrorKind::Key, message, found, hint).with_kernel(reason::KEY))
    };
    let read;
    let key = match &spec.key {
        KeySpec::Bytes(bytes) => bytes.as_slice(),
        KeySpec::None => &[],
        KeySpec::Keyring(key) => {
            read = keyring::read(key).map_err(at_key)?;
            read.as_slice()
        }
        KeySpec::Wiped { .. } => {
            return Err(key_error("the key is wiped".into(), "no key", "set a key (key set)"));
        }
    };
    Converter::new(spec, key, cipher).map_err(|error| {
        key_error(error.to_string(), "a key", "choose another --driver, or another key size")
    })
}
