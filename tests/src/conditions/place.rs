//! The files of a run: what is there before it, and what has become of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::images::CHEAP;
use crate::program::{Served, run};
use crate::volume::noise;

/// A LUKS2 header of 1 MiB.
pub const SMALL: [&str; 4] = ["--luks2-metadata-size", "16K", "--luks2-keyslots-size", "768K"];
/// What `write` writes, and where.
pub const DATA: &[u8; 4096] = &[0x5A; 4096];
/// The bytes of `raw`.
const RAW: usize = 256 << 10;

/// A folder of files. The keys `key` and `new` open the volume `image`.
pub struct Place {
    folder: TempDir,
    temporary: TempDir,
    /// The files as they are before each run.
    fresh: BTreeMap<String, Vec<u8>>,
    /// The server that `udm dm` speaks to.
    served: Option<Served>,
}

impl Place {
    /// # Panics
    /// When a file cannot be made.
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("udm-conditions-").unwrap();
        let temporary = TempDir::with_prefix("udm-conditions-").unwrap();
        let mut place = Self { folder, temporary, fresh: BTreeMap::new(), served: None };
        for (name, bytes) in [
            ("key", &b"key"[..]),
            ("new", b"new"),
            ("third", b"third"),
            ("data", DATA),
            ("raw", &noise(1, RAW)),
            ("lines", b"0 8 linear null:1M 0\n"),
            ("token", br#"{"type":"ours","keyslots":[]}"#),
        ] {
            fs::write(place.path(name), bytes).unwrap();
        }
        let size = ["--size", "2M"];
        place.udm(&[&["luks", "format", "@image", "@key"][..], &size, &SMALL, &CHEAP].concat());
        place.udm(&[&["luks", "add-key", "@image", "@new", "--key-file", "@key"][..], &CHEAP].concat());
        place.udm(&["luks", "token", "import", "@image", "--json-file", "@token"]);
        place.udm(&["luks", "header-backup", "@image", "--header-backup-file", "@backup"]);
        let mut damaged = fs::read(place.path("image")).unwrap();
        damaged[..512].fill(0);
        fs::write(place.path("damaged"), damaged).unwrap();
        place.fresh = place.files();
        place
    }

    /// A file of the folder.
    ///
    /// # Panics
    /// When its path is not UTF-8.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Words, in which a name behind an @ is a file of the folder.
    pub fn words(&self, words: &[&str]) -> Vec<String> {
        let path = |word: &&str| match word.split_once('@') {
            Some((before, name)) => format!("{before}{}", self.path(name)),
            None => (*word).to_owned(),
        };
        words.iter().map(path).collect()
    }

    /// Where temporary files go.
    pub fn temporary(&self) -> &Path {
        self.temporary.path()
    }

    /// Where `udm serve` serves.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Runs udm under no condition, which must succeed, and gives what it prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn udm(&self, words: &[&str]) -> Vec<u8> {
        let output = run(self.words(words));
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Whether udm succeeds under no condition.
    pub fn succeeds(&self, words: &[&str]) -> bool {
        run(self.words(words)).status.success()
    }

    /// Whether the passphrase in the file `key` opens the volume `image`.
    pub fn opens(&self, image: &str, key: &str) -> bool {
        let (image, key) = (format!("@{image}"), format!("@{key}"));
        self.succeeds(&["luks", "test-passphrase", &image, "--key-file", &key])
    }

    /// Whether there is such a file.
    pub fn has(&self, name: &str) -> bool {
        Path::new(&self.path(name)).exists()
    }

    /// The files in the folder.
    ///
    /// # Panics
    /// When one cannot be read.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap());
        let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
        files
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
            .collect()
    }

    /// The names of files that are not what they were, or were not there.
    pub fn changed(&self) -> Vec<String> {
        let now = self.files();
        let names = now.keys().chain(self.fresh.keys().filter(|name| !now.contains_key(*name)));
        names.filter(|name| now.get(*name) != self.fresh.get(*name)).cloned().collect()
    }

    /// Makes all files what they were, and removes the others, with temporary ones: whether there were such.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn reset(&mut self) -> bool {
        self.served = None;
        for name in self.changed() {
            match self.fresh.get(&name) {
                Some(bytes) => fs::write(self.path(&name), bytes).unwrap(),
                None => fs::remove_file(self.path(&name)).unwrap(),
            }
        }
        let _ = fs::remove_file(self.socket());
        let left = fs::read_dir(self.temporary()).unwrap().count();
        if left > 0 {
            self.temporary = TempDir::with_prefix("udm-conditions-").unwrap();
        }
        left > 0
    }

    /// Whether that server still answers.
    pub fn is_served(&self) -> bool {
        self.succeeds(&["dm", "@control", "info"])
    }

    /// Starts the server that `udm dm` speaks to, with one device.
    pub fn serve(&mut self) {
        let table = format!("volume=0 8 crypt aes-cbc-plain64 {} 0 null:1M 0", "00".repeat(16));
        let words = ["--nbd", "@nbd", "--control", "@control", "--table", &table];
        self.served = Some(Served::start(self.words(&words), 1));
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}
