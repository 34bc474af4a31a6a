//! Where a passphrase comes from: a file, a descriptor, a credential of systemd's, or the person at the terminal.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use udm_luks::Secret;
use zeroize::Zeroizing;

/// The longest key file, in bytes; cryptsetup's own maximum.
const LONGEST: usize = 8 << 20;
/// The credential that systemd's units name (`LoadCredential=cryptsetup.passphrase:...`), as systemd-cryptsetup does.
const CREDENTIAL: &str = "cryptsetup.passphrase";

/// Where a passphrase comes from.
#[derive(Clone, Debug, Default)]
pub enum Passphrase {
    /// The credential `cryptsetup.passphrase` in `$CREDENTIALS_DIRECTORY`, where there is one; else the person at the
    /// terminal.
    #[default]
    Ask,
    /// All of a file, newlines too, or a part of it; `-` is stdin.
    File {
        /// The file.
        path: PathBuf,
        /// How many bytes of it are left out.
        offset: u64,
        /// How many of the others are taken; without it, all.
        size: Option<usize>,
    },
    /// The credential of this name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// These bytes.
    Bytes(Arc<Secret>),
}

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// The key file cannot be read.
    #[error("{}: cannot read the key file: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The key file is longer than any.
    #[error("{}: the key file is longer than 8 MiB: is it the right file? --keyfile-size takes a part of it", .0.display())]
    Long(PathBuf),
    /// The key file ends before the part that was asked for.
    #[error("{}: the key file ends after {found} bytes of the {wanted} from byte {offset} on", path.display())]
    Short {
        /// The file.
        path: PathBuf,
        /// Where the part begins.
        offset: u64,
        /// What there is of it.
        found: usize,
        /// What was asked for.
        wanted: usize,
    },
    /// There is no such credential.
    #[error(
        "there is no credential {0:?}: a systemd unit gives it by LoadCredential=, in the folder $CREDENTIALS_DIRECTORY"
    )]
    NoCredential(String),
    /// A new passphrase has no bytes.
    #[error("the new passphrase is empty: anybody would guess it")]
    Empty,
    /// What was typed twice was not the same.
    #[error("the two passphrases differ: nothing was changed")]
    Differ,
    /// Nobody can be asked.
    #[error(
        "there is no terminal to ask for the passphrase of {image}: use --key-file FILE, or --key-file - for stdin"
    )]
    NoTerminal {
        /// The image.
        image: String,
    },
}

impl Passphrase {
    /// The passphrase for `image`.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(&self, image: &Path) -> Result<Arc<Secret>, PassphraseError> {
        match self {
            Self::Bytes(secret) => Ok(Arc::clone(secret)),
            Self::File { path, offset, size } => Ok(Arc::new(read(path, *offset, *size)?)),
            Self::Credential(name) => match credential(name) {
                Some(path) => Ok(Arc::new(read(&path, 0, None)?)),
                None => Err(PassphraseError::NoCredential(name.clone())),
            },
            Self::Ask => match credential(CREDENTIAL) {
                Some(path) => Ok(Arc::new(read(&path, 0, None)?)),
                None => ask(&format!("Passphrase for {}", image.display()), image).map(Arc::new),
            },
        }
    }

    /// A new passphrase for `image`, which is not empty. Where a person is asked, it is asked twice: nobody can see what
    /// was typed.
    ///
    /// # Errors
    /// When there is none.
    pub fn get_new(&self, image: &Path) -> Result<Arc<Secret>, PassphraseError> {
        let secret = match self {
            Self::Ask => {
                let first = ask(&format!("New passphrase for {}", image.display()), image)?;
                let second = ask("The same again", image)?;
                if first[..] != second[..] {
                    return Err(PassphraseError::Differ);
                }
                Arc::new(first)
            }
            other => other.get(image)?,
        };
        if secret.is_empty() { Err(PassphraseError::Empty) } else { Ok(secret) }
    }

    /// The same, which reads a file or asks only this once, for several images.
    ///
    /// # Errors
    /// When there is none.
    pub fn once(self, image: &Path) -> Result<Self, PassphraseError> {
        Ok(Self::Bytes(self.get(image)?))
    }
}

/// The file of the credential `name`, where there is one.
fn credential(name: &str) -> Option<PathBuf> {
    // A name is no path out of the folder.
    let name = Path::new(name).file_name().filter(|file| *file == name)?;
    let path = Path::new(&std::env::var_os("CREDENTIALS_DIRECTORY")?).join(name);
    path.exists().then_some(path)
}

/// Reads a key file, as cryptsetup does: newlines belong to it.
fn read(path: &Path, offset: u64, size: Option<usize>) -> Result<Secret, PassphraseError> {
    let failed = |source| PassphraseError::File { path: path.into(), source };
    // Not by the library's stdin, whose buffer nobody wipes.
    let name = if path.as_os_str() == "-" { Path::new("/dev/stdin") } else { path };
    let mut file = File::open(name).map_err(failed)?;
    skip(&mut file, offset).map_err(failed)?;
    let most = size.unwrap_or(LONGEST + 1).min(LONGEST + 1);
    let secret = Secret::read(file, most).map_err(failed)?;
    match size {
        _ if secret.len() > LONGEST => Err(PassphraseError::Long(path.into())),
        Some(wanted) if secret.len() < wanted => {
            Err(PassphraseError::Short { path: path.into(), offset, found: secret.len(), wanted })
        }
        _ => Ok(secret),
    }
}

/// Leaves out `offset` bytes, also of a pipe.
fn skip(file: &mut File, offset: u64) -> std::io::Result<()> {
    if offset == 0 || file.seek(SeekFrom::Start(offset)).is_ok() {
        return Ok(());
    }
    let mut left = offset;
    while left > 0 {
        let skipped = Secret::read((&mut *file).take(left.min(LONGEST as u64)), LONGEST)?;
        if skipped.is_empty() {
            break;
        }
        left -= skipped.len() as u64;
    }
    Ok(())
}

/// Asks at the terminal, whatever stdin is, without showing what is typed.
fn ask(prompt: &str, image: &Path) -> Result<Secret, PassphraseError> {
    let nobody = || PassphraseError::NoTerminal { image: image.display().to_string() };
    let typed = rpassword::prompt_password(format!("{prompt}: ")).map_err(|_| nobody())?;
    let typed = Zeroizing::new(typed);
    Secret::copy_of(typed.as_bytes()).map_err(|_| nobody())
}
