//! A folder for one run, which goes when the run ends.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process;
use std::{env, io};

use anyhow::{Context, Result};

/// A new folder that only its owner may enter. Dropping it removes it with all that is in it.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes `NAME-PID` in the folder for temporary files.
    ///
    /// # Errors
    /// The folder cannot be made, or something of that name is there: what others made is never taken over.
    pub fn new(name: &str) -> Result<Self> {
        let path = env::temp_dir().join(format!("{name}-{}", process::id()));
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                eprintln!("cannot remove {}: {error}", self.path.display());
            }
            _ => {}
        }
    }
}
