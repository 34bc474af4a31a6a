//! What the name of a device in a table means.
//!
//! A name that is a file always means that file. Where there is none, `ram:SIZE` is a device in memory, `null:SIZE` one that
//! keeps nothing, and anything else a path.
//!
//! Tables are text, and a path may have any bytes: [`name_of`] gives each path a name, in which `\xFF` is a byte that is
//! not UTF-8, and [`path_of`] takes it back.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use udm_block::{DeviceRef, LONGEST_DEVICE, SECTOR_SIZE, Sectors};

use crate::file::{self, FileDevice, FileOptions};
use crate::{Null, OpenError, Ram};

/// A device that a name meant.
pub enum Named {
    /// A file or a block device.
    File(FileDevice),
    /// Memory.
    Ram(Ram),
    /// Nowhere.
    Null(Null),
}

impl From<Named> for DeviceRef {
    fn from(named: Named) -> Self {
        match named {
            Named::File(file) => Arc::new(file),
            Named::Ram(ram) => Arc::new(ram),
            Named::Null(null) => Arc::new(null),
        }
    }
}

/// Opens the device that `name` means: see [`open`].
///
/// # Errors
/// Those of [`open`].
pub fn open_named(name: &str, options: &FileOptions) -> Result<DeviceRef, OpenError> {
    Ok(open(name, options)?.into())
}

/// Opens the device that `name` means. Of `options`, a device that is no file takes `read_only` and `block_size`.
///
/// # Errors
/// When the name cannot be understood, or the device cannot be opened.
pub fn open(name: &str, options: &FileOptions) -> Result<Named, OpenError> {
    let fail = |SizeError { wrong, hint }| OpenError::Name {
        name: name.to_owned(),
        why: wrong,
        hint: hint.map(Cow::Borrowed),
    };
    if name.is_empty() {
        let wrong = "a name is missing".to_owned();
        return Err(fail(SizeError { wrong, hint: Some("a path, ram:SIZE or null:SIZE would do") }));
    }
    match Scheme::of(name) {
        None => Ok(Named::File(file::open(path_of(name), options)?)),
        Some((Scheme::Ram, size)) => {
            let block = options.checked_block_size()?;
            let size = device_size(size, block).map_err(fail)?;
            Ok(Named::Ram(Ram::new(size)?.offering(block, options.read_only)))
        }
        Some((Scheme::Null, size)) => {
            let block = options.checked_block_size()?;
            let size = device_size(size, block).map_err(fail)?;
            Ok(Named::Null(Null::new(size).offering(block, options.read_only)))
        }
        Some((Scheme::Nbd, _)) => {
            let wrong = "it is an export of an NBD server".to_owned();
            Err(fail(SizeError { wrong, hint: Some("a file or a block device would do") }))
        }
    }
}

/// What a name that is no file's begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// `ram:SIZE`.
    Ram,
    /// `null:SIZE`.
    Null,
    /// The URI of an export of an NBD server.
    Nbd,
}

impl Scheme {
    /// The scheme of `name`, and what follows it; none where `name` is a path, as that of any file that is there.
    pub fn of(name: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = Self::begins(name)?;
        let is_there = std::fs::symlink_metadata(path_of(name)).is_ok();
        (!is_there).then_some((scheme, rest))
    }

    /// The same by the text alone, whatever files there are.
    fn begins(name: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = name.split_once(':')?;
        match scheme {
            "ram" => Some((Self::Ram, rest)),
            "null" => Some((Self::Null, rest)),
            _ if !rest.starts_with("//") => None,
            // As in every URI, capital letters are the same.
            _ => ["nbd", "nbds", "nbd+unix", "nbds+unix"]
                .iter()
                .any(|known| scheme.eq_ignore_ascii_case(known))
                .then_some((Self::Nbd, rest)),
        }
    }
}

/// The name of the file at `path`, which means that file and nothing else.
pub fn name_of(path: &Path) -> String {
    let mut name = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        // A backslash that would be taken for one of ours is written as one.
        let mut rest = chunk.valid();
        while let Some((before, after)) = rest.split_once("\\x") {
            name.push_str(before);
            name.push_str(if escaped(after.as_bytes()).is_some() { "\\x5cx" } else { "\\x" });
            rest = after;
        }
        name.push_str(rest);
        for byte in chunk.invalid() {
            let _ = write!(name, "\\x{byte:02x}");
        }
    }
    if Scheme::begins(&name).is_some() { format!("./{name}") } else { name }
}

/// The path that [`name_of`] gave `name` to; a path that is UTF-8 is its own name.
pub fn path_of(name: &str) -> Cow<'_, Path> {
    if !name.contains("\\x") {
        return Cow::Borrowed(Path::new(name));
    }
    let (bytes, mut path, mut at) = (name.as_bytes(), Vec::with_capacity(name.len()), 0);
    while at < bytes.len() {
        if let Some(byte) = bytes[at..].strip_prefix(b"\\x").and_then(escaped) {
            path.push(byte);
            at += 4;
        } else {
            path.push(bytes[at]);
            at += 1;
        }
    }
    Cow::Owned(PathBuf::from(OsString::from_vec(path)))
}

/// The byte whose two hexadecimal digits `text` begins with, where it is one that names have so: a backslash, or no ASCII.
fn escaped(text: &[u8]) -> Option<u8> {
    let digits = text.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    let byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (byte == b'\\' || !byte.is_ascii()).then_some(byte)
}

/// The size of a device, in whole blocks and at least one.
fn device_size(text: &str, block: u32) -> Result<Sectors, SizeError> {
    let bytes = parse_size(text)?;
    if bytes == 0 || !bytes.is_multiple_of(u64::from(block)) {
        let wrong = format!("{bytes} bytes are not a positive number of blocks of {block}");
        return Err(SizeError { wrong, hint: Some("write a multiple of the block size") });
    }
    debug_assert!(block as usize >= SECTOR_SIZE, "blocks are whole sectors");
    let size = Sectors::in_bytes(bytes);
    if size > LONGEST_DEVICE {
        let wrong = format!("a device of {text} is too long");
        return Err(SizeError { wrong, hint: Some("it can have at most 2^63 bytes (8192P)") });
    }
    Ok(size)
}

/// What is wrong with a size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SizeError {
    wrong: String,
    /// What would do.
    hint: Option<&'static str>,
}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.wrong)?;
        self.hint.map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for SizeError {}

/// The bytes that `text` says: a number, and K, M, G, T or P behind it for powers of 1024 (`4096`, `64M`). The letter
/// may be small, and `iB` may follow it.
///
/// # Errors
/// Where it is no such number, or is 2^64 or more.
///
/// ```
/// assert_eq!(udm_backend::locate::parse_size("3K"), Ok(3072));
/// ```
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let would_do = "write a number of bytes, or one with K, M, G, T or P behind it, such as 64M";
    let no_size = || SizeError { wrong: format!("\"{text}\" is not a size"), hint: Some(would_do) };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let power = match unit.strip_suffix("iB").filter(|letter| !letter.is_empty()).unwrap_or(unit) {
        "" => 0,
        "K" | "k" => 1,
        "M" | "m" => 2,
        "G" | "g" => 3,
        "T" | "t" => 4,
        "P" | "p" => 5,
        _ => return Err(no_size()),
    };
    if number.is_empty() {
        return Err(no_size());
    }
    let too_large = || {
        let wrong = format!("{text} is more than the 2^64 bytes that udm counts to");
        SizeError { wrong, hint: None }
    };
    let number: u64 = number.parse().map_err(|_| too_large())?;
    number.checked_mul(1 << (10 * power)).ok_or_else(too_large)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(name: &str) -> String {
        open_named(name, &FileOptions::default()).err().expect(name).to_string()
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("1k", 1024), ("2M", 2 << 20), ("3GiB", 3 << 30), ("16T", 16 << 40)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "iB", "1iB", "-1", "+1", "1.5G", "1 M", "1MB", "0x10", "1MM", "٣"] {
            let error = parse_size(text).expect_err(text);
            assert!(error.to_string().contains("such as 64M"), "{error}");
        }
        for text in ["18446744073709551616", "16384P"] {
            assert!(parse_size(text).unwrap_err().to_string().contains("2^64"), "{text}");
        }
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
        for name in ["nbd://localhost", "nbd+unix:///?socket=/s"] {
            assert!(error_of(name).contains("an export of an NBD server"));
        }
        assert!(error_of("nbd:file").contains("cannot be opened"));
        assert!(error_of("no:such/file").contains("truncate -s SIZE"));
    }

    /// The oracle is the file system: each file has its own length, by which it is known again.
    #[test]
    fn a_name_that_is_a_file_means_that_file_and_every_path_has_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let files: [&[u8]; 9] = [
            b"plain",
            b"with space",
            b"caf\xe9",
            b"\xff\xfe",
            b"back\\slash",
            b"back\\xe9",
            b"back\\x5c",
            "caf\u{e9}".as_bytes(),
            b"ram:1M",
        ];
        for (index, bytes) in files.iter().enumerate() {
            let path = folder.path().join(OsString::from_vec(bytes.to_vec()));
            let sectors = index as u64 + 1;
            std::fs::File::create(&path).unwrap().set_len(sectors * 512).unwrap();
            let name = name_of(&path);
            assert_eq!(path_of(&name), path, "{name}");
            let device = open_named(&name, &FileOptions::default()).unwrap();
            assert_eq!(device.geometry().size, Sectors(sectors), "{name}");
        }
        assert_eq!(name_of(Path::new("ram:1M")), "./ram:1M");
        assert_eq!(name_of(Path::new("nbd://x")), "./nbd://x");
        assert_eq!(name_of(Path::new("nbd:x")), "nbd:x");
        // The twin: without a file of the name, it is memory.
        assert_eq!(Scheme::of("ram:1M"), Some((Scheme::Ram, "1M")));
        let path = folder.path().join("ram:1M");
        assert_eq!(Scheme::of(path.to_str().unwrap()), None);
        assert_eq!(Scheme::of("NBD+unix:///?socket=/s").map(|(scheme, _)| scheme), Some(Scheme::Nbd));
    }
}
