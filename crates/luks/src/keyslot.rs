//! A key slot: the volume key, split, and enciphered under the key that a passphrase derives. What LUKS1 and LUKS2 say of
//! one in different ways is one thing here.

use udm_block::{SECTOR_SIZE, stack};
use udm_crypto::spec::{CipherSpec, is_capi};
use udm_crypto::{Direction, Hash};

use crate::af;
use crate::area::{AreaCipher, AreaError};
use crate::cost::KdfOptions;
use crate::error::{Error, Finding};
use crate::kdf::Kdf;
use crate::limits::Limits;
use crate::memory::Room;
use crate::random;
use crate::secret::Secret;
use crate::source::{ReadAt, Storage};

/// The longest volume key, in bytes. The longest that a cipher here takes is loop-AES's, of 65 keys of 32 bytes.
pub const MAX_KEY_SIZE: usize = 4096;
/// The most stripes of the anti-forensic splitter, each of which costs a hash. cryptsetup's key slots all have 4000.
pub const MAX_STRIPES: usize = 65_536;
/// The most bytes that the stripes of one key slot have: what the largest area for key slots holds.
pub const MAX_MATERIAL: usize = 128 << 20;

/// The stripes of a new key slot.
pub const STRIPES: usize = 4000;
/// The cipher of a new key slot's area where the volume's own cannot be, and the bytes of its key.
const AREA_CIPHER: &str = "aes-xts-plain64";
const AREA_KEY_SIZE: usize = 64;

/// What a key slot is to an unlocking that names none (LUKS2 specification, the keyslots object: `priority`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Priority {
    /// It is tried only where it is named.
    Ignore,
    /// It is tried after those that are preferred.
    #[default]
    Normal,
    /// It is tried first.
    Prefer,
}

/// A key slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeySlot {
    /// Its number.
    pub id: u32,
    /// Where the header has it: `keyslots.0`, or `key-slot-0` in LUKS1.
    pub path: String,
    /// Whether it is tried.
    pub priority: Priority,
    /// The bytes of the key that it holds.
    pub key_size: usize,
    /// How its own key is derived from a passphrase.
    pub kdf: Kdf,
    /// The hash of the anti-forensic splitter.
    pub af_hash: Hash,
    /// The stripes of the anti-forensic splitter.
    pub stripes: usize,
    /// Where its stripes are.
    pub area: Area,
}

/// Where the stripes of a key slot are, and under what cipher.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Area {
    /// The first byte, from the header's beginning.
    pub offset: u64,
    /// How many bytes there are.
    pub size: u64,
    /// The cipher, as the header has it.
    pub encryption: String,
    /// The bytes of the cipher's key.
    pub key_size: usize,
}

/// A key slot that is to be made.
///
/// New fields come with a new major version only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlotOptions {
    /// Its number; without it, the first that is free.
    pub id: Option<u32>,
    /// What its passphrase is to cost.
    pub kdf: KdfOptions,
    /// The cipher of its area, and the bytes of that one's key; without it, those of the volume where they can be.
    pub cipher: Option<(String, usize)>,
    /// Whether it is tried.
    pub priority: Priority,
}

impl SlotOptions {
    /// The first that is free, with such costs.
    pub fn new(kdf: KdfOptions) -> Self {
        Self { id: None, kdf, cipher: None, priority: Priority::Normal }
    }

    /// The area's cipher and key for a volume of the cipher `encryption` with a key of `key_size` bytes.
    ///
    /// # Errors
    /// Where those that were asked for cannot be.
    pub(crate) fn area_cipher(&self, encryption: &str, key_size: usize) -> Result<(String, usize), Error> {
        let Some((encryption, key_size)) = &self.cipher else {
            return Ok(volumes_own(encryption, key_size).unwrap_or((AREA_CIPHER.into(), AREA_KEY_SIZE)));
        };
        let refused = |why: String, hint: String| {
            Error::request("--keyslot-cipher", crate::error::shown(encryption), why, hint)
        };
        if is_capi(encryption) {
            let why = "cryptsetup opens no key slot with a cipher in this form";
            return Err(refused(why.into(), "write it as aes-xts-plain64 is written".into()));
        }
        let spec = CipherSpec::parse(encryption);
        if let Some((cipher, option)) = spec.as_ref().ok().and_then(CipherSpec::without_idle_option) {
            let why = format!("its IV mode does not read the option {}", crate::error::shown(option));
            return Err(refused(why, format!("write {cipher}")));
        }
        let cipher = spec.map_err(AreaError::Spec).and_then(|spec| AreaCipher::of(&spec));
        let cipher = cipher.map_err(|error| refused(error.why(), error.hint()))?;
        if !cipher.takes_key_size(*key_size) {
            let (bits, why) = (key_size * 8, format!("{encryption} does not take a key of this many bits"));
            return Err(Error::request("--keyslot-key-size", bits, why, "leave it out for the volume's own"));
        }
        Ok((encryption.clone(), *key_size))
    }
}

/// The cipher and key size of a volume for an area of its own, where they can be. An option that its IV mode does not read is
/// left out: cryptsetup reads no such area by itself.
fn volumes_own(encryption: &str, key_size: usize) -> Option<(String, usize)> {
    let spec = CipherSpec::parse(encryption).ok().filter(|_| !is_capi(encryption))?;
    let cipher = AreaCipher::of(&spec).ok().filter(|cipher| cipher.takes_key_size(key_size));
    let text = spec.without_idle_option().map_or(encryption, |(text, _)| text);
    cipher.map(|_| (text.to_owned(), key_size))
}

impl KeySlot {
    /// The bytes of all stripes.
    pub fn material_size(&self) -> usize {
        self.key_size * self.stripes
    }

    /// Whether a passphrase can be tried: it costs no more than `limits` allow, and its cipher is known here.
    ///
    /// # Errors
    /// Where not.
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), Error> {
        self.kdf.check(&self.kdf_path(), limits)?;
        self.cipher().map(drop)
    }

    /// What `passphrase` makes of the stripes: the volume key, if it is the right one, which a digest can tell.
    ///
    /// # Errors
    /// When it costs more than `limits` allow, its cipher is not known here, or the stripes cannot be read.
    pub(crate) fn open(
        &self,
        source: &(impl ReadAt + ?Sized),
        passphrase: &[u8],
        limits: &Limits,
    ) -> Result<Secret, Error> {
        self.kdf.check(&self.kdf_path(), limits)?;
        if let Kdf::Argon2 { .. } = self.kdf {
            self.kdf.check_room(&self.kdf_path(), &Room::here())?;
        }
        let cipher = self.cipher()?;
        let mut material = self.read(source)?;
        let key = self.kdf.derive(passphrase, self.area.key_size)?;
        stack::wiped(|| {
            cipher
                .crypt(Direction::Decrypt, &key, &mut material)
                .map_err(|why| Error::Cipher { what: self.path.clone(), why })?;
            material.truncate(self.material_size());
            Ok(af::merge(self.af_hash, &material, self.key_size)?)
        })
    }

    /// Writes `key`, split and enciphered for `passphrase`, into the area. It is durable after a sync.
    ///
    /// # Errors
    /// Where it cannot be written, there is no randomness, or a cipher fails.
    pub(crate) fn store(
        &self,
        storage: &mut impl Storage,
        passphrase: &[u8],
        key: &[u8],
    ) -> Result<(), Error> {
        let cipher = self.cipher()?;
        let mut material = Secret::zeroed(self.material_size().next_multiple_of(SECTOR_SIZE))?;
        let own = self.kdf.derive(passphrase, self.area.key_size)?;
        let size = self.material_size();
        stack::wiped(|| {
            af::split(self.af_hash, key, &mut material[..size], random::fill)?;
            cipher
                .crypt(Direction::Encrypt, &own, &mut material)
                .map_err(|why| Error::Cipher { what: self.path.clone(), why })
        })?;
        let what = format!("key slot {} at byte {}", self.id, self.area.offset);
        storage.write_at(self.area.offset, &material).map_err(Error::writing(what))
    }

    /// Where the stripes are, to be overwritten.
    pub(crate) fn area_range(&self) -> std::ops::Range<u64> {
        self.area.offset..self.area.offset + self.area.size
    }

    /// The cipher of the area.
    fn cipher(&self) -> Result<AreaCipher, Error> {
        let (field, found) =
            (format!("{}.area.encryption", self.path), crate::error::shown(&self.area.encryption));
        let cipher = AreaCipher::parse(&self.area.encryption)
            .map_err(|error| Error::Unsupported(Finding::new(&field, &found, error.why(), error.hint())))?;
        if !cipher.takes_key_size(self.area.key_size) {
            let why = format!("its key cannot have {} bytes", self.area.key_size);
            return Err(Error::Damaged(Finding::new(field, found, why, "restore a backup of the header")));
        }
        Ok(cipher)
    }

    /// Whether there are as many bytes as the stripes need, up to the end of their last sector.
    pub(crate) fn check_place(&self, source: &(impl ReadAt + ?Sized)) -> Result<(), Error> {
        let sectors = self.material_size().next_multiple_of(SECTOR_SIZE) as u64;
        let size = source.size().map_err(Error::io("the header"))?;
        if self.area.offset.checked_add(sectors).is_some_and(|end| end <= size) {
            return Ok(());
        }
        let (field, found) = (format!("{}.area.offset", self.path), self.area.offset);
        let why = format!("its {sectors} bytes end past the {size} that there are");
        Err(Error::Damaged(Finding::new(field, found, why, "give the whole image or header file")))
    }

    /// The enciphered stripes, up to the end of their last sector.
    fn read(&self, source: &(impl ReadAt + ?Sized)) -> Result<Secret, Error> {
        self.check_place(source)?;
        let mut material = Secret::zeroed(self.material_size().next_multiple_of(SECTOR_SIZE))?;
        let what = format!("key slot {} at byte {}", self.id, self.area.offset);
        source.read_at(self.area.offset, &mut material).map_err(Error::io(what))?;
        Ok(material)
    }

    /// Where the header has the key derivation.
    fn kdf_path(&self) -> String {
        // LUKS1 has it among the slot's own fields.
        if self.path.starts_with("keyslots.") { format!("{}.kdf", self.path) } else { self.path.clone() }
    }
}
