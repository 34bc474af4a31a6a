//! A search of another process's memory for a key.

use udm_testkit::secrets::{Masked, PIECE, find_in};

/// How many pieces of a key (in hexadecimal) the writable memory of a process holds, as bytes or as digits: the heap, the
/// stacks of all threads, what is mapped. The process goes on meanwhile.
///
/// # Panics
/// When the key is no whole number of pieces, or the process is not ours.
pub fn pieces_of_key(pid: u32, key: &str) -> usize {
    let bytes = base16ct::lower::decode_vec(key).expect("hexadecimal digits");
    assert!(bytes.len().is_multiple_of(PIECE), "a key of {} digits", key.len());
    [bytes, key.as_bytes().to_vec()].into_iter().map(|key| find_in(pid, &Masked::of(key)).len()).sum()
}
