//! Measures a file through each cache mode and engine: `cargo run --release --example speed -- PATH [SIZE]`.
//!
//! The file is made if it is not there. With a third argument, `cold`, it is thrown out of the page cache before each
//! column of reads. Each figure is the median of five runs, which take turns between the modes.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{Advice, fadvise};
use udm_backend::file::{self, Cache, EngineChoice, FileOptions};
use udm_backend::parse_size;
use udm_block::blocking::Blocking;
use udm_block::memory::splitmix64;

const ROUNDS: usize = 5;
const RANDOM_IOS: u64 = 2000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("a path is missing")?;
    let size = parse_size(&args.next().unwrap_or_else(|| "512M".to_owned()))?;
    fill(Path::new(&path), size)?;
    let cold = args.next().is_some_and(|word| word == "cold").then(|| File::open(&path)).transpose()?;
    let modes = [
        (Cache::Auto, EngineChoice::Auto),
        (Cache::Writeback, EngineChoice::Auto),
        (Cache::Auto, EngineChoice::Threads),
        (Cache::Writeback, EngineChoice::Threads),
    ];
    let mut figures: Vec<Vec<[f64; 6]>> = vec![Vec::new(); modes.len()];
    for _ in 0..ROUNDS {
        for ((cache, engine), figures) in modes.iter().zip(&mut figures) {
            let options = FileOptions { cache: *cache, engine: *engine, ..FileOptions::default() };
            let dev = file::open(&path, &options)?;
            if figures.is_empty() {
                println!("{}", dev.describe());
            }
            figures.push(measure(&Blocking::new(Arc::new(dev))?, size, cold.as_ref())?);
        }
    }
    println!("{:24} seq write  seq read    256K w    256K r      4K w      4K r", "MB/s; 4K: thousand I/O/s");
    for ((cache, engine), mut figures) in modes.iter().zip(figures) {
        print!("{:24}", format!("{cache:?} {engine:?}"));
        for column in 0..6 {
            figures.sort_by(|a, b| a[column].total_cmp(&b[column]));
            print!("{:10.1}", figures[ROUNDS / 2][column]);
        }
        println!();
    }
    Ok(())
}

/// A file without holes.
fn fill(path: &Path, size: u64) -> std::io::Result<()> {
    if path.metadata().is_ok_and(|metadata| metadata.len() >= size) {
        return Ok(());
    }
    let mut file = File::create(path)?;
    let chunk = vec![0x5A; 1 << 20];
    for _ in 0..size >> 20 {
        file.write_all(&chunk)?;
    }
    file.sync_all()
}

/// MB/s in sequence, MB/s of 256 KiB at random, thousands of 4 KiB a second at random; writes include a flush.
fn measure(front: &Blocking, size: u64, cold: Option<&File>) -> Result<[f64; 6], Box<dyn Error>> {
    let mut large = vec![7; 8 << 20];
    let timed = |work: &mut dyn FnMut() -> Result<(), udm_block::Status>| {
        let start = Instant::now();
        work().map(|()| start.elapsed().as_secs_f64())
    };
    let places = || (0..size).step_by(8 << 20).filter(|at| at + (8 << 20) <= size);
    let seq_write = timed(&mut || {
        places().try_for_each(|at| front.write_at(at, &large))?;
        front.flush()
    })?;
    let forget = || cold.map_or(Ok(()), |file| fadvise(file, 0, None, Advice::DontNeed));
    forget()?;
    let seq_read = timed(&mut || places().try_for_each(|at| front.read_at(at, &mut large)))?;
    let mut seed = 42;
    let mut random = |len: usize| splitmix64(&mut seed) % (size / len as u64) * len as u64;
    let mut figures = [size as f64 / 1e6 / seq_write, size as f64 / 1e6 / seq_read, 0.0, 0.0, 0.0, 0.0];
    for (column, len, count, unit) in [(2, 256 << 10, 400, 0.262_144), (4, 4096, RANDOM_IOS, 0.001)] {
        let mut buffer = vec![3; len];
        let write = timed(&mut || {
            (0..count).try_for_each(|_| front.write_at(random(len), &buffer))?;
            front.flush()
        })?;
        forget()?;
        let read = timed(&mut || (0..count).try_for_each(|_| front.read_at(random(len), &mut buffer)))?;
        figures[column] = count as f64 * unit / write;
        figures[column + 1] = count as f64 * unit / read;
    }
    Ok(figures)
}
