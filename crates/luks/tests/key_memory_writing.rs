//! Nothing of a volume key or of a passphrase is left in the memory of the process once a volume has been made and its
//! keys changed: all of its writable memory is searched. That the search finds a key is shown while it is there.
//!
//! One test alone: another one's memory would be searched with it.

use std::hint::black_box;
use std::time::Duration;

use udm_luks::Hash;
use udm_luks::kdf::Argon2Kind;
use udm_luks::{
    FormatOptions, HeaderPlace, KdfKind, KdfOptions, LastKey, SlotOptions, UnlockOptions, Volume, format,
};
use udm_testkit::secrets::{Masked, PIECE, find};

fn slot(kind: KdfKind) -> SlotOptions {
    let iterations = Some(if matches!(kind, KdfKind::Pbkdf2(_)) { 1000 } else { 4 });
    SlotOptions::new(KdfOptions { kind, iterations, memory_kib: 256, lanes: 2, time: Duration::ZERO })
}

/// Passphrases as a process has them that is about to forget them: written here byte by byte, so that neither the constants of
/// the program are what is found, nor what is left where they were moved.
fn passphrase(seed: u8) -> Vec<u8> {
    (0..48u8).map(|index| black_box(index).wrapping_mul(37).wrapping_add(seed) ^ 0x80).collect()
}

#[test]
fn no_byte_of_a_key_outlives_the_making_and_changing_of_a_volume() {
    let argon2 = slot(KdfKind::Argon2(Argon2Kind::Id));
    let pbkdf2 = slot(KdfKind::Pbkdf2(Hash::Sha256));
    let volumes = [
        (FormatOptions { slot: argon2.clone(), ..FormatOptions::luks2() }, argon2),
        (FormatOptions { slot: pbkdf2.clone(), ..FormatOptions::luks1(Hash::Sha256) }, pbkdf2),
    ];
    for (options, slot) in volumes {
        let name = options.version;
        let (mut first, mut second, mut third) = (passphrase(1), passphrase(2), passphrase(3));
        let mut disk = vec![0; 17 << 20];
        let made = format(&mut disk, &options, &first).unwrap();
        let key = Masked::of(made.key.to_vec());
        // The bad twin: its own pages are found, and nothing else is.
        let found = find(&key);
        assert_eq!(found.len(), made.key.len() / PIECE, "{name:?}: copies of the volume key: {found:?}");
        drop(made);
        assert_eq!(find(&key), Vec::<String>::new(), "{name:?}: the volume key, after it was formatted");

        let mut volume = Volume::open(&mut disk, HeaderPlace::Attached).unwrap();
        let unlock = UnlockOptions::default();
        {
            let known = volume.find_key(&first, &unlock).unwrap();
            volume.add_key(&known, &second, &slot).unwrap();
        }
        let known = volume.find_key(&second, &unlock).unwrap();
        let changed = volume.change_key(&known, &third, &slot).unwrap();
        let found = find(&key);
        assert_eq!(found.len(), 64 / PIECE, "{name:?}: copies of the volume key: {found:?}");
        drop(known);
        volume.kill_slot(changed, LastKey::Stays).unwrap();
        assert_eq!(
            find(&key),
            Vec::<String>::new(),
            "{name:?}: the volume key, after its key slots were changed"
        );
        for (number, secret) in [&mut first, &mut second, &mut third].into_iter().enumerate() {
            let secret = Masked::of(&mut **secret);
            assert_eq!(find(&secret), Vec::<String>::new(), "{name:?}: passphrase {number}");
        }
    }
}
