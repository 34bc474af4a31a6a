//! Volumes for tests: an image and a table in a temporary folder.

use std::fs::File;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::mutate::SplitMix64;

/// An image with a table over all of it, in a folder that goes with it.
pub struct Volume {
    folder: TempDir,
    /// The image.
    pub image: PathBuf,
    /// The file with the table.
    pub table: PathBuf,
    /// The key in hexadecimal.
    pub key: String,
}

impl Volume {
    /// A volume of `bytes`, encrypted by `cipher` (an aes-xts or aes-cbc one) with a key of `key_bytes` from `seed`
    /// and the optional parameters `options`.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn new(bytes: u64, cipher: &str, key_bytes: usize, options: &str, seed: u64) -> Self {
        let folder = TempDir::with_prefix("udm-test-").expect("a temporary folder");
        let image = folder.path().join("volume.img");
        File::create(&image).and_then(|file| file.set_len(bytes)).expect("a sparse file");
        let mut random = SplitMix64::new(seed);
        let key: Vec<u8> = (0..key_bytes).map(|_| random.draw() as u8).collect();
        let key = base16ct::lower::encode_string(&key);
        let line = format!("0 {} crypt {cipher} {key} 0 {} 0 {options}\n", bytes / 512, image.display());
        let table = folder.path().join("volume.table");
        std::fs::write(&table, line).expect("a table file");
        Self { folder, image, table, key }
    }

    /// aes-xts-plain64 with 512-byte sectors.
    pub fn xts(bytes: u64, seed: u64) -> Self {
        Self::new(bytes, "aes-xts-plain64", 64, "", seed)
    }

    /// A path in the volume's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// `len` bytes of noise from `seed`.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut random = SplitMix64::new(seed);
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| random.draw().to_le_bytes()).collect();
    bytes.truncate(len);
    bytes
}
