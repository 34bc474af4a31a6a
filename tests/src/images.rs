//! `udm convert` for tests: plain images with holes, volumes of cryptsetup's, and what the program says.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

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

/// The bytes of one of the two places of a journal.
const JOURNAL_SLOT: usize = 16 << 10;

/// What the journal of an interrupted conversion says: `Null` where there is none.
///
/// # Panics
/// When neither of its places has a record.
pub fn journal(path: &str) -> Value {
    let Ok(text) = fs::read(path) else { return Value::Null };
    let lines = text.chunks(JOURNAL_SLOT).filter_map(|slot| slot.split(|byte| *byte == b'\n').next());
    let records = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    records.max_by_key(|record| record["sequence"].as_u64()).expect("a record")
}

/// Where an interrupted conversion stands, by its journal.
pub fn position(path: &str) -> Option<u64> {
    journal(path)["position"].as_u64()
}

/// Writes a journal that says something else, and looks right.
///
/// # Panics
/// When it cannot be written.
pub fn write_journal(path: &str, record: &Value) {
    let text = record.to_string();
    fs::write(path, format!("udm convert\0{text}")).unwrap();
    let digest = judge("sha256sum", [path]);
    let mut file = format!("{text}\n{}\n", &digest[..64]).into_bytes();
    file.resize(2 * JOURNAL_SLOT, b'\n');
    fs::write(path, file).unwrap();
}

/// Starts `udm convert`, and kills it a while after it remembered a few times how far it is: whether it was still at work.
///
/// # Panics
/// When it fails by itself.
pub fn killed(words: &[&str], journal_path: &str, random: &mut SplitMix64) -> bool {
    let when = || fs::metadata(journal_path).map_or(0, |found| found.mtime_nsec());
    let mut child = Command::new(path()).args(["--quiet", "convert"]).args(words).spawn().unwrap();
    let (mut last, mut writes) = (when(), random.below(6));
    // Some die before they have begun.
    while writes > 0 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
        let now = when();
        writes -= usize::from(now != last);
        last = now;
    }
    std::thread::sleep(Duration::from_millis(random.below(30) as u64));
    let ended = child.try_wait().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ended.is_none_or(|status| status.success()), "{words:?}: {ended:?}");
    // It may have been done, and about to end.
    let to = journal_path.strip_suffix(".udm-convert").unwrap();
    let is_done = Path::new(to).exists() && !Path::new(journal_path).exists();
    ended.is_none() && !is_done
}

impl Files {
    /// Kills a conversion to the file `to` in the midst of its copy: where it stands. Its words have --resume.
    ///
    /// # Panics
    /// When it fails by itself.
    pub fn interrupted(&self, words: &[&str], to: &str, seed: u64) -> u64 {
        println!("kills by {seed:#x}");
        let journal_path = self.path(&format!("{to}.udm-convert"));
        let mut random = SplitMix64::new(seed);
        loop {
            let is_killed = killed(words, &journal_path, &mut random);
            let at = position(&journal_path).unwrap_or(0);
            if is_killed && at > 0 && at < self.plain.len() as u64 {
                return at;
            }
            // Too early or too late: once more from the beginning.
            for name in [to.to_owned(), format!("{to}.udm-part"), format!("{to}.udm-convert")] {
                let _ = fs::remove_file(self.path(&name));
            }
        }
    }

    /// All files in the folder, with what they have.
    ///
    /// # Panics
    /// When one cannot be read.
    pub fn all(&self) -> Vec<(String, Vec<u8>)> {
        let names = fs::read_dir(self.folder.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut all: Vec<_> =
            names.map(|name| (name.clone(), fs::read(self.path(&name)).unwrap_or_default())).collect();
        all.sort();
        all
    }
}

/// Runs `udm convert` with files of at most so many bytes, where a write beyond is an error and no signal.
pub fn convert_limited(limit: usize, words: &[&str]) -> Output {
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" --quiet convert \"$@\"", limit / 512);
    Command::new("sh").args(["-c", &script]).arg(path()).args(words).output().unwrap()
}
