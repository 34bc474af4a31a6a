//! The simulated disk by itself: against the model, and rule by rule. The oracles are the model, and what
//! `udm_block::Op` and `udm_block::Flags` promise.

use std::sync::Arc;

use udm_block::{DeviceRef, Flags, Geometry, Op, SECTOR_SIZE, Sector, Sectors, Status};
use udm_sim::{
    Client, Delay, DiskOptions, Fault, Hits, Lie, Request, Sim, SimDisk, Workload, WorkloadOptions, seeds,
};

const SIZE: Sectors = Sectors(512);

fn disk(sim: &Sim, options: DiskOptions) -> (Arc<SimDisk>, DeviceRef) {
    let disk = SimDisk::new(sim, options);
    (Arc::clone(&disk), disk)
}

fn sector_of(byte: u8) -> Vec<u8> {
    vec![byte; SECTOR_SIZE]
}

/// Disks of every kind that a world can have.
fn kinds() -> [DiskOptions; 4] {
    let plain = DiskOptions::new(SIZE);
    let native = Geometry { logical_block: 4096, max_transfer: 16 << 10, ..plain.geometry };
    [
        plain,
        DiskOptions { physical_block: 4096, in_order: true, ..plain },
        DiskOptions { physical_block: 4096, geometry: native, ..plain },
        DiskOptions { geometry: Geometry { write_cache: false, ..plain.geometry }, ..plain },
    ]
}

#[test]
fn every_kind_of_disk_keeps_the_model_through_errors_and_power_cuts() {
    let (mut errors, mut undecided, mut checked) = (0, 0, 0);
    for (number, seed) in seeds(0x5eed_d15c, 40).enumerate() {
        let sim = Sim::new(seed);
        let (disk, device) = disk(&sim, kinds()[number % 4]);
        let options = WorkloadOptions { overlap: true, ..WorkloadOptions::default() };
        let mut workload = Workload::new(&sim, device.geometry(), options);
        workload.fill(&device).unwrap();
        for _ in 0..3 {
            disk.fail(Fault { hits: Hits::PerMille(20), op: None, status: Status::IoErr });
            disk.fail(Fault { hits: Hits::Sticky(5), op: None, status: Status::Medium });
            errors += workload.run(&device, 150).unwrap().errors;
            disk.heal();
            sim.after(sim.dice().below(1_000_000), Sim::cut_power);
            let report = workload.run(&device, 100_000).unwrap();
            assert!(report.cut && disk.in_flight() == 0);
            undecided += report.undecided;
            sim.restore_power();
            checked += workload.verify(&device).unwrap().checked;
        }
    }
    println!("{errors} errors, {undecided} sectors undecided after a cut, {} MiB checked", checked >> 20);
    assert!(errors > 0 && undecided > 0 && checked > 0);
}

/// Each sector of a write that was not flushed is there or not, in every mixture; of one that was, all are.
#[test]
fn a_power_cut_tears_what_was_not_durable_and_that_alone() {
    let [mut none, mut all, mut prefix, mut mixed] = [0; 4];
    for seed in seeds(0x5eed_0c07, 100) {
        let sim = Sim::new(seed);
        let (disk, device) = disk(&sim, DiskOptions::new(SIZE));
        let mut client = Client::new(&sim, 4);
        for (request, ends) in [
            (Request::write(Sector(0), vec![1; 16 * SECTOR_SIZE]), true),
            (Request::flush(), true),
            (Request::write(Sector(0), vec![2; 16 * SECTOR_SIZE]), seed % 2 == 0),
        ] {
            client.start(&device, &request);
            if ends {
                assert_eq!(client.wait().unwrap().status, Status::Ok);
            }
        }
        sim.cut_power();
        if client.under_way() > 0 {
            assert_eq!(client.wait().unwrap().status, Status::Offline);
        }
        sim.restore_power();
        let bytes = client.one(&device, &Request::read(Sector(0), Sectors(16))).unwrap().bytes;
        assert!(bytes[..16 * SECTOR_SIZE] == disk.durable()[..16 * SECTOR_SIZE]);
        assert!(bytes.chunks(SECTOR_SIZE).all(|sector| sector == sector_of(sector[0])), "half a sector");
        let sectors: Vec<_> = bytes.chunks(SECTOR_SIZE).map(|sector| sector[0]).collect();
        assert!(sectors.iter().all(|byte| [1, 2].contains(byte)), "{sectors:?}");
        let (old, new) = (sectors.contains(&1), sectors.contains(&2));
        match (old, new) {
            (true, false) => none += 1,
            (false, _) => all += 1,
            // The new ones, which are greater, come first.
            _ if sectors.is_sorted_by(|one, next| one >= next) => prefix += 1,
            _ => mixed += 1,
        }
    }
    println!("nothing {none}, everything {all}, a prefix {prefix}, a mixture {mixed}");
    // One world alone has one of them.
    let worlds = none + all + prefix + mixed;
    assert!(worlds == 1 || [none, all, prefix, mixed].iter().all(|count| *count >= worlds / 50));
}

#[test]
fn a_physical_block_is_written_as_a_whole_or_not_at_all() {
    for seed in seeds(0x5eed_b10c, 50) {
        let sim = Sim::new(seed);
        let options = DiskOptions { physical_block: 4096, ..DiskOptions::new(SIZE) };
        let (disk, device) = disk(&sim, options);
        let mut client = Client::new(&sim, 4);
        client.start(&device, &Request::write(Sector(0), vec![2; 64 * SECTOR_SIZE]));
        sim.cut_power();
        assert!(disk.durable().chunks(4096).all(|block| block.iter().all(|byte| *byte == block[0])));
    }
}

/// Data, and a record of it that flushes first, with the power going before the record is acknowledged. In how many
/// worlds the record was there, and in how many of these the data was not.
fn records(lie: Option<Lie>) -> (usize, usize) {
    let (mut records, mut without_data) = (0, 0);
    for seed in seeds(0x5eed_f1a5, 400) {
        let sim = Sim::new(seed);
        let (disk, device) = disk(&sim, DiskOptions { lie, ..DiskOptions::new(SIZE) });
        let mut client = Client::new(&sim, 4);
        client.one(&device, &Request::write(Sector(0), sector_of(1))).unwrap();
        client.start(&device, &Request::write(Sector(8), sector_of(2)).with(Flags::PREFLUSH | Flags::FUA));
        sim.cut_power();
        let durable = disk.durable();
        let [data, record] = [durable[0] == 1, durable[8 * SECTOR_SIZE] == 2];
        records += usize::from(record);
        without_data += usize::from(record && !data);
    }
    println!("{lie:?}: {records} records, {without_data} of them without their data");
    (records, without_data)
}

/// What journals rely on. The bad twin is a disk that does not flush.
#[test]
fn a_write_with_preflush_is_not_there_before_what_it_flushes() {
    let (honest, lying) = (records(None), records(Some(Lie::IgnoresFlush)));
    assert_eq!(honest.1, 0);
    // One world alone may have no record.
    assert!(honest.0 == 0 || honest.0 > 10 && lying.1 > 0);
}

/// The statuses of reads of sectors 0, 1, 2 and so on, one after the other.
fn reads(client: &mut Client, device: &DeviceRef, count: u64) -> Vec<Status> {
    let read = |sector| client.one(device, &Request::read(Sector(sector), Sectors(1))).unwrap().status;
    (0..count).map(read).collect()
}

#[test]
fn faults_hit_what_their_rule_says() {
    use Status::{IoErr, Medium, Ok};
    let sim = Sim::new(1);
    let (disk, device) = disk(&sim, DiskOptions::new(SIZE));
    let mut client = Client::new(&sim, 4);
    disk.fail(Fault { hits: Hits::Range(1..2), op: Some(Op::Read), status: Medium });
    disk.fail(Fault { hits: Hits::Nth(3), op: None, status: IoErr });
    assert_eq!(reads(&mut client, &device, 5), [Ok, Medium, Ok, IoErr, Ok]);
    assert_eq!(client.one(&device, &Request::write(Sector(1), sector_of(1))).unwrap().status, Ok);
    assert_eq!(sim.faults(), 2);
    disk.heal();
    assert_eq!(reads(&mut client, &device, 5), [Ok; 5]);

    // Every sector that is read is bad from then on, until it is written.
    disk.fail(Fault { hits: Hits::Sticky(1000), op: Some(Op::Read), status: Medium });
    assert_eq!(reads(&mut client, &device, 2), [Medium, Medium]);
    disk.heal();
    disk.fail(Fault { hits: Hits::Sticky(500), op: Some(Op::Read), status: Medium });
    let first = reads(&mut client, &device, 64);
    assert!(first.contains(&Ok) && first.contains(&Medium));
    let second = reads(&mut client, &device, 64);
    assert!(first.iter().zip(&second).all(|(first, second)| *first == Ok || *second == Medium));
}

#[test]
fn a_bad_sector_is_good_again_when_it_is_written() {
    use Status::{Medium, Ok};
    let sim = Sim::new(2);
    let (disk, device) = disk(&sim, DiskOptions::new(SIZE));
    let mut client = Client::new(&sim, 4);
    disk.spoil(1..3);
    assert_eq!(reads(&mut client, &device, 4), [Ok, Medium, Medium, Ok]);
    assert_eq!(client.one(&device, &Request::write(Sector(2), sector_of(1))).unwrap().status, Ok);
    assert_eq!(reads(&mut client, &device, 4), [Ok, Medium, Ok, Ok]);
}

#[test]
fn a_disk_in_order_ends_bios_in_order_and_another_does_not() {
    let order = |in_order| {
        let sim = Sim::new(3);
        let (_, device) = disk(&sim, DiskOptions { in_order, ..DiskOptions::new(SIZE) });
        let mut client = Client::new(&sim, 32);
        for sector in 0..32 {
            client.start(&device, &Request::read(Sector(sector), Sectors(1)));
        }
        let numbers: Vec<_> = (0..32).map(|_| client.wait().unwrap().number).collect();
        numbers.is_sorted()
    };
    assert_eq!([order(true), order(false)], [true, false]);
}

#[test]
fn time_is_that_of_the_world() {
    let sim = Sim::new(4);
    let hour_ns = 3_600_000_000_000;
    let options = DiskOptions { delay: Delay::constant(hour_ns), ..DiskOptions::new(SIZE) };
    let (_, device) = disk(&sim, options);
    let mut client = Client::new(&sim, 4);
    assert_eq!(reads(&mut client, &device, 24), [Status::Ok; 24]);
    assert_eq!(sim.now_ns(), 24 * hour_ns);
}
