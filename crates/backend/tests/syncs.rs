//! A sync that fails: nothing is taken for durable afterwards. The oracle is the kernel, which reports the loss of pages
//! once and answers the next sync with success.
//!
//! The image is a loop device whose file is on a file system that is full: its page cache takes writes that cannot be
//! written back.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::support::Client;
use crate::support::engines::{Engine, engines, folder};
use udm_backend::file::{self, Cache, FileDevice, FileOptions};
use udm_block::{Flags, Op, Status};
use udm_testkit::loops::{self, Loop, Tmpfs};

const MIB: usize = 1 << 20;
/// How much is written: more than the full file system takes.
const MUCH: usize = 8 * MIB;

/// Whoever looks for a free loop device claims one that another has just taken for a moment.
static ONE_BY_ONE: Mutex<()> = Mutex::new(());

/// Runs `test` with the path of a device whose page cache takes more than can be written back.
fn on_a_full_disk(test: impl FnOnce(&Path)) {
    let _alone = ONE_BY_ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = folder();
    let mounted = Tmpfs::mount(dir.path(), "2m");
    let backing = dir.path().join("image");
    File::create(&backing).unwrap().set_len(16 * MIB as u64).unwrap();
    let device = Loop::new(&backing, &[]);
    test(&device.path);
    drop((device, mounted));
}

fn open(path: &Path, engine: Engine) -> Arc<FileDevice> {
    let options = FileOptions { engine: engine.0, cache: Cache::Writeback, ..FileOptions::default() };
    Arc::new(file::open(path, &options).unwrap())
}

fn flush(dev: &Arc<FileDevice>, engine: Engine) -> Status {
    Client::new(dev.clone(), engine.1).one(Op::Flush, Flags::NONE, 0, 0, None)
}

#[test]
fn after_a_failed_sync_every_clients_flush_fails_until_the_image_is_opened_again() {
    if !loops::are_there_for("a failed sync") {
        return;
    }
    for engine in engines() {
        // The flags of the long write, and whether it fails itself.
        for (flags, fails) in [(Flags::NONE, false), (Flags::FUA, true)] {
            on_a_full_disk(|path| {
                let what = format!("{engine:?} {flags:?}");
                let dev = open(path, engine);
                let mut client = Client::new(dev.clone(), engine.1);
                assert_eq!(flush_by(&mut client), Status::Ok, "{what}: before anything was written");
                assert_eq!(client.write(flags, 0, &vec![7; MUCH]) != Status::Ok, fails, "{what}");
                if !fails {
                    assert_ne!(flush_by(&mut client), Status::Ok, "{what}: the disk is full");
                }
                assert_eq!(flush_by(&mut client), Status::IoErr, "{what}: the same client's next flush");
                drop(client);
                // Another client on another thread, each kind of bio that promises something durable.
                let other = dev.clone();
                std::thread::spawn(move || {
                    assert_eq!(flush(&other, engine), Status::IoErr, "{what}: another client's flush");
                    let mut client = Client::new(other, engine.1);
                    assert_eq!(client.write(Flags::FUA, 0, &[1; 512]), Status::IoErr, "{what}: FUA");
                    assert_eq!(
                        client.write(Flags::PREFLUSH, 0, &[1; 512]),
                        Status::IoErr,
                        "{what}: PREFLUSH"
                    );
                    // What promises nothing goes on.
                    assert_eq!(client.write(Flags::NONE, 0, &[1; 512]), Status::Ok, "{what}");
                    assert_eq!(client.read(0, 512), Ok(vec![1; 512]), "{what}");
                })
                .join()
                .unwrap();
                drop(dev);
                let again = open(path, engine);
                assert_eq!(flush(&again, engine), Status::Ok, "{engine:?}: opened again");
            });
        }
    }
}

fn flush_by(client: &mut Client) -> Status {
    client.one(Op::Flush, Flags::NONE, 0, 0, None)
}

/// The twin: what the kernel answers to somebody who asks it twice.
#[test]
fn the_kernel_tells_of_a_failed_sync_once() {
    if !loops::are_there_for("a failed sync") {
        return;
    }
    on_a_full_disk(|path| {
        let mut file = File::options().read(true).write(true).open(path).unwrap();
        file.write_all(&vec![7; MUCH]).unwrap();
        assert!(file.sync_data().is_err());
        assert!(file.sync_data().is_ok());
    });
}

/// Of two syncs that end together, the kernel gives one the error and the other success. What was written had been
/// acknowledged before any of these flushes, so none of them may end well.
#[test]
fn no_flush_of_many_at_once_ends_well_beside_one_that_fails() {
    if !loops::are_there_for("a failed sync") {
        return;
    }
    for engine in engines() {
        on_a_full_disk(|path| {
            let dev = open(path, engine);
            let mut client = Client::new(dev.clone(), engine.1);
            assert_eq!(client.write(Flags::NONE, 0, &vec![7; MUCH]), Status::Ok);
            let clients: Vec<_> = (0..4)
                .map(|_| {
                    let dev = dev.clone();
                    std::thread::spawn(move || {
                        let mut client = Client::new(dev, engine.1);
                        (0..4).for_each(|tag| client.submit(tag, Op::Flush, Flags::NONE, 0, 0, None));
                        (0..4).map(|_| client.wait().1).collect::<Vec<Status>>()
                    })
                })
                .collect();
            for client in clients {
                let ends = client.join().unwrap();
                assert!(ends.iter().all(|status| !status.is_ok()), "{engine:?}: {ends:?}");
            }
        });
    }
}
