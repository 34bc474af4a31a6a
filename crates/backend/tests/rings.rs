//! How many rings there are, and what becomes of what they have in flight. The oracle is the table of this process's
//! descriptors, and files as `std::fs` reads them.

mod support;

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::engines::{SIZE, URING, engines, folder, image, open};
use support::{Buffer, Client};
use udm_backend::file::Cache;
use udm_block::{DeviceRef, Flags, Op, Queue, Status};

/// Descriptors are the process's.
static ONE_BY_ONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_BY_ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many descriptors of rings the process has.
fn descriptors() -> usize {
    let is_ring = |path: &PathBuf| path.to_str().is_some_and(|name| name.contains("io_uring"));
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok()).filter(is_ring).count()
}

/// Submits writes of `len` bytes, each to its own place and with its own number.
fn submit_writes(client: &mut Client, buffers: &mut [Buffer], len: usize) {
    for (index, buffer) in buffers.iter_mut().enumerate() {
        buffer.fill(&vec![index as u8; len]);
        client.submit(index, Op::Write, Flags::NONE, index * len, len, Some(buffer));
    }
}

fn are_written(bytes: &[u8], count: usize, len: usize) -> bool {
    (0..count).all(|index| bytes[index * len..][..len] == vec![index as u8; len])
}

#[test]
fn the_files_of_a_queue_share_its_ring_which_goes_with_the_last_of_them() {
    let _alone = alone();
    if !engines().contains(&URING) {
        return;
    }
    let dirs = [folder(), folder()];
    let [one, two] = [&dirs[0], &dirs[1]].map(|dir| open(&image(dir, SIZE), URING, Cache::Auto) as DeviceRef);
    assert_eq!(descriptors(), 0);
    let mut queue = Queue::new().unwrap();
    let first = queue.open(&one).unwrap();
    let each = descriptors();
    assert!(each > 0, "a ring has descriptors");
    let second = queue.open(&two).unwrap();
    assert_eq!(descriptors(), each, "one ring for two files");
    // The twin: another queue has its own.
    let other = Client::new(two, true);
    assert_eq!(descriptors(), 2 * each);
    drop(other);
    queue.close(first);
    assert_eq!(descriptors(), each);
    queue.close(second);
    assert_eq!(descriptors(), 0);
    // A queue that may sleep has none.
    let sleeping = Client::new(one, false);
    assert_eq!(descriptors(), 0);
    drop((sleeping, queue));
}

/// The kernel has the addresses of the bios' memory: afterwards, that could be given to somebody else.
#[test]
fn a_ring_that_goes_waits_for_what_is_in_flight() {
    let _alone = alone();
    for engine in engines().into_iter().filter(|engine| *engine == URING) {
        for cache in [Cache::Auto, Cache::Writeback] {
            let dir = folder();
            let path = image(&dir, SIZE);
            let mut client = Client::new(open(&path, engine, cache), engine.1);
            // More than it has slots for.
            let mut buffers: Vec<Buffer> = (0..400).map(|_| Buffer::plain(1024)).collect();
            submit_writes(&mut client, &mut buffers, 1024);
            client.close();
            assert_eq!(descriptors(), 0);
            assert!(are_written(&fs::read(&path).unwrap(), 400, 1024), "{cache:?}");
            // The queue hears of their ends all the same.
            (0..400).for_each(|_| assert_eq!(client.wait().1, Status::Ok, "{cache:?}"));
        }
    }
}

#[test]
fn a_queue_goes_to_another_thread_with_what_is_in_flight() {
    let _alone = alone();
    for engine in engines() {
        for cache in [Cache::Auto, Cache::Writeback] {
            let dir = folder();
            let path = image(&dir, SIZE);
            let mut client = Client::new(open(&path, engine, cache), engine.1);
            let mut buffers: Vec<Buffer> = (0..400).map(|_| Buffer::plain(1024)).collect();
            submit_writes(&mut client, &mut buffers, 1024);
            // Some are at the kernel, others wait for a slot.
            client.queue.wait(&mut [], Some(Duration::ZERO)).unwrap();
            let waits = move || (0..400).for_each(|_| assert_eq!(client.wait().1, Status::Ok));
            std::thread::spawn(waits).join().unwrap();
            assert!(are_written(&fs::read(&path).unwrap(), 400, 1024), "{engine:?} {cache:?}");
        }
    }
}

#[test]
fn hundreds_of_queues_have_one_file_open() {
    const QUEUES: usize = 300;
    const LEN: usize = 2048;
    let _alone = alone();
    // Each ring takes a few descriptors, and each queue one.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    for engine in engines() {
        let dir = folder();
        let path = image(&dir, QUEUES * LEN);
        let dev = open(&path, engine, Cache::Auto);
        let mut clients: Vec<Client> = (0..QUEUES).map(|_| Client::new(dev.clone(), engine.1)).collect();
        assert!((descriptors() >= QUEUES) == (engine == URING), "{engine:?}: each queue has its own ring");
        let mut buffers: Vec<Buffer> = (0..QUEUES).map(|_| Buffer::plain(LEN)).collect();
        for (index, (client, buffer)) in clients.iter_mut().zip(&mut buffers).enumerate() {
            buffer.fill(&[index as u8; LEN]);
            client.submit(index, Op::Write, Flags::NONE, index * LEN, LEN, Some(buffer));
        }
        for (index, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.wait(), (index, Status::Ok), "{engine:?}");
        }
        assert!(are_written(&fs::read(&path).unwrap(), QUEUES, LEN), "{engine:?}");
        drop((clients, dev));
        assert_eq!(descriptors(), 0, "{engine:?}");
    }
}
