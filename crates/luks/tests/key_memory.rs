//! No byte of a volume key, or of a passphrase that was tried, is left in the memory of the process once an unlocked
//! volume is dropped: all of its writable memory is searched. That the search finds a key is shown while it is there.
//!
//! One test alone: another one's memory would be searched with it.

mod support;

use support::{description, image, unhex};
use udm_luks::{HeaderPlace, UnlockOptions, Volume};
use udm_testkit::secrets::{Masked, PIECE, find};

/// Images of both versions and of each key derivation, one of them with several lanes' threads.
const IMAGES: [&str; 4] =
    ["luks1-aes-xts-sha256", "luks2-pbkdf2-sha512", "luks2-argon2i", "luks2-argon2id-32m"];

#[test]
fn no_byte_of_a_key_outlives_an_unlocked_volume() {
    for name in IMAGES {
        let told = description(name);
        let key = Masked::of(unhex(told["volume_key"].as_str().unwrap()));
        let volume = Volume::open(image(name), HeaderPlace::Attached).unwrap();
        let before = find(&key);
        assert!(before.is_empty(), "{name}: the volume key is there before: {before:?}");
        let passphrase = told["passphrases"][0].as_str().unwrap().as_bytes();
        let unlocked = volume.unlock(passphrase, &UnlockOptions::default()).unwrap();
        // The bad twin: its own pages are found, and nothing else is.
        let found = find(&key);
        assert_eq!(found.len(), unlocked.key.len() / PIECE, "{name}: copies of the volume key: {found:?}");
        drop(unlocked);
        let found = find(&key);
        assert!(found.is_empty(), "{name}: the volume key is at {found:?}");
        let mut wrong = *b"a wrong passphrase that is long";
        volume.unlock(&wrong, &UnlockOptions::default()).unwrap_err();
        // The constant that it was copied from is not writable, and so is not searched.
        let found = find(&Masked::of(&mut wrong));
        assert!(found.is_empty(), "{name}: a wrong passphrase is at {found:?}");
    }
}
