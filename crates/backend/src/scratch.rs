//! Devices that begin with nothing in them: their names are a prefix and a size.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use udm_block::{DeviceRef, Sectors};

use crate::size::{SizeError, device_size};
use crate::{BackendType, FileOptions, Location, OpenError};

/// Makes a device of so many sectors, with blocks of so many bytes, read-only or not.
type Make = fn(Sectors, u32, bool) -> Result<DeviceRef, OpenError>;

/// A kind of device that begins with nothing in it.
pub(crate) struct ScratchType {
    /// What its names begin with.
    pub(crate) prefixes: &'static [&'static str; 1],
    pub(crate) example: &'static str,
    pub(crate) make: Make,
}

impl BackendType for ScratchType {
    fn prefixes(&self) -> &'static [&'static str] {
        self.prefixes
    }

    fn example(&self) -> &'static str {
        self.example
    }

    fn parse(&self, name: &str) -> Result<Arc<dyn Location>, OpenError> {
        Ok(Arc::new(Scratch { name: name.into(), at: self.prefixes[0].len(), make: self.make }))
    }
}

/// A device of a size that is in its name.
struct Scratch {
    name: String,
    /// Where in the name the size begins.
    at: usize,
    make: Make,
}

impl Location for Scratch {
    fn is_scratch(&self) -> bool {
        true
    }

    fn open(&self, options: &FileOptions) -> Result<DeviceRef, OpenError> {
        let block = options.checked_block_size()?;
        let failed = |SizeError { wrong, hint }| OpenError::Name {
            name: self.name.clone(),
            why: wrong,
            hint: hint.map(Cow::Borrowed),
        };
        let size = device_size(&self.name[self.at..], block).map_err(failed)?;
        (self.make)(size, block, options.read_only)
    }
}

impl fmt::Display for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
