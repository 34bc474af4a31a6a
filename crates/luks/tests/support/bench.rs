//! A folder in which cryptsetup and we work on the same image.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Output};

use udm_luks::{Error, HeaderPlace, UnlockOptions, Volume};

use super::unhex;

/// A folder with an image and key files, which goes with it.
pub struct Bench(tempfile::TempDir);

impl Bench {
    /// Three key files, and an image of 20 MiB of zeros.
    pub fn new() -> Self {
        let bench = Self(tempfile::TempDir::with_prefix("udm-luks-").unwrap());
        for key in ["first", "second", "third"] {
            std::fs::write(bench.path(key), format!("{key} passphrase\n")).unwrap();
        }
        File::create(bench.path("image")).unwrap().set_len(20 << 20).unwrap();
        bench
    }

    /// A file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs cryptsetup; a word that begins with `@` is a file of this folder.
    pub fn try_cryptsetup(&self, words: &str) -> Output {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let words = words.split_whitespace().map(|word| match word.strip_prefix('@') {
            Some(name) => self.path(name).into_os_string(),
            None => word.into(),
        });
        let output = Command::new("cryptsetup").arg("-q").args(words).env("PATH", path).output();
        output.expect("cryptsetup is missing: cargo xtask deps installs it")
    }

    /// Runs cryptsetup, which must succeed, and gives what it printed.
    pub fn cryptsetup(&self, words: &str) -> String {
        let output = self.try_cryptsetup(words);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cryptsetup {words}: {told}");
        // A token's type need not be UTF-8.
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The volume key, as cryptsetup tells it.
    pub fn volume_key(&self, key: &str) -> Vec<u8> {
        let dump = self.cryptsetup(&format!("luksDump --dump-volume-key --key-file @{key} @image"));
        let hex = dump.split("MK dump:").nth(1).expect("a volume key");
        unhex(&hex.split_whitespace().collect::<String>())
    }

    /// What we make of the image with this key file: the key slot, and the volume key.
    pub fn unlock(&self, key: &str) -> Result<(u32, Vec<u8>), Error> {
        let volume = Volume::open(File::open(self.path("image")).unwrap(), HeaderPlace::Attached)?;
        let passphrase = std::fs::read(self.path(key)).unwrap();
        let unlocked = volume.unlock(&passphrase, &UnlockOptions::default())?;
        Ok((unlocked.key_slot, unlocked.key.to_vec()))
    }
}
