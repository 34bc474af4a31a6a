//! Paths as names in tables.
//!
//! Tables are text, and a path may have any bytes: [`name_of`] gives each path a name, in which `\xFF` is a byte that is
//! not UTF-8, and [`path_of`] takes it back.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The name of the file at `path`, which means that file and nothing else, whatever back ends there are: a relative path
/// that a scheme could begin gets `./` before it.
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
    if may_be_scheme(&name) { format!("./{name}") } else { name }
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

/// Whether `name` begins as a URI does (RFC 3986, section 3.1).
fn may_be_scheme(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.split_once(':').is_some_and(|(scheme, _)| scheme.bytes().all(is_part))
}

#[cfg(test)]
mod tests {
    use udm_block::Sectors;

    use super::*;
    use crate::{FileOptions, open_named};

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
        for path in ["/a:b", "./a:b", "a/b:c", "a b:c", "1:2", ":"] {
            assert_eq!(name_of(Path::new(path)), path);
        }
    }
}
