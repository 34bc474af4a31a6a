//! Memory totally exhausted: once a device is set up, its source refuses everything, and every I/O finishes with the
//! right bytes. The client is a queue thread with 32 bios under way; the disks answer on threads of their own.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use crate::support;
use crate::support::client::Client;
use crate::support::cut::{CUTS, Cut};
use crate::support::disk::{Late, Ram, does};
use crate::support::{Dice, Shelf, assert_same, stream};
use udm_block::memory::{Heap, Refuse, Source, Starving};
use udm_block::{Bio, Device, DeviceRef, Flags, Op, Status};
use udm_dm::load::load_with;
use udm_dm::table::Table;
use udm_dm::targets::Reserves;
use udm_dm::targets::crypt::CipherChoice;

/// The mapped device's length in sectors: 24 MiB.
const SECTORS: u64 = 24 << 11;
/// How many bios are under way at once.
const DEPTH: usize = 32;
/// The longest bio in sectors: 1 MiB.
const LONGEST: u64 = 2048;

/// One of each: what the rules of the block layer say is enough.
const ONE: Reserves = Reserves { bios: 1, buffers: 1 };

/// Three rows over two disks, and over these a crypt device: two levels with sets of their own.
struct Stack {
    device: DeviceRef,
    disks: [Arc<Ram>; 2],
    starving: Arc<Starving>,
}

impl Stack {
    fn new(reserves: Reserves, seed: u64) -> Self {
        let starving = Starving::new(Arc::new(Heap));
        let source: Source = starving.clone();
        let disks = [Ram::new(SECTORS), Ram::new(SECTORS)];
        let late = [Late::over(disks[0].clone(), seed), Late::over(disks[1].clone(), !seed)];
        let key = |seed, len| support::hex(&stream(seed, len));
        let third = SECTORS / 3;
        let rows = format!(
            "0 {third} crypt aes-xts-plain64 {} 0 a 0\n{third} {third} crypt aes-cbc-essiv:sha256 {} 0 b 5\n{} {third} \
             linear a {third}",
            key(1, 64),
            key(2, 32),
            2 * third
        );
        let over = format!("0 {SECTORS} crypt aes:4-xts-plain {} 4294967000 rows 0", key(3, 4 * 64));
        let [a, b] = late.map(|disk| disk as DeviceRef);
        let load = |table: &str, devices: &[(&str, DeviceRef)]| -> DeviceRef {
            let table = Table::parse(table).unwrap();
            let cipher = CipherChoice::default();
            load_with(&table, &Shelf(devices), &cipher, &source, reserves).unwrap().into()
        };
        let rows = load(&rows, &[("a", a), ("b", b)]);
        let device = load(&over, &[("rows", rows)]);
        Self { device, disks, starving }
    }
}

/// The I/O of a client, and what must be on the device.
struct Load {
    client: Client,
    dice: Dice,
    expected: Vec<u8>,
    under_way: HashMap<u64, (Op, Range<usize>)>,
    bytes: u64,
}

impl Load {
    fn new(device: &DeviceRef, seed: u64) -> Self {
        println!("seed {seed:#x}");
        let mut client = Client::new(device);
        // What zeros decrypt to, read while there is memory.
        let mut expected = Vec::new();
        for sector in (0..SECTORS).step_by(512) {
            let ended = client.one(Op::Read, Flags::NONE, sector, &[512 * 512], &vec![0; 512 * 512]);
            expected.extend(ended.bytes);
        }
        Self { client, dice: Dice(seed), expected, under_way: HashMap::new(), bytes: 0 }
    }

    /// A range that nothing under way is about, of 512 B to 1 MiB, short ones as often as long ones.
    fn place(&mut self) -> Range<usize> {
        loop {
            let most = 1 << self.dice.below(12);
            let sectors = (1 + self.dice.below(most)).min(LONGEST);
            let first = self.dice.below(SECTORS - sectors);
            let place = first as usize * 512..(first + sectors) as usize * 512;
            if self.under_way.values().all(|(_, other)| other.end <= place.start || place.end <= other.start)
            {
                return place;
            }
        }
    }

    fn start(&mut self) {
        let place = self.place();
        let cut: Cut = self.dice.pick(&CUTS);
        let op = self.dice.pick(&[Op::Read, Op::Write]);
        let flags = if self.dice.below(50) == 0 { Flags::PREFLUSH } else { Flags::NONE };
        let bytes = stream(self.dice.below(u64::MAX), place.len());
        let runs = cut.runs(512, place.len());
        let number = self.client.start(op, flags, place.start as u64 / 512, &runs, &bytes);
        self.bytes += place.len() as u64;
        if op == Op::Write {
            self.expected[place.clone()].copy_from_slice(&bytes);
        }
        self.under_way.insert(number, (op, place));
    }

    fn end(&mut self) {
        let ended = self.client.wait();
        let (op, place) = self.under_way.remove(&ended.number).expect("a bio ends once");
        assert_eq!(ended.status, Status::Ok, "{op:?} {place:?}");
        assert_same(&ended.bytes, &self.expected[place.clone()], &format_args!("{op:?} {place:?}"));
    }

    /// `count` random I/Os; `each` is called before one is started, with its number.
    fn run(&mut self, count: usize, mut each: impl FnMut(usize)) {
        for number in 0..count {
            if self.under_way.len() == DEPTH {
                self.end();
            }
            each(number);
            self.start();
        }
        while !self.under_way.is_empty() {
            self.end();
        }
        println!("{count} I/Os, {} MiB", self.bytes >> 20);
    }
}

/// Runs `count` I/Os under a plan that begins after set-up. How often memory was asked for and refused.
fn starve(reserves: Reserves, seed: u64, count: usize, plan: Refuse) -> (u64, u64) {
    let stack = Stack::new(reserves, seed);
    let mut load = Load::new(&stack.device, seed);
    let before = stack.starving.counts();
    stack.starving.refuse(plan);
    load.run(count, |_| {});
    let after = stack.starving.counts();
    drop(load);
    assert!(stack.disks.iter().all(|disk| disk.seen().len() > count / 4));
    println!("asked {} times, refused {}", after.0 - before.0, after.1 - before.1);
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn with_no_memory_at_all_every_io_finishes() {
    let (asked, refused) = starve(Reserves::default(), 0x5eed_0001, 2000, Refuse::Always);
    assert!(asked == refused && refused > 100, "{refused} of {asked} refused");
}

/// Rule 6 of the block layer: a reserve of one is enough.
#[test]
fn with_no_memory_at_all_and_a_reserve_of_one_every_io_finishes() {
    let (asked, refused) = starve(ONE, 0x5eed_0002, 2000, Refuse::Always);
    assert!(asked == refused && refused > 1000, "{refused} of {asked} refused");
}

/// Memory that is there now and then: an allocation that succeeds leaves the reserve to others, who must hear of it. A queue
/// keeps what it got, and asks less and less: several stacks, so that enough is refused.
#[test]
fn with_memory_now_and_then_every_io_finishes() {
    for per_mille in [100, 500, 900] {
        let run = |stack| {
            let chance = Refuse::Chance { seed: per_mille + stack, per_mille };
            starve(ONE, 0x5eed_0003 + per_mille + stack, 400, chance)
        };
        let sum = |sum: (u64, u64), counts: (u64, u64)| (sum.0 + counts.0, sum.1 + counts.1);
        let (asked, refused) = (0..8).map(run).fold((0, 0), sum);
        assert!(refused > 60 && refused < asked, "{refused} of {asked} refused");
    }
}

/// Memory that comes back while bios wait for it.
#[test]
fn when_memory_comes_back_every_io_that_waited_finishes() {
    let stack = Stack::new(ONE, 4);
    let mut load = Load::new(&stack.device, 0x5eed_0004);
    load.run(1000, |number| match number % 64 {
        16 => stack.starving.refuse(Refuse::Always),
        0 => stack.starving.refuse(Refuse::Never),
        _ => {}
    });
}

/// Short writes that wait for the one long buffer, and find short ones in normal memory when they are woken: the long
/// one stays where it is, and each of them must pass the call on.
#[test]
fn writes_that_wait_for_a_long_buffer_and_get_short_ones_all_finish() {
    let starving = Starving::new(Arc::new(Heap));
    let source: Source = starving.clone();
    let (ram, held) = (Ram::new(64), Arc::<Mutex<Vec<Bio>>>::default());
    let keeps = held.clone();
    let disk = does(ram.geometry(), move |_, bio| keeps.lock().unwrap().push(bio));
    let devices: [(&str, DeviceRef); 1] = [("disk", disk)];
    let table = format!("0 64 crypt aes-xts-plain64 {} 0 disk 0", support::hex(&stream(1, 64)));
    let (table, cipher) = (Table::parse(&table).unwrap(), CipherChoice::default());
    let reserves = Reserves { buffers: 1, ..Reserves::default() };
    let device: DeviceRef = load_with(&table, &Shelf(&devices), &cipher, &source, reserves).unwrap().into();
    let mut client = Client::new(&device);
    starving.refuse(Refuse::Always);
    for sector in 0..8 {
        client.start(Op::Write, Flags::NONE, sector, &[512], &stream(sector, 512));
    }
    assert_eq!(held.lock().unwrap().len(), 1, "one has the buffer, the others wait for it");
    starving.refuse(Refuse::Never);
    loop {
        let bio = held.lock().unwrap().pop();
        let Some(bio) = bio else { break };
        ram.serve_elsewhere(bio);
        client.look();
    }
    let ended: Vec<_> = (0..8).map(|_| client.wait().status).collect();
    assert_eq!(ended, [Status::Ok; 8]);
}
