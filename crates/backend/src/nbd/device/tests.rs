//! The device over a server that dies. Oracle: a model of bytes against the server's disk. The server has a cache, which
//! dies with it, so that a write that is acknowledged and not flushed is lost unless it is sent again.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use udm_block::blocking::Blocking;
use udm_block::memory::{Heap, Source, splitmix64};
use udm_block::{Alloc, BioSet, BioSetOptions, Bytes, DeviceRef, Flags, Op, Pad, Queue, Sector, Status};

use super::NbdDevice;
use udm_nbd::address::Address;
use udm_nbd::negotiate::{ExportInfo, GREETING, Negotiation, Progress};
use udm_nbd::wire::{Command, CommandFlags, ErrorNumber, Request, SimpleReply, TransmissionFlags};

const SIZE: usize = 1 << 20;

/// What a server keeps: `disk` for good, `cache` until it dies.
struct Memory {
    disk: Vec<u8>,
    cache: Vec<u8>,
    /// Which life of the server it is: what an earlier one was asked for is not done.
    life: usize,
    /// How many bytes died unflushed.
    lost: usize,
    asked: Vec<Request>,
}

struct World {
    memory: Mutex<Memory>,
    streams: Mutex<Vec<UnixStream>>,
    /// Whether clients are let in, and how many.
    is_up: AtomicBool,
    most: AtomicUsize,
    export: Mutex<ExportInfo>,
}

struct Server {
    world: Arc<World>,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(flags: TransmissionFlags) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nbd.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let memory =
            Memory { disk: vec![0; SIZE], cache: vec![0; SIZE], life: 0, lost: 0, asked: Vec::new() };
        let flags = flags | TransmissionFlags::SEND_FLUSH | TransmissionFlags::SEND_WRITE_ZEROES;
        let world = Arc::new(World {
            memory: Mutex::new(memory),
            streams: Mutex::default(),
            is_up: AtomicBool::new(true),
            most: AtomicUsize::new(usize::MAX),
            export: Mutex::new(ExportInfo::new("", SIZE as u64, flags)),
        });
        let accepting = Arc::clone(&world);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut streams = accepting.streams.lock().unwrap();
                if !accepting.is_up.load(Ordering::SeqCst)
                    || streams.len() >= accepting.most.load(Ordering::SeqCst)
                {
                    continue;
                }
                streams.push(stream.try_clone().unwrap());
                let life = accepting.memory.lock().unwrap().life;
                drop(streams);
                let world = Arc::clone(&accepting);
                thread::spawn(move || drop(world.serve(stream, life)));
            }
        });
        Self { world, path, _folder: folder }
    }

    fn attach(&self, patience: Duration) -> DeviceRef {
        let uri = Address::unix(&self.path).unwrap().uri("").parse().unwrap();
        Arc::new(NbdDevice::attach_with(&uri, 512, false, patience).unwrap())
    }

    /// The server dies, and with it what was not flushed. It is back at once, where `is_back`.
    fn die(&self, is_back: bool) {
        self.world.is_up.store(is_back, Ordering::SeqCst);
        let mut streams = self.world.streams.lock().unwrap();
        let mut memory = self.world.memory.lock().unwrap();
        memory.lost += memory.disk.iter().zip(&memory.cache).filter(|(disk, cache)| disk != cache).count();
        memory.cache = memory.disk.clone();
        memory.life += 1;
        for stream in streams.drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    fn disk(&self) -> Vec<u8> {
        self.world.memory.lock().unwrap().disk.clone()
    }
}

impl World {
    fn serve(&self, mut stream: UnixStream, life: usize) -> std::io::Result<()> {
        let exports = [self.export.lock().unwrap().clone()];
        stream.write_all(&GREETING)?;
        let mut negotiation = Negotiation::new(&exports);
        loop {
            let (mut byte, mut out) = ([0], Vec::new());
            stream.read_exact(&mut byte)?;
            let step = negotiation.input(&byte, &mut out).unwrap();
            stream.write_all(&out)?;
            match step.progress {
                Progress::Continue => {}
                Progress::Transmission(_) => break,
                Progress::Closed => return Ok(()),
            }
        }
        loop {
            let mut header = [0; Request::SIZE];
            stream.read_exact(&mut header)?;
            let request = Request::decode(&header).unwrap();
            let len = if request.command == Command::Write { request.length } else { 0 };
            let mut data = vec![0; len as usize];
            stream.read_exact(&mut data)?;
            let Some(answer) = self.carry_out(request, &data, life) else { return Ok(()) };
            stream.write_all(&answer)?;
        }
    }

    fn carry_out(&self, request: Request, data: &[u8], life: usize) -> Option<Vec<u8>> {
        let mut memory = self.memory.lock().unwrap();
        if memory.life != life || request.command == Command::Disc {
            return None;
        }
        memory.asked.push(request);
        let range = request.offset as usize..request.offset as usize + request.length as usize;
        let mut answer = SimpleReply { error: None, cookie: request.cookie }.encode().to_vec();
        match request.command {
            Command::Read => answer.extend_from_slice(&memory.cache[range]),
            Command::Write => memory.cache[range].copy_from_slice(data),
            Command::WriteZeroes if request.flags.contains(CommandFlags::FAST_ZERO) => {
                let error = Some(ErrorNumber::NotSup);
                answer = SimpleReply { error, cookie: request.cookie }.encode().to_vec();
            }
            Command::WriteZeroes => memory.cache[range].fill(0),
            Command::Flush => memory.disk = memory.cache.clone(),
            other => panic!("{other} was not offered"),
        }
        Some(answer)
    }
}

/// Four users write random ranges of their own and flush at times, while the server dies and comes back.
fn users_write_while_the_server_dies(flags: TransmissionFlags) {
    const USERS: usize = 4;
    let server = Server::start(flags);
    let device = server.attach(Duration::from_secs(20));
    let is_over = AtomicBool::new(false);
    let work = |user: usize| {
        let front = Blocking::new(DeviceRef::clone(&device)).unwrap();
        let (mut seed, len) = (user as u64 + 1, SIZE / USERS);
        println!("user {user}: seed {seed}");
        let (base, mut model) = (user * len, vec![0; len]);
        while !is_over.load(Ordering::SeqCst) {
            let at = splitmix64(&mut seed) as usize % (len - 20_000) / 512 * 512;
            let some = (splitmix64(&mut seed) as usize % 20_000 / 512 + 1) * 512;
            match splitmix64(&mut seed) % 10 {
                0 => front.flush().unwrap(),
                1 => {
                    front.range(Op::WriteZeroes, (base + at) as u64, Bytes(some as u64)).unwrap();
                    model[at..at + some].fill(0);
                }
                2 | 3 => {
                    let mut got = vec![1; some];
                    front.read_at((base + at) as u64, &mut got).unwrap();
                    assert!(got == model[at..at + some], "user {user}: {some} bytes at {at} are others");
                }
                _ => {
                    let data: Vec<u8> = (0..some).map(|byte| (seed as usize + byte / 7) as u8).collect();
                    front.write_at((base + at) as u64, &data).unwrap();
                    model[at..at + some].copy_from_slice(&data);
                }
            }
        }
        front.flush().unwrap();
        model
    };
    let models: Vec<u8> = thread::scope(|scope| {
        let all: Vec<_> = (0..USERS).map(|user| scope.spawn(move || work(user))).collect();
        for round in 0..12 {
            thread::sleep(Duration::from_millis(30));
            server.die(round % 2 == 0);
            thread::sleep(Duration::from_millis(5));
            server.world.is_up.store(true, Ordering::SeqCst);
        }
        is_over.store(true, Ordering::SeqCst);
        all.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    // The twin: what died was more than nothing, so what is not sent again would be missing.
    assert!(server.world.memory.lock().unwrap().lost > 0, "the server lost nothing when it died");
    assert!(server.disk() == models, "what was flushed is not on the disk");
}

#[test]
fn what_a_server_forgets_when_it_dies_is_sent_again() {
    users_write_while_the_server_dies(TransmissionFlags::NONE);
}

#[test]
fn and_over_several_connections_too() {
    users_write_while_the_server_dies(TransmissionFlags::CAN_MULTI_CONN | TransmissionFlags::SEND_FUA);
}

#[test]
fn requests_wait_so_long_then_they_fail_and_when_the_server_is_back_they_go_on() {
    let server = Server::start(TransmissionFlags::CAN_MULTI_CONN);
    let front = Blocking::new(server.attach(Duration::from_millis(300))).unwrap();
    front.write_at(0, &[1; 512]).unwrap();
    server.die(false);
    let began = Instant::now();
    let failed = front.read_at(0, &mut [0; 512]);
    assert_eq!((failed, began.elapsed() >= Duration::from_millis(300)), (Err(Status::Offline), true));
    // From then on they fail at once.
    assert_eq!(front.read_at(0, &mut [0; 512]), Err(Status::Offline));
    server.world.is_up.store(true, Ordering::SeqCst);
    let mut got = [0; 512];
    while front.read_at(0, &mut got).is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "the device does not come back");
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(got, [1; 512], "the write was not sent again");
    front.flush().unwrap();
}

#[test]
fn another_export_in_its_place_is_not_written_to() {
    let server = Server::start(TransmissionFlags::NONE);
    let front = Blocking::new(server.attach(Duration::from_millis(200))).unwrap();
    front.write_at(0, &[1; 512]).unwrap();
    server.world.export.lock().unwrap().size = SIZE as u64 / 2;
    server.die(true);
    assert_eq!(front.write_at(512, &[2; 512]), Err(Status::Offline));
    assert!(server.world.memory.lock().unwrap().cache.iter().all(|byte| *byte == 0));
    server.world.export.lock().unwrap().size = SIZE as u64;
    let began = Instant::now();
    while front.write_at(512, &[2; 512]).is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "the device does not come back");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_server_that_takes_one_connection_is_used_with_one() {
    let server = Server::start(TransmissionFlags::CAN_MULTI_CONN);
    server.world.most.store(1, Ordering::SeqCst);
    let front = Blocking::new(server.attach(Duration::from_secs(5))).unwrap();
    front.write_at(0, &[1; 512]).unwrap();
    front.flush().unwrap();
    drop(front);
    assert_eq!((server.world.streams.lock().unwrap().len(), server.disk()[511]), (1, 1));
    // And where it takes fewer than before.
    let server = Server::start(TransmissionFlags::CAN_MULTI_CONN);
    let front = Blocking::new(server.attach(Duration::from_secs(5))).unwrap();
    front.write_at(0, &[1; 512]).unwrap();
    server.world.most.store(1, Ordering::SeqCst);
    server.die(true);
    for at in 1..50 {
        front.write_at(at * 512, &[1; 512]).unwrap();
    }
    front.flush().unwrap();
    assert!(server.disk()[..50 * 512].iter().all(|byte| *byte == 1));
}

/// The pad of a bio that tells nothing but its end.
struct Bare;

impl Pad for Bare {}

/// Oracle: what the server is asked for. The twin is a server that does not offer fast zeroes: it is not asked, and the bio
/// fails as one that would be slow.
#[test]
fn zeroes_that_must_be_fast_reach_the_server_as_such() {
    for (flags, times) in [(TransmissionFlags::SEND_FAST_ZERO, 1), (TransmissionFlags::NONE, 0)] {
        let server = Server::start(flags);
        let mut queue = Queue::new().unwrap();
        let channel = queue.open(&server.attach(Duration::from_secs(5))).unwrap();
        let source: Source = Arc::new(Heap);
        let mut bios = queue.bios(&BioSet::new(&BioSetOptions::named("zeroes"), &source).unwrap());
        let mut zero = |flags: Flags| {
            let mut bio = bios.alloc(queue.cx(), Bare, Alloc::NoWait).ok().expect("a bio");
            bio.prepare(Op::WriteZeroes, flags, Sector(0));
            bio.set_range(Bytes(4096));
            queue.submit(channel, bio);
            loop {
                queue.wait(&mut [], Some(Duration::from_secs(5))).unwrap();
                if let Some(ended) = queue.take_ended() {
                    return bios.claim(ended).ok().expect("a bio of this set").status();
                }
            }
        };
        assert_eq!((zero(Flags::FAST), zero(Flags::NONE)), (Status::NotSupported, Status::Ok));
        let memory = server.world.memory.lock().unwrap();
        let zeroes = memory.asked.iter().filter(|request| request.command == Command::WriteZeroes);
        let is_fast = |request: &&Request| request.flags.contains(CommandFlags::FAST_ZERO);
        assert_eq!((zeroes.clone().filter(is_fast).count(), zeroes.count()), (times, times + 1));
    }
}
