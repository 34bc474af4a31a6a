//! The threads of Argon2's lanes have ended when the key is there. Oracle: /proc/self/task.
//!
//! One test alone: another one's threads would be counted with them.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use udm_luks::kdf::{Argon2Kind, Kdf};

const LANES: u32 = 4;
const ROUNDS: usize = 500;

/// The kernel's mark of a thread that has begun to end (`PF_EXITING`). One that was joined may still be listed for a moment.
const EXITING: u32 = 4;

/// The threads of this process that have not begun to end.
fn threads() -> BTreeSet<String> {
    let listed = std::fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap());
    let live = listed.filter(|entry| {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { return false };
        // The name, in brackets, may have spaces in it; the flags are the seventh word behind it.
        let behind = stat.rsplit_once(')').unwrap().1;
        let flags: u32 = behind.split_whitespace().nth(6).unwrap().parse().unwrap();
        flags & EXITING == 0
    });
    live.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[test]
fn no_lane_outlives_the_key() {
    // The bad twin: a thread that runs is counted.
    let before = threads();
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || receive.recv());
    assert_eq!(threads().len(), before.len() + 1);
    drop(send);
    let _ = thread.join();
    assert_eq!(threads(), before);

    let lanes = NonZeroU32::new(LANES).unwrap();
    let kdf = Kdf::Argon2 {
        kind: Argon2Kind::Id,
        time: NonZeroU32::MIN,
        memory_kib: 8 * LANES,
        lanes,
        salt: vec![1; 16],
    };
    let mut outlived = 0;
    for _ in 0..ROUNDS {
        kdf.derive(b"passphrase", 32).unwrap();
        outlived += usize::from(threads() != before);
    }
    assert_eq!(outlived, 0, "of {ROUNDS} derivations, after so many a lane's thread still lived");
}
