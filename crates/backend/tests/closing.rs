//! Closing a device: nobody has its file any longer, and no ring takes another's for it. The oracle is the kernel, which
//! gives no lease on a file that somebody writes, and the files as `std::fs` reads them.

use std::fs::{self, File};
use std::sync::Arc;

use crate::support;
use crate::support::engines::{SIZE, engines, folder, image, open};
use crate::support::{Client, Dice};
use udm_backend::file::{Cache, FileDevice};
use udm_block::{DeviceRef, Flags, Status};

#[test]
fn a_dropped_device_is_closed_at_once_while_the_queues_that_served_it_go_on() {
    for engine in engines() {
        for (cache, elsewhere) in [(Cache::Auto, false), (Cache::Auto, true), (Cache::Writeback, true)] {
            let dir = folder();
            let path = image(&dir, SIZE);
            let reader = File::open(&path).unwrap();
            let what = format!("{engine:?} {cache:?} elsewhere: {elsewhere}");
            // The queue's ring goes on too: it has another file.
            let other_folder = folder();
            let other: DeviceRef = open(&image(&other_folder, SIZE), engine, cache);
            for _ in 0..10 {
                let dev = open(&path, engine, cache);
                let mut client = Client::new(dev.clone(), engine.1);
                client.queue.open(&other).unwrap();
                assert_eq!(client.write(Flags::NONE, 0, &[1; 4096]), Status::Ok);
                let queue = client.retire();
                assert!(support::has_writer(&reader), "{what}: the device is open");
                if elsewhere {
                    std::thread::spawn(|| drop(dev)).join().unwrap();
                } else {
                    drop(dev);
                }
                assert!(!support::has_writer(&reader), "{what}: the dropped device is still open");
                drop(queue);
            }
        }
    }
}

#[test]
fn a_dropped_device_is_closed_at_once_after_the_queues_that_served_it() {
    for engine in engines() {
        let dir = folder();
        let path = image(&dir, SIZE);
        let reader = File::open(&path).unwrap();
        for _ in 0..50 {
            let dev = open(&path, engine, Cache::Auto);
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let dev = dev.clone();
                    std::thread::spawn(move || {
                        let mut client = Client::new(dev, engine.1);
                        assert_eq!(client.write(Flags::NONE, 0, &[1; 4096]), Status::Ok);
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
            drop(dev);
            assert!(!support::has_writer(&reader), "{engine:?}: the dropped device is still open");
        }
    }
}

/// A number that outlives its image would send an I/O to the wrong file: the next image may even have its address.
#[test]
fn one_ring_never_mistakes_one_of_many_files_for_another() {
    for engine in engines() {
        for cache in [Cache::Auto, Cache::Writeback] {
            let dir = folder();
            let path = |index: usize| dir.path().join(index.to_string());
            let open_new = |index: usize| {
                fs::write(path(index), [0; 8192]).unwrap();
                open(&path(index), engine, cache)
            };
            // More than a ring has numbers for.
            let mut devices: Vec<(usize, Arc<FileDevice>)> = (0..40).map(|i| (i, open_new(i))).collect();
            let mut client = Client::new(devices[0].1.clone(), engine.1);
            let mut dice = Dice(23);
            for round in 40..240 {
                for _ in 0..8 {
                    let (index, dev) = &devices[dice.roll(devices.len())];
                    client.turn_to(dev.clone());
                    assert_eq!(client.write(Flags::NONE, 4096, &[*index as u8; 4096]), Status::Ok);
                    let bytes = fs::read(path(*index)).unwrap();
                    let whole = bytes[..4096] == [0; 4096] && bytes[4096..] == [*index as u8; 4096];
                    assert!(whole, "{engine:?} {cache:?} round {round} file {index}");
                }
                let leaving = dice.roll(devices.len());
                let (old, _) = devices.swap_remove(leaving);
                let before = fs::read(path(old)).unwrap();
                devices.push((round, open_new(round)));
                let (index, dev) = devices.last().unwrap();
                client.turn_to(dev.clone());
                assert_eq!(client.write(Flags::NONE, 4096, &[*index as u8; 4096]), Status::Ok);
                assert!(fs::read(path(old)).unwrap() == before, "{engine:?} {cache:?} file {old} was closed");
                assert_eq!(fs::read(path(*index)).unwrap()[4096..], [*index as u8; 4096]);
            }
        }
    }
}
