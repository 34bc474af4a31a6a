//! The engines that there are here, and files for them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use udm_backend::file::{self, Cache, EngineChoice, FileDevice, FileOptions};

/// How long a file mostly is, in bytes.
pub const SIZE: usize = 1 << 20;

/// An engine: the choice, and whether the queue never sleeps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Engine(pub EngineChoice, pub bool);

pub const URING: Engine = Engine(EngineChoice::Uring, true);
pub const THREADS: Engine = Engine(EngineChoice::Threads, true);
pub const INLINE: Engine = Engine(EngineChoice::Auto, false);

/// The engines that there are here: without a ring, its tests cannot be run.
pub fn engines() -> Vec<Engine> {
    let dir = folder();
    let probe = image(&dir, 512);
    let options = FileOptions { engine: EngineChoice::Uring, ..FileOptions::default() };
    match file::open(&probe, &options) {
        Ok(_) => vec![URING, THREADS, INLINE],
        Err(error) => {
            udm_testkit::skip("the io_uring engine", error);
            vec![THREADS, INLINE]
        }
    }
}

/// A folder on a disk, where there is `O_DIRECT`, as `/tmp` may not be.
pub fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

pub fn image(dir: &TempDir, size: usize) -> PathBuf {
    let path = dir.path().join("image");
    File::create(&path).unwrap().set_len(size as u64).unwrap();
    path
}

pub fn open(path: &Path, engine: Engine, cache: Cache) -> Arc<FileDevice> {
    let options = FileOptions { engine: engine.0, cache, ..FileOptions::default() };
    Arc::new(file::open(path, &options).unwrap())
}
