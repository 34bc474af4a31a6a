//! Crypt devices on an engine that goes wrong by a seed: refuses, fails, overtakes, is late, loses its memory; each alone, and
//! all together. Every bio comes home, with the right bytes or an honest error.
//!
//! Oracles: a model in memory, and the disk decrypted by the portable driver. A read that ends well has the model's bytes. A
//! write that ends well is in the model from then on. A write that fails has, in each clone's part of it (of
//! [`LONGEST`] bytes from its beginning), all its new bytes or all the old ones, since a clone goes below when
//! all of it is encrypted. Nothing else may fail, or end otherwise than with `Ok` or `IoErr`.
//!
//! `UDM_IOS` says how many I/Os each run has (10,000 is the long form), `UDM_SEED` from which seed.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::alone;
use crate::support::client::{Client, Ended};
use crate::support::disk::{Late, Ram};
use crate::support::{Dice, hex, stream, try_map};
use udm_block::{DeviceRef, Flags, Op, SpanIterMut, SpanMut, Status};
use udm_crypto::offload::{self, Faults};
use udm_crypto::{CipherSpec, Direction};
use udm_dm::table::Table;
use udm_dm::targets::crypt::params::{CryptSpec, KeySpec};
use udm_dm::targets::crypt::{CipherChoice, Converter, LONGEST, Requests};

/// The size of each device.
const SIZE: usize = 4 << 20;
/// How many I/Os are under way.
const DEPTH: usize = 8;
/// How long nothing may end.
const PATIENCE: Duration = Duration::from_mins(1);

/// A cipher word, its encryption sectors, the longest I/O in bytes.
#[derive(Clone, Copy, Debug)]
struct Volume(&'static str, usize, usize);

const XTS: Volume = Volume("aes-xts-plain64", 512, 512 << 10);
const ESSIV: Volume = Volume("aes-cbc-essiv:sha256", 512, 128 << 10);
const TCW: Volume = Volume("aes-cbc-tcw", 512, 64 << 10);
const ELEPHANT: Volume = Volume("aes-cbc-elephant", 4096, 64 << 10);
/// Loop-AES's: lmk, and 64 keys, so that each sector is a request.
const KEYS: Volume = Volume("aes:64-cbc-lmk", 512, 16 << 10);

impl Volume {
    fn line(self) -> String {
        let Self(word, sector_size, _) = self;
        let cipher = CipherSpec::parse(word).unwrap();
        let size = (0..=72 * 32).rev().find(|size| cipher.takes_key_size(*size)).unwrap();
        let (sectors, key) = (SIZE / 512, hex(&stream(size as u64, size)));
        format!("0 {sectors} crypt {word} {key} 8 disk 0 1 sector_size:{sector_size}")
    }

    fn spec(self) -> CryptSpec {
        let table = Table::parse(&self.line()).unwrap();
        table.rows[0].target.downcast_ref::<CryptSpec>().expect("a crypt row").clone()
    }

    /// The faults, each alone and then together, and whether I/Os may fail of it. An engine that has refused gets units
    /// one by one from then on, at once, which leaves less to go wrong.
    fn faults(self, seed: u64) -> [(&'static str, bool, Faults); 7] {
        let none = Faults { seed, ..Faults::NONE };
        let (refuses, latency_us_max) = (Some(self.1), 400);
        let all = Faults {
            refuses,
            fails_per_mille: 20,
            reorders: true,
            latency_us_max,
            loses_per_mille: 50,
            ..none
        };
        [
            ("refuses", false, Faults { refuses, ..none }),
            ("fails", true, Faults { fails_per_mille: 20, ..none }),
            ("reorders", false, Faults { reorders: true, ..none }),
            ("is late", false, Faults { latency_us_max, ..none }),
            ("loses memory", true, Faults { loses_per_mille: 50, ..none }),
            ("does all of that but refuse", true, Faults { refuses: None, ..all }),
            ("does all of that", true, all),
        ]
    }
}

/// An I/O that is under way.
struct Io {
    op: Op,
    place: Range<usize>,
    bytes: Vec<u8>,
}

/// What a run has seen.
#[derive(Default, Debug)]
struct Seen {
    well: u64,
    reads_failed: u64,
    writes_failed: u64,
    /// Of the parts of failed writes, how many are on the disk.
    parts_new: u64,
    parts_old: u64,
    /// What was wrong, the first.
    wrong: Option<String>,
}

/// A client of a device on an engine with faults.
struct Run {
    client: Client,
    disk: Arc<Ram>,
    oracle: Converter,
    model: Vec<u8>,
    under_way: HashMap<u64, Io>,
    dice: Dice,
    volume: Volume,
    seen: Seen,
}

impl Run {
    fn new(volume: Volume, faults: Faults) -> Self {
        let spec = volume.spec();
        let KeySpec::Bytes(key) = &spec.key else { panic!("the table has a key") };
        let portable = CipherChoice { driver: Some("portable".into()), requests: Requests::PerSector };
        let oracle = Converter::new(&spec, key.as_slice(), &portable).unwrap();
        let disk = Ram::new(SIZE as u64 / 512);
        let late: DeviceRef = Late::over(disk.clone(), faults.seed);
        let choice = CipherChoice { driver: Some("offload-sim".into()), ..CipherChoice::default() };
        let device = faults.with(|| try_map(&volume.line(), &[("disk", late)], &choice)).unwrap();
        let mut run = Self {
            client: Client::new(&device),
            disk,
            oracle,
            model: Vec::new(),
            under_way: HashMap::new(),
            dice: Dice(faults.seed),
            volume,
            seen: Seen::default(),
        };
        run.model = run.on_disk(0..SIZE);
        run
    }

    /// What the disk holds there, decrypted.
    fn on_disk(&self, place: Range<usize>) -> Vec<u8> {
        let mut bytes = self.disk.bytes()[place.clone()].to_vec();
        let mut spans = [SpanMut::new(&mut bytes)];
        let mut data = SpanIterMut::new(&mut spans);
        let (src, dst) = data.in_place();
        self.oracle.convert(Direction::Decrypt, src, dst, place.start as u64 / 512).unwrap();
        bytes
    }

    /// A range that nothing under way is about, short ones as often as long ones.
    fn place(&mut self) -> Range<usize> {
        let Volume(_, unit, longest) = self.volume;
        loop {
            let most = 1 << self.dice.below(u64::from((longest / unit).ilog2()) + 1);
            let len = (1 + self.dice.below(most)) as usize * unit;
            let first = self.dice.below(((SIZE - len) / unit) as u64 + 1) as usize * unit;
            let place = first..first + len;
            let apart = |io: &Io| io.place.end <= place.start || place.end <= io.place.start;
            if self.under_way.values().all(apart) {
                return place;
            }
        }
    }

    fn start(&mut self) {
        let op = self.dice.pick(&[Op::Read, Op::Write]);
        let place = self.place();
        let bytes = stream(self.dice.below(u64::MAX), place.len());
        let cut = self.dice.below(place.len() as u64) as usize;
        let runs = [cut, place.len() - cut];
        let runs = &runs[usize::from(cut == 0)..];
        let number = self.client.start(op, Flags::NONE, place.start as u64 / 512, runs, &bytes);
        self.under_way.insert(number, Io { op, place, bytes });
    }

    fn end(&mut self) {
        let Ended { number, status, bytes } = self.client.wait();
        let io = self.under_way.remove(&number).expect("a bio ends once");
        let place = io.place.clone();
        match (status, io.op) {
            (Status::Ok, Op::Write) => self.model[place].copy_from_slice(&io.bytes),
            (Status::Ok, _) if bytes != self.model[place.clone()] => self.wrong(&io, "other bytes were read"),
            (Status::Ok, _) => {}
            (Status::IoErr, Op::Write) => return self.failed_write(&io),
            (Status::IoErr, _) => {
                self.seen.reads_failed += 1;
                return;
            }
            (status, _) => self.wrong(&io, &format!("it ended with {status:?}")),
        }
        self.seen.well += 1;
    }

    /// Holds each clone's part of it against the old and the new bytes.
    fn failed_write(&mut self, io: &Io) {
        self.seen.writes_failed += 1;
        for start in io.place.clone().step_by(LONGEST) {
            let part = start..io.place.end.min(start + LONGEST);
            let found = self.on_disk(part.clone());
            let new = &io.bytes[part.start - io.place.start..part.end - io.place.start];
            if found == new {
                self.seen.parts_new += 1;
                self.model[part].copy_from_slice(new);
            } else if found == self.model[part] {
                self.seen.parts_old += 1;
            } else {
                self.wrong(io, "after it failed, the disk has neither the old nor the new bytes");
            }
        }
    }

    fn wrong(&mut self, io: &Io, what: &str) {
        let what = || format!("{:?} of {:?}: {what}", io.op, io.place);
        self.seen.wrong.get_or_insert_with(what);
    }

    fn all(mut self, ios: usize, progress: &Sender<()>) -> Seen {
        for _ in 0..ios {
            if self.under_way.len() == DEPTH {
                self.end();
                progress.send(()).unwrap();
            }
            self.start();
        }
        while !self.under_way.is_empty() {
            self.end();
        }
        if self.on_disk(0..SIZE) != self.model {
            self.seen.wrong.get_or_insert("the disk is not the model".into());
        }
        self.seen
    }
}

fn from_env<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// One run. Its device is gone at its end, with all that it had; a run that does not get on ends the process.
fn run(volume: Volume, name: &str, faults: Faults) -> Seen {
    let ios = from_env("UDM_IOS").unwrap_or(1000);
    let what = format!("{} that {name}, UDM_SEED={} UDM_IOS={ios}", volume.0, faults.seed);
    let (progress, watched) = channel();
    let watchdog = thread::spawn({
        let what = what.clone();
        move || loop {
            match watched.recv_timeout(PATIENCE) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("{what}: nothing has ended for {PATIENCE:?}");
                    std::process::abort();
                }
            }
        }
    });
    let begin = Instant::now();
    let seen = Run::new(volume, faults).all(ios, &progress);
    drop(progress);
    watchdog.join().unwrap();
    println!("{what}: {seen:?}, {:.1?}", begin.elapsed());
    let ended = seen.well + seen.reads_failed + seen.writes_failed;
    assert_eq!(ended, ios as u64, "{what}: a bio did not come home");
    seen
}

/// Every fault alone, and all together.
fn survives(volume: Volume) {
    let _alone = alone();
    for (name, may_fail, faults) in volume.faults(from_env("UDM_SEED").unwrap_or(0x5eed)) {
        let before = offload::counts();
        let seen = run(volume, name, faults);
        let after = offload::counts();
        assert_eq!(seen.wrong, None, "{name}");
        let failed = seen.reads_failed + seen.writes_failed;
        // A volume of many keys sends one sector a request, which needs no descriptors and is not refused.
        let several = volume.0 != KEYS.0;
        match name {
            "refuses" => assert_eq!(after.several, before.several, "all requests of several units are split"),
            "fails" => assert!(failed > 0 && after.failed > before.failed),
            "reorders" => assert!(after.overtook > before.overtook),
            "does all of that but refuse" => {
                assert!(failed > 0 && after.overtook > before.overtook && after.failed > before.failed);
                assert!(!several || (after.lost > before.lost && after.redone > before.redone));
            }
            "loses memory" if several => {
                assert!(failed > 0 && after.lost > before.lost && after.redone > before.redone);
            }
            _ => {}
        }
        assert!(may_fail || failed == 0, "{name}: {failed} I/Os failed");
        assert!(seen.well > 0, "{name}");
    }
}

#[test]
fn xts_survives_an_engine_that_goes_wrong() {
    survives(XTS);
}

#[test]
fn essiv_survives_an_engine_that_goes_wrong() {
    survives(ESSIV);
}

#[test]
fn tcw_survives_an_engine_that_goes_wrong() {
    survives(TCW);
}

#[test]
fn elephant_survives_an_engine_that_goes_wrong() {
    survives(ELEPHANT);
}

#[test]
fn lmk_of_64_keys_survives_an_engine_that_goes_wrong() {
    survives(KEYS);
}

/// The bad twin: an engine whose data is wrong now and then is found on every volume.
#[test]
fn an_engine_that_lies_is_found() {
    let _alone = alone();
    for volume in [XTS, ESSIV, TCW, ELEPHANT, KEYS] {
        let seen = run(volume, "lies", Faults { seed: 0x11e, lies_per_mille: 20, ..Faults::NONE });
        assert!(seen.wrong.is_some(), "{volume:?}");
        println!("found: {:?}", seen.wrong);
    }
}
