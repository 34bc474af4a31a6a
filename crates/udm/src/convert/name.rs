//! What names the sides of a conversion.

use std::path::Path;

use zeroize::Zeroizing;

use crate::device::DeviceName;

/// What names a device.
#[derive(Clone, Debug)]
pub enum Name {
    /// A device by its name.
    Device(DeviceName),
    /// A table's text.
    Table(Zeroizing<String>),
}

impl Name {
    /// The file or block device that it is about, where it is about one.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Device(name) => name.path(),
            Self::Table(_) => None,
        }
    }

    /// What it is called in a message.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Device(name) => name.place().to_string(),
            Self::Table(_) => "a table".into(),
        }
    }
}
