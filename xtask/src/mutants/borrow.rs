//! What is built of other people's crates is the same in the copy: it is taken from where the workspace has built it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};

/// Links the built crates of others from the profile's folder `from` into `to`, where there is nothing yet. Cargo writes
/// what it builds to a new file, so nothing that is linked changes.
///
/// # Errors
/// When a file cannot be linked.
pub fn borrow(from: &Path, to: &Path) -> Result<()> {
    if to.exists() || !from.exists() {
        return Ok(());
    }
    for (part, prefix) in [(".fingerprint", ""), ("build", ""), ("deps", "lib")] {
        let is_others = |name: &str| {
            name.strip_prefix(prefix)
                .is_some_and(|name| !name.starts_with("udm") && !name.starts_with("xtask"))
        };
        let made = to.join(part);
        fs::create_dir_all(&made).with_context(|| format!("cannot make {}", made.display()))?;
        for entry in
            fs::read_dir(from.join(part)).with_context(|| format!("cannot read {}", from.display()))?
        {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(is_others) {
                link(&entry.path(), &made.join(entry.file_name()))?;
            }
        }
    }
    Ok(())
}

/// Links a file, or all files below a folder. What goes away meanwhile is not needed.
fn link(from: &Path, to: &Path) -> Result<()> {
    let done = if from.is_dir() {
        fs::create_dir_all(to)?;
        return fs::read_dir(from)?.try_for_each(|entry| {
            let entry = entry?;
            link(&entry.path(), &to.join(entry.file_name()))
        });
    } else {
        fs::hard_link(from, to)
    };
    match done {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot link {}", from.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn crates_of_others_are_borrowed_and_ours_are_not() {
        let scratch = Scratch::new("udm-mutants-borrow").unwrap();
        let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
        for file in ["deps/libaes-1.rlib", "deps/libudm_block-1.rlib", "deps/all-1", "build/aes-1/out/x.o"] {
            let file = from.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "built").unwrap();
        }
        fs::create_dir_all(from.join(".fingerprint/udm-block-1")).unwrap();
        fs::create_dir_all(from.join(".fingerprint/aes-1")).unwrap();
        borrow(&from, &to).unwrap();
        for there in ["deps/libaes-1.rlib", "build/aes-1/out/x.o", ".fingerprint/aes-1"] {
            assert!(to.join(there).exists(), "{there}");
        }
        for missing in ["deps/libudm_block-1.rlib", "deps/all-1", ".fingerprint/udm-block-1"] {
            assert!(!to.join(missing).exists(), "{missing}");
        }
        // What is there is left as it is.
        fs::write(from.join("deps/libnew-1.rlib"), "built").unwrap();
        borrow(&from, &to).unwrap();
        assert!(!to.join("deps/libnew-1.rlib").exists());
    }
}
