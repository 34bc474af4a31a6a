//! Random sequences of changes to one volume, each by cryptsetup or by us, as a seed has it: after each the passphrases that
//! should open do so for both, the others for neither, and the volume key is the same as ever.
//!
//! `UDM_LUKS_SEQUENCES` says how many sequences there are, `UDM_SEED` takes the seed of a failure again.

use std::collections::BTreeMap;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::bench::Bench;
use udm_block::memory::splitmix64;
use udm_luks::Hash;
use udm_luks::header::keyring_token;
use udm_luks::kdf::Argon2Kind;
use udm_luks::{
    FormatOptions, HeaderPlace, KdfKind, KdfOptions, LastKey, Locked, SlotOptions, UnlockOptions, Version,
    Volume, format,
};

const PASSPHRASES: usize = 6;
/// The changes of a sequence.
const CHANGES: usize = 10;
/// The sequences, unless it is said.
const SEQUENCES: u64 = 20;

/// A volume with what should open it.
struct Sequence {
    bench: Bench,
    version: Version,
    seed: u64,
    /// The passphrase of each key slot.
    slots: BTreeMap<u32, usize>,
    tokens: u32,
    told: Vec<String>,
}

impl Sequence {
    fn new(seed: u64) -> Self {
        let bench = Bench::new();
        for number in 0..PASSPHRASES {
            fs::write(bench.path(&number.to_string()), format!("passphrase number {number}")).unwrap();
        }
        let mut new = Self {
            bench,
            version: Version::Luks2,
            seed,
            slots: [(0, 0)].into(),
            tokens: 0,
            told: Vec::new(),
        };
        new.version = if new.draw(3) == 0 { Version::Luks1 } else { Version::Luks2 };
        if new.draw(2) == 0 {
            let mut options = match new.version {
                Version::Luks1 => FormatOptions::luks1(Hash::Sha256),
                Version::Luks2 => FormatOptions::luks2(),
            };
            options.slot = new.slot_options();
            format(&mut new.locked(), &options, b"passphrase number 0").unwrap();
            new.told.push("udm format".into());
        } else {
            let kind = if new.version == Version::Luks1 { "luks1" } else { "luks2" };
            let costs = new.costs();
            new.cryptsetup(&format!("luksFormat --type {kind} {costs} @image @0"));
        }
        new
    }

    fn draw(&mut self, limit: usize) -> usize {
        (splitmix64(&mut self.seed) % limit as u64) as usize
    }

    fn locked(&self) -> Locked {
        Locked::open(&self.bench.path("image")).unwrap()
    }

    fn open(&self) -> Volume<Locked> {
        Volume::open(self.locked(), HeaderPlace::Attached)
            .unwrap_or_else(|error| panic!("{:#?}: {error}", self.told))
    }

    fn cryptsetup(&mut self, words: &str) {
        self.told.push(format!("cryptsetup {words}"));
        let output = self.bench.try_cryptsetup(words);
        assert!(output.status.success(), "{:#?}: {output:?}", self.told);
    }

    /// The cheapest costs of a derivation that is drawn: for us and, as words, for cryptsetup.
    fn slot_options(&mut self) -> SlotOptions {
        let kind = match (self.version, self.draw(2)) {
            (Version::Luks2, 0) => KdfKind::Argon2(Argon2Kind::Id),
            _ => KdfKind::Pbkdf2(Hash::Sha256),
        };
        let iterations = Some(if matches!(kind, KdfKind::Pbkdf2(_)) { 1000 } else { 4 });
        SlotOptions::new(KdfOptions { kind, iterations, memory_kib: 32, lanes: 1, ..KdfOptions::default() })
    }

    fn costs(&mut self) -> String {
        match (self.version, self.draw(2)) {
            (Version::Luks1, _) => "--pbkdf-force-iterations 1000".into(),
            (Version::Luks2, 0) => "--pbkdf pbkdf2 --pbkdf-force-iterations 1000".into(),
            (Version::Luks2, _) => "--pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 32".into(),
        }
    }

    /// A key slot that is in use, with its passphrase.
    fn used(&mut self) -> (u32, usize) {
        let at = self.draw(self.slots.len());
        self.slots.iter().nth(at).map(|(slot, number)| (*slot, *number)).unwrap()
    }

    /// A passphrase that opens nothing.
    fn unused(&mut self) -> Option<usize> {
        let free: Vec<_> =
            (0..PASSPHRASES).filter(|number| !self.slots.values().any(|used| used == number)).collect();
        let at = self.draw(free.len().max(1));
        free.get(at).copied()
    }

    fn change(&mut self) {
        let is_ours = self.draw(2) == 0;
        match self.draw(if self.version == Version::Luks2 { 6 } else { 3 }) {
            0 => self.add(is_ours),
            1 => self.change_key(is_ours),
            2 => self.kill(is_ours),
            3 => self.convert(is_ours),
            4 => self.label(is_ours),
            _ => self.token(is_ours),
        }
    }

    fn add(&mut self, is_ours: bool) {
        let (Some(new), (_, old)) = (self.unused(), self.used()) else { return };
        let most = if self.version == Version::Luks1 { 8 } else { 32 };
        let slot = self.draw(most) as u32;
        if self.slots.contains_key(&slot) {
            return;
        }
        if is_ours {
            let options = SlotOptions { id: Some(slot), ..self.slot_options() };
            self.told.push(format!("udm add-key {new} to key slot {slot} by {old}"));
            let mut volume = self.open();
            let key = volume.find_key(text(old).as_bytes(), &UnlockOptions::default()).unwrap();
            volume.add_key(&key, text(new).as_bytes(), &options).unwrap();
        } else {
            let costs = self.costs();
            self.cryptsetup(&format!("luksAddKey {costs} --key-slot {slot} --key-file @{old} @image @{new}"));
        }
        self.slots.insert(slot, new);
    }

    fn change_key(&mut self, is_ours: bool) {
        let (Some(new), (slot, old)) = (self.unused(), self.used()) else { return };
        if is_ours {
            let options = self.slot_options();
            self.told.push(format!("udm change-key {old} to {new}"));
            let mut volume = self.open();
            let key = volume.find_key(text(old).as_bytes(), &UnlockOptions::default()).unwrap();
            let now = volume.change_key(&key, text(new).as_bytes(), &options).unwrap();
            self.slots.remove(&slot);
            self.slots.insert(now, new);
        } else {
            let costs = self.costs();
            self.cryptsetup(&format!("luksChangeKey {costs} --key-file @{old} @image @{new}"));
            self.slots.remove(&slot);
            // Where it went is what its passphrase opens.
            let now = self.open().test_passphrase(text(new).as_bytes(), &UnlockOptions::default()).unwrap();
            self.slots.insert(now, new);
        }
    }

    fn kill(&mut self, is_ours: bool) {
        let (slot, number) = self.used();
        if self.slots.len() == 1 {
            return;
        }
        if is_ours {
            self.told.push(format!("udm kill-slot {slot}"));
            self.open().kill_slot(slot, LastKey::Stays).unwrap();
        } else if self.draw(2) == 0 {
            self.cryptsetup(&format!("luksKillSlot @image {slot}"));
        } else {
            self.cryptsetup(&format!("luksRemoveKey @image @{number}"));
        }
        self.slots.remove(&slot);
    }

    fn convert(&mut self, is_ours: bool) {
        let (slot, number) = self.used();
        if is_ours {
            let options = self.slot_options();
            self.told.push(format!("udm convert-key {slot}"));
            let mut volume = self.open();
            let key = volume.find_key(text(number).as_bytes(), &UnlockOptions::default()).unwrap();
            volume.change_key(&key, text(number).as_bytes(), &options).unwrap();
        } else {
            let costs = self.costs();
            self.cryptsetup(&format!("luksConvertKey {costs} --key-slot {slot} --key-file @{number} @image"));
        }
    }

    fn label(&mut self, is_ours: bool) {
        let label = format!("label-{}", self.draw(1000));
        if is_ours {
            self.told.push(format!("udm config --label {label}"));
            self.open().set_label(Some(&label), Some("s")).unwrap();
        } else {
            self.cryptsetup(&format!("config --label {label} --subsystem s @image"));
        }
        assert!(self.bench.cryptsetup("luksDump @image").contains(&label), "{:#?}", self.told);
    }

    fn token(&mut self, is_ours: bool) {
        let (slot, _) = self.used();
        if self.tokens == 5 {
            return;
        }
        if is_ours {
            self.told.push(format!("udm token add of key slot {slot}"));
            self.open().add_token(keyring_token("described", &[slot]), None, false).unwrap();
        } else {
            self.cryptsetup(&format!("token add --key-description described --key-slot {slot} @image"));
        }
        self.tokens += 1;
    }

    /// Whether `number` opens for both, or for neither.
    fn check(&self, number: usize) {
        let theirs =
            self.bench.try_cryptsetup(&format!("open --test-passphrase --key-file @{number} @image"));
        let ours = self.open().test_passphrase(text(number).as_bytes(), &UnlockOptions::default());
        let slot = self.slots.iter().find(|(_, used)| **used == number).map(|(slot, _)| *slot);
        assert_eq!(theirs.status.success(), slot.is_some(), "{:#?}: {number}: {theirs:?}", self.told);
        assert_eq!(ours.ok(), slot, "{:#?}: {number}", self.told);
    }
}

fn text(number: usize) -> String {
    format!("passphrase number {number}")
}

#[test]
fn both_follow_each_other_through_random_sequences() {
    let given = |name| std::env::var(name).ok();
    let seed = given("UDM_SEED").map(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap());
    let first =
        seed.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64);
    let count = given("UDM_LUKS_SEQUENCES").map_or(SEQUENCES, |count| count.parse().unwrap());
    let count = if seed.is_some() { 1 } else { count };
    let mut changes = 0;
    for number in 0..count {
        println!("UDM_SEED={:#x}", first + number);
        let mut sequence = Sequence::new(first + number);
        let (_, key) = sequence.bench.unlock("0").unwrap();
        for _ in 0..CHANGES {
            sequence.change();
            let number = sequence.draw(PASSPHRASES);
            sequence.check(number);
        }
        (0..PASSPHRASES).for_each(|number| sequence.check(number));
        let (_, last) = sequence.used();
        assert_eq!(sequence.bench.unlock(&last.to_string()).unwrap().1, key, "{:#?}", sequence.told);
        assert_eq!(sequence.bench.volume_key(&last.to_string()), key, "{:#?}", sequence.told);
        let repaired = sequence.bench.try_cryptsetup("repair @image");
        assert!(
            repaired.status.success() && repaired.stdout.is_empty(),
            "{:#?}: {repaired:?}",
            sequence.told
        );
        changes += sequence.told.len();
    }
    println!("{changes} changes in {count} sequences");
    assert!(changes as u64 > count * CHANGES as u64 / 2, "few could be done");
}
