//! Where a passphrase comes from: a file, a descriptor, a credential of systemd's, or the person at the terminal.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use udm::luks::{self, PassphraseSource};
use udm_luks::Secret;

use crate::input::Input;
use crate::terminal::{Echo, Terminal, TerminalError};

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
    /// All of a file, newlines too, or a part of it.
    File {
        /// The file, or the descriptor from where it stands.
        input: Input,
        /// How many bytes of it are left out.
        offset: u64,
        /// How many of the others are taken; without it, all.
        size: Option<usize>,
    },
    /// The credential of this name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// The key file cannot be read.
    #[error("{input}: cannot read the key file: {source}")]
    File {
        /// The file.
        input: Input,
        /// What the system says.
        source: std::io::Error,
    },
    /// The key file is longer than any.
    #[error(
        "{0}: the key file is longer than 8 MiB: is it the right file? --keyfile-size takes a part of it"
    )]
    Long(Input),
    /// The key file ends before the part that was asked for.
    #[error("{input}: the key file ends after {found} bytes of the {wanted} from byte {offset} on")]
    Short {
        /// The file.
        input: Input,
        /// Where the part begins.
        offset: u64,
        /// What there is of it.
        found: usize,
        /// What was asked for.
        wanted: usize,
    },
    /// The key file has nothing behind what is left out.
    #[error("{input}: the key file has nothing from byte {offset} on")]
    Nothing {
        /// The file.
        input: Input,
        /// How many bytes were to be left out.
        offset: u64,
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
    /// Nobody has typed it.
    #[error("no passphrase for {image}: {source}")]
    Typed {
        /// The image.
        image: String,
        /// Why not.
        source: TerminalError,
    },
    /// A part was asked for of what a person types.
    #[error(
        "{0} is a terminal, where a passphrase is asked for: --keyfile-offset and --keyfile-size are for files"
    )]
    Part(Input),
}

impl Passphrase {
    /// All of `input`.
    pub fn file(input: &Input) -> Self {
        Self::File { input: input.clone(), offset: 0, size: None }
    }

    /// The passphrase for `image`.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(&self, image: &Path) -> Result<Arc<Secret>, PassphraseError> {
        if let (Self::Ask, Some(path)) = (self, credential(CREDENTIAL)) {
            return read(&path.into(), 0, None).map(Arc::new);
        }
        self.take(image, |terminal| type_once(terminal, image))
    }

    /// A new passphrase for `image`, which is not empty. Where a person is asked, it is asked twice: nobody can see what
    /// was typed.
    ///
    /// # Errors
    /// When there is none.
    pub fn get_new(&self, image: &Path) -> Result<Arc<Secret>, PassphraseError> {
        let secret = self.take(image, |terminal| type_twice(terminal, image))?;
        if secret.is_empty() { Err(PassphraseError::Empty) } else { Ok(secret) }
    }

    /// The passphrase for `image`, which `ask` asks for at a terminal.
    fn take(
        &self,
        image: &Path,
        ask: impl FnOnce(&Terminal) -> Result<Secret, PassphraseError>,
    ) -> Result<Arc<Secret>, PassphraseError> {
        let secret = match self {
            Self::Credential(name) => match credential(name) {
                Some(path) => read(&path.into(), 0, None)?,
                None => return Err(PassphraseError::NoCredential(name.clone())),
            },
            // Nobody would want a passphrase to be seen, and Enter to belong to it: cryptsetup asks there, too.
            Self::File { input, offset, size } => match input.terminal() {
                Some(_) if *offset > 0 || size.is_some() => return Err(PassphraseError::Part(input.clone())),
                Some(terminal) => ask(&terminal)?,
                None => read(input, *offset, *size)?,
            },
            Self::Ask => {
                let nobody = || PassphraseError::NoTerminal { image: image.display().to_string() };
                ask(&Terminal::open().ok_or_else(nobody)?)?
            }
        };
        Ok(Arc::new(secret))
    }
}

impl PassphraseSource for Passphrase {
    fn passphrase(&self, image: &Path) -> Result<Arc<Secret>, luks::PassphraseError> {
        self.get(image).map_err(luks::PassphraseError::new)
    }

    fn new_passphrase(&self, image: &Path) -> Result<Arc<Secret>, luks::PassphraseError> {
        self.get_new(image).map_err(luks::PassphraseError::new)
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
fn read(input: &Input, offset: u64, size: Option<usize>) -> Result<Secret, PassphraseError> {
    let failed = |source| PassphraseError::File { input: input.clone(), source };
    let mut reader = input.open().map_err(failed)?;
    reader.skip(offset).map_err(failed)?;
    let most = size.unwrap_or(LONGEST + 1).min(LONGEST + 1);
    let secret = Secret::read(reader, most).map_err(failed)?;
    match size {
        _ if secret.len() > LONGEST => Err(PassphraseError::Long(input.clone())),
        Some(wanted) if secret.len() < wanted => {
            Err(PassphraseError::Short { input: input.clone(), offset, found: secret.len(), wanted })
        }
        None if offset > 0 && secret.is_empty() => {
            Err(PassphraseError::Nothing { input: input.clone(), offset })
        }
        _ => Ok(secret),
    }
}

/// Asks for the passphrase of `image`.
fn type_once(terminal: &Terminal, image: &Path) -> Result<Secret, PassphraseError> {
    type_line(terminal, &format!("Passphrase for {}: ", image.display()), image)
}

/// Asks for a new passphrase of `image`, and again.
fn type_twice(terminal: &Terminal, image: &Path) -> Result<Secret, PassphraseError> {
    let first = type_line(terminal, &format!("New passphrase for {}: ", image.display()), image)?;
    let second = type_line(terminal, "The same again: ", image)?;
    if first[..] == second[..] { Ok(first) } else { Err(PassphraseError::Differ) }
}

fn type_line(terminal: &Terminal, prompt: &str, image: &Path) -> Result<Secret, PassphraseError> {
    terminal
        .ask(prompt, Echo::Off)
        .map_err(|source| PassphraseError::Typed { image: image.display().to_string(), source })
}
