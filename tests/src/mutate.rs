//! Makes malformed lines out of good ones, from a seed: what a tired person or a broken script would write.
//!
//! This file needs nothing but the standard library, so that any crate's tests can include it.

/// A stream of numbers from a seed (splitmix64), the same on every machine.
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// The stream of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 where the limit is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.draw().checked_rem(limit as u64).unwrap_or(0) as usize
    }

    /// One of `choices`, which must not be empty.
    pub fn pick<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        &choices[self.below(choices.len())]
    }
}

/// What is put between the characters of a line: some of it means something to the table language or a terminal.
const INSERTS: [&str; 24] = [
    " ", "\t", "\n", "\r", "\0", "\x07", "\x0b", "\x1b[31m", "\x7f", "\u{a0}", "\u{85}", "\u{2028}",
    "\u{202e}", "\u{feff}", "é", "漢", "🦀", "#", "\\", ":", "-", "(", ")", ",",
];

/// Numbers that are too large, too small or no numbers.
const NUMBERS: [&str; 16] = [
    "0",
    "1",
    "-1",
    "+1",
    "0x10",
    "010",
    "1.5",
    "1e3",
    "7",
    "4294967296",
    "9223372036854775807",
    "18014398509481984",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999999999",
    "",
];

/// `line` with one to three things done to it.
pub fn mutate(random: &mut SplitMix64, line: &str) -> String {
    let mut text = line.to_owned();
    for _ in 0..=random.below(3) {
        text = mutate_once(random, &text);
    }
    text
}

/// `line` with one thing done to it.
fn mutate_once(random: &mut SplitMix64, line: &str) -> String {
    let kind = random.below(9);
    if kind < 5 {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let at = random.below(words.len());
        match kind {
            0 => drop(words.remove(at)),
            1 => words.insert(at, words[at].clone()),
            2 => {
                let other = random.below(words.len());
                words.swap(at, other);
            }
            3 => NUMBERS[random.below(NUMBERS.len())].clone_into(&mut words[at]),
            _ => {
                let keep = random.below(words[at].chars().count());
                words[at] = words[at].chars().take(keep).collect();
            }
        }
        return words.join(" ");
    }
    let mut chars: Vec<char> = line.chars().collect();
    let at = random.below(chars.len());
    match kind {
        5 | 6 => chars.splice(at..at, random.pick(&INSERTS).chars()).for_each(drop),
        7 if at < chars.len() => chars[at] = char::from(b' ' + random.below(95) as u8),
        _ if at < chars.len() => drop(chars.remove(at)),
        _ => chars.push('x'),
    }
    chars.into_iter().collect()
}
