//! A search of another process's memory for a key.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// How many bytes of a key count as a copy of it: a block of AES, and a round key.
const PIECE: usize = 16;
/// How much is searched at once, in bytes.
const PAGE: usize = 4096;
/// How much is read for that: a piece may go across the border of two pages.
const READ: usize = PAGE + PIECE - 1;

/// How many pieces of a key (in hexadecimal) the writable memory of a process holds, as bytes or as digits: the heap, the
/// stacks of all threads, what is mapped. The process goes on meanwhile.
///
/// # Panics
/// When the key is no whole number of pieces, or the process is not ours.
pub fn pieces_of_key(pid: u32, key: &str) -> usize {
    let bytes = base16ct::lower::decode_vec(key).expect("hexadecimal digits");
    let pieces: Vec<&[u8]> =
        [&bytes[..], key.as_bytes()].into_iter().flat_map(|key| key.chunks(PIECE)).collect();
    assert!(pieces.iter().all(|piece| piece.len() == PIECE), "a key of {} digits", key.len());
    let mut is_first = [false; 256];
    for piece in &pieces {
        is_first[usize::from(piece[0])] = true;
    }

    let memory = File::open(format!("/proc/{pid}/mem")).expect("a process of ours");
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("a process of ours");
    let mut buffer = [0; READ];
    let mut count = 0;
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|how| how.starts_with("rw"))) {
        let (start, end) = range(line).expect("a range of addresses");
        for at in (start..end).step_by(PAGE) {
            // Not all can be read: a page may be gone by now, and some are the kernel's.
            let Ok(length) = memory.read_at(&mut buffer, at) else { continue };
            let found = &buffer[..length];
            if [0; READ].starts_with(found) {
                continue;
            }
            let is_piece = |at: &usize| pieces.iter().any(|piece| found[*at..].starts_with(piece));
            let firsts =
                found.iter().take(PAGE).enumerate().filter(|(_, byte)| is_first[usize::from(**byte)]);
            count += firsts.map(|(at, _)| at).filter(is_piece).count();
        }
    }
    count
}

/// The addresses of a line of `/proc/PID/maps`.
fn range(line: &str) -> Option<(u64, u64)> {
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some((address(start)?, address(end)?))
}
