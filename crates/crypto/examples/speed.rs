//! GB/s of each driver on one core: runs of 128 KiB, a fresh IV a unit, the median of interleaved rounds. Beside it
//! stands how a caller fares who sends each unit by itself, and the bound: what the same driver does in ECB, which is
//! the cipher's rounds and nothing else. The ratio to the bound is the median of the rounds' own, as the machine's
//! speed changes from round to round.
//!
//! `cargo run --release -p udm-crypto --example speed [inplace] [key=BITS] [WORD...]`, for the algorithms whose names
//! have one of the words in them, or for all; with the longest keys, or with those of so many bits.

use std::time::{Duration, Instant};
use udm_block::{Span, SpanIter};
use udm_crypto::{Algorithm, Choice, CryptError, Direction, IvRule, Mode, Registry, Request, Skcipher};

const RUN: usize = 128 << 10;
const ROUNDS: usize = 151;

/// How long a round takes about: so short that most are done without another program in between.
const ROUND: Duration = Duration::from_micros(200);

/// The memory of a bio begins with a page.
const PAGE: usize = 4096;

/// What is measured.
struct Options {
    in_place: bool,
    /// The keys' length in bytes, where it is not the longest.
    key_size: Option<usize>,
    words: Vec<String>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut options = Options { in_place: false, key_size: None, words: Vec::new() };
    for word in std::env::args().skip(1) {
        match word.strip_prefix("key=") {
            Some(bits) => options.key_size = Some(bits.parse::<usize>()? / 8),
            None if word == "inplace" => options.in_place = true,
            None => options.words.push(word),
        }
    }
    let begin = Instant::now();
    let count = Registry::global().list().len();
    println!("self-tests of {count} drivers: {:?}", begin.elapsed());
    println!(
        "{:<28}{:<10}{:>6}{:>9}{:>10}{:>8}{:>13}",
        "algorithm", "driver", "unit", "whole", "per unit", "bound", "whole/bound"
    );
    for algorithm in Algorithm::ALL {
        let name = algorithm.to_string();
        if options.words.is_empty() || options.words.iter().any(|word| name.contains(word)) {
            measure(algorithm, &options)?;
        }
    }
    Ok(())
}

/// A driver, what bounds it where there is such a thing, and how they did in each round.
struct Contender {
    cipher: Skcipher,
    bound: Option<Skcipher>,
    whole: Vec<f64>,
    per_unit: Vec<f64>,
    bounds: Vec<f64>,
}

/// The drivers that take the key, each with its own ECB under the first half of it, or all where that is one key.
fn contenders(algorithm: Algorithm, key: &[u8]) -> Vec<Contender> {
    let mut drivers: Vec<&str> = Vec::new();
    for line in Registry::global().list() {
        if line.algorithm == algorithm && line.info.name != "offload-sim" {
            drivers.push(line.info.name);
        }
    }
    let data_key = if algorithm.mode == Mode::Xts { &key[..key.len() / 2] } else { key };
    let take = |name| {
        let take =
            |algorithm, key| Skcipher::new(Registry::global(), Choice::Named(name), algorithm, key).ok();
        let bound = algorithm.blocks().and_then(|ecb| take(ecb, data_key));
        let (whole, per_unit, bounds) = (Vec::new(), Vec::new(), Vec::new());
        Some(Contender { cipher: take(algorithm, key)?, bound, whole, per_unit, bounds })
    };
    drivers.into_iter().filter_map(take).collect()
}

/// Prints what the drivers of `algorithm` do.
fn measure(algorithm: Algorithm, options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let size = options.key_size.or(algorithm.key_sizes().last()).unwrap_or(0);
    let key: Vec<u8> = (0..size as u8).collect();
    let (mut plain, mut secret) = (vec![1; RUN + PAGE], vec![0; RUN + PAGE]);
    let (src, dst) = ([Span::new(in_pages(&mut plain))], [Span::new(in_pages(&mut secret))]);
    let (src, dst) = (SpanIter::new(&src), SpanIter::new(&dst));
    let dst = if options.in_place { src } else { dst };
    for direction in [Direction::Encrypt, Direction::Decrypt] {
        for unit_size in [512, 4096] {
            let iv = IvRule::CounterLe64 { first: [0; 16], stride: 1 };
            let request = Request { direction, src, dst, unit_size, iv };
            let mut contenders = contenders(algorithm, &key);
            for _ in 0..ROUNDS {
                for contender in &mut contenders {
                    contender.whole.push(rate(|| contender.cipher.crypt(&request))?);
                    if let Some(bound) = &contender.bound {
                        contender.bounds.push(rate(|| bound.crypt(&request))?);
                    }
                    contender.per_unit.push(rate(|| per_unit(&contender.cipher, &request))?);
                }
            }
            let name = format!("{algorithm} {} {direction:?}", key.len() * 8);
            for contender in &mut contenders {
                contender.print(&name, unit_size);
            }
        }
    }
    Ok(())
}

impl Contender {
    /// Prints its line.
    fn print(&mut self, name: &str, unit_size: usize) {
        let driver = self.cipher.driver().name;
        let mut ratios: Vec<f64> =
            self.whole.iter().zip(&self.bounds).map(|(whole, bound)| whole / bound).collect();
        let (whole, per_unit) = (median(&mut self.whole), median(&mut self.per_unit));
        print!("{name:<28}{driver:<10}{unit_size:>6}{whole:>9.3}{per_unit:>10.3}");
        if ratios.is_empty() {
            println!();
        } else {
            println!("{:>8.3}{:>13.3}", median(&mut self.bounds), median(&mut ratios));
        }
    }
}

/// The part of `memory` of a run's length that begins with a page.
fn in_pages(memory: &mut [u8]) -> &mut [u8] {
    let begin = memory.as_ptr().align_offset(PAGE);
    &mut memory[begin..][..RUN]
}

/// The GB/s of one round of requests.
fn rate<E>(mut request: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let (begin, mut requests) = (Instant::now(), 0);
    while begin.elapsed() < ROUND {
        request()?;
        requests += 1;
    }
    Ok((RUN * requests) as f64 / begin.elapsed().as_secs_f64() / 1e9)
}

/// What a caller does that knows no requests of many units: one each.
fn per_unit(skcipher: &Skcipher, request: &Request<'_>) -> Result<(), CryptError> {
    for unit in 0..request.units() {
        let at = unit * request.unit_size;
        skcipher.crypt(&Request {
            src: request.src.after(at).first(request.unit_size),
            dst: request.dst.after(at).first(request.unit_size),
            iv: request.iv.only(unit),
            ..*request
        })?;
    }
    Ok(())
}

/// The middle one.
fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
