//! How Twofish's key becomes tables and round keys: section 4 of its paper.

use super::Twofish;
use zeroize::Zeroizing;

/// The nibble permutations `t0` to `t3` of which `q0` and `q1` are made (section 4.3.5).
const NIBBLES: [[[u8; 16]; 4]; 2] = [
    [
        [0x8, 0x1, 0x7, 0xd, 0x6, 0xf, 0x3, 0x2, 0x0, 0xb, 0x5, 0x9, 0xe, 0xc, 0xa, 0x4],
        [0xe, 0xc, 0xb, 0x8, 0x1, 0x2, 0x3, 0x5, 0xf, 0x4, 0xa, 0x6, 0x7, 0x0, 0x9, 0xd],
        [0xb, 0xa, 0x5, 0xe, 0x6, 0xd, 0x9, 0x0, 0xc, 0x8, 0xf, 0x3, 0x2, 0x4, 0x7, 0x1],
        [0xd, 0x7, 0xf, 0x4, 0x1, 0x2, 0x6, 0xe, 0x9, 0xb, 0x3, 0x0, 0x8, 0x5, 0xc, 0xa],
    ],
    [
        [0x2, 0x8, 0xb, 0xd, 0xf, 0x7, 0x6, 0xe, 0x3, 0x1, 0x9, 0x4, 0x0, 0xa, 0xc, 0x5],
        [0x1, 0xe, 0x2, 0xb, 0x4, 0xc, 0x3, 0x7, 0x6, 0xd, 0xa, 0x5, 0xf, 0x9, 0x0, 0x8],
        [0x4, 0xc, 0x7, 0x5, 0x1, 0x6, 0x9, 0xa, 0x0, 0xe, 0xd, 0x8, 0x2, 0xb, 0x3, 0xf],
        [0xb, 0x9, 0x5, 0x1, 0xc, 0x3, 0xd, 0xe, 0x6, 0x4, 0x7, 0xf, 0x2, 0x0, 0x8, 0xa],
    ],
];

/// The byte permutations `q0` and `q1`.
const Q: [[u8; 256]; 2] = [q(&NIBBLES[0]), q(&NIBBLES[1])];

/// Which of `q0` and `q1` each byte of a word goes through, the first step last: before each but the first of them, a
/// byte of the key is added.
const STEPS: [[usize; 5]; 4] = [[1, 0, 0, 1, 1], [0, 0, 1, 1, 0], [1, 1, 0, 0, 0], [0, 1, 1, 0, 1]];

/// The matrix MDS, column by column, and the polynomial of its field: x^8 + x^6 + x^5 + x^3 + 1.
const MDS: [[u8; 4]; 4] =
    [[0x01, 0x5b, 0xef, 0xef], [0xef, 0xef, 0x5b, 0x01], [0x5b, 0xef, 0x01, 0xef], [0x5b, 0x01, 0xef, 0x5b]];
const MDS_FIELD: u16 = 0x169;

/// The code RS, column by column, and the polynomial of its field: x^8 + x^6 + x^3 + x^2 + 1.
const RS: [[u8; 4]; 8] = [
    [0x01, 0xa4, 0x02, 0xa4],
    [0xa4, 0x56, 0xa1, 0x55],
    [0x55, 0x82, 0xfc, 0x87],
    [0x87, 0xf3, 0xc1, 0x5a],
    [0x5a, 0x1e, 0x47, 0x58],
    [0x58, 0xc6, 0xae, 0xdb],
    [0xdb, 0x68, 0x3d, 0x9e],
    [0x9e, 0xe5, 0x19, 0x03],
];
const RS_FIELD: u16 = 0x14d;

/// The products of each byte's S-box result with its column of MDS.
const COLUMNS: [[u32; 256]; 4] = columns();

/// Words of the key, or what was made of them, at most four.
type KeyWords = Zeroizing<Vec<u32>>;

impl Twofish {
    /// Twofish with `key`.
    ///
    /// # Panics
    /// Where the key is not of 16, 24 or 32 bytes.
    pub(in crate::portable) fn new(key: &[u8]) -> Self {
        assert!(matches!(key.len(), 16 | 24 | 32), "a key of Twofish has 16, 24 or 32 bytes");
        let (even, odd): (KeyWords, KeyWords) = (words(key, 0), words(key, 4));
        // The S-boxes take the words of the key's code in reverse.
        let boxes: KeyWords = Zeroizing::new(key.as_chunks().0.iter().rev().copied().map(code).collect());
        let mut made = Self { tables: [[0; 256]; 4], whitening: [[0; 4]; 2], rounds: [[0; 2]; 16] };
        for (place, table) in made.tables.iter_mut().enumerate() {
            for (entry, byte) in table.iter_mut().zip(0..=255) {
                *entry = column(place, byte, &boxes);
            }
        }
        let pair = |number: usize| {
            let a = h(2 * number as u8, &even);
            let b = h(2 * number as u8 + 1, &odd).rotate_left(8);
            let sum = a.wrapping_add(b);
            [sum, sum.wrapping_add(b).rotate_left(9)]
        };
        for (number, keys) in made.whitening.as_flattened_mut().as_chunks_mut().0.iter_mut().enumerate() {
            *keys = pair(number);
        }
        for (keys, number) in made.rounds.iter_mut().zip(4..) {
            *keys = pair(number);
        }
        made
    }
}

/// The words of `key` that begin at `first` of each 8 bytes.
fn words(key: &[u8], first: usize) -> KeyWords {
    let words = key.as_chunks::<8>().0.iter().map(|bytes| {
        let bytes = [bytes[first], bytes[first + 1], bytes[first + 2], bytes[first + 3]];
        u32::from_le_bytes(bytes)
    });
    Zeroizing::new(words.collect())
}

/// The function `h` of the paper, on a word of four bytes that are equal.
fn h(byte: u8, key: &[u32]) -> u32 {
    (0..4).fold(0, |sum, place| sum ^ column(place, byte, key))
}

/// What `byte` at `place` of a word adds to `h`.
fn column(place: usize, byte: u8, key: &[u32]) -> u32 {
    let steps = &STEPS[place];
    let mut byte = byte;
    for (step, word) in key.iter().enumerate().rev() {
        byte = Q[steps[step + 1]][usize::from(byte)] ^ word.to_le_bytes()[place];
    }
    COLUMNS[place][usize::from(Q[steps[0]][usize::from(byte)])]
}

/// The word of the code RS for 8 bytes of the key.
fn code(bytes: [u8; 8]) -> u32 {
    let mut word = [0; 4];
    for (byte, column) in bytes.into_iter().zip(RS) {
        for (sum, factor) in word.iter_mut().zip(column) {
            *sum ^= product(byte, factor, RS_FIELD);
        }
    }
    u32::from_le_bytes(word)
}

const fn q(nibbles: &[[u8; 16]; 4]) -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut a, mut b) = (byte as u8 >> 4, byte as u8 & 15);
        let mut half = 0;
        while half < 2 {
            let mixed = a ^ (b >> 1 | (b << 3 & 8)) ^ ((8 * a) & 15);
            (a, b) = (nibbles[2 * half][(a ^ b) as usize], nibbles[2 * half + 1][mixed as usize]);
            half += 1;
        }
        table[byte] = b << 4 | a;
        byte += 1;
    }
    table
}

const fn columns() -> [[u32; 256]; 4] {
    let mut tables = [[0; 256]; 4];
    let mut place = 0;
    while place < 4 {
        let [a, b, c, d] = MDS[place];
        let mut byte = 0;
        while byte < 256 {
            tables[place][byte] = u32::from_le_bytes([
                product(byte as u8, a, MDS_FIELD),
                product(byte as u8, b, MDS_FIELD),
                product(byte as u8, c, MDS_FIELD),
                product(byte as u8, d, MDS_FIELD),
            ]);
            byte += 1;
        }
        place += 1;
    }
    tables
}

/// The product in GF(2^8) modulo `field`, with no branch on its factors.
const fn product(a: u8, b: u8, field: u16) -> u8 {
    let (mut power, mut sum, mut bit) = (a as u16, 0, 0);
    while bit < 8 {
        sum ^= power & ((b as u16 >> bit) & 1).wrapping_neg();
        power = power << 1 ^ field & (power >> 7).wrapping_neg();
        bit += 1;
    }
    sum as u8
}
