//! Looks for secrets in all memory that a process can write.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use zeroize::Zeroize;

/// What secrets are kept under here, so that the search does not find itself.
const MASK: u8 = 0x5a;
/// How many bytes of a secret count as a copy of it: a block of AES, and a round key.
pub const PIECE: usize = 16;
/// How much is read at once.
const CHUNK: usize = 1 << 20;

/// A secret, masked.
pub struct Masked(Vec<u8>);

impl Masked {
    /// The secret that these bytes are the mask of.
    pub fn new(masked: Vec<u8>) -> Self {
        Self(masked)
    }

    /// Masks `secret`, and wipes it.
    pub fn of(mut secret: impl AsMut<[u8]>) -> Self {
        let masked = secret.as_mut().iter().map(|byte| byte ^ MASK).collect();
        secret.as_mut().zeroize();
        Self(masked)
    }

    /// Its bytes, one by one.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.iter().map(|byte| byte ^ MASK)
    }

    /// The pieces that `at` has copies of.
    fn found_at(&self, memory: &[u8], at: usize) -> bool {
        let Some(window) = memory.get(at..at + PIECE) else { return false };
        self.0.chunks_exact(PIECE).any(|piece| piece.iter().zip(window).all(|(a, b)| *a == *b ^ MASK))
    }

    /// Whether some piece begins with this byte.
    fn starts(&self) -> [bool; 256] {
        let mut starts = [false; 256];
        self.0.chunks_exact(PIECE).for_each(|piece| starts[usize::from(piece[0] ^ MASK)] = true);
        starts
    }
}

/// The places of copies of any piece of `secret` in this process: the mapping's name and the address.
///
/// # Panics
/// When the kernel does not show this process its own memory.
pub fn find(secret: &Masked) -> Vec<String> {
    let mut buffer = vec![0; CHUNK + PIECE];
    let own = buffer.as_ptr() as u64..buffer.as_ptr() as u64 + buffer.len() as u64;
    search("self", secret, &mut buffer, own)
}

/// The same in another process, which goes on meanwhile.
///
/// # Panics
/// When it is not ours.
pub fn find_in(pid: u32, secret: &Masked) -> Vec<String> {
    search(&pid.to_string(), secret, &mut vec![0; CHUNK + PIECE], 0..0)
}

/// Searches what a process can write, but for the addresses `except`, chunk by chunk in `buffer`.
fn search(process: &str, secret: &Masked, buffer: &mut [u8], except: Range<u64>) -> Vec<String> {
    let memory = File::open(format!("/proc/{process}/mem")).expect("the memory of a process of ours");
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).expect("its mappings");
    let starts = secret.starts();
    let mut found = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, access) = (words.next().expect("a range"), words.next().expect("what is allowed"));
        if !access.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').expect("two addresses");
        let address = |text| u64::from_str_radix(text, 16).expect("an address");
        let (mut at, end) = (address(start), address(end));
        let mut filled = 0;
        while at < end {
            let len = buffer.len().min((end - at) as usize);
            // A mapping may shrink meanwhile, and some cannot be read.
            let Ok(len) = memory.read_at(&mut buffer[..len], at) else { break };
            filled = filled.max(len);
            for place in 0..len {
                if starts[usize::from(buffer[place])]
                    && secret.found_at(&buffer[..len], place)
                    && !except.contains(&(at + place as u64))
                {
                    found.push(format!(
                        "{:#x} in {}",
                        at + place as u64,
                        words.clone().last().unwrap_or("memory")
                    ));
                }
            }
            if len == 0 {
                break;
            }
            at += (len as u64).min(CHUNK as u64);
        }
        // What was read would be found in here by the next search.
        buffer[..filled].zeroize();
    }
    found
}
