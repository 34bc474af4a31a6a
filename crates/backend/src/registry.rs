//! The kinds of back ends that a name may mean: an open set.
//!
//! A name that is a file always means that file. Where there is none, the back end whose prefix it begins with reads it
//! (`ram:SIZE`, `null:SIZE`, `nbd://HOST/EXPORT`), and anything else is a path.

use std::fmt;
use std::sync::{Arc, LazyLock};

use udm_block::DeviceRef;

use crate::file::{self, FileDevice, FileOptions};
use crate::nbd::device::NbdType;
use crate::{OpenError, null, path_of, ram};

/// A kind of back end.
pub trait BackendType: Send + Sync {
    /// What its names begin with, in small letters: `ram:`, or `nbd://` and others. A prefix that ends in `//` is found in
    /// capital letters, too, as in every URI.
    fn prefixes(&self) -> &'static [&'static str];

    /// What a name looks like, for a person: `ram:SIZE`.
    fn example(&self) -> &'static str;

    /// Reads `name`, which begins with one of its prefixes. Nothing is opened.
    ///
    /// # Errors
    /// When it cannot be understood.
    fn parse(&self, name: &str) -> Result<Arc<dyn Location>, OpenError>;
}

/// Where sectors are, by a name that was read. It is printed as it can be typed again.
pub trait Location: fmt::Display + fmt::Debug + Send + Sync {
    /// A short name for what is there, where there is one: that of the export.
    fn short_name(&self) -> Option<String> {
        None
    }

    /// Whether each opening makes a device of its own, as scratch memory is, which nothing can be in before.
    fn is_scratch(&self) -> bool {
        false
    }

    /// Opens it. Of `options`, it takes `read_only`, `block_size`, and what else has a meaning for it.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn open(&self, options: &FileOptions) -> Result<DeviceRef, OpenError>;
}

/// A registry of back ends.
///
/// A program that has others adds them to a clone:
///
/// ```
/// use std::fmt;
/// use std::sync::Arc;
/// use udm_backend::{BackendType, BackendTypes, FileOptions, Location, Null, OpenError};
/// use udm_block::{DeviceRef, Sectors};
///
/// /// `tiny:` is a disk of one sector.
/// #[derive(Debug)]
/// struct Tiny;
///
/// impl fmt::Display for Tiny {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         f.write_str("tiny:")
///     }
/// }
///
/// impl Location for Tiny {
///     fn open(&self, options: &FileOptions) -> Result<DeviceRef, OpenError> {
///         Ok(Arc::new(Null::new(Sectors(1)).offering(options.block_size, options.read_only)))
///     }
/// }
///
/// impl BackendType for Tiny {
///     fn prefixes(&self) -> &'static [&'static str] {
///         &["tiny:"]
///     }
///
///     fn example(&self) -> &'static str {
///         "tiny:"
///     }
///
///     fn parse(&self, _name: &str) -> Result<Arc<dyn Location>, OpenError> {
///         Ok(Arc::new(Tiny))
///     }
/// }
///
/// let mut types = BackendTypes::builtin().clone();
/// types.register(Arc::new(Tiny));
/// let device: DeviceRef = types.open("tiny:", &FileOptions::default())?.into();
/// assert_eq!(device.geometry().size, Sectors(1));
/// # Ok::<(), OpenError>(())
/// ```
#[derive(Clone, Default)]
pub struct BackendTypes(Vec<Arc<dyn BackendType>>);

/// What a name opened.
pub enum Opened {
    /// A file or a block device.
    File(FileDevice),
    /// What a back end of the registry opened.
    Other(DeviceRef),
}

static BUILTIN: LazyLock<BackendTypes> = LazyLock::new(|| {
    let mut types = BackendTypes::default();
    types.register(Arc::new(ram::TYPE));
    types.register(Arc::new(null::TYPE));
    types.register(Arc::new(NbdType));
    types
});

impl BackendTypes {
    /// The back ends of this crate.
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// Adds a back end. It is asked before those that were there.
    pub fn register(&mut self, added: Arc<dyn BackendType>) {
        self.0.insert(0, added);
    }

    /// The back ends, in the order in which they are asked.
    pub fn iter(&self) -> impl Iterator<Item = &dyn BackendType> {
        self.0.iter().map(|known| &**known)
    }

    /// The back end that `name` means; none where it is a path, as that of any file that is there.
    pub fn find(&self, name: &str) -> Option<&dyn BackendType> {
        let found = self.iter().find(|known| known.prefixes().iter().any(|prefix| begins(name, prefix)))?;
        std::fs::symlink_metadata(path_of(name)).is_err().then_some(found)
    }

    /// Where `name` leads to, read by its back end; nothing, where it is a path.
    ///
    /// # Errors
    /// When it is empty, or its back end does not understand it.
    pub fn parse(&self, name: &str) -> Result<Option<Arc<dyn Location>>, OpenError> {
        if name.is_empty() {
            let examples: Vec<_> = self.iter().map(BackendType::example).collect();
            return Err(OpenError::Name {
                name: String::new(),
                why: "a name is missing".into(),
                hint: Some(format!("a path would do, or {}", examples.join(", ")).into()),
            });
        }
        self.find(name).map(|found| found.parse(name)).transpose()
    }

    /// Opens the device that `name` means. What is no file takes of `options` what has a meaning for it.
    ///
    /// # Errors
    /// When the name cannot be understood, or the device cannot be opened.
    pub fn open(&self, name: &str, options: &FileOptions) -> Result<Opened, OpenError> {
        Opened::at(self.parse(name)?.as_deref(), name, options)
    }
}

impl Opened {
    /// Opens what [`BackendTypes::parse`] has read of `name`. (A file may come to be at that name meanwhile.)
    ///
    /// # Errors
    /// When the device cannot be opened.
    pub fn at(location: Option<&dyn Location>, name: &str, options: &FileOptions) -> Result<Self, OpenError> {
        match location {
            None => file::open(path_of(name), options).map(Self::File),
            Some(location) => location.open(options).map(Self::Other),
        }
    }
}

impl fmt::Debug for BackendTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(BackendType::example)).finish()
    }
}

impl From<Opened> for DeviceRef {
    fn from(opened: Opened) -> Self {
        match opened {
            Opened::File(file) => Arc::new(file),
            Opened::Other(device) => device,
        }
    }
}

/// Whether `name` begins with `prefix`.
fn begins(name: &str, prefix: &str) -> bool {
    match name.get(..prefix.len()) {
        Some(there) if prefix.ends_with("//") => there.eq_ignore_ascii_case(prefix),
        Some(there) => there == prefix,
        None => false,
    }
}

/// Opens the device that `name` means, with the back ends of this crate: see [`BackendTypes::open`].
///
/// # Errors
/// Those of [`BackendTypes::open`].
pub fn open_named(name: &str, options: &FileOptions) -> Result<DeviceRef, OpenError> {
    BackendTypes::builtin().open(name, options).map(DeviceRef::from)
}

#[cfg(test)]
mod tests {
    use udm_block::{LONGEST_DEVICE, Sectors};

    use super::*;

    fn error_of(name: &str) -> String {
        open_named(name, &FileOptions::default()).err().expect(name).to_string()
    }

    #[test]
    fn names_mean_devices() {
        let options = FileOptions { read_only: true, block_size: 4096, ..FileOptions::default() };
        for name in ["ram:1M", "null:1M"] {
            let dev = open_named(name, &options).unwrap();
            let geometry = dev.geometry();
            let seen = (geometry.size, geometry.logical_block, geometry.read_only);
            assert_eq!(seen, (Sectors(2048), 4096, true), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_meant_says_what_would_do() {
        assert!(error_of("ram:").contains("\"\" is not a size"));
        assert!(error_of("ram:1000").contains("blocks of 512"));
        assert!(error_of("null:0").contains("positive"));
        for name in ["null:8193P", "ram:8193P"] {
            assert!(error_of(name).contains("at most 2^63 bytes"), "{}", error_of(name));
        }
        let longest = open_named("null:8192P", &FileOptions::default()).unwrap();
        assert_eq!(longest.geometry().size, LONGEST_DEVICE);
        assert!(error_of("").contains("a path"));
        for name in ["nbd://[", "NBD+unix:///?socket="] {
            assert!(error_of(name).to_lowercase().starts_with("device \"nbd"), "{}", error_of(name));
        }
        assert!(error_of("nbd:file").contains("cannot be opened"));
        assert!(error_of("no:such/file").contains("truncate -s SIZE"));
    }

    #[test]
    fn a_name_that_is_a_file_means_that_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ram:1M");
        std::fs::write(&path, [0; 512]).unwrap();
        let types = BackendTypes::builtin();
        assert!(types.find(path.to_str().unwrap()).is_none());
        // The twin: without a file of the name, it is memory.
        assert_eq!(types.find("ram:1M").unwrap().example(), "ram:SIZE");
        assert_eq!(types.parse("ram:1M").unwrap().unwrap().to_string(), "ram:1M");
        assert!(types.find("NBD+unix:///?socket=/s").is_some());
        assert!(types.find("RAM:1M").is_none());
    }
}
