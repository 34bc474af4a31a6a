//! Handshakes with a hostile client. Oracle: whole and cut input must agree, what is held and answered must stay within
//! the bounds that the module promises, and nothing may panic.

use super::tests::{HELLO, exports, run};
use super::*;

const SEED: u64 = 0x6e62_645f_7564_6d01;
const CONVERSATIONS: usize = 20_000;

/// Splitmix64 (Steele, Lea and Flood, 2014): small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// The messages that conversations are made of.
const MESSAGES: &[&[u8]] = &[
    b"IHAVEOPT\0\0\0\x01\0\0\0\x04disk",
    b"IHAVEOPT\0\0\0\x01\0\0\0\x03foo",
    b"IHAVEOPT\0\0\0\x02\0\0\0\0",
    b"IHAVEOPT\0\0\0\x03\0\0\0\0",
    b"IHAVEOPT\0\0\0\x03\0\0\0\0",
    b"IHAVEOPT\0\0\0\x05\0\0\0\0",
    b"IHAVEOPT\0\0\0\x06\0\0\0\x0e\0\0\0\x04disk\0\x02\0\x02\0\x03",
    b"IHAVEOPT\0\0\0\x06\0\0\0\x06\0\0\0\0\0\0",
    b"IHAVEOPT\0\0\0\x07\0\0\0\x0c\0\0\0\x04swap\0\x01\0\x03",
    b"IHAVEOPT\0\0\0\x07\0\0\0\x09\0\0\0\x03foo\0\0",
    b"IHAVEOPT\0\0\0\x08\0\0\0\0",
    b"IHAVEOPT\0\0\0\x0a\0\0\0\x08IHAVEOPT",
];

/// A conversation of some messages, with some bytes changed, inserted, removed or doubled.
fn conversation(random: &mut Random) -> Vec<u8> {
    let mut script = HELLO.to_vec();
    for _ in 0..=random.below(8) {
        script.extend_from_slice(MESSAGES[random.below(MESSAGES.len())]);
    }
    // A quarter of them stays as it is, so that late states are reached too.
    let changes = if random.below(4) == 0 { 0 } else { 1 + random.below(4) };
    for _ in 0..changes {
        if script.is_empty() {
            break;
        }
        let at = random.below(script.len());
        match random.below(6) {
            0 => script[at] ^= 1 << random.below(8),
            1 => script[at] = random.next() as u8,
            2 => script.insert(at, random.next() as u8),
            3 => drop(script.remove(at)),
            4 => script.truncate(at),
            _ => {
                let end = script.len().min(at + 1 + random.below(40));
                let doubled = script[at..end].to_vec();
                script.splice(at..at, doubled);
            }
        }
    }
    script
}

#[test]
fn mutated_conversations_end_the_same_however_they_are_cut() {
    println!("seed {SEED:#x}");
    let exports = exports();
    let mut random = Random(SEED);
    let (mut chosen, mut failed) = (0, 0);
    for number in 0..CONVERSATIONS {
        let script = conversation(&mut random);
        let (whole, ended) = run(&exports, &script, usize::MAX / 2);
        // The longest answer to one option (at least 16 bytes) is that to NBD_OPT_GO with every information.
        assert!(whole.len() <= 16 * script.len() + 256, "conversation {number}: {} bytes out", whole.len());
        let piece = 1 + random.below(30);
        assert_eq!(
            run(&exports, &script, piece),
            (whole, ended.clone()),
            "conversation {number} cut by {piece}"
        );
        match ended.0 {
            Ok(Progress::Transmission(_)) => chosen += 1,
            Err(_) => failed += 1,
            Ok(_) => {}
        }
    }
    // A mutator that reaches one kind of end only would test little.
    assert!(chosen > 1000 && failed > 1000, "{chosen} chose an export, {failed} failed");
}

#[test]
fn noise_is_survived() {
    println!("seed {SEED:#x}");
    let exports = exports();
    let mut random = Random(SEED);
    for _ in 0..2000 {
        let script: Vec<u8> = (0..random.below(200)).map(|_| random.next() as u8).collect();
        let (out, _) = run(&exports, &script, 1 + random.below(300));
        assert!(out.is_empty(), "noise was answered");
    }
}

#[test]
fn what_is_held_is_bounded_and_not_reserved_in_advance() {
    let exports = exports();
    let mut negotiation = Negotiation::new(&exports);
    let mut out = Vec::new();
    let mut feed = |negotiation: &mut Negotiation, bytes: &[u8]| {
        let step = negotiation.input(bytes, &mut out).unwrap();
        assert_eq!(step, Step { consumed: bytes.len(), progress: Progress::Continue });
    };
    feed(&mut negotiation, HELLO);
    // An option that announces as much as is served, and sends nothing of it.
    feed(&mut negotiation, b"IHAVEOPT\0\0\0\x07\0\x01\0\0");
    assert!(negotiation.held.capacity() < 1024, "memory for what was only announced");
    feed(&mut negotiation, &vec![0; 1 << 16]);
    assert!(negotiation.held.capacity() <= 2 * MAX_OPTION_DATA as usize);
    let held = negotiation.held.capacity();
    // What is skipped is not held.
    feed(&mut negotiation, b"IHAVEOPT\0\0\0\x07\x01\0\0\0");
    for _ in 0..256 {
        feed(&mut negotiation, &vec![0; 1 << 16]);
    }
    assert_eq!(negotiation.held.capacity(), held);
}

#[test]
fn one_call_answers_at_most_one_option() {
    let exports = exports();
    let list = b"IHAVEOPT\0\0\0\x03\0\0\0\0";
    let script = [HELLO, &list.repeat(500)].concat();
    let one_answer = run(&exports, &[HELLO, list].concat(), 100).0.len();
    let mut negotiation = Negotiation::new(&exports);
    let mut rest = &script[..];
    for _ in 0..500 {
        let mut out = Vec::new();
        let step = negotiation.input(rest, &mut out).unwrap();
        assert_eq!((step.progress, out.len()), (Progress::Continue, one_answer));
        rest = &rest[step.consumed..];
    }
    assert!(rest.is_empty());
}
