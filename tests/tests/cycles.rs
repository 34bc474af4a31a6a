//! Devices are suspended, given another table, and their keys are wiped and set, over and over, while fio's jobs write to
//! them and verify what they wrote. The oracle is fio; of the key, a search of the server's memory.
//!
//! `UDM_CYCLES=1000 UDM_JOBS=16` is the long form (`cargo xtask load`), `UDM_SEED` what fio's places come from.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use udm_tests::fio::{Jobs, REGION, Told};
use udm_tests::process_memory::pieces_of_key;
use udm_tests::program::{PATIENCE, Served, run};
use udm_tests::volume::Volume;

/// How many cycles there are between two times that fio runs to its end in peace: a request that a resume forgot never ends
/// then.
const GROUP: u64 = 20;
/// How often each job of fio writes its region in one run.
const LOOPS: u32 = 4;
/// How much longer than the longest suspension a request may take. It takes milliseconds where the machine has time.
const MARGIN: Duration = Duration::from_secs(5);

/// A number from the environment.
fn given(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// A served device, and two tables that mean the same: of one row, and of two.
struct Site {
    volume: Volume,
    served: Served,
    socket: PathBuf,
    jobs: usize,
    tables: [PathBuf; 2],
    /// The rows of each table with a key, by their first sectors.
    keyed: [Vec<u64>; 2],
    live: usize,
}

impl Site {
    fn crypt(jobs: usize, seed: u64) -> Self {
        let volume = Volume::xts(jobs as u64 * REGION, seed);
        let row = |start: u64, sectors: u64| {
            let (key, image) = (&volume.key, volume.image.display());
            format!("{start} {sectors} crypt aes-xts-plain64 {key} {start} {image} {start}\n")
        };
        let half = jobs as u64 * REGION / 1024;
        let texts = [row(0, 2 * half), row(0, half) + &row(half, half)];
        Self::serving(volume, jobs, &texts, [vec![0], vec![0, half]])
    }

    fn linear(jobs: usize, seed: u64) -> Self {
        let volume = Volume::xts(jobs as u64 * REGION, seed);
        let row = |start: u64, sectors: u64| {
            format!("{start} {sectors} linear {} {start}\n", volume.image.display())
        };
        let half = jobs as u64 * REGION / 1024;
        let texts = [row(0, 2 * half), row(0, half) + &row(half, half)];
        Self::serving(volume, jobs, &texts, [vec![], vec![]])
    }

    fn serving(volume: Volume, jobs: usize, texts: &[String; 2], keyed: [Vec<u64>; 2]) -> Self {
        let tables = ["one.table", "two.table"].map(|name| volume.path(name));
        tables.iter().zip(texts).for_each(|(table, text)| fs::write(table, text).unwrap());
        fs::write(volume.path("key.hex"), &volume.key).unwrap();
        let (nbd, socket) = (volume.path("nbd.sock"), volume.path("control.sock"));
        let args = ["--table-file", path(&tables[0]), "--nbd", path(&nbd), "--control", path(&socket)];
        let served = Served::start(args.iter().chain(&["--max-connections", "64"]), 1);
        Self { volume, served, socket, jobs, tables, keyed, live: 0 }
    }

    /// `udm dm` to its end, which must do what it was asked.
    fn dm(&self, args: &[&str]) -> String {
        let output = run([&["dm", path(&self.socket)], args].concat());
        assert!(output.status.success(), "udm dm {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn pieces(&self) -> usize {
        pieces_of_key(self.served.pid(), &self.volume.key)
    }

    /// How many I/Os the device holds.
    fn held(&self) -> u64 {
        let info = self.dm(&["info"]);
        let held = info.lines().find_map(|line| line.strip_prefix("I/Os held: ")).expect("a line of info");
        held.parse().unwrap()
    }

    /// Waits until the device holds I/O: when it did not yet, if that was seen. fio is at work, or about to begin.
    fn until_some_is_held(&self, is_load_over: &dyn Fn() -> bool) -> Option<Instant> {
        let begin = Instant::now();
        let mut since = None;
        loop {
            let asked = Instant::now();
            if self.held() > 0 {
                return since;
            }
            since = Some(asked);
            assert!(!is_load_over(), "fio ended while the device was suspended");
            assert!(begin.elapsed() < PATIENCE, "no I/O came to a suspended device");
        }
    }

    /// Waits until the device holds no I/O.
    fn until_none_is_held(&self) {
        let begin = Instant::now();
        while self.held() > 0 {
            assert!(begin.elapsed() < PATIENCE, "a device that was resumed holds I/O");
        }
    }

    /// Wipes all keys, and sets that in `file`.
    fn wipe_and_set(&self, searches: bool, file: &str) {
        let rows: Vec<_> = self.keyed[self.live].iter().map(ToString::to_string).collect();
        for row in &rows {
            self.dm(&["message", "one", row, "key", "wipe"]);
        }
        if searches {
            assert_eq!(self.pieces(), 0, "the server's memory has pieces of a wiped key");
        }
        let file = self.volume.path(file);
        for row in &rows {
            self.dm(&["message", "one", row, "key", "set", "--key-file", path(&file)]);
        }
    }

    /// Suspends the device until it holds I/O of fio's, changes it, and resumes it: for how long it held I/O.
    fn cycle(&mut self, number: u64, is_load_over: &dyn Fn() -> bool) -> Duration {
        let has_key = !self.keyed[self.live].is_empty();
        let searches = has_key && number % GROUP == GROUP / 2;
        if searches {
            assert!(self.pieces() > 0, "the search does not find the key of a server that uses it");
        }
        let begin = Instant::now();
        self.dm(&["suspend"]);
        let asked = self.until_some_is_held(is_load_over);
        // A wipe, a reload, and both.
        if has_key && (number % 3 != 1 || searches) {
            self.wipe_and_set(searches, "key.hex");
        }
        if !has_key || !number.is_multiple_of(3) {
            self.live = 1 - self.live;
            self.dm(&["load", "one", "--table-file", path(&self.tables[self.live])]);
        }
        self.dm(&["resume"]);
        let took = asked.unwrap_or(begin).elapsed();
        self.until_none_is_held();
        took
    }

    /// Runs fio over and over while `during` works, which can ask whether fio has failed; the last run goes to its end.
    fn under_fio<T>(
        &mut self,
        seed: u64,
        during: impl FnOnce(&mut Self, &dyn Fn() -> bool) -> T,
    ) -> (Result<Told, String>, T) {
        let uri = self.served.uri().to_owned();
        let jobs = Jobs { uri: &uri, count: self.jobs, loops: LOOPS };
        let is_done = &AtomicBool::new(false);
        thread::scope(|scope| {
            let load = scope.spawn(move || {
                let mut all = jobs.run(seed)?;
                while !is_done.load(Ordering::SeqCst) {
                    let told = jobs.run(seed + all.requests)?;
                    all.requests += told.requests;
                    all.longest = all.longest.max(told.longest);
                }
                Ok(all)
            });
            // However it ends, fio's next run is the last.
            let done = Done(is_done);
            let value = during(self, &|| load.is_finished());
            drop(done);
            (load.join().unwrap(), value)
        })
    }
}

/// Says that it is done when it goes.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Whether a request took longer than what it may have been held.
fn is_overdue(slowest: Duration, suspended: Duration) -> bool {
    slowest > suspended + MARGIN
}

/// Cycles in groups; in each the key is looked for once. Prints how long what took at most.
fn cycles(mut site: Site, name: &str, seed: u64) {
    let count = given("UDM_CYCLES", GROUP);
    let (calm, ()) = site.under_fio(seed, |_, _| ());
    let calm = calm.expect("fio finds nothing without a change of the device, either").longest;
    let (mut requests, mut suspended, mut slowest, mut excess) =
        (0, Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for group in 0..count.div_ceil(GROUP) {
        let numbers = group * GROUP..count.min((group + 1) * GROUP);
        let (told, longest) = site.under_fio(seed + group, |site, is_load_over| {
            numbers.map(|number| site.cycle(number, is_load_over)).max().unwrap()
        });
        let told = told.unwrap_or_else(|why| panic!("group {group}, seed {}: {why}", seed + group));
        assert!(
            !is_overdue(told.longest, longest),
            "group {group}: a request took {:?}, and none was held for more than {longest:?}",
            told.longest
        );
        requests += told.requests;
        suspended = suspended.max(longest);
        slowest = slowest.max(told.longest);
        excess = excess.max(told.longest.saturating_sub(longest));
    }
    println!(
        "{name}: {count} cycles under {} jobs, seed {seed}: {requests} requests verified; the device held I/O for {suspended:?} at \
         most, and the slowest request took {slowest:?} (at most {excess:?} more than I/O of its group was held; {calm:?} \
         without a suspension)",
        site.jobs,
    );
    assert_eq!(site.served.stop().0, Some(0));
}

fn jobs() -> usize {
    given("UDM_JOBS", 4) as usize
}

#[test]
fn crypt_under_fio_loses_nothing_in_cycles_of_suspend_reload_and_key_wipe() {
    let seed = given("UDM_SEED", 31);
    cycles(Site::crypt(jobs(), seed), "crypt", seed);
}

#[test]
fn linear_under_fio_loses_nothing_in_cycles_of_suspend_and_reload() {
    let seed = given("UDM_SEED", 32);
    cycles(Site::linear(jobs(), seed), "linear", seed);
}

#[test]
fn under_fio_another_key_and_an_untold_suspension_are_found() {
    let seed = given("UDM_SEED", 33);
    println!("seed {seed}");
    let mut site = Site::crypt(2, seed);
    // A suspension that the check knows nothing of.
    let (told, longest) = site.under_fio(seed, |site, is_load_over| {
        let longest = site.cycle(0, is_load_over);
        site.dm(&["suspend"]);
        site.until_some_is_held(is_load_over);
        thread::sleep(longest + MARGIN);
        site.dm(&["resume"]);
        longest
    });
    let slowest = told.expect("fio finds nothing wrong").longest;
    assert!(is_overdue(slowest, longest), "a request took {slowest:?}, and that is not seen");

    // Blocks that were written with one key are read with another, sooner or later.
    fs::write(site.volume.path("other.hex"), "5a".repeat(32) + &"a5".repeat(32)).unwrap();
    let (told, ()) = site.under_fio(seed, |site, is_load_over| {
        let begin = Instant::now();
        for file in ["other.hex", "key.hex"].into_iter().cycle() {
            site.dm(&["suspend"]);
            site.wipe_and_set(false, file);
            site.dm(&["resume"]);
            if is_load_over() {
                break;
            }
            assert!(begin.elapsed() < PATIENCE, "fio does not see that the device has another key");
        }
    });
    let why = told.expect_err("fio does not see that the device had another key");
    assert!(why.contains("verify"), "{why}");
}
