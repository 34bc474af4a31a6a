//! Every command of udm, with words that have it succeed, and what must be in the files when it has and when it has not.

use super::place::{DATA, Place};

/// A command.
pub struct Row {
    /// As its help names it. Words with an @ in them are files of the place.
    pub name: &'static str,
    /// What comes behind.
    pub words: &'static [&'static str],
    /// What it does.
    pub effect: Effect,
}

/// What a command does to files.
#[derive(Clone, Copy)]
pub enum Effect {
    /// It prints what it was asked for.
    Prints,
    /// The same, but not as many lines each time.
    Measures,
    /// It answers by its exit status, and what it prints is for a person.
    Answers,
    /// It makes the file `out`: all of it or nothing.
    Makes,
    /// It changes a file, or makes one.
    Changes {
        /// Which.
        file: &'static str,
        /// Whether all is as it must be when it is done.
        done: fn(&Place) -> bool,
        /// Whether nothing is lost when it is not.
        kept: fn(&Place) -> bool,
    },
    /// It serves NBD clients until a signal comes.
    Serves,
    /// It speaks to a server, after other words to it.
    Controls(&'static [&'static [&'static str]]),
}

const fn row(name: &'static str, words: &'static [&'static str], effect: Effect) -> Row {
    Row { name, words, effect }
}

const fn changes(file: &'static str, done: fn(&Place) -> bool, kept: fn(&Place) -> bool) -> Effect {
    Effect::Changes { file, done, kept }
}

/// The first key opens the volume.
fn opens(place: &Place) -> bool {
    place.opens("image", "key")
}

/// A header that is half restored can be restored from the same backup.
fn restores(place: &Place) -> bool {
    let restore = ["luks", "header-restore", "@image", "--header-backup-file", "@backup", "--batch-mode"];
    opens(place) || place.succeeds(&restore) && opens(place)
}

/// What was written is there.
fn written(place: &Place) -> bool {
    let read = ["read", "@image", "--key-file", "@key", "--length", "4K"];
    opens(place) && place.udm(&read) == DATA
}

impl Row {
    /// All words.
    pub fn words(&self, place: &Place) -> Vec<String> {
        let mut words: Vec<&str> = self.name.split(' ').collect();
        if let Effect::Controls(_) = self.effect {
            words.insert(1, "@control");
        }
        words.extend(self.words);
        place.words(&words)
    }
}

/// The commands.
pub const ROWS: &[Row] = &[
    row("quickstart", &["--size", "1M"], Effect::Prints),
    row("serve", &["@image", "--key-file", "@key", "--nbd", "@socket"], Effect::Serves),
    row("read", &["@image", "--key-file", "@key", "--length", "64K", "-o", "@out"], Effect::Makes),
    row(
        "write",
        &["@image", "--key-file", "@key", "--offset", "0", "-i", "@data"],
        changes("image", written, opens),
    ),
    row("convert", &["@image", "raw:@out", "--key-file", "@key"], Effect::Makes),
    row("table check", &["--table-file", "@lines"], Effect::Prints),
    row("table show", &["--table-file", "@lines"], Effect::Prints),
    row("dm ls", &[], Effect::Controls(&[])),
    row("dm status", &[], Effect::Controls(&[])),
    row("dm table", &[], Effect::Controls(&[])),
    row("dm info", &[], Effect::Controls(&[])),
    row("dm deps", &[], Effect::Controls(&[])),
    row("dm suspend", &[], Effect::Controls(&[])),
    row("dm resume", &[], Effect::Controls(&[&["suspend"]])),
    row("dm load", &["--table-file", "@lines"], Effect::Controls(&[])),
    row("dm clear", &[], Effect::Controls(&[&["load", "--table", "0 8 zero"]])),
    row("dm message", &["volume", "0", "key", "wipe"], Effect::Controls(&[&["suspend"]])),
    row(
        "luks format",
        &[
            "@out",
            "@key",
            "--size",
            "2M",
            "--luks2-metadata-size",
            "16K",
            "--luks2-keyslots-size",
            "768K",
            "--pbkdf",
            "argon2id",
            "--pbkdf-memory",
            "32",
            "--pbkdf-force-iterations",
            "4",
            "--pbkdf-parallel",
            "2",
        ],
        changes(
            "out",
            |place| place.opens("out", "key"),
            |place| !place.has("out") || place.opens("out", "key"),
        ),
    ),
    row("luks dump", &["@image"], Effect::Prints),
    row("luks test-passphrase", &["@image", "--key-file", "@key"], Effect::Answers),
    row(
        "luks add-key",
        &["@image", "@third", "--key-file", "@key", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"],
        changes("image", |place| opens(place) && place.opens("image", "third"), opens),
    ),
    row(
        "luks change-key",
        &["@image", "@third", "--key-file", "@key", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"],
        changes(
            "image",
            |place| !opens(place) && place.opens("image", "third"),
            |place| opens(place) || place.opens("image", "third"),
        ),
    ),
    row(
        "luks convert-key",
        &["@image", "--key-file", "@key", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1001"],
        changes("image", opens, opens),
    ),
    row(
        "luks remove-key",
        &["@image", "@new", "--batch-mode"],
        changes("image", |place| opens(place) && !place.opens("image", "new"), opens),
    ),
    row(
        "luks kill-slot",
        &["@image", "1", "--batch-mode"],
        changes("image", |place| opens(place) && !place.opens("image", "new"), opens),
    ),
    // Who erases wants nothing to be kept.
    row("luks erase", &["@image", "--batch-mode"], changes("image", |place| !opens(place), |_| true)),
    row("luks config", &["@image", "--label", "label"], changes("image", opens, opens)),
    row("luks uuid", &["@image"], Effect::Prints),
    row("luks token add", &["@image", "--key-description", "udm"], changes("image", opens, opens)),
    row("luks token import", &["@image", "--json-file", "@token"], changes("image", opens, opens)),
    row("luks token export", &["@image", "--token-id", "0"], Effect::Prints),
    row("luks token remove", &["@image", "--token-id", "0"], changes("image", opens, opens)),
    row("luks header-backup", &["@image", "--header-backup-file", "@out"], Effect::Makes),
    row(
        "luks header-restore",
        &["@image", "--header-backup-file", "@backup", "--batch-mode"],
        changes("image", opens, restores),
    ),
    row(
        "luks repair",
        &["@damaged", "--batch-mode"],
        changes(
            "damaged",
            |place| place.opens("damaged", "key"),
            |place| {
                place.succeeds(&["luks", "repair", "@damaged", "--batch-mode"])
                    && place.opens("damaged", "key")
            },
        ),
    ),
    row("ciphers", &[], Effect::Prints),
    row("verify", &["@image", "--key-file", "@key"], Effect::Prints),
    row("bench", &["cipher", "--size", "512", "--rounds", "1"], Effect::Measures),
    row("completions", &["bash"], Effect::Prints),
    row("man", &[], Effect::Prints),
    row("help", &[], Effect::Prints),
];
