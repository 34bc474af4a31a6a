//! GB/s of each driver on one core: runs of 128 KiB out of place, a fresh IV a unit, the median of interleaved rounds.
//! Beside it stands how a caller fares who sends each unit by itself.
//!
//! `cargo run --release -p udm-crypto --example speed [WORD...]`, for the algorithms whose names have one of the words
//! in them, or for all.

use std::time::{Duration, Instant};
use udm_block::{Span, SpanIter};
use udm_crypto::{Algorithm, Choice, CryptError, Direction, IvRule, Registry, Request, Skcipher};

const RUN: usize = 128 << 10;
const ROUNDS: usize = 15;

/// How long a round takes about.
const ROUND: Duration = Duration::from_millis(2);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let begin = Instant::now();
    let count = Registry::global().list().len();
    println!("self-tests of {count} drivers: {:?}", begin.elapsed());
    println!("{:<40}{:<10}{:>8}{:>10}{:>12}", "algorithm", "driver", "unit", "whole", "per unit");
    for algorithm in Algorithm::ALL {
        let name = algorithm.to_string();
        if words.is_empty() || words.iter().any(|word| name.contains(word)) {
            measure(algorithm)?;
        }
    }
    Ok(())
}

/// Prints what the drivers of `algorithm` do with its longest key.
fn measure(algorithm: Algorithm) -> Result<(), Box<dyn std::error::Error>> {
    let key: Vec<u8> = (0..algorithm.key_sizes().last().unwrap_or(0) as u8).collect();
    let (mut plain, mut secret) = (vec![1; RUN], vec![0; RUN]);
    let (src, dst) = ([Span::new(&mut plain)], [Span::new(&mut secret)]);
    let (src, dst) = (SpanIter::new(&src), SpanIter::new(&dst));
    let take = |name| Skcipher::new(Registry::global(), Choice::Named(name), algorithm, &key).ok();
    let drivers: Vec<Skcipher> = ["portable", "aws-lc"].into_iter().filter_map(take).collect();
    for direction in [Direction::Encrypt, Direction::Decrypt] {
        for unit_size in [512, 4096] {
            let iv = IvRule::CounterLe64 { first: [0; 16], stride: 1 };
            let request = Request { direction, src, dst, unit_size, iv };
            let mut rates = vec![(Vec::new(), Vec::new()); drivers.len()];
            for _ in 0..ROUNDS {
                for (skcipher, (whole, single)) in drivers.iter().zip(&mut rates) {
                    whole.push(rate(|| skcipher.crypt(&request))?);
                    single.push(rate(|| per_unit(skcipher, &request))?);
                }
            }
            for (skcipher, (whole, single)) in drivers.iter().zip(&mut rates) {
                let name = format!("{algorithm} {} {direction:?}", key.len() * 8);
                let (whole, single) = (median(whole), median(single));
                let driver = skcipher.driver().name;
                println!("{name:<40}{driver:<10}{unit_size:>8}{whole:>10.3}{single:>12.3}");
            }
        }
    }
    Ok(())
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
