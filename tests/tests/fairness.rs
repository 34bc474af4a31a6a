//! Many NBD clients of one server, each with as many requests under way as another: none is refused, and none is much
//! slower than the others. The oracle is the count of the others.
//!
//! `UDM_CLIENTS=16,64,130,300 UDM_SECONDS=60` is the long form (`cargo xtask load`). It asks more: a coefficient of variation
//! of at most 10 %.

use std::fmt::Display;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use udm::backend::nbd::client::Client;
use udm::nbd::address::NbdUri;
use udm_tests::mutate::SplitMix64;
use udm_tests::program::{PATIENCE, Served};
use udm_tests::volume::{Volume, noise};

/// How many clients there are in the short form.
const CLIENTS: &str = "16,64";
/// How many requests each has under way.
const DEPTH: u64 = 4;
/// How long a request is, and the device.
const BLOCK: u64 = 4096;
const SIZE: u64 = 64 << 20;
/// How many requests of each client are answered in the short form, on average.
const REQUESTS: u64 = 1000;
/// How many short runs there are at most.
const TRIES: usize = 3;
/// How far the clients' counts may be from their mean in the long form: the standard deviation, of the mean.
const VARIATION: f64 = 0.10;

fn given(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Serves an encrypted volume to `most` clients at once.
fn serve(volume: &Volume, most: usize, others: &[&str]) -> Served {
    let nbd = volume.path("nbd.sock");
    let most = most.to_string();
    let all = ["--table-file", path(&volume.table), "--nbd", path(&nbd), "--max-connections", &most];
    Served::start(all.iter().chain(others), 1 + others.len() / 2)
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What many clients did at the same time.
struct Counts(Vec<u64>);

impl Counts {
    fn mean(&self) -> f64 {
        self.0.iter().sum::<u64>() as f64 / self.0.len() as f64
    }

    /// The least and the most of a client, of the mean.
    fn range(&self) -> [f64; 2] {
        [self.0.iter().min(), self.0.iter().max()].map(|count| *count.expect("clients") as f64 / self.mean())
    }

    /// The standard deviation, of the mean.
    fn variation(&self) -> f64 {
        let squares: f64 = self.0.iter().map(|count| (*count as f64 - self.mean()).powi(2)).sum();
        (squares / self.0.len() as f64).sqrt() / self.mean()
    }

    /// Whether a client had less than half of what the mean is.
    fn is_one_starved(&self) -> bool {
        self.range()[0] < 0.5
    }
}

/// When clients begin and end, and what all of them have done.
struct Run {
    begin: Barrier,
    is_over: AtomicBool,
    answered: AtomicU64,
}

/// A client of the export at `uri`: keeps reads and writes of random places under way until the run is over, and gives how
/// many were answered.
fn client(uri: &str, run: &Run, seed: u64) -> u64 {
    let uri: NbdUri = uri.parse().unwrap();
    let client = Client::connect(&uri.address, &uri.export);
    let (mut random, mut answer, data) = (SplitMix64::new(seed), Vec::new(), noise(seed, BLOCK as usize));
    let mut request = |client: &mut Client, cookie| {
        let at = random.below((SIZE / BLOCK) as usize) as u64 * BLOCK;
        if random.below(2) == 0 {
            client.send_read(cookie, at, BLOCK as u32).unwrap();
        } else {
            client.send_write(cookie, at, &data, false).unwrap();
        }
    };
    // The others wait for this one, too.
    run.begin.wait();
    let mut client = client.expect("a client is refused");
    client.set_timeout(Some(PATIENCE)).unwrap();
    (0..DEPTH).for_each(|cookie| request(&mut client, cookie));
    let mut count = 0;
    while !run.is_over.load(Ordering::Relaxed) {
        let done = client.receive(&mut answer).expect("a client is hung up on");
        done.result.unwrap();
        count += 1;
        run.answered.fetch_add(1, Ordering::Relaxed);
        request(&mut client, done.cookie);
    }
    count
}

/// What one client at each of `uris` does at the same time, until the time is over or, without one, until they have
/// `answers` each on average.
fn counts(uris: &[&str], answers: u64, time: Option<Duration>, seed: u64) -> Counts {
    let answers = answers * uris.len() as u64;
    let run = Run {
        begin: Barrier::new(uris.len() + 1),
        is_over: AtomicBool::new(false),
        answered: AtomicU64::new(0),
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (seed..)
            .zip(uris)
            .map(|(seed, uri)| {
                let run = &run;
                scope.spawn(move || client(uri, run, seed))
            })
            .collect();
        run.begin.wait();
        let begin = Instant::now();
        loop {
            thread::sleep(Duration::from_millis(10));
            let is_over = match time {
                Some(time) => begin.elapsed() >= time,
                None => run.answered.load(Ordering::Relaxed) >= answers,
            };
            if is_over || threads.iter().all(ScopedJoinHandle::is_finished) {
                break;
            }
        }
        run.is_over.store(true, Ordering::Relaxed);
        Counts(threads.into_iter().map(|thread| thread.join().unwrap()).collect())
    })
}

/// What clients do, in the first run in which none is starved: the system may give one thread no processor for a while, but not in
/// each of several short runs. A server that starves a client does so in all of them. A long run is tried once.
fn fairest(uris: &[&str], seconds: Option<Duration>, seed: u64) -> Counts {
    let mut tries = 0;
    loop {
        let counts = counts(uris, REQUESTS, seconds, seed);
        let [least, most] = counts.range();
        println!(
            "{} clients, seed {seed}: {:.0} answers each; the least {least:.3} of that, the most {most:.3}, coefficient of \
             variation {:.3}",
            uris.len(),
            counts.mean(),
            counts.variation(),
        );
        tries += 1;
        if !counts.is_one_starved() || seconds.is_some() || tries == TRIES {
            return counts;
        }
    }
}

#[test]
fn many_clients_of_one_server_are_served_alike() {
    let seed = given("UDM_SEED").map_or(51, |text| text.parse().unwrap());
    let seconds = given("UDM_SECONDS").map(|text| Duration::from_secs(text.parse().unwrap()));
    for clients in given("UDM_CLIENTS").as_deref().unwrap_or(CLIENTS).split(',') {
        let clients: usize = clients.parse().unwrap();
        let volume = Volume::xts(SIZE, seed);
        // The server may not have seen yet that the clients of a run before have left.
        let served = serve(&volume, clients * TRIES, &[]);
        let counts = fairest(&vec![served.uri(); clients], seconds, seed);
        assert!(!counts.is_one_starved(), "a client had less than half of what the mean is: {:?}", counts.0);
        // In a short time, another process on one of the processors decides who has most.
        assert!(seconds.is_none() || counts.variation() <= VARIATION, "{:?}", counts.0);
        assert_eq!(served.stop().0, Some(0));
    }
}

#[test]
fn among_many_clients_one_that_is_slower_or_refused_is_seen() {
    let seed = 52;
    println!("seed {seed}");
    let volume = Volume::xts(SIZE, seed);
    let slow = format!("slow=0 {} delay null:{SIZE} 0 50", SIZE / 512);
    let served = serve(&volume, 15, &["--table", &slow]);
    let uri = |part: &str| &**served.uris.iter().find(|uri| uri.contains(part)).expect("an export");
    let mut uris = [uri("///volume"); 15];
    uris[7] = uri("///slow");
    let counts = counts(&uris, REQUESTS, None, seed);
    assert!(counts.is_one_starved() && counts.0.iter().min() == Some(&counts.0[7]), "{:?}", counts.0);

    let connect = || {
        let uri: NbdUri = uris[0].parse().unwrap();
        Client::connect(&uri.address, &uri.export)
    };
    let all: Vec<_> = (0..15).map(|_| until_there_is_a_slot(connect)).collect();
    assert!(connect().is_err(), "a client more than there may be");
    drop(all);
}

/// Connects. The server may not have seen yet that others have left.
fn until_there_is_a_slot<E: Display>(connect: impl Fn() -> Result<Client, E>) -> Client {
    let begin = Instant::now();
    loop {
        match connect() {
            Ok(client) => return client,
            Err(error) => assert!(begin.elapsed() < PATIENCE, "{error}"),
        }
        thread::sleep(Duration::from_millis(10));
    }
}
