//! What a server wrote is there after it: after a restart, for a decryptor that shares no code with udm, and after the
//! server was killed.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use udm::backend::nbd::client::Client;
use udm::nbd::address::NbdUri;
use udm_reference::{Cipher, Iv, Mistake, Mode};
use udm_tests::judge::judge;
use udm_tests::mutate::SplitMix64;
use udm_tests::program::{Served, run};
use udm_tests::volume::{Volume, noise};

const SIZE: usize = 24 << 20;

fn connect(uri: &str) -> Client {
    let uri: NbdUri = uri.parse().unwrap();
    let mut client = Client::connect(&uri.address, &uri.export).unwrap();
    client.set_timeout(Some(Duration::from_secs(20))).unwrap();
    client
}

#[test]
fn udm_read_and_an_independent_decryptor_read_what_the_server_wrote() {
    for (cipher, key_bytes, options, seed) in [
        ("aes-xts-plain64", 64, "", 11),
        ("aes-xts-plain64", 32, "2 sector_size:4096 iv_large_sectors", 12),
        ("aes-xts-plain", 64, "1 sector_size:4096", 13),
        ("aes-cbc-essiv:sha256", 32, "", 14),
        ("aes-cbc-benbi", 16, "", 15),
    ] {
        let volume = Volume::new(SIZE as u64, cipher, key_bytes, options, seed);
        let plain = noise(seed + 100, SIZE);
        fs::write(volume.path("plain"), &plain).unwrap();
        let served = Served::table(&volume.table);
        judge("nbdcopy", [volume.path("plain").to_str().unwrap(), served.uri(), "--flush"]);
        assert_eq!(served.stop().0, Some(0), "the server did not end well");

        let read = run(["read".as_ref(), "--table-file".as_ref(), volume.table.as_os_str()]);
        assert!(read.status.success(), "{read:?}");
        assert!(read.stdout == plain, "{cipher} {options}: udm read gives other bytes");

        let model = model_of(cipher, options, &volume.key);
        let decrypted = model.decrypt(0, &fs::read(&volume.image).unwrap());
        assert!(decrypted == plain, "{cipher} {options}: the independent decryptor disagrees");
        println!("{cipher} {options}: {} sectors agree", SIZE / 512);
    }
}

/// The independent model of a volume.
fn model_of(cipher: &str, options: &str, key: &str) -> udm_reference::Volume {
    let (mode, iv) = match cipher {
        "aes-xts-plain64" => (Mode::Xts, Iv::Plain64),
        "aes-xts-plain" => (Mode::Xts, Iv::Plain),
        "aes-cbc-essiv:sha256" => (Mode::Cbc, Iv::Essiv("sha256")),
        "aes-cbc-benbi" => (Mode::Cbc, Iv::Benbi),
        other => panic!("no model of {other}"),
    };
    udm_reference::Volume {
        cipher: Cipher::Aes,
        mode,
        iv,
        of_iv: Vec::new(),
        keys: vec![base16ct::lower::decode_vec(key).unwrap()],
        sector_size: if options.contains("sector_size:4096") { 4096 } else { 512 },
        large: options.contains("iv_large_sectors"),
        iv_offset: 0,
        mistake: Mistake::None,
    }
}

/// How big a block of the checker is, in bytes, and how many it has.
const BLOCK: usize = 4096;
const BLOCKS: usize = 2048;

/// A block that says which one it is and how often it was written.
fn stamped(block: usize, version: u64) -> Vec<u8> {
    noise((block as u64) << 32 | version, BLOCK)
}

#[test]
fn what_was_acknowledged_before_a_flush_survives_a_kill_in_the_middle_of_fio() {
    let seed = 0x5EED_4B11;
    println!("seed {seed:#x}");
    let mut random = SplitMix64::new(seed);
    let volume = Volume::xts(256 << 20, seed);
    // The version of each block that a completed flush covers, and the newest one that was sent at all.
    let (mut durable, mut newest) = (vec![0u64; BLOCKS], vec![0u64; BLOCKS]);
    for round in 0..4 {
        let served = Served::table(&volume.table);
        let mut fio = std::process::Command::new("fio")
            .args([
                "--name=load",
                "--ioengine=nbd",
                "--rw=randrw",
                "--bs=64k",
                "--iodepth=32",
                "--offset=64m",
            ])
            .args(["--size=128m", "--time_based", "--runtime=60", &format!("--uri={}", served.uri())])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("fio runs");
        let mut client = connect(served.uri());
        check(&mut client, &durable, &newest, round);
        std::thread::sleep(Duration::from_millis(300));
        // What was under way at the kill before was never acknowledged.
        let mut acknowledged = durable.clone();
        let kill_after = 600 + random.below(600);
        for step in 0..kill_after {
            let block = random.below(BLOCKS);
            newest[block] += 1;
            client.write((block * BLOCK) as u64, &stamped(block, newest[block]), false).unwrap();
            acknowledged[block] = newest[block];
            if step % 97 == 96 {
                client.flush().unwrap();
                durable.clone_from(&acknowledged);
            }
        }
        // Some writes are under way when it happens.
        for cookie in 0..32 {
            let block = cookie as usize * 61;
            newest[block] += 1;
            client.send_write(cookie, (block * BLOCK) as u64, &stamped(block, newest[block]), false).unwrap();
        }
        served.signal(Signal::KILL);
        drop(served);
        let _ = fio.kill();
        let _ = fio.wait();
    }
    let served = Served::table(&volume.table);
    let mut client = connect(served.uri());
    check(&mut client, &durable, &newest, 4);
    // The bad twin: a block that loses what was flushed is found.
    let lost = durable.iter().position(|version| *version > 0).expect("something was flushed");
    client.write((lost * BLOCK) as u64, &[0; BLOCK], false).unwrap();
    let found =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&mut client, &durable, &newest, 5)));
    assert!(found.is_err(), "a lost block goes unseen");
    println!("4 kills, {BLOCKS} blocks checked after each");
}

/// Every block holds a version that is no older than the one that was flushed, and whole.
fn check(client: &mut Client, durable: &[u64], newest: &[u64], round: usize) {
    let mut found = vec![0; BLOCK];
    for (block, (oldest, newest)) in durable.iter().zip(newest).enumerate() {
        if *newest == 0 {
            continue;
        }
        client.read((block * BLOCK) as u64, &mut found).unwrap();
        let version =
            (*oldest..=*newest).rev().find(|version| *version > 0 && found == stamped(block, *version));
        let untouched = *oldest == 0;
        assert!(
            version.is_some() || untouched,
            "round {round}: block {block} lost version {oldest} of {newest}"
        );
    }
}
