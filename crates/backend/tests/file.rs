//! A file as a device, with each engine and cache mode. The oracle is a vector of bytes, and the file as `std::fs`
//! reads it.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::sync::Arc;

use crate::support;
use crate::support::engines::{Engine, INLINE, SIZE, URING, engines, folder, image, open};
use crate::support::{Buffer, Client, Dice};
use tempfile::TempDir;
use udm_backend::file::{self, Cache, FileDevice, FileOptions};
use udm_block::{Device, Flags, Op, Status};

/// A bio of a round, within its own part of the device.
struct Job {
    op: Op,
    at: usize,
    len: usize,
    buffer: Option<Buffer>,
    fresh: Vec<u8>,
}

impl Job {
    fn by_chance(part: usize, dice: &mut Dice) -> Self {
        const PART: usize = SIZE / 16;
        let first = dice.roll(PART / 512);
        let at = part * PART + first * 512;
        let len = (dice.roll(PART / 512 - first) + 1) * 512;
        let op =
            [Op::Read, Op::Read, Op::Write, Op::Write, Op::Write, Op::Discard, Op::WriteZeroes, Op::Flush]
                [dice.roll(8)];
        let aligned = dice.roll(3) > 0;
        let mut buffer = op.has_data().then(|| Buffer::cut(len, aligned, dice));
        let fresh = if op == Op::Write { dice.bytes(len) } else { Vec::new() };
        if let (Some(buffer), Op::Write) = (&mut buffer, op) {
            buffer.fill(&fresh);
        }
        let len = if op == Op::Flush { 0 } else { len };
        Self { op, at, len, buffer, fresh }
    }

    /// Holds the result against the model, and does to the model what was done to the file.
    fn judge(&self, model: &mut [u8], what: &str) {
        let model = &mut model[self.at..self.at + self.len];
        match self.op {
            Op::Read => assert!(
                self.buffer.as_ref().unwrap().bytes() == model,
                "{what}: a read of {} at {}",
                self.len,
                self.at
            ),
            Op::Write => model.copy_from_slice(&self.fresh),
            // Of a file, a discarded range reads as zeros.
            Op::Discard | Op::WriteZeroes => model.fill(0),
            Op::Flush => {}
        }
    }
}

fn random_bios(engine: Engine, cache: Cache, seed: u64) {
    let dir = folder();
    let path = image(&dir, SIZE);
    let mut dice = Dice(seed);
    let mut model = dice.bytes(SIZE);
    fs::write(&path, &model).unwrap();
    let dev = open(&path, engine, cache);
    let what = format!("{engine:?} {cache:?} seed {seed:#x}");
    println!("{what}: {}", dev.describe());
    let mut client = Client::new(dev.clone(), engine.1);
    let wishes = [
        Flags::NONE,
        Flags::NONE,
        Flags::FUA,
        Flags::PREFLUSH,
        Flags::NO_UNMAP,
        Flags::FUA | Flags::PREFLUSH,
    ];
    for _ in 0..40 {
        let mut jobs: Vec<Job> = (0..16).map(|part| Job::by_chance(part, &mut dice)).collect();
        for (index, job) in jobs.iter_mut().enumerate() {
            let flags = wishes[dice.roll(wishes.len())];
            client.submit(index, job.op, flags, job.at, job.len, job.buffer.as_mut());
        }
        for _ in 0..jobs.len() {
            let (index, status) = client.wait();
            assert_eq!(status, Status::Ok, "{what}: {:?}", jobs[index].op);
        }
        for job in &jobs {
            job.judge(&mut model, &what);
        }
    }
    assert_eq!(client.one(Op::Flush, Flags::NONE, 0, 0, None), Status::Ok);
    drop((client, dev));
    assert!(fs::read(&path).unwrap() == model, "{what}: the file differs from the model");
}

#[test]
fn every_engine_and_cache_mode_keeps_what_a_vector_keeps() {
    for engine in engines() {
        for (cache, seed) in [(Cache::Auto, 1), (Cache::Writeback, 2), (Cache::Auto, 3)] {
            random_bios(engine, cache, seed);
        }
    }
}

#[test]
fn more_bios_than_slots_wait_their_turn() {
    for engine in engines() {
        for cache in [Cache::Auto, Cache::Writeback] {
            let dir = folder();
            let path = image(&dir, SIZE);
            let dev = open(&path, engine, cache);
            let mut client = Client::new(dev, engine.1);
            let count = 1500;
            let mut buffers: Vec<Buffer> = (0..count).map(|_| Buffer::plain(512)).collect();
            for (index, buffer) in buffers.iter_mut().enumerate() {
                buffer.fill(&[index as u8; 512]);
                client.submit(index, Op::Write, Flags::NONE, index * 512, 512, Some(buffer));
            }
            for _ in 0..count {
                assert_eq!(client.wait().1, Status::Ok);
            }
            let bytes = fs::read(&path).unwrap();
            for index in 0..count {
                assert_eq!(bytes[index * 512..][..512], [index as u8; 512], "{engine:?} sector {index}");
            }
        }
    }
}

#[test]
fn one_ring_serves_many_files() {
    for engine in engines() {
        let dirs: Vec<TempDir> = (0..5).map(|_| folder()).collect();
        let dev = |dir| open(&image(dir, SIZE), engine, Cache::Auto);
        let devices: Vec<Arc<FileDevice>> = dirs.iter().map(dev).collect();
        let mut client = Client::new(devices[0].clone(), engine.1);
        for (index, dev) in devices.iter().enumerate() {
            client.turn_to(dev.clone());
            assert_eq!(client.write(Flags::FUA, 4096, &[index as u8 + 1; 4096]), Status::Ok);
        }
        for (index, dev) in devices.iter().enumerate() {
            client.turn_to(dev.clone());
            assert_eq!(client.read(4096, 4096).unwrap(), [index as u8 + 1; 4096]);
        }
    }
}

/// The twin with a ring: nothing ends before the queue waits.
#[test]
fn a_queue_that_may_sleep_waits_for_its_calls() {
    for engine in engines().into_iter().filter(|engine| [URING, INLINE].contains(engine)) {
        let ends = engine == INLINE;
        let dir = folder();
        let mut client = Client::new(open(&image(&dir, SIZE), engine, Cache::Auto), engine.1);
        for (op, len) in [(Op::Write, 4096), (Op::Read, 4096), (Op::Discard, 4096), (Op::Flush, 0)] {
            let mut buffer = Buffer::plain(4096);
            let data = op.has_data().then_some(&mut buffer);
            client.submit(7, op, Flags::NONE, 0, len, data);
            let ended = client.take();
            assert_eq!(ended, ends.then_some((7, Status::Ok)), "{engine:?} {op:?}");
            if !ends {
                assert_eq!(client.wait(), (7, Status::Ok));
            }
        }
    }
}

#[test]
fn a_queue_that_leaves_waits_for_what_is_in_flight() {
    for engine in engines() {
        let dir = folder();
        let path = image(&dir, SIZE);
        let dev = open(&path, engine, Cache::Auto);
        let mut buffers: Vec<Buffer> = (0..400).map(|_| Buffer::plain(1024)).collect();
        let mut client = Client::new(dev, engine.1);
        for (index, buffer) in buffers.iter_mut().enumerate() {
            buffer.fill(&[index as u8; 1024]);
            client.submit(index, Op::Write, Flags::NONE, index * 1024, 1024, Some(buffer));
        }
        client.leave();
        let bytes = fs::read(&path).unwrap();
        assert!((0..400).all(|index| bytes[index * 1024..][..1024] == [index as u8; 1024]));
    }
}

#[test]
fn a_file_that_became_shorter_is_never_data_and_never_grows_again() {
    for engine in engines() {
        for cache in [Cache::Auto, Cache::Writeback] {
            let dir = folder();
            let path = image(&dir, SIZE);
            fs::write(&path, vec![7; SIZE]).unwrap();
            let dev = open(&path, engine, cache);
            let mut client = Client::new(dev.clone(), engine.1);
            let handle = OpenOptions::new().write(true).open(&path).unwrap();
            let what = format!("{engine:?} {cache:?}");
            assert_eq!(client.read(SIZE / 2, 4096), Ok(vec![7; 4096]), "{what}");
            handle.set_len(300_000).unwrap();
            // In front of the end, nothing is known yet.
            assert_eq!(client.read(0, 4096), Ok(vec![7; 4096]), "{what}");
            assert_eq!(client.read(299_520, 4096), Err(Status::Offline), "{what}");
            assert_eq!(client.write(Flags::NONE, SIZE / 2, &[8; 512]), Status::Offline, "{what}");
            assert_eq!(handle.metadata().unwrap().len(), 300_000, "{what}");
            // What comes back is a hole, and not what was there.
            handle.set_len(SIZE as u64).unwrap();
            assert_eq!(client.read(SIZE / 2, 4096), Err(Status::Offline), "{what}");
            drop(client);

            // Seen first by a write, and by a flush.
            fs::write(&path, vec![7; SIZE]).unwrap();
            for op in [Op::Write, Op::Flush, Op::WriteZeroes] {
                drop(dev.clone());
                let options = FileOptions { engine: engine.0, cache, lock: false, ..FileOptions::default() };
                handle.set_len(SIZE as u64).unwrap();
                let mut client = Client::new(Arc::new(file::open(&path, &options).unwrap()), engine.1);
                assert_eq!(client.write(Flags::NONE, 0, &[9; 512]), Status::Ok);
                handle.set_len(4096).unwrap();
                let mut buffer = Buffer::plain(512);
                let (len, buffer) = if op == Op::Write { (512, Some(&mut buffer)) } else { (512, None) };
                let status = client.one(op, Flags::NONE, SIZE - 1024, len, buffer);
                assert_eq!(status, Status::Offline, "{what} {op:?}");
                assert_eq!(handle.metadata().unwrap().len(), 4096, "{what} {op:?}");
            }
        }
    }
}

#[test]
fn neighbouring_sectors_do_not_lose_each_other() {
    // Aligned writes pass the page cache by, others would not: both kinds, to the sectors of the same pages at once.
    for engine in engines() {
        let dir = folder();
        let path = image(&dir, SIZE);
        fs::write(&path, vec![0; SIZE]).unwrap();
        let dev = open(&path, engine, Cache::Auto);
        let mut client = Client::new(dev.clone(), engine.1);
        let mut dice = Dice(11);
        for round in 1..=40u8 {
            let mut buffers: Vec<Buffer> =
                (0..128).map(|index| Buffer::cut(512, index % 2 == 0, &mut dice)).collect();
            for (index, buffer) in buffers.iter_mut().enumerate() {
                buffer.fill(&[round; 512]);
                client.submit(index, Op::Write, Flags::NONE, index * 512, 512, Some(buffer));
            }
            (0..128).for_each(|_| assert_eq!(client.wait().1, Status::Ok));
            let bytes = fs::read(&path).unwrap();
            assert!(bytes[..128 * 512].iter().all(|byte| *byte == round), "{engine:?} round {round}");
        }
    }
}

#[test]
fn one_writer_or_many_readers() {
    let dir = folder();
    let path = image(&dir, SIZE);
    let options = FileOptions::default();
    let read_only = FileOptions { read_only: true, ..options };
    let writer = file::open(&path, &options).unwrap();
    for options in [options, read_only] {
        let error = file::open(&path, &options).err().unwrap().to_string();
        assert!(error.contains("in use by another process (flock)"), "{error}");
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
    assert!(file::open(&path, &FileOptions { lock: false, ..options }).is_ok());
    drop(writer);
    let readers = [file::open(&path, &read_only).unwrap(), file::open(&path, &read_only).unwrap()];
    assert!(file::open(&path, &options).is_err());
    drop(readers);
    // The lock goes with the device at once, also after I/O on other threads and in the kernel.
    for engine in engines() {
        for _ in 0..50 {
            let dev = open(&path, engine, Cache::Auto);
            let mut client = Client::new(dev, engine.1);
            assert_eq!(client.write(Flags::NONE, 0, &[1; 4096]), Status::Ok);
        }
    }
}

#[test]
fn a_read_only_device_writes_nothing() {
    for engine in engines() {
        let dir = folder();
        let path = image(&dir, SIZE);
        let options = FileOptions { read_only: true, engine: engine.0, ..FileOptions::default() };
        let mut client = Client::new(Arc::new(file::open(&path, &options).unwrap()), engine.1);
        assert_eq!(client.write(Flags::NONE, 0, &[1; 512]), Status::Protection);
        assert_eq!(client.one(Op::Discard, Flags::NONE, 0, 512, None), Status::Protection);
        assert_eq!(client.one(Op::Flush, Flags::NONE, 0, 0, None), Status::Ok);
        assert_eq!(client.read(0, 512), Ok(vec![0; 512]));
    }
}

/// The oracle is the file as `std::fs` reads it: no byte beyond its end appears, and none before it is lost.
#[test]
fn a_block_that_is_stored_in_part_keeps_its_bytes() {
    for (engine, cache) in engines().into_iter().flat_map(|e| [(e, Cache::Auto), (e, Cache::Writeback)]) {
        for len in [1, 511, 1537, 4096 + 700, 65536 + 4095] {
            let dir = folder();
            let path = image(&dir, len);
            let mut dice = Dice(len as u64);
            let mut model = dice.bytes(len);
            fs::write(&path, &model).unwrap();
            let dev = open(&path, engine, cache);
            let (size, stored) = (dev.geometry().size.bytes().0 as usize, dev.geometry().stored().0 as usize);
            assert_eq!((size, stored), (len.next_multiple_of(512), len));
            assert_eq!(dev.geometry().stored_blocks().bytes().0 as usize, len / 512 * 512);
            let mut client = Client::new(dev, engine.1);
            for round in 0..20 {
                let what = format!("{engine:?} {cache:?} {len} bytes, round {round}");
                let at = dice.roll(size / 512) * 512;
                let fresh = dice.bytes(size - at);
                let mut buffer = Buffer::cut(fresh.len(), dice.roll(2) > 0, &mut dice);
                match dice.roll(3) {
                    0 => {
                        buffer.fill(&fresh);
                        let status = client.one(Op::Write, Flags::FUA, at, fresh.len(), Some(&mut buffer));
                        assert_eq!(status, Status::Ok, "{what}");
                        let stored = len - at;
                        model[at..].copy_from_slice(&fresh[..stored]);
                    }
                    1 if client.one(Op::WriteZeroes, Flags::NONE, at, size - at, None).is_ok() => {
                        model[at..].fill(0);
                    }
                    _ => {}
                }
                assert!(fs::read(&path).unwrap() == model, "{what}: the file differs");
                let mut padded = model.clone();
                padded.resize(size, 0);
                assert!(client.read(0, size) == Ok(padded), "{what}: it reads as something else");
            }
            assert_eq!(client.read(size, 512), Err(Status::IoErr));
        }
    }
}

/// Past the page cache the last part of a block can be read, and not be written.
#[test]
fn a_file_that_ends_within_a_block_is_not_written_past_the_page_cache() {
    for engine in engines() {
        let dir = folder();
        let path = image(&dir, 65536);
        let options = FileOptions { cache: Cache::None, engine: engine.0, ..FileOptions::default() };
        if let Err(error) = file::open(&path, &options) {
            assert!(std::env::var_os("CI").is_none(), "the target folder has no O_DIRECT: {error}");
            return eprintln!("SKIPPED: the target folder has no O_DIRECT: {error}");
        }
        let mut bytes = Dice(7).bytes(65536 + 700);
        fs::write(&path, &bytes).unwrap();
        let told = file::open(&path, &options).err().unwrap().to_string();
        assert!(told.contains("66236 bytes long") && told.contains("auto would do"), "{told}");
        let dev = file::open(&path, &FileOptions { read_only: true, ..options }).unwrap();
        assert!(dev.is_direct());
        let size = dev.geometry().size.bytes().0 as usize;
        bytes.resize(size, 0);
        let mut client = Client::new(Arc::new(dev), engine.1);
        assert!(client.read(0, size) == Ok(bytes.clone()));
        assert!(client.read(0, 65536) == Ok(bytes[..65536].to_vec()));
        // A writer may have it through the page cache.
        drop(client);
        assert!(!open(&path, engine, Cache::Auto).is_direct());
    }
}

#[test]
fn a_discard_gives_blocks_back() {
    use std::os::unix::fs::MetadataExt;
    for engine in engines() {
        let dir = folder();
        let path = image(&dir, SIZE);
        fs::write(&path, vec![1; SIZE]).unwrap();
        let dev = open(&path, engine, Cache::Auto);
        if !dev.geometry().discard {
            return udm_testkit::skip("discard", "the file system of the target folder cannot punch holes");
        }
        let mut client = Client::new(dev, engine.1);
        let blocks = || fs::metadata(&path).unwrap().blocks();
        assert_eq!(client.one(Op::Flush, Flags::NONE, 0, 0, None), Status::Ok);
        let full = blocks();
        assert_eq!(client.one(Op::WriteZeroes, Flags::NO_UNMAP, 0, SIZE / 2, None), Status::Ok);
        assert!(blocks() >= full);
        assert_eq!(client.one(Op::Discard, Flags::FUA, 0, SIZE, None), Status::Ok);
        assert!(blocks() < full / 4, "{engine:?}: {} of {full} blocks", blocks());
        assert_eq!(client.read(0, SIZE), Ok(vec![0; SIZE]));
    }
}

#[test]
fn what_holds_no_sectors_is_refused_by_name() {
    let dir = folder();
    let refusal = |path: &Path, options: &FileOptions| file::open(path, options).err().unwrap().to_string();
    let options = FileOptions::default();
    assert!(refusal(dir.path(), &options).contains("is a folder"));
    assert!(refusal(Path::new("/dev/null"), &options).contains("is a character device"));
    let fifo = dir.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert!(refusal(&fifo, &options).contains("is a FIFO"));
    assert!(refusal(&dir.path().join("nothing"), &options).contains("truncate -s SIZE"));
    let path = image(&dir, 0);
    assert!(refusal(&path, &options).contains("is empty"));
    assert!(refusal(&path, &FileOptions { block_size: 513, ..options }).contains("4096 would do"));
}

#[test]
fn a_file_in_memory_goes_through_the_page_cache() {
    let dir = match TempDir::new_in("/dev/shm") {
        Ok(dir) => dir,
        Err(error) => return udm_testkit::skip("files in memory", format!("/dev/shm: {error}")),
    };
    let path = image(&dir, SIZE);
    let dev = file::open(&path, &FileOptions::default()).unwrap();
    assert!(!dev.is_direct());
    assert!(dev.describe().contains("page cache ("), "{}", dev.describe());
    let options = FileOptions { cache: Cache::None, lock: false, ..FileOptions::default() };
    let error = file::open(&path, &options).err().unwrap().to_string();
    assert!(error.contains("the cache mode auto would do"), "{error}");
}

const LIMITED: &str = "UDM_TEST_IN_LIMITED_CHILD";

/// A limit on the length of files stands for a full disk: the system has no other that needs no rights.
#[test]
fn a_full_disk_is_no_space() {
    if std::env::var_os(LIMITED).is_none() {
        let mut child = udm_testkit::again(module_path!(), "a_full_disk_is_no_space");
        return assert!(child.env(LIMITED, "1").status().unwrap().success());
    }
    support::limit_file_size(SIZE as u64 / 2);
    for engine in engines() {
        for cache in [Cache::Auto, Cache::Writeback] {
            let dir = folder();
            let path = dir.path().join("image");
            fs::write(&path, [0; 512]).unwrap();
            support::limit_file_size(SIZE as u64);
            File::options().write(true).open(&path).unwrap().set_len(SIZE as u64).unwrap();
            support::limit_file_size(SIZE as u64 / 2);
            let mut client = Client::new(open(&path, engine, cache), engine.1);
            let what = format!("{engine:?} {cache:?}");
            assert_eq!(client.write(Flags::NONE, 0, &[1; 4096]), Status::Ok, "{what}");
            assert_eq!(client.write(Flags::NONE, SIZE / 2, &[1; 4096]), Status::NoSpace, "{what}");
            // Half of it fits: the bio fails as a whole.
            assert_eq!(client.write(Flags::NONE, SIZE / 2 - 4096, &[1; 8192]), Status::NoSpace, "{what}");
        }
    }
}
