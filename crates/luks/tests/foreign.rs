//! Headers of others in forms that cryptsetup takes and does not make. Oracles: cryptsetup itself, and qemu-img.

use std::fs::{self, File};
use std::process::Command;

use crate::support;
use crate::support::bench::Bench;
use crate::support::{description, image, metadata, unhex, with_metadata};
use udm_luks::keyslot::Priority;
use udm_luks::luks2::json::Json;
use udm_luks::{Error, ErrorClass, Header, HeaderPlace, LastKey, UnlockOptions, Volume};

const CHEAP2: &str = "--pbkdf pbkdf2 --pbkdf-force-iterations 1000";

/// A bench with a LUKS2 volume of cryptsetup's, whose JSON is changed by `edit`.
fn edited(edit: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Bench {
    let bench = Bench::new();
    bench.cryptsetup(&format!("luksFormat --type luks2 {CHEAP2} @image @first"));
    bench.cryptsetup(&format!("luksAddKey {CHEAP2} --key-file @first @image @second"));
    let bytes = fs::read(bench.path("image")).unwrap();
    let json = edit(metadata(&bytes).into_bytes());
    fs::write(bench.path("image"), with_metadata(&bytes, &json)).unwrap();
    bench
}

/// `json` with `to` for the first `from`.
fn replaced(json: &[u8], from: &str, to: &[u8]) -> Vec<u8> {
    let at = json.windows(from.len()).position(|window| window == from.as_bytes()).expect(from);
    [&json[..at], to, &json[at + from.len()..]].concat()
}

fn open(bench: &Bench) -> Volume<File> {
    let file = File::options().read(true).write(true).open(bench.path("image")).unwrap();
    Volume::open(file, HeaderPlace::Attached).unwrap()
}

fn luks2(volume: &Volume<File>) -> &udm_luks::luks2::Header {
    let Header::Luks2(header) = volume.header() else { panic!("it is LUKS2") };
    header
}

/// The JSON of both copies, which are the same.
fn written(bench: &Bench) -> Vec<u8> {
    let bytes = fs::read(bench.path("image")).unwrap();
    let copy = |at: usize| bytes[at + 4096..at + 16384].split(|byte| *byte == 0).next().unwrap().to_vec();
    assert_eq!(copy(0).escape_ascii().to_string(), copy(16384).escape_ascii().to_string());
    copy(0)
}

#[test]
fn an_option_that_an_iv_mode_does_not_read_keeps_nothing_from_opening() {
    let luks1 = |mode: &[u8]| {
        let mut bytes = image("luks1-aes-xts-sha256");
        bytes[40..40 + mode.len()].copy_from_slice(mode);
        Volume::open(bytes, HeaderPlace::Attached).unwrap()
    };
    let luks2 = |mode: &str| {
        let bytes = image("luks2-argon2id-32m");
        let json = metadata(&bytes).replace("xts-plain64", mode);
        Volume::open(with_metadata(&bytes, json.as_bytes()), HeaderPlace::Attached).unwrap()
    };
    for (name, idle, unknown) in [
        ("luks1-aes-xts-sha256", luks1(b"xts-plain64:sha256\0"), luks1(b"xts-plain65:sha256\0")),
        ("luks2-argon2id-32m", luks2("xts-plain64:sha256"), luks2("xts-plain65:sha256")),
    ] {
        let told = description(name);
        let passphrase = told["passphrases"][0].as_str().unwrap().as_bytes();
        let unlocked = idle.unlock(passphrase, &UnlockOptions::default()).unwrap();
        assert_eq!(*unlocked.key, unhex(told["volume_key"].as_str().unwrap()), "{name}");
        assert_eq!(unlocked.segment.encryption, "aes-xts-plain64:sha256", "{name}");
        let error = unknown.unlock(passphrase, &UnlockOptions::default()).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Unsupported, "{name}: {error}");
    }
}

/// What stands in a header as another program wrote it, and where it is put.
const MEMBERS: [&[u8]; 12] = [
    b"1e5",
    b"1E+5",
    b"-0",
    b"1.50",
    b"123456789012345678901234567890",
    b"1e999",
    b"NaN",
    b"-Infinity",
    b"\"\\u0041\\/\\ud83d\\ude00\"",
    b"\"\xff\xfe\"",
    b"\"a\x01\tb\"",
    b"{\"b\":[1.0,{\"z\":null,\"a\":\"\xc3\xa9\"}],\"a\":[]}",
];

#[test]
fn what_is_not_known_survives_a_change_byte_for_byte() {
    let all: Vec<u8> = MEMBERS.join(&b','); // an array of them all
    let unknown = [b"\"x\":[", &all[..], b"],\"\xff\":0,"].concat();
    let token = [b"{\"type\":\"t\xff\",\"keyslots\":[\"0\"],", &unknown[..unknown.len() - 1], b"}"].concat();
    let bench = edited(|json| {
        let json = replaced(&json, "\"config\":{", &[b"\"config\":{", &unknown[..]].concat());
        let json = replaced(
            &json,
            "\"0\":{\"type\":\"luks2\",",
            &[b"\"0\":{\"type\":\"luks2\",", &unknown[..]].concat(),
        );
        replaced(&json, "\"tokens\":{", &[b"\"tokens\":{\"3\":", &token[..]].concat())
    });
    // The oracle for that it is no damage, before and after.
    assert!(bench.cryptsetup("luksDump @image").contains("Keyslots:"));
    let before = written(&bench);
    let mut volume = open(&bench);
    let key = volume.find_key(b"first passphrase\n", &UnlockOptions::default()).unwrap();
    assert_eq!(key.key_slot, Some(0));
    volume.set_label(Some("a-label"), None).unwrap();
    assert_eq!(written(&bench).escape_ascii().to_string(), before.escape_ascii().to_string());
    assert_eq!(
        volume.token(3).unwrap().to_bytes().escape_ascii().to_string(),
        token.escape_ascii().to_string()
    );
    assert_eq!(luks2(&volume).metadata.tokens[0].kind, "t\u{fffd}");
    volume.kill_slot(1, LastKey::Stays).unwrap();
    volume.set_priority(0, Priority::Prefer).unwrap();
    let after = written(&bench);
    let count = after.windows(unknown.len() - 1).filter(|window| **window == unknown[..unknown.len() - 1]);
    assert_eq!(count.count(), 3, "{}", after.escape_ascii());
    drop(volume);
    assert!(bench.cryptsetup("luksDump @image").contains("preferred"));
    assert_eq!(bench.unlock("first").unwrap().0, 0);
    // The twin: what cryptsetup does not take is damaged.
    let volume = Volume::open(fs::read(bench.path("image")).unwrap(), HeaderPlace::Attached).unwrap();
    let bytes = volume.into_source();
    let bad = replaced(&after, "1E+5", b"1E++");
    let error = Volume::open(with_metadata(&bytes, &bad), HeaderPlace::Attached).unwrap_err();
    assert!(error.to_string().contains("at line 1, column"), "{error}");
}

#[test]
fn labels_that_are_not_utf8_are_kept_and_shown_lossily() {
    let bench = edited(|json| json);
    let mut bytes = fs::read(bench.path("image")).unwrap();
    for at in [0, 16384] {
        bytes[at + 24..at + 28].copy_from_slice(b"l\xff\xfe\0");
        bytes[at + 168..at + 208].fill(0);
        bytes[at + 168..at + 170].copy_from_slice(b"u\xe9");
        bytes[at + 208..at + 210].copy_from_slice(b"\x80\0");
        support::sum(&mut bytes[at..at + 16384]);
    }
    fs::write(bench.path("image"), &bytes).unwrap();
    assert_eq!(bench.try_cryptsetup("luksDump @image").status.code(), Some(0));
    let mut volume = open(&bench);
    let binary = &luks2(&volume).binary;
    assert_eq!(
        (binary.label.to_string(), binary.uuid.to_string()),
        ("l\u{fffd}\u{fffd}".into(), "u\u{fffd}".into())
    );
    volume.find_key(b"first passphrase\n", &UnlockOptions::default()).unwrap();
    volume.kill_slot(1, LastKey::Stays).unwrap();
    let after = fs::read(bench.path("image")).unwrap();
    for at in [0, 16384] {
        assert_eq!(after[at + 24..at + 72], bytes[at + 24..at + 72], "label");
        assert_eq!(after[at + 168..at + 256], bytes[at + 168..at + 256], "uuid and subsystem");
    }
    volume.set_label(Some("plain"), None).unwrap();
    assert_eq!(luks2(&volume).binary.label, "plain");
}

/// Oracle: the word that luksDump has for each.
#[test]
fn priorities_of_any_kind_are_read_as_cryptsetup_reads_them() {
    for (value, ours) in [
        ("\"2\"", Priority::Prefer),
        ("\"1\"", Priority::Normal),
        ("\" 2x\"", Priority::Prefer),
        ("\"x\"", Priority::Ignore),
        ("\"\"", Priority::Ignore),
        ("2.9", Priority::Prefer),
        ("true", Priority::Normal),
        ("null", Priority::Ignore),
        ("[2]", Priority::Ignore),
        ("0", Priority::Ignore),
        ("7", Priority::Ignore),
    ] {
        let priority = format!("\"0\":{{\"type\":\"luks2\",\"priority\":{value},");
        let bench = edited(|json| replaced(&json, "\"0\":{\"type\":\"luks2\",", priority.as_bytes()));
        let dump = bench.cryptsetup("luksDump @image");
        let theirs = dump.split("Priority:").nth(1).unwrap().lines().next().unwrap().trim();
        let volume = open(&bench);
        let slot = luks2(&volume).metadata.slots[0].1.key().unwrap();
        assert_eq!(slot.priority, ours, "{value}");
        let word = match ours {
            Priority::Ignore if value == "7" => "invalid",
            Priority::Ignore => "ignored",
            Priority::Normal => "normal",
            Priority::Prefer => "preferred",
        };
        assert_eq!(theirs, word, "{value}: {dump}");
        // Whether it opens where it is not named.
        let theirs = bench.try_cryptsetup("open --test-passphrase --key-file @first @image").status.success();
        assert_eq!(bench.unlock("first").is_ok(), theirs, "{value}");
    }
}

#[test]
fn references_that_are_there_twice_count_once() {
    let bench = edited(|json| {
        let json = replaced(&json, "\"tokens\":{", br#""tokens":{"0":{"type":"t","keyslots":["1","1"]}"#);
        let json = replaced(&json, "\"keyslots\":[\"0\",\"1\"]", br#""keyslots":["0","1","1","0"]"#);
        replaced(&json, "\"segments\":[\"0\"]", br#""segments":["0","0"]"#)
    });
    assert!(bench.cryptsetup("luksDump @image").contains("Digests:"));
    let mut volume = open(&bench);
    let metadata = &luks2(&volume).metadata;
    assert_eq!(metadata.digests[0].key_slots, [0, 1]);
    assert_eq!((&*metadata.digests[0].segments, &*metadata.tokens[0].key_slots), (&[0][..], &[1][..]));
    assert_eq!(bench.unlock("second").unwrap().0, 1);
    volume.kill_slot(1, LastKey::Stays).unwrap();
    assert!(volume.is_last_key(0));
    let after = String::from_utf8(written(&bench)).unwrap();
    assert!(
        after.contains(r#""keyslots":["0","0"]"#) && after.contains(r#""type":"t","keyslots":[]"#),
        "{after}"
    );
    // A reference that is left over would be damage for both.
    assert!(bench.cryptsetup("luksDump @image").contains("Digests:"));
    assert_eq!(bench.unlock("first").unwrap().0, 0);
}

/// Each token is imported by both: what cryptsetup refuses is refused, and what it takes it takes from us as well.
#[test]
fn tokens_that_cryptsetup_refuses_are_refused() {
    // cryptsetup takes the last of two members of one name, and does not look at what stands behind the token.
    const STRICTER: [&str; 2] = ["bad-dup-key.json", "bad-trailing.json"];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tokens");
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let bench = edited(|json| json);
    let fresh = fs::read(bench.path("image")).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    for path in names {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read(&path).unwrap();
        fs::write(bench.path("image"), &fresh).unwrap();
        fs::write(bench.path("token"), &text).unwrap();
        let theirs = bench.try_cryptsetup("token import --json-file @token @image").status.success();
        let export =
            || bench.try_cryptsetup("token export --token-id 0 @image").stdout.escape_ascii().to_string();
        let exported = export();
        fs::write(bench.path("image"), &fresh).unwrap();
        let ours = Json::parse(&text).map_err(|_| None).and_then(|token| {
            open(&bench).add_token(token.clone(), None, false).map(|_| token).map_err(Some)
        });
        match &ours {
            Ok(token) => {
                assert!(theirs, "{name}: cryptsetup refuses it, and we do not");
                // It is as it came, but for white space, and cryptsetup reads it as what it made of it itself.
                assert_eq!(open(&bench).token(0).unwrap(), token, "{name}");
                assert_eq!(export(), exported, "{name}");
                accepted += 1;
            }
            Err(error) => {
                assert!(!theirs || STRICTER.contains(&&*name), "{name}: {error:?}");
                let fault = error.as_ref().map_or(ErrorClass::Request, Error::class);
                assert_eq!(fault, ErrorClass::Request, "{name}: {error:?}");
                assert_eq!(
                    fs::read(bench.path("image")).unwrap(),
                    fresh,
                    "{name}: it is written all the same"
                );
                refused += 1;
            }
        }
    }
    println!("{accepted} taken, {refused} refused");
    assert!(accepted >= 20 && refused >= 10);
}

/// A cipher, mode, IV, hash of the IV, and hash, as qemu-img names them.
type Options<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str);

/// One of each kind: MD5, an IV hash that nobody reads, blocks of 8 bytes, essiv with MD5, ecb with an IV.
const COVERING: [Options<'static>; 4] = [
    ("aes-256", "xts", "plain64", "sha256", "md5"),
    ("cast5-128", "cbc", "plain", "", "sha512"),
    ("aes-128", "cbc", "essiv", "md5", "ripemd160"),
    ("serpent-256", "ecb", "plain", "", "sha1"),
];

/// Every combination, where `UDM_GRID=all`. qemu-img measures for seconds with each, so this takes minutes. It
/// aborts on keys of 24 bytes, whose stripes end within a sector.
fn every() -> Vec<Options<'static>> {
    let hashes = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160"];
    let mut all = Vec::new();
    for cipher in [
        "aes-128",
        "aes-192",
        "aes-256",
        "cast5-128",
        "serpent-128",
        "serpent-192",
        "serpent-256",
        "twofish-128",
        "twofish-192",
        "twofish-256",
    ] {
        for mode in ["ecb", "cbc", "ctr", "xts"] {
            for iv in ["plain", "plain64"] {
                all.push((cipher, mode, iv, "", "sha256"));
            }
            for iv_hash in hashes {
                all.push((cipher, mode, "essiv", iv_hash, "sha256"));
            }
        }
    }
    all.extend(hashes.map(|hash| ("aes-256", "xts", "plain64", "md5", hash)));
    all.extend(hashes.map(|hash| ("aes-256", "cbc", "plain64", hash, hash)));
    all
}

/// What qemu-img makes, opens: its own `convert` decrypts zeros, as what we decrypt is tested with dm-crypt's vectors.
#[test]
fn every_luks_image_of_qemu_opens() {
    let all = std::env::var_os("UDM_GRID").is_some_and(|grid| grid == "all");
    let wanted = if all { every() } else { COVERING.to_vec() };
    let folder = tempfile::TempDir::with_prefix("udm-qemu-").unwrap();
    // They measure: two at once take as long as one.
    let made: Vec<_> = std::thread::scope(|scope| {
        let half = wanted.len().div_ceil(2);
        let runs: Vec<_> = wanted
            .chunks(half)
            .map(|options| {
                let folder = folder.path();
                scope.spawn(move || {
                    options.iter().map(|options| (options, qemu(folder, options))).collect::<Vec<_>>()
                })
            })
            .collect();
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    let (mut opened, mut unable) = (0, Vec::new());
    for (options, made) in made {
        match made {
            Ok(image) => {
                let volume = Volume::open(image, HeaderPlace::Attached)
                    .unwrap_or_else(|error| panic!("{options:?}: {error}"));
                let unlocked = volume.unlock(b"passphrase", &UnlockOptions::default());
                let unlocked = unlocked.unwrap_or_else(|error| panic!("{options:?}: {error}"));
                assert_eq!(unlocked.key_slot, 0, "{options:?}");
                let wrong = volume.unlock(b"another", &UnlockOptions::default()).unwrap_err();
                assert_eq!(wrong.class(), ErrorClass::Passphrase, "{options:?}: {wrong}");
                opened += 1;
            }
            Err(why) => unable.push(format!("{options:?}: {why}")),
        }
    }
    println!("{opened} of {} opened; qemu-img itself cannot make {unable:#?}", wanted.len());
    assert!(if all { opened >= 80 } else { unable.is_empty() }, "{unable:?}");
}

/// The image that qemu-img makes, or why it does not. It measures how fast the key derivation is, and now and then gives up
/// on a busy machine: then it is asked again.
fn qemu(folder: &std::path::Path, options: &Options<'_>) -> Result<Vec<u8>, String> {
    for _ in 0..20 {
        match qemu_once(folder, options) {
            Err(why) if why.ends_with("Unable to get accurate CPU usage") => {}
            made => return made,
        }
    }
    qemu_once(folder, options)
}

fn qemu_once(folder: &std::path::Path, options: &Options<'_>) -> Result<Vec<u8>, String> {
    let (cipher, mode, iv, iv_hash, hash) = options;
    let path = folder.join(format!("{cipher}-{mode}-{iv}-{iv_hash}-{hash}"));
    let iv_hash = if iv_hash.is_empty() { String::new() } else { format!(",ivgen-hash-alg={iv_hash}") };
    let words = format!(
        "key-secret=s,iter-time=10,cipher-alg={cipher},cipher-mode={mode},ivgen-alg={iv},hash-alg={hash}{iv_hash}"
    );
    let output = Command::new("qemu-img")
        .args(["create", "-q", "-f", "luks", "--object", "secret,id=s,data=passphrase", "-o", &words])
        .arg(&path)
        .arg("64k")
        .output()
        .expect("qemu-img is missing: cargo xtask deps installs it");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    Ok(bytes)
}
