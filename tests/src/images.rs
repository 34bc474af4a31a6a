//! `udm convert` for tests: plain images with holes, volumes of cryptsetup's, and what the program says.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::judge::judge;
use crate::mutate::SplitMix64;
use crate::program::{path, run};
use crate::volume::noise;

/// What a passphrase of a test costs.
pub const CHEAP: [&str; 4] = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];

/// A folder with a plain image of noise and holes, and key files.
pub struct Files {
    /// It goes with this.
    pub folder: TempDir,
    /// What the file `plain` in it has.
    pub plain: Vec<u8>,
}

/// Bytes.
pub const MIB: usize = 1 << 20;

impl Files {
    /// `plain` has `size` bytes: noise, a long hole, zeros that are written, short runs of both.
    pub fn new(size: usize, seed: u64) -> Self {
        println!("seed {seed:#x}");
        let folder = TempDir::with_prefix("udm-convert-").unwrap();
        let mut random = SplitMix64::new(seed);
        let mut plain = noise(seed, size);
        plain[size / 4..size / 2].fill(0);
        for _ in 0..200 {
            let at = random.below(size);
            let len = random.below(20_000).min(size - at);
            plain[at..at + len].fill(0);
        }
        let files = Self { folder, plain };
        let file = File::create(files.path("plain")).unwrap();
        file.set_len(size as u64).unwrap();
        file.write_all_at(&files.plain[..size / 4 + 4096], 0).unwrap();
        file.write_all_at(&files.plain[size / 2..], size as u64 / 2).unwrap();
        fs::write(files.path("key"), b"of the source").unwrap();
        fs::write(files.path("other-key"), b"of the destination").unwrap();
        files
    }

    /// A path in the folder.
    ///
    /// # Panics
    /// When it is no text.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// The name of the bytes of a file.
    pub fn raw(&self, name: &str) -> String {
        format!("raw:{}", self.path(name))
    }

    /// Whether there is such a file.
    pub fn exists(&self, name: &str) -> bool {
        Path::new(&self.path(name)).exists()
    }

    /// An empty volume of cryptsetup's with room for `plain`, that the key opens.
    pub fn luks_format(&self, name: &str, key: &str, options: &str) {
        let image = self.path(name);
        File::create(&image).unwrap().set_len((self.plain.len() + 16 * MIB) as u64).unwrap();
        let cheap = "-q luksFormat --pbkdf pbkdf2 --pbkdf-force-iterations 1000";
        let words = cheap.split(' ').chain(options.split_whitespace());
        judge("cryptsetup", words.chain([&*image, &*self.path(key)]));
    }
}

/// What a program said.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs `udm convert` to its end.
pub fn convert(words: &[&str]) -> Output {
    run(["--quiet", "convert"].iter().chain(words))
}

/// Converts, and gives what it tells a program.
pub fn converted(words: &[&str]) -> Value {
    let output = run(["--json", "--quiet", "convert"].iter().chain(words));
    assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// It refused, with this status, and said each of `parts`.
pub fn assert_refused(output: &Output, status: i32, parts: &[&str]) {
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{told}");
    for part in parts {
        assert!(told.contains(part) && !told.contains("panicked"), "{part:?} is not in: {told}");
    }
}

/// Runs `udm convert` with files of at most so many bytes, where a write beyond is an error and no signal.
pub fn convert_limited(limit: usize, words: &[&str]) -> Output {
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" --quiet convert \"$@\"", limit / 512);
    Command::new("sh").args(["-c", &script]).arg(path()).args(words).output().unwrap()
}
