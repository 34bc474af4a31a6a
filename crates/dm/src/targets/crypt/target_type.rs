//! `crypt` as a target type: how a row becomes a target, with its key set.

use std::fmt;

use udm_block::stack;

use super::Crypt;
use super::choice::CipherChoice;
use super::convert::Converter;
use super::params::{CryptSpec, KeySpec};
use crate::keyring;
use crate::load::LoadError;
use crate::table::{ArgWriter, Args, Fault, TableError, TableErrorKind, reason};
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

    fn secret_args(&self) -> &[usize] {
        &[CryptSpec::KEY_WORD]
    }
}

impl TargetSpec for CryptSpec {
    fn target_type(&self) -> &dyn TargetType {
        &CryptType
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

    fn write(&self, args: &mut ArgWriter<'_, '_>) -> fmt::Result {
        args.arg(&self.cipher.text)?;
        self.key.write(args)?;
        args.arg(self.iv_offset)?;
        args.device(&self.device)?;
        self.options.write(args)
    }

    fn build(&self, cx: &BuildContext<'_>) -> Result<Box<dyn Target>, LoadError> {
        // Wiped before anything else is made: what memory is filled with next may have padding, and padding is
        // whatever was on the stack.
        let converter = stack::wiped(|| converter(self, cx.cipher));
        let converter = converter.map_err(|fault| cx.error_at(CryptSpec::KEY_WORD, fault))?;
        Ok(Box::new(Crypt::new(self, converter, cx.device(0), cx.source, cx.reserves)?))
    }
}

/// The keyed converter of a crypt row. A fault is one of its key word.
pub(crate) fn converter(spec: &CryptSpec, cipher: &CipherChoice) -> Result<Converter, Fault> {
    let key_fault = |message: String, found: &str, hint: &str| {
        Fault::new(TableErrorKind::Key, message, found, hint).with_kernel(reason::KEY)
    };
    let read;
    let key = match &spec.key {
        KeySpec::Bytes(bytes) => bytes.as_slice(),
        KeySpec::None => &[],
        KeySpec::Keyring(key) => {
            read = keyring::read(key)?;
            read.as_slice()
        }
        KeySpec::Wiped { .. } => {
            return Err(key_fault("the key is wiped".into(), "no key", "set a key (key set)"));
        }
    };
    Converter::new(spec, key, cipher).map_err(|error| {
        key_fault(error.to_string(), "a key", "choose another --driver, or another key size")
    })
}
