//! The mapped device at work: borders, errors, flushes, what is refused. The oracles are the kernel's answers in
//! `vectors/behaviour.txt` and the rules of `submit`.

use std::sync::Arc;

use crate::support;
use crate::support::client::Client;
use crate::support::cut::{CUTS, WHOLE};
use crate::support::disk::{Late, Ram, Seen, does};
use crate::support::{assert_same, map, stream, try_map};
use udm_block::blocking::Blocking;
use udm_block::{Device, DeviceRef, Flags, Geometry, Op, Sectors, Status};
use udm_dm::targets::crypt::{CipherChoice, LONGEST};

/// The words of a crypt row that none of these tests is about.
fn crypt(disk: &str, start: u64) -> String {
    format!("crypt aes-xts-plain64 {} 0 {disk} {start}", support::hex(&stream(1, 64)))
}

fn two_disks(table: &str, sectors: u64) -> ([Arc<Ram>; 2], DeviceRef) {
    let disks = [Ram::new(sectors), Ram::new(sectors)];
    let named: [(&str, DeviceRef); 2] = [("a", disks[0].clone()), ("b", disks[1].clone())];
    let device = try_map(table, &named, &CipherChoice::default()).unwrap();
    (disks, device)
}

fn seen(op: Op, flags: Flags, sector: u64, sectors: u64) -> Seen {
    Seen { op, flags, sector, sectors }
}

/// A table with a row of every kind.
fn many_rows() -> String {
    let crypt = [crypt("a", 16), crypt("b", 64)];
    format!(
        "0 7 linear a 3\n7 1 zero\n8 24 {}\n32 9 linear b 100\n41 15 {}\n56 8 linear a 64",
        crypt[0], crypt[1]
    )
}

/// Oracle: each row alone. One bio over all rows is split at their borders and comes back whole.
#[test]
fn a_bio_over_all_rows_is_split_at_their_borders_and_comes_back_whole() {
    let (disks, device) = two_disks(&many_rows(), 128);
    let plain = stream(2, 64 * 512);
    let mut client = Client::new(&device);
    for cut in CUTS {
        for disk in &disks {
            disk.bytes().fill(0);
        }
        client.write(0, &plain, cut, 512);
        let mut expected = plain.clone();
        expected[7 * 512..8 * 512].fill(0);
        assert_same(&client.read(0, plain.len(), cut, 512), &expected, &cut.name);
        // The rows are where the table says: the linear ones hold the bytes themselves, the others do not.
        let a = disks[0].bytes();
        assert_same(&a[3 * 512..10 * 512], &plain[..7 * 512], &"the first row");
        assert_same(&a[64 * 512..72 * 512], &plain[56 * 512..], &"the last row");
        assert_ne!(a[16 * 512..40 * 512], plain[8 * 512..32 * 512]);
        assert_same(&disks[1].bytes()[100 * 512..109 * 512], &plain[32 * 512..41 * 512], &"the fourth row");
    }
    drop(disks.each_ref().map(|disk| disk.seen()));
    assert_eq!(client.one(Op::Read, Flags::NONE, 0, &[64 * 512], &plain).status, Status::Ok);
    let read = |sector, sectors| seen(Op::Read, Flags::NONE, sector, sectors);
    assert_eq!(disks[0].seen(), [read(3, 7), read(16, 24), read(64, 8)]);
    assert_eq!(disks[1].seen(), [read(100, 9), read(64, 15)]);
}

#[test]
fn a_bio_that_is_longer_than_a_crypt_target_takes_is_split() {
    let disk = Ram::new(4096);
    let device = map(&format!("0 4096 {}", crypt("disk", 0)), &disk);
    let mut client = Client::new(&device);
    let bytes = stream(3, 3 * LONGEST + 1536);
    assert_eq!(client.one(Op::Write, Flags::NONE, 5, &[1, bytes.len() - 1], &bytes).status, Status::Ok);
    let longest = LONGEST as u64 / 512;
    let write = |index, sectors| seen(Op::Write, Flags::NONE, 5 + index * longest, sectors);
    assert_eq!(disk.seen(), [write(0, longest), write(1, longest), write(2, longest), write(3, 3)]);
    let read = client.one(Op::Read, Flags::NONE, 5, &[bytes.len() - 7, 7], &stream(4, bytes.len()));
    assert_same(&read.bytes, &bytes, &"read back");
    assert_eq!(disk.seen().len(), 4);
}

/// Oracle: behaviour.txt, "errors from below". The first error of any piece is the bio's, and what is beside it works.
#[test]
fn the_first_error_sticks_and_neighbours_work() {
    let below = "0 64 linear disk 0\n64 64 error";
    for over in ["0 128 linear below 0".to_owned(), format!("0 128 {}", crypt("below", 0))] {
        let disk = Ram::new(128);
        let lower = map(below, &disk);
        let device = try_map(&over, &[("below", lower)], &CipherChoice::default()).unwrap();
        let mut client = Client::new(&device);
        let bytes = stream(5, 64 * 512);
        let mut io = |op, sector, sectors: usize| {
            client.one(op, Flags::NONE, sector, &[sectors * 512], &bytes[..sectors * 512]).status
        };
        assert_eq!(io(Op::Write, 0, 64), Status::Ok);
        assert_eq!(io(Op::Read, 0, 64), Status::Ok);
        for op in [Op::Read, Op::Write] {
            assert_eq!(io(op, 64, 1), Status::IoErr, "{over}");
            assert_eq!(io(op, 32, 64), Status::IoErr, "{over}");
            assert_eq!(io(op, 63, 2), Status::IoErr, "{over}");
        }
        assert_eq!(client.range(Op::Flush, Flags::NONE, 0, 0), Status::Ok);
    }
}

#[test]
fn an_error_in_the_middle_row_is_the_bio_s_whatever_order_the_pieces_end_in() {
    for seed in 0..20 {
        let disk = Late::over(Ram::new(128), seed);
        let table = format!("0 8 {}\n8 8 error\n16 8 {}", crypt("disk", 0), crypt("disk", 64));
        let device = map(&table, &disk);
        let mut client = Client::new(&device);
        for op in [Op::Read, Op::Write] {
            let bytes = stream(6, 24 * 512);
            assert_eq!(client.one(op, Flags::NONE, 0, &[700, 24 * 512 - 700], &bytes).status, Status::IoErr);
            assert_eq!(client.one(op, Flags::NONE, 16, &[8 * 512], &bytes[..8 * 512]).status, Status::Ok);
        }
    }
}

/// A client's flush reaches every row that has something below, once each, in order.
#[test]
fn a_flush_visits_every_row() {
    let (disks, device) = two_disks(&many_rows(), 128);
    let mut client = Client::new(&device);
    assert_eq!(client.range(Op::Flush, Flags::NONE, 0, 0), Status::Ok);
    let flush = seen(Op::Flush, Flags::NONE, 0, 0);
    assert_eq!(disks[0].seen(), [flush; 3]);
    assert_eq!(disks[1].seen(), [flush; 2]);
}

#[test]
fn a_flush_of_one_row_or_of_none_with_a_cache_ends() {
    for (table, flushes) in [("0 64 linear disk 5".to_owned(), 1), (format!("0 64 {}", crypt("disk", 1)), 1)]
    {
        let disk = Ram::new(128);
        let mut client = Client::new(&map(&table, &disk));
        assert_eq!(client.range(Op::Flush, Flags::NONE, 0, 0), Status::Ok);
        // A flush has no place: whatever stands there is not looked at.
        assert_eq!(client.range(Op::Flush, Flags::NONE, 1 << 40, 0), Status::Ok);
        assert_eq!(disk.seen().len(), 2 * flushes, "{table}");
    }
    for table in ["0 64 zero", "0 64 error", "0 64 zero\n64 64 error"] {
        let mut client = Client::new(&map(table, &Ram::new(0)));
        assert_eq!(client.range(Op::Flush, Flags::NONE, 1 << 40, 0), Status::Ok, "{table}");
    }
}

/// What was acknowledged before is durable before the data with PREFLUSH is written: over several rows, whole flushes
/// come first, and the data have no wish for one any more.
#[test]
fn a_preflush_flushes_every_row_before_the_data() {
    for late in [false, true] {
        let ram = Ram::new(256);
        let disk: DeviceRef = if late { Late::over(ram.clone(), 9) } else { ram.clone() };
        let table =
            format!("0 16 linear disk 0\n16 16 {}\n32 8 zero\n40 24 linear disk 128", crypt("disk", 64));
        let device = try_map(&table, &[("disk", disk)], &CipherChoice::default()).unwrap();
        let bytes = stream(7, 50 * 512);
        let mut client = Client::new(&device);
        let flags = Flags::PREFLUSH | Flags::FUA;
        assert_eq!(client.one(Op::Write, flags, 8, &[999, 50 * 512 - 999], &bytes).status, Status::Ok);
        let seen = ram.seen();
        assert_eq!(seen[..3], [self::seen(Op::Flush, Flags::NONE, 0, 0); 3], "late: {late}");
        let mut writes = seen[3..].to_vec();
        writes.sort_by_key(|seen| seen.sector);
        let write = |sector, sectors| self::seen(Op::Write, Flags::FUA, sector, sectors);
        assert_eq!(writes, [write(8, 8), write(64, 16), write(128, 18)], "late: {late}");
    }
}

/// One row is flushed by the data bio itself.
#[test]
fn preflush_and_fua_of_one_row_reach_the_lower_device() {
    for table in ["0 64 linear disk 0".to_owned(), format!("0 64 {}", crypt("disk", 0))] {
        let disk = Ram::new(64);
        let mut client = Client::new(&map(&table, &disk));
        for flags in [Flags::NONE, Flags::FUA, Flags::PREFLUSH, Flags::FUA | Flags::PREFLUSH] {
            assert_eq!(client.one(Op::Write, flags, 3, &[512], &stream(8, 512)).status, Status::Ok);
            assert_eq!(disk.seen(), [seen(Op::Write, flags, 3, 1)]);
        }
    }
}

/// A flush that fails is the end of a bio with PREFLUSH: its data are not written.
#[test]
fn data_do_not_follow_a_flush_that_failed() {
    let ram = Ram::new(64);
    let below = ram.clone();
    let disk = does(ram.geometry(), move |cx, bio| match bio.op() {
        Op::Flush => cx.complete(bio, Status::Medium),
        _ => below.serve(cx, bio),
    });
    let mut client = Client::new(&map("0 8 linear disk 0\n8 8 linear disk 8", &disk));
    let bytes = stream(9, 16 * 512);
    assert_eq!(client.one(Op::Write, Flags::PREFLUSH, 0, &[16 * 512], &bytes).status, Status::Medium);
    assert_eq!(client.range(Op::Flush, Flags::NONE, 0, 0), Status::Medium);
    assert_eq!(ram.seen(), []);
    assert_eq!(client.one(Op::Write, Flags::NONE, 0, &[16 * 512], &bytes).status, Status::Ok);
}

/// Oracle: behaviour.txt, "discards".
#[test]
fn a_discard_passes_only_where_the_table_allows_it() {
    for (options, status) in [("", Status::NotSupported), (" 1 allow_discards", Status::Ok)] {
        let disk = Ram::new(128);
        disk.bytes().fill(0xff);
        let mut client = Client::new(&map(&format!("0 64 {}{options}", crypt("disk", 32)), &disk));
        assert_eq!(client.dev.geometry().discard, status.is_ok());
        assert_eq!(client.range(Op::Discard, Flags::NONE, 8, 16 * 512), status);
        let zeros: Vec<_> = disk.bytes().chunks(512).map(|sector| sector == [0; 512]).collect();
        let expected: Vec<_> = (0..128).map(|sector| status.is_ok() && (40..56).contains(&sector)).collect();
        assert_eq!(zeros, expected);
    }
    // A lower device without discards has none however the table allows them.
    let disk = Ram::with(Geometry::plain(Sectors(64)));
    let mut client = Client::new(&map(&format!("0 64 {} 1 allow_discards", crypt("disk", 0)), &disk));
    assert_eq!(client.range(Op::Discard, Flags::NONE, 0, 512), Status::NotSupported);
}

/// Oracle: behaviour.txt, where `write_zeroes_max_bytes` of a crypt device is 0. Linear passes it on.
#[test]
fn write_zeroes_passes_through_linear_and_not_through_crypt() {
    for (row, status) in [(crypt("disk", 0), Status::NotSupported), ("linear disk 0".to_owned(), Status::Ok)]
    {
        let disk = Ram::new(64);
        let mut client = Client::new(&map(&format!("0 64 {row}"), &disk));
        assert_eq!(client.dev.geometry().write_zeroes, status.is_ok());
        assert_eq!(client.range(Op::WriteZeroes, Flags::NONE, 8, 16 * 512), status);
        assert_eq!(disk.seen().len(), usize::from(status.is_ok()));
    }
}

#[test]
fn a_range_over_several_rows_is_split() {
    let disk = Ram::new(128);
    disk.bytes().fill(0xff);
    let mut client = Client::new(&map("0 8 linear disk 0\n8 8 zero\n16 8 linear disk 64", &disk));
    assert_eq!(client.range(Op::Discard, Flags::NONE, 4, 16 * 512), Status::Ok);
    let discard = |sector| seen(Op::Discard, Flags::NONE, sector, 4);
    assert_eq!(disk.seen(), [discard(4), discard(64)]);
}

/// Oracle: behaviour.txt, "block sizes": what is not whole encryption sectors is `EINVAL`.
#[test]
fn what_is_not_on_a_block_border_is_refused() {
    for sector_size in [1024, 2048, 4096_u64] {
        let disk = Ram::new(64);
        let mut client =
            Client::new(&map(&format!("0 64 {} 1 sector_size:{sector_size}", crypt("disk", 0)), &disk));
        let unit = sector_size as usize;
        let bytes = stream(10, unit);
        for (sector, len) in [(1, unit), (0, 512), (0, unit - 512), (unit as u64 / 1024, unit)] {
            for op in [Op::Read, Op::Write] {
                let ended = client.one(op, Flags::NONE, sector, &[len], &bytes[..len]);
                assert_eq!(ended.status, Status::Invalid, "{op:?} of {len} at {sector}, blocks of {unit}");
            }
        }
        assert_eq!(disk.seen(), []);
        assert_eq!(client.one(Op::Write, Flags::NONE, sector_size / 512, &[unit], &bytes).status, Status::Ok);
    }
}

/// Oracle: behaviour.txt, "past the end".
#[test]
fn what_leaves_the_device_is_refused_and_its_last_sector_is_not() {
    let disk = Ram::new(128);
    let mut client = Client::new(&map(&format!("0 64 linear disk 0\n64 63 {}", crypt("disk", 64)), &disk));
    let bytes = stream(11, 2048);
    for op in [Op::Read, Op::Write] {
        assert_eq!(client.one(op, Flags::NONE, 126, &[512], &bytes[..512]).status, Status::Ok);
        for (sector, len) in [(126, 1024), (127, 512), (125, 2048), (1 << 55, 512), (u64::MAX, 512)] {
            let ended = client.one(op, Flags::NONE, sector, &[len], &bytes[..len]);
            assert_eq!(ended.status, Status::IoErr, "{op:?} of {len} at {sector}");
        }
    }
    assert_eq!(client.range(Op::Discard, Flags::NONE, 120, 7 * 512), Status::NotSupported);
}

/// A bio of no bytes has nothing to be done, also at the very end of the device.
#[test]
fn a_bio_of_no_bytes_ends() {
    for table in ["0 64 zero".to_owned(), format!("0 32 {}\n32 32 linear disk 0", crypt("disk", 0))] {
        let mut client = Client::new(&map(&table, &Ram::new(64)));
        for sector in [0, 31, 32, 63, 64] {
            for op in [Op::Read, Op::Write] {
                for flags in [Flags::NONE, Flags::PREFLUSH] {
                    assert_eq!(
                        client.one(op, flags, sector, &[], &[]).status,
                        Status::Ok,
                        "{op:?} at {sector}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_device_over_a_read_only_one_is_read_and_not_written() {
    let disk = Ram::with(Geometry { read_only: true, ..Geometry::plain(Sectors(64)) });
    for row in [crypt("disk", 0), "linear disk 0".to_owned()] {
        let mut client = Client::new(&map(&format!("0 32 {row}\n32 32 zero"), &disk));
        assert!(client.dev.geometry().read_only);
        assert_eq!(client.one(Op::Write, Flags::NONE, 0, &[512], &[1; 512]).status, Status::Protection);
        client.read(0, 64 * 512, WHOLE, 512);
    }
}

/// A lower device that takes little at once gets it in pieces that are whole encryption sectors.
#[test]
fn a_lower_device_with_a_short_longest_transfer_gets_whole_encryption_sectors() {
    let disk = Ram::with(Geometry { max_transfer: 10_000, ..Geometry::plain(Sectors(256)) });
    let mut client = Client::new(&map(&format!("0 256 {} 1 sector_size:4096", crypt("disk", 0)), &disk));
    let bytes = stream(12, 256 * 512);
    for cut in CUTS {
        client.write(0, &bytes, cut, 4096);
        assert_same(&client.read(0, bytes.len(), cut, 4096), &bytes, &cut.name);
        assert!(disk.seen().iter().all(|seen| seen.sectors <= 16 && seen.sectors % 8 == 0));
    }
}

/// A bio that devices below have split comes back to its owner with the range and the data that it had.
#[test]
fn the_front_door_reads_and_writes_over_borders() {
    let (_, device) = two_disks(&many_rows(), 128);
    let door = Blocking::new(device).unwrap();
    let bytes = stream(15, 64 * 512);
    door.write_at(0, &bytes).unwrap();
    let mut expected = bytes;
    expected[7 * 512..8 * 512].fill(0);
    for (start, end) in [(0, 64 * 512), (6 * 512, 9 * 512), (100, 20_001), (31 * 512 + 1, 42 * 512 - 1)] {
        let mut read = vec![0; end - start];
        door.read_at(start as u64, &mut read).unwrap();
        assert_same(&read, &expected[start..end], &format_args!("{start} to {end}"));
    }
}

/// Three levels, each with its own sets, over an asynchronous disk: the ciphertext is encrypted twice.
#[test]
fn devices_stack() {
    let ram = Ram::new(256);
    let disk = Late::over(ram.clone(), 13);
    let lowest = map(&format!("0 200 {}", crypt("disk", 8)), &disk);
    let middle = "0 100 linear lower 100\n100 100 linear lower 0";
    let middle = try_map(middle, &[("lower", lowest.clone())], &CipherChoice::default()).unwrap();
    let top = format!("0 192 {} 1 sector_size:4096", crypt("lower", 8));
    let top = try_map(&top, &[("lower", middle)], &CipherChoice::default()).unwrap();
    let bytes = stream(14, 192 * 512);
    {
        let mut client = Client::new(&top);
        client.write(0, &bytes, CUTS[7], 4096);
        assert_same(&client.read(0, bytes.len(), CUTS[2], 4096), &bytes, &"through three levels");
    }
    // Oracle: the levels one by one. What the lowest decrypts is what the top encrypted, with its halves exchanged.
    let once = Client::new(&lowest).read(0, 200 * 512, WHOLE, 512);
    let exchanged = Ram::new(200);
    exchanged.bytes().copy_from_slice(&[&once[100 * 512..], &once[..100 * 512]].concat());
    let alone = map(&format!("0 192 {} 1 sector_size:4096", crypt("disk", 8)), &exchanged);
    assert_same(&Client::new(&alone).read(0, bytes.len(), WHOLE, 4096), &bytes, &"level by level");
}

/// Oracle: the driver that works on the caller's thread, whose bytes the vectors and the definitions judge.
#[test]
fn a_number_that_wraps_within_a_bio_makes_two_requests_of_a_driver_that_answers_later() {
    let bytes = stream(3, 128 << 10);
    for (cipher, key) in [("aes-xts-plain", 64), ("aes-cbc-essiv:sha256", 32)] {
        let offset = if key == 64 { (1 << 32) - 2 } else { u64::MAX - 1 };
        let [first, second] = ["offload-sim", "portable"].map(|driver| {
            let disk = Ram::new(256);
            let table = format!("0 256 crypt {cipher} {} {offset} disk 0", support::hex(&stream(1, key)));
            let choice = CipherChoice { driver: Some(driver.into()), ..CipherChoice::default() };
            let door = Blocking::new(try_map(&table, &[("disk", disk.clone())], &choice).unwrap()).unwrap();
            door.write_at(0, &bytes).unwrap();
            let mut read = vec![0; bytes.len()];
            door.read_at(0, &mut read).unwrap();
            assert_same(&read, &bytes, &format_args!("{cipher} by {driver}"));
            drop(door);
            let mut ciphertext = vec![0; bytes.len()];
            Blocking::new(disk).unwrap().read_at(0, &mut ciphertext).unwrap();
            ciphertext
        });
        assert_same(&first, &second, &format_args!("{cipher}"));
    }
}
