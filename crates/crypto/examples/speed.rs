//! GB/s of each driver on one core: runs of 128 KiB out of place, a fresh IV a unit, the median of interleaved rounds.
//!
//! `cargo run --release -p udm-crypto --example speed`

use std::time::Instant;
use udm_block::{Span, SpanIter};
use udm_crypto::{Algorithm, Choice, Direction, IvRule, Mode, Registry, Request, Skcipher};

const RUN: usize = 128 << 10;
const ROUNDS: usize = 31;
const REQUESTS: usize = 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let begin = Instant::now();
    Registry::global();
    println!("self-tests: {:?}", begin.elapsed());
    let (mut plain, mut secret) = (vec![1; RUN], vec![0; RUN]);
    let (src, dst) = ([Span::new(&mut plain)], [Span::new(&mut secret)]);
    let (src, dst) = (SpanIter::new(&src), SpanIter::new(&dst));
    println!("{:<26}{:<10}{:>8}{:>10}{:>12}", "algorithm", "driver", "unit", "whole", "per unit");
    for (mode, key_size) in [(Mode::Xts, 64usize), (Mode::Xts, 32), (Mode::Cbc, 32), (Mode::Ecb, 32)] {
        for direction in [Direction::Encrypt, Direction::Decrypt] {
            for unit_size in [512, 4096] {
                let key: Vec<u8> = (0..key_size as u8).collect();
                let iv = IvRule::CounterLe64 { first: [0; 16], stride: 1 };
                let request = Request { direction, src, dst, unit_size, iv };
                let drivers: Vec<Skcipher> = ["portable", "aws-lc"]
                    .into_iter()
                    .filter_map(|name| {
                        let algorithm = Algorithm::aes(mode);
                        Skcipher::new(Registry::global(), Choice::Named(name), algorithm, &key).ok()
                    })
                    .collect();
                let mut rates = vec![(Vec::new(), Vec::new()); drivers.len()];
                for _ in 0..ROUNDS {
                    for (skcipher, (whole, single)) in drivers.iter().zip(&mut rates) {
                        whole.push(rate(|| skcipher.crypt(&request))?);
                        single.push(rate(|| per_unit(skcipher, &request))?);
                    }
                }
                for (skcipher, (whole, single)) in drivers.iter().zip(&mut rates) {
                    let name = format!("{} {} {direction:?}", Algorithm::aes(mode), key_size * 8);
                    let (whole, single) = (median(whole), median(single));
                    let driver = skcipher.driver().name;
                    println!("{name:<26}{driver:<10}{unit_size:>8}{whole:>10.2}{single:>12.2}");
                }
            }
        }
    }
    Ok(())
}

/// The GB/s of one round of requests.
fn rate<E>(mut request: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let begin = Instant::now();
    for _ in 0..REQUESTS {
        request()?;
    }
    Ok((RUN * REQUESTS) as f64 / begin.elapsed().as_secs_f64() / 1e9)
}

/// What a caller does that knows no requests of many units: one each.
fn per_unit(skcipher: &Skcipher, request: &Request<'_>) -> Result<(), udm_crypto::CryptError> {
    for unit in 0..request.units() {
        let at = unit * request.unit_size;
        skcipher.crypt(&Request {
            src: request.src.after(at).first(request.unit_size),
            dst: request.dst.after(at).first(request.unit_size),
            iv: IvRule::Constant(request.iv.iv(unit)),
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
