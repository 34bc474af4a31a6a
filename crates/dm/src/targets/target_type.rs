//! What a program gives to add a target of its own: a type that reads the arguments of a row, and the spec that it makes
//! of them, of which a target is built.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;

use udm_block::memory::Source;
use udm_block::{DeviceRef, Sector, Sectors};

use super::crypt::CipherChoice;
use super::{Reserves, Target};
use crate::load::LoadError;
use crate::table::{ArgWriter, Args, Fault, Row, TableError};

/// A kind of target (the kernel's `struct target_type`).
pub trait TargetType: Send + Sync {
    /// The target's name in a table.
    fn name(&self) -> &'static str;

    /// Reads the arguments of a row. It opens no device.
    ///
    /// # Errors
    /// At the first word that is wrong.
    fn parse(&self, args: &Args<'_>) -> Result<Box<dyn TargetSpec>, TableError>;

    /// Which arguments are secrets, counted from 0. No message repeats them, and a table prints them only where it is
    /// asked for its keys ([`ArgWriter`]).
    fn secret_args(&self) -> &[usize] {
        &[]
    }
}

/// What a row says of its target. Two specs are equal where they map the same to the same.
pub trait TargetSpec: SpecEq + fmt::Debug + Send + Sync {
    /// The type that reads such rows.
    fn target_type(&self) -> &dyn TargetType;

    /// The devices that the arguments name, in their order.
    fn devices(&self) -> &[DeviceArg] {
        &[]
    }

    /// How many sectors of each device a row of `length` takes.
    fn sectors_per_device(&self, length: Sectors) -> Sectors {
        length
    }

    /// The fewest bytes that the target transfers: its devices are opened for them.
    fn block_size(&self) -> u32 {
        512
    }

    /// Whether the target has a key that was wiped. Until another one is set it cannot be built.
    fn is_key_wiped(&self) -> bool {
        false
    }

    /// Writes the arguments in their order, so that the row that is printed can be read again.
    ///
    /// # Errors
    /// Those of `args`.
    fn write(&self, args: &mut ArgWriter<'_, '_>) -> fmt::Result;

    /// Makes the target, over the devices that have been opened for it.
    ///
    /// # Errors
    /// When a device does not fit, or there is no memory.
    fn build(&self, cx: &BuildContext<'_>) -> Result<Box<dyn Target>, LoadError>;
}

impl dyn TargetSpec {
    /// The target's name in a table.
    pub fn name(&self) -> &'static str {
        self.target_type().name()
    }

    /// The spec as the type that it is, where it is a `T`.
    pub fn downcast_ref<T: TargetSpec>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}

/// Comparison of specs whose types are not known. Every type with `PartialEq` has it.
pub trait SpecEq: Any {
    /// Whether `other` is of the same type and equal.
    fn equals(&self, other: &dyn Any) -> bool;
}

impl<T: PartialEq + Any> SpecEq for T {
    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<T>() == Some(self)
    }
}

/// A device among the arguments of a target: its name, and the start that follows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceArg {
    /// The device, as the table names it.
    pub name: String,
    /// Where on it the target begins.
    pub start: Sector,
    /// Which argument the name is, counted from 0. The start is the next one.
    pub word: usize,
}

/// What a target is built with.
pub struct BuildContext<'a> {
    /// Which cipher driver volumes use.
    pub cipher: &'a CipherChoice,
    /// Where memory comes from.
    pub source: &'a Source,
    /// How much each pool has at hand.
    pub reserves: Reserves,
    /// Private to the loader: targets use what every target can use.
    pub(crate) row: &'a Row,
    pub(crate) devices: &'a HashMap<String, DeviceRef>,
}

impl BuildContext<'_> {
    /// How many sectors the row has.
    pub fn length(&self) -> Sectors {
        self.row.length
    }

    /// The opened device of number `index` of the row's devices.
    ///
    /// # Panics
    /// Where the target has fewer.
    pub fn device(&self, index: usize) -> DeviceRef {
        DeviceRef::clone(&self.devices[&self.row.devices()[index].name])
    }

    /// The error that `fault` is at argument `index`, counted from 0.
    pub fn error_at(&self, index: usize, fault: Fault) -> TableError {
        TableError::new(self.row.places().arg(index).clone(), fault)
    }
}
