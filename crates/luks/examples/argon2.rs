//! How long an unlocking's Argon2 takes, beside libargon2's own program (Debian's package `argon2`), in turn:
//!
//! ```text
//! cargo run --release -p udm-luks --example argon2 [MEMORY_KIB [PASSES [LANES [ROUNDS]]]]
//! ```
//!
//! Both derive 64 bytes and check nothing. Their program says itself how long the derivation took.

use std::io::Write;
use std::num::NonZeroU32;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use udm_luks::kdf::{Argon2Kind, Kdf};

/// Thirty-two bytes, as cryptsetup's salts have.
const SALT: &str = "0123456789abcdef0123456789abcdef";

fn main() {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse().expect("a number"));
    let mut next = |default: u32| numbers.next().unwrap_or(default);
    let (memory_kib, time, lanes, rounds) = (next(1 << 20), next(4), next(4), next(5));
    let kdf = Kdf::Argon2 {
        kind: Argon2Kind::Id,
        time: NonZeroU32::new(time).expect("a pass at least"),
        memory_kib,
        lanes: NonZeroU32::new(lanes).expect("a lane at least"),
        salt: SALT.into(),
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let begin = Instant::now();
        kdf.derive(b"a passphrase", 64).expect("memory");
        ours.push(begin.elapsed());
        theirs.push(libargon2(memory_kib, time, lanes));
    }
    // What else the machine does only makes a round slower.
    let (ours, theirs) =
        (ours.into_iter().min().unwrap_or_default(), theirs.into_iter().min().unwrap_or_default());
    println!("argon2id, {memory_kib} KiB, {time} passes, {lanes} lanes, the fastest of {rounds}:");
    println!(
        "  udm {ours:.2?}, libargon2 {theirs:.2?}: {:.2} times as long",
        ours.as_secs_f64() / theirs.as_secs_f64()
    );
}

/// How long libargon2 says that it took.
fn libargon2(memory_kib: u32, time: u32, lanes: u32) -> Duration {
    let costs = [("-k", memory_kib), ("-t", time), ("-p", lanes), ("-l", 64)];
    let mut program = Command::new("argon2");
    program.arg(SALT).arg("-id").stdin(Stdio::piped()).stdout(Stdio::piped());
    for (option, number) in costs {
        program.arg(option).arg(number.to_string());
    }
    let mut child = program.spawn().expect("the program argon2 of Debian's package");
    child.stdin.take().expect("a pipe").write_all(b"a passphrase").expect("a passphrase is taken");
    let told = child.wait_with_output().expect("it ends").stdout;
    let told = String::from_utf8_lossy(&told);
    let seconds =
        told.split_whitespace().zip(told.split_whitespace().skip(1)).find(|(_, word)| *word == "seconds");
    Duration::from_secs_f64(seconds.and_then(|(number, _)| number.parse().ok()).expect("seconds"))
}
