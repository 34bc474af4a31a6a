//! A LUKS image that udm and cryptsetup work on by turns.

use std::fs;
use std::process::Output;

use tempfile::TempDir;

use crate::judge::{judge, try_judge};
use crate::program::run;

/// The bytes of an image.
const SIZE: &str = "24M";
/// The bytes of the payload that is looked at.
pub const PAYLOAD: usize = 6 << 20;
/// The cheapest costs of each kind.
pub const COSTS: [(&str, &[&str]); 2] = [
    ("luks1", &["--pbkdf-force-iterations", "1000"]),
    ("luks2", &["--pbkdf", "argon2id", "--pbkdf-force-iterations", "4", "--pbkdf-memory", "32"]),
];

/// A folder with the image `disk`, and key files `a` to `d`, which are the passphrases.
pub struct Image {
    /// Where all its files are.
    pub folder: TempDir,
    /// The cheapest costs of its kind.
    pub costs: &'static [&'static str],
}

impl Image {
    /// Made by udm, with the passphrase `a`.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn made(kind: &str, more: &[&str]) -> Self {
        let costs = COSTS.iter().find(|(name, _)| *name == kind).expect("a kind").1;
        let image = Self { folder: TempDir::with_prefix("udm-judges-").unwrap(), costs };
        for key in ["a", "b", "c", "d"] {
            fs::write(image.path(key), format!("passphrase {key}")).unwrap();
        }
        let words = ["format", "@disk", "@a", "--size", SIZE, "--type", kind];
        image.luks(&[&words, more, costs].concat());
        image
    }

    /// A file of the folder.
    ///
    /// # Panics
    /// When its path is not UTF-8.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Words, of which those with an @ are files of the folder.
    pub fn words(&self, words: &[&str]) -> Vec<String> {
        let path = |word: &&str| word.strip_prefix('@').map_or((*word).to_owned(), |name| self.path(name));
        words.iter().map(path).collect()
    }

    /// Runs `udm luks`.
    pub fn try_luks(&self, words: &[&str]) -> Output {
        run(["luks".to_owned()].into_iter().chain(self.words(words)))
    }

    /// Runs `udm luks`, which must succeed, and gives what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn luks(&self, words: &[&str]) -> String {
        let output = self.try_luks(words);
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// `udm luks` with the cheapest costs.
    pub fn luks_cheap(&self, words: &[&str]) -> String {
        self.luks(&[words, self.costs].concat())
    }

    /// It must fail as a wrong request, and say `part`.
    ///
    /// # Panics
    /// When it does not.
    pub fn refused(&self, words: &[&str], part: &str) {
        let output = self.try_luks(words);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {told}");
        assert!(told.contains(part) && !told.contains("panicked"), "{part:?} is not in: {told}");
    }

    /// Runs cryptsetup, which must succeed, and gives what it printed.
    pub fn cryptsetup(&self, words: &[&str]) -> String {
        judge("cryptsetup", ["-q".to_owned()].into_iter().chain(self.words(words)))
    }

    /// The passphrases that open: each for udm and for cryptsetup, or for neither.
    ///
    /// # Panics
    /// When the two programs differ.
    pub fn opening(&self) -> String {
        let opens = |key: &&str| {
            let key_file = format!("@{key}");
            let theirs = self.words(&["open", "--test-passphrase", "@disk", "--key-file", &key_file]);
            let theirs = try_judge("cryptsetup", theirs);
            let ours = self.try_luks(&["test-passphrase", "@disk", "--key-file", &key_file]);
            assert_eq!(ours.status.success(), theirs.status.success(), "{key}: {ours:?} {theirs:?}");
            ours.status.success()
        };
        ["a", "b", "c", "d"].into_iter().filter(opens).collect()
    }

    /// Nothing is to be repaired, says cryptsetup.
    ///
    /// # Panics
    /// When something is.
    pub fn assert_whole(&self) {
        let repaired = try_judge("cryptsetup", self.words(&["-q", "repair", "@disk"]));
        assert!(repaired.status.success() && repaired.stdout.is_empty(), "{repaired:?}");
    }

    /// Writes the beginning of the payload.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, key: &str, payload: &[u8]) {
        fs::write(self.path("plain"), payload).unwrap();
        let words = ["write", "@disk", "--key-file", key, "--offset", "0", "-i", "@plain"];
        let wrote = run(self.words(&words));
        assert!(wrote.status.success(), "{}", text(&wrote.stderr));
    }

    /// The payload, as cryptsetup decrypts it for good, or as qemu-img converts it.
    ///
    /// # Panics
    /// When it cannot.
    pub fn decrypted(self, kind: &str, key: &str) -> Vec<u8> {
        if kind == "luks1" {
            let secret = format!("secret,id=s,file={}", self.path(key.trim_start_matches('@')));
            let from = format!("driver=luks,key-secret=s,file.filename={}", self.path("disk"));
            judge(
                "qemu-img",
                ["convert", "--object", &secret, "--image-opts", "-O", "raw", &from, &self.path("raw")],
            );
            return fs::read(self.path("raw")).unwrap()[..PAYLOAD].to_vec();
        }
        // Its lock of a reencryption is a file in /run, which takes rights.
        let how = ["reencrypt", "--decrypt", "--disable-locks", "--force-offline-reencrypt"];
        self.cryptsetup(&[&how[..], &["--header", "@exported", "--key-file", key, "@disk"]].concat());
        fs::read(self.path("disk")).unwrap()[..PAYLOAD].to_vec()
    }
}

/// What a program printed.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
