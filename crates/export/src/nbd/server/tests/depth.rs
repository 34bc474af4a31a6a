//! Many requests at once: depth, memory, and clients beside each other. Oracle: a model of the bytes, and what the
//! source of the server's memory counts.

use std::collections::HashMap;
use std::io::Write;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use udm_block::memory::{Limited, Refuse, Starving};
use udm_block::{Geometry, Sectors};

use super::support::*;
use udm_backend::nbd::client::Client;
use udm_nbd::wire::{Command, CommandFlags, Request};

const SIZE: usize = 64 << 20;
/// What a connection takes besides the data of its requests: bios, with their pads.
const BIOS: usize = 256 << 10;

/// A server whose memory is counted.
fn counted(ram: &Arc<Ram>) -> (Running, Arc<Limited>) {
    let count = Limited::new(heap(), usize::MAX);
    let source: Source = Arc::clone(&count) as Source;
    (Running::with(vec![export("disk", ram)], |core| core.source = source), count)
}

/// Reads with `count` requests in flight, and reads the replies late.
fn read_deep(client: &mut Client, count: u64, length: u32, bytes: &[u8]) {
    let offset = |cookie: u64| cookie * u64::from(length) % (SIZE as u64);
    for cookie in 0..count {
        client.send_read(cookie, offset(cookie), length).unwrap();
    }
    thread::sleep(Duration::from_millis(50));
    let mut data = Vec::new();
    for _ in 0..count {
        let done = client.receive(&mut data).unwrap();
        assert_eq!(done.result, Ok(()));
        let at = offset(done.cookie) as usize;
        assert!(data == bytes[at..at + length as usize], "the data of request {}", done.cookie);
    }
}

#[test]
fn a_hundred_and_twenty_eight_long_reads_take_a_bounded_memory() {
    for device in [Ram::new(able(SIZE), Manner::Inline), Ram::later(able(SIZE), Duration::ZERO, 5)] {
        *device.store.bytes.lock().unwrap() = noise(7, SIZE);
        let (server, count) = counted(&device);
        let mut client = server.client();
        let bytes = device.bytes();
        for length in [1 << 20, LONGEST, 4096, 512] {
            read_deep(&mut client, 128, length, &bytes);
            assert!(count.taken() <= MEMORY + BIOS, "{} bytes", count.taken());
        }
        drop(client);
        server.wait_until_empty();
        assert_eq!(count.taken(), 0, "memory of a client that is gone");
    }
}

#[test]
fn a_device_that_holds_all_holds_no_more_than_the_bound() {
    let ram = Ram::held(able(SIZE));
    let (server, count) = counted(&ram);
    let mut client = server.client();
    for cookie in 0..128 {
        client.send_read(cookie, 0, 1 << 20).unwrap();
    }
    client.send_flush(1000).unwrap();
    until("the memory is taken", || ram.waiting() >= 5);
    thread::sleep(Duration::from_millis(30));
    assert!(count.taken() <= MEMORY + BIOS, "{} bytes", count.taken());
    // What was held goes on, the small one behind it too.
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                ram.release();
                thread::sleep(Duration::from_micros(100));
            }
        });
        let results: Vec<_> = (0..129).map(|_| client.receive(&mut Vec::new())).collect();
        done.store(true, Ordering::SeqCst);
        assert!(results.into_iter().all(|result| result.unwrap().result == Ok(())));
    });
}

#[test]
fn long_writes_in_flight_arrive_whole() {
    let ram = Ram::later(able(SIZE), Duration::from_micros(200), 11);
    let server = Running::over(&ram);
    for length in [1usize << 20, LONGEST as usize, 3 * 512] {
        let mut client = server.client();
        let count = 128.min(SIZE / length) as u64;
        let data = noise(length as u64, length * count as usize);
        for (cookie, part) in (0..).zip(data.chunks(length)) {
            client.send_write(cookie, cookie * length as u64, part, cookie % 2 == 0).unwrap();
        }
        while client.in_flight() > 0 {
            assert_eq!(client.receive(&mut Vec::new()).unwrap().result, Ok(()));
        }
        assert!(ram.bytes()[..data.len()] == data[..], "writes of {length} bytes");
    }
}

#[test]
fn without_memory_but_the_reserve_one_request_at_a_time_goes_on() {
    let ram = Ram::later(able(SIZE), Duration::ZERO, 13);
    *ram.store.bytes.lock().unwrap() = noise(3, SIZE);
    let starving = Starving::new(heap());
    let source: Source = Arc::clone(&starving) as Source;
    let server = Running::with(vec![export("disk", &ram)], |core| core.source = source);
    let mut client = server.client();
    client.read(0, &mut [0; 512]).unwrap();
    starving.refuse(Refuse::Always);
    let bytes = ram.bytes();
    for length in [LONGEST, 1 << 20, 4096] {
        read_deep(&mut client, 64, length, &bytes);
    }
    starving.refuse(Refuse::Chance { seed: 17, per_mille: 500 });
    read_deep(&mut client, 128, 256 << 10, &bytes);
    assert!(starving.counts().1 > 0, "the source refused nothing");
}

#[test]
fn who_never_reads_its_replies_stops_nobody_else() {
    let ram = Ram::later(able(SIZE), Duration::ZERO, 19);
    let server = Running::over(&ram);
    let mut deaf = server.raw();
    deaf.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    for cookie in 0..512 {
        if deaf.write_all(&request(Command::Read, cookie, 0, 1 << 20).encode()).is_err() {
            break;
        }
    }
    let mut client = server.client();
    let data = noise(1, 4 << 20);
    client.write(0, &data, true).unwrap();
    let mut back = vec![0; data.len()];
    client.read(0, &mut back).unwrap();
    assert!(back == data);
}

#[test]
fn short_zeroings_are_all_at_the_device_at_once() {
    // On a device without zeros.
    const PART: usize = 4096;
    let ram = Ram::held(Geometry::plain(Sectors::in_bytes(SIZE as u64)));
    *ram.store.bytes.lock().unwrap() = vec![0xFF; SIZE];
    let server = Running::over(&ram);
    let mut clients: Vec<_> = (0..2).map(|_| server.client()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.set_timeout(Some(PATIENT)).unwrap();
        for cookie in 0..128 {
            let offset = (index as u64 * 128 + cookie) * PART as u64;
            client.send(request(Command::WriteZeroes, cookie, offset, PART as u32), &[]).unwrap();
        }
    }
    until("all bios are at the device", || ram.waiting() == 256);
    ram.release();
    for client in &mut clients {
        while client.in_flight() > 0 {
            assert_eq!(client.receive(&mut Vec::new()).unwrap().result, Ok(()));
        }
    }
    assert!(ram.bytes()[..PART * 256].iter().all(|byte| *byte == 0));
}

/// Each client is there while the last one comes.
#[test]
fn of_three_hundred_clients_at_once_none_is_refused() {
    const CLIENTS: usize = 300;
    // Of each client both ends are here.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let ram = Ram::later(able(SIZE), Duration::ZERO, 31);
    let most = |core: &mut Core| core.max_connections = CLIENTS;
    let server = Running::with(vec![export("disk", &ram)], most);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.client()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.write(index as u64 * 4096, &noise(index as u64, 4096), false).unwrap();
    }
    assert_eq!(server.core.slots_taken.load(Ordering::SeqCst), CLIENTS);
    // The twin: one more is refused, and has no place.
    assert!(Client::connect(&server.address, "disk").is_err());
    for (index, client) in clients.iter_mut().enumerate() {
        let (mut back, next) = (vec![0; 4096], (index + 1) % CLIENTS);
        client.read(next as u64 * 4096, &mut back).unwrap();
        assert!(back == noise(next as u64, 4096), "what client {next} wrote, read by client {index}");
    }
    drop(clients);
    server.wait_until_empty();
}

#[test]
fn eight_clients_at_once_keep_to_the_model() {
    let ram = Ram::later(able(8 << 20), Duration::from_micros(50), 29);
    let server = Running::over(&ram);
    let models: Vec<_> = thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|index| (index, server.client())).collect();
        let threads: Vec<_> = clients
            .into_iter()
            .map(|(index, client)| scope.spawn(move || random_io(client, index << 20, 100 + index)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ram.bytes() == models.concat());
}

/// Random I/O in the MiB from `base` on, against a model, which is returned.
fn random_io(mut client: Client, base: u64, mut seed: u64) -> Vec<u8> {
    const SECTORS: u64 = 2048;
    println!("seed {seed}");
    let mut model = vec![0; SECTORS as usize * 512];
    // The sectors that a request in flight is about, so that no two overlap.
    let mut busy: HashMap<u64, (std::ops::Range<usize>, Option<Vec<u8>>)> = HashMap::new();
    let mut data = Vec::new();
    for cookie in 0..600 {
        let first = dice(&mut seed, SECTORS);
        let count = 1 + dice(&mut seed, (SECTORS - first).min(64));
        let range = first as usize * 512..(first + count) as usize * 512;
        let kind = dice(&mut seed, 5);
        while busy.len() >= 16
            || busy.values().any(|(other, _)| other.start < range.end && range.start < other.end)
        {
            settle(&mut client, &mut busy, &mut data);
        }
        let place = (base + range.start as u64, range.len() as u32);
        let expected = match kind {
            0 | 1 => {
                let written = noise(seed, range.len());
                client.send_write(cookie, place.0, &written, kind == 0).unwrap();
                model[range.clone()].copy_from_slice(&written);
                None
            }
            2 => {
                let flags = CommandFlags::NO_HOLE;
                let zeroes = Request { flags, ..request(Command::WriteZeroes, cookie, place.0, place.1) };
                client.send(zeroes, &[]).unwrap();
                model[range.clone()].fill(0);
                None
            }
            _ => {
                client.send_read(cookie, place.0, place.1).unwrap();
                Some(model[range.clone()].to_vec())
            }
        };
        busy.insert(cookie, (range, expected));
    }
    while !busy.is_empty() {
        settle(&mut client, &mut busy, &mut data);
    }
    client.disconnect().unwrap();
    model
}

/// Takes one answer, and holds it against the model.
fn settle(
    client: &mut Client,
    busy: &mut HashMap<u64, (std::ops::Range<usize>, Option<Vec<u8>>)>,
    data: &mut Vec<u8>,
) {
    let done = client.receive(data).unwrap();
    assert_eq!(done.result, Ok(()));
    let (_, expected) = busy.remove(&done.cookie).unwrap();
    assert!(expected.is_none_or(|expected| expected == *data), "the data of request {}", done.cookie);
}
