//! Key slots, tokens and headers that we change, judged by cryptsetup: each passphrase opens, or does not, for both of us.

use std::fs;

use crate::support::bench::Bench;
use udm_luks::Hash;
use udm_luks::header::{backup, keyring_token};
use udm_luks::kdf::Argon2Kind;
use udm_luks::keyslot::Priority;
use udm_luks::luks2::json::Json;
use udm_luks::{
    ActivationFlags, Error, ErrorClass, Header, HeaderPlace, KdfKind, KdfOptions, LastKey, Locked, Secret,
    SlotOptions, UnlockOptions, Volume,
};

const PBKDF2: KdfKind = KdfKind::Pbkdf2(Hash::Sha256);
const KINDS: [&str; 2] = [
    "--type luks1 --pbkdf-force-iterations 1000",
    "--type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000",
];

fn cheap(kind: KdfKind) -> SlotOptions {
    let iterations = Some(if kind == PBKDF2 { 1000 } else { 4 });
    SlotOptions::new(KdfOptions { kind, iterations, memory_kib: 32, lanes: 1, ..KdfOptions::default() })
}

/// A volume that cryptsetup made with the first passphrase.
fn made(kind: &str) -> Bench {
    let bench = Bench::new();
    bench.cryptsetup(&format!("luksFormat {kind} @image @first"));
    bench
}

fn open(bench: &Bench) -> Volume<Locked> {
    Volume::open(Locked::open(&bench.path("image")).unwrap(), HeaderPlace::Attached).unwrap()
}

/// The passphrases that open: each for us and for cryptsetup, or for neither.
fn opening(bench: &Bench) -> Vec<&'static str> {
    let both = |name: &&str| {
        let theirs = bench.try_cryptsetup(&format!("open --test-passphrase --key-file @{name} @image"));
        assert_eq!(bench.unlock(name).is_ok(), theirs.status.success(), "{name}: {theirs:?}");
        theirs.status.success()
    };
    ["first", "second", "third"].into_iter().filter(both).collect()
}

fn passphrase(bench: &Bench, name: &str) -> Vec<u8> {
    fs::read(bench.path(name)).unwrap()
}

#[test]
fn keys_are_added_changed_and_killed_and_cryptsetup_follows() {
    for kind in KINDS {
        let bench = made(kind);
        let volume_key = bench.volume_key("first");
        let text = |name| passphrase(&bench, name);
        let options = UnlockOptions::default();
        let mut volume = open(&bench);
        let key = volume.find_key(&text("first"), &options).unwrap();
        let third = SlotOptions { id: Some(3), ..cheap(PBKDF2) };
        assert_eq!(volume.add_key(&key, &text("second"), &third).unwrap(), 3);
        let error = volume.add_key(&key, &text("second"), &third).unwrap_err();
        assert!(error.to_string().contains("this key slot is in use"), "{error}");
        drop(volume);
        assert_eq!(opening(&bench), ["first", "second"], "{kind}");
        assert_eq!(bench.volume_key("second"), volume_key);

        let mut volume = open(&bench);
        let key = volume.find_key(&text("second"), &options).unwrap();
        let slot = volume.change_key(&key, &text("third"), &cheap(PBKDF2)).unwrap();
        assert_eq!(slot, if kind.contains("luks1") { 1 } else { 3 });
        drop(volume);
        assert_eq!(opening(&bench), ["first", "third"], "{kind}");
        assert_eq!(bench.volume_key("third"), volume_key);

        let mut volume = open(&bench);
        volume.kill_slot(0, LastKey::Stays).unwrap();
        let error = volume.kill_slot(slot, LastKey::Stays).unwrap_err();
        assert!(
            error.class() == ErrorClass::Request && error.to_string().contains("the last one"),
            "{error}"
        );
        drop(volume);
        assert_eq!(opening(&bench), ["third"], "{kind}");
        let repaired = bench.try_cryptsetup("repair @image");
        assert!(repaired.status.success() && repaired.stdout.is_empty(), "{repaired:?}");

        let mut volume = open(&bench);
        volume.kill_slot(slot, LastKey::MayGo).unwrap();
        drop(volume);
        assert!(opening(&bench).is_empty(), "{kind}");
        // The key itself gets another key slot, where it is the volume's.
        let mut volume = open(&bench);
        let wrong = Secret::copy_of(&[7; 64]).unwrap();
        let error = volume.known_key(wrong, &options).unwrap_err();
        assert_eq!(error.finding().unwrap().field, "--volume-key-file");
        let key = volume.known_key(Secret::copy_of(&volume_key).unwrap(), &options).unwrap();
        assert_eq!(volume.add_key(&key, &text("first"), &cheap(PBKDF2)).unwrap(), 0);
        drop(volume);
        assert_eq!(bench.volume_key("first"), volume_key);
    }
}

/// The bad twin is the material before: it is there.
#[test]
fn the_material_of_a_key_slot_that_goes_is_overwritten() {
    for kind in KINDS {
        let bench = made(kind);
        let area = if kind.contains("luks1") { 4096..4096 + 256_000 } else { 32768..32768 + 258_048 };
        let before = fs::read(bench.path("image")).unwrap();
        assert!(before[area.clone()].iter().any(|byte| *byte != 0));
        open(&bench).kill_slot(0, LastKey::MayGo).unwrap();
        let after = fs::read(bench.path("image")).unwrap();
        let same = before[area.clone()].iter().zip(&after[area]).filter(|(old, new)| old == new).count();
        assert!(same < 3000, "{kind}: {same} bytes are as they were");
    }
}

#[test]
fn a_key_slot_gets_another_kdf_and_an_unbound_one_holds_a_key_of_its_own() {
    let bench = made(KINDS[1]);
    let text = |name| passphrase(&bench, name);
    let options = UnlockOptions::default();
    let mut volume = open(&bench);
    let key = volume.find_key(&text("first"), &options).unwrap();
    volume.set_priority(0, Priority::Prefer).unwrap();
    volume.change_key(&key, &text("first"), &cheap(KdfKind::Argon2(Argon2Kind::Id))).unwrap();
    volume.add_unbound_key(&[9; 32], &text("second"), &cheap(PBKDF2)).unwrap();
    // Its passphrase is none of the data's.
    assert!(volume.unlock(&text("second"), &options).is_err());
    assert_eq!(volume.test_passphrase(&text("second"), &options).unwrap(), 1);
    assert!(!volume.is_last_key(1) && volume.is_last_key(0));
    drop(volume);
    let dump = bench.cryptsetup("luksDump @image");
    assert!(
        dump.contains("argon2id") && dump.contains("preferred") && dump.contains("1: luks2 (unbound)"),
        "{dump}"
    );
    bench.cryptsetup("open --test-passphrase --key-file @first @image");
    let told = bench.cryptsetup("luksDump --unbound --key-slot 1 --key-file @second @image");
    assert!(told.contains("09 09 09 09"), "{told}");
    let mut volume = open(&bench);
    volume.kill_slot(1, LastKey::Stays).unwrap();
    let Header::Luks2(header) = volume.header() else { panic!("it is LUKS2") };
    assert_eq!(header.metadata.digests.len(), 1, "the digest of nothing stays");
}

#[test]
fn labels_uuids_flags_and_tokens_are_as_cryptsetup_reads_them() {
    let bench = made(KINDS[1]);
    let mut volume = open(&bench);
    volume.set_label(Some("a-label"), None).unwrap();
    volume.set_label(None, Some("a-subsystem")).unwrap();
    let uuid = volume.set_uuid(None).unwrap();
    let flags =
        ActivationFlags { allow_discards: true, no_read_workqueue: true, ..ActivationFlags::default() };
    volume.set_flags(flags).unwrap();
    assert_eq!(volume.add_token(keyring_token("a-key", &[0]), None, false).unwrap(), 0);
    // A token of another's, with what is not known here, comes back as it came.
    let text = r#"{"type":"of-another","keyslots":[],"x":[1.5,null,{"é\n":"\u0001"}],"a":-7}"#;
    let token = Json::parse(text.as_bytes()).unwrap();
    assert_eq!(volume.add_token(token.clone(), Some(7), false).unwrap(), 7);
    assert!(volume.add_token(token.clone(), Some(7), false).is_err(), "it is in use");
    assert_eq!(volume.add_token(token.clone(), Some(7), true).unwrap(), 7);
    assert_eq!(volume.token(7).unwrap().to_bytes(), text.as_bytes());
    for wrong in ["{}", "[]", r#"{"type":"x","keyslots":["5"]}"#, r#"{"type":7,"keyslots":[]}"#] {
        let token = Json::parse(wrong.as_bytes()).unwrap();
        assert_eq!(volume.add_token(token, None, false).unwrap_err().class(), ErrorClass::Request, "{wrong}");
    }
    drop(volume);
    let dump = bench.cryptsetup("luksDump @image");
    for word in
        ["a-label", "a-subsystem", &uuid, "allow-discards no-read-workqueue", "luks2-keyring", "of-another"]
    {
        assert!(dump.contains(word), "{word} is not in {dump}");
    }
    let exported = bench.cryptsetup("token export --token-id 7 @image");
    assert_eq!(Json::parse(exported.as_bytes()).unwrap(), token);
    let exported = bench.cryptsetup("token export --token-id 0 @image");
    assert!(exported.contains("a-key"), "{exported}");
    let mut volume = open(&bench);
    volume.set_flags(ActivationFlags::default()).unwrap();
    volume.remove_token(0).unwrap();
    assert!(volume.remove_token(0).is_err());
    drop(volume);
    assert!(bench.cryptsetup("luksDump @image").contains("(no flags)"));
    assert!(!bench.cryptsetup("luksDump @image").contains("luks2-keyring"));
    let bench = made(KINDS[0]);
    let mut volume = open(&bench);
    let uuid = volume.set_uuid(Some("0d9f0af5-0002-4dc1-b0a5-c9ff61d2ee12")).unwrap();
    for error in [
        volume.set_label(Some("x"), None).unwrap_err(),
        volume.set_priority(0, Priority::Prefer).unwrap_err(),
        volume.set_flags(flags).unwrap_err(),
        volume.add_unbound_key(&[1; 32], b"x", &cheap(PBKDF2)).unwrap_err(),
        volume.add_token(Json::Null, None, false).unwrap_err(),
    ] {
        assert!(error.to_string().contains("LUKS1 has no place for it"), "{error}");
    }
    drop(volume);
    assert_eq!(bench.cryptsetup("luksUUID @image").trim(), uuid);
}

#[test]
fn headers_are_backed_up_and_restored_both_ways() {
    for kind in KINDS {
        let bench = made(kind);
        let volume = open(&bench);
        let mut ours = Vec::new();
        volume.back_up(&mut ours).unwrap();
        drop(volume);
        fs::write(bench.path("ours"), &ours).unwrap();
        bench.cryptsetup("luksHeaderBackup --header-backup-file @theirs @image");
        let theirs = fs::read(bench.path("theirs")).unwrap();
        assert!(theirs == ours, "{kind}: {} and {} bytes", theirs.len(), ours.len());
        // A key that was changed since is as it was, again.
        let mut volume = open(&bench);
        let key = volume.find_key(&passphrase(&bench, "first"), &UnlockOptions::default()).unwrap();
        volume.change_key(&key, &passphrase(&bench, "second"), &cheap(PBKDF2)).unwrap();
        drop(volume);
        assert_eq!(opening(&bench), ["second"]);
        backup::restore(&mut Locked::open(&bench.path("image")).unwrap(), &ours).unwrap();
        assert_eq!(opening(&bench), ["first"]);
        let whole = fs::read(bench.path("image")).unwrap();
        assert!(whole[..ours.len()] == ours[..], "{kind}: it is another header");
        bench.cryptsetup("luksHeaderRestore --header-backup-file @ours @image");
        assert_eq!(opening(&bench), ["first"]);
        // What is no whole backup of this volume is refused, and nothing is written.
        let (mut cut, mut damaged) = (ours.clone(), ours.clone());
        cut.truncate(ours.len() / 2);
        damaged[if kind.contains("luks1") { 0 } else { 5000 }] ^= 1;
        let other = made(&format!("{kind} -s 256"));
        let mut others = Vec::new();
        open(&other).back_up(&mut others).unwrap();
        for wrong in [&cut, &damaged, &others] {
            let restored = backup::restore(&mut Locked::open(&bench.path("image")).unwrap(), wrong);
            println!("{kind}: {}", restored.unwrap_err());
            assert!(fs::read(bench.path("image")).unwrap() == whole, "{kind}: something was written");
        }
    }
}

#[test]
fn a_damaged_copy_is_repaired_when_it_is_asked_for_and_nothing_is_changed_before() {
    for at in [4100, 16384 + 4100] {
        let bench = made(KINDS[1]);
        let mut image = fs::read(bench.path("image")).unwrap();
        image[at] ^= 1;
        fs::write(bench.path("image"), &image).unwrap();
        let mut volume = open(&bench);
        assert!(volume.notice().is_some());
        let error = volume.set_label(Some("x"), None).unwrap_err();
        assert!(error.to_string().contains("udm luks repair"), "{error}");
        assert!(fs::read(bench.path("image")).unwrap() == image, "something was written");
        assert!(volume.repair().unwrap());
        assert!(!volume.repair().unwrap(), "there is nothing left to repair");
        drop(volume);
        let volume = open(&bench);
        assert_eq!(volume.notice(), None);
        drop(volume);
        assert_eq!(opening(&bench), ["first"]);
    }
}

#[test]
fn an_erased_volume_opens_with_nothing() {
    for kind in KINDS {
        let bench = made(kind);
        open(&bench).erase().unwrap();
        assert!(opening(&bench).is_empty());
        let error = bench.unlock("first").unwrap_err();
        assert!(matches!(error, Error::WrongPassphrase { .. }), "{kind}: {error}");
        bench.cryptsetup("luksDump @image");
    }
}
