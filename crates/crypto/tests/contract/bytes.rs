//! Random bytes from a seed, hex, and memory cut into spans.

use udm_block::SpanMut;

/// splitmix64: the same numbers from the same seed, everywhere.
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// So many bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// One of `choices`.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// The bytes of `text`, hex with any white space.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

/// How memory is cut into spans.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// One span.
    Whole,
    /// A byte before each unit's border.
    Before,
    /// At each unit's border.
    At,
    /// A byte behind each unit's border.
    Behind,
    /// A span a byte.
    Bytes,
    /// At places drawn from this seed, some spans empty.
    Random(u64),
}

impl Cut {
    /// Every way, with a seed for the last.
    pub const fn all(seed: u64) -> [Self; 6] {
        [Self::Whole, Self::Before, Self::At, Self::Behind, Self::Bytes, Self::Random(seed)]
    }

    /// `memory` in spans.
    pub fn spans(self, memory: &mut [u8], unit: usize) -> Vec<SpanMut<'_>> {
        let len = memory.len();
        let step = |from: usize| (from..len).step_by(unit).collect::<Vec<_>>();
        let mut places = match self {
            Self::Whole => vec![],
            Self::Before => step(unit - 1),
            Self::At => step(unit),
            Self::Behind => step(1),
            Self::Bytes => (1..len).collect(),
            Self::Random(seed) => {
                let mut random = Random(seed);
                let count = random.below(20);
                (0..count).map(|_| random.below(len + 1)).collect()
            }
        };
        places.sort_unstable();
        let (mut spans, mut rest, mut done) = (Vec::new(), memory, 0);
        for place in places {
            let (span, later) = rest.split_at_mut(place - done);
            spans.push(SpanMut::new(span));
            (rest, done) = (later, place);
        }
        spans.push(SpanMut::new(rest));
        spans
    }
}
