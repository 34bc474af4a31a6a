//! A volume from its header: opened, asked, and unlocked.

use udm_crypto::spec::encrypts_nothing;

use crate::digest::Digest;
use crate::error::{Error, Finding, shown};
use crate::keyslot::{KeySlot, Priority};
use crate::limits::Limits;
use crate::luks1;
use crate::luks2::{self, binary::MAGIC, keyslots::Slot};
use crate::secret::Secret;
use crate::segment::{ActivationFlags, Segment, Unlocked};
use crate::source::ReadAt;

/// Where a header is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderPlace {
    /// Before the data, on their own device.
    Attached,
    /// On another device, or in a file of its own.
    Detached,
}

/// A header of either version.
#[derive(Clone, PartialEq, Debug)]
pub enum Header {
    /// LUKS1.
    Luks1(Box<luks1::Header>),
    /// LUKS2.
    Luks2(Box<luks2::Header>),
}

/// How a volume is unlocked.
///
/// New fields come with a new major version only.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct UnlockOptions {
    /// The one key slot that is tried; without it, all are that are bound to the data, by their priority.
    pub key_slot: Option<u32>,
    /// What it may cost.
    pub limits: Limits,
}

/// A volume whose header has been read and checked.
#[derive(Debug)]
pub struct Volume<S> {
    pub(crate) source: S,
    pub(crate) header: Header,
    place: HeaderPlace,
}

/// Which key slots of LUKS2 are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bound {
    /// Those of the key of this segment.
    To(u32),
    /// Those of a key of any data.
    Data,
    /// All, those of keys that are bound to nothing, too.
    Any,
}

/// A key slot with the digest of the key that it holds.
pub(crate) type Candidate<'a> = (&'a KeySlot, &'a Digest);
/// Key slots that are not tried, and why.
pub(crate) type LeftOut = Vec<(u32, &'static str)>;
/// The key slots that are tried, in order, and those that are not.
pub(crate) type Candidates<'a> = (Vec<Candidate<'a>>, LeftOut);

impl<S: ReadAt> Volume<S> {
    /// Reads the header at the beginning of `source`. Nothing is written, also where a copy of the header is damaged:
    /// see [`notice`](Self::notice).
    ///
    /// # Errors
    /// Where there is no header, or it cannot be read or understood.
    pub fn open(source: S, place: HeaderPlace) -> Result<Self, Error> {
        let mut begin = [0; luks1::HEADER_SIZE];
        let is_luks1 = match source.read_at(0, &mut begin) {
            Ok(()) => begin[..6] == MAGIC && begin[6..8] == [0, 1],
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(Error::NoHeader),
            Err(error) => return Err(Error::io("the header")(error)),
        };
        let header = if is_luks1 {
            Header::Luks1(Box::new(luks1::Header::parse(&begin)?))
        } else {
            Header::Luks2(Box::new(luks2::Header::read(&source)?))
        };
        Ok(Self { source, header, place })
    }

    /// What the header says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The header, which must be of LUKS2: what is asked for by `option` is of that version alone.
    pub(crate) fn luks2(&self, option: &str) -> Result<&luks2::Header, Error> {
        match &self.header {
            Header::Luks2(header) => Ok(header),
            Header::Luks1(_) => {
                let why = "LUKS1 has no place for it";
                Err(Error::request(option, "asked of a LUKS1 volume", why, "only LUKS2 volumes have it"))
            }
        }
    }

    /// Gives back what the volume is on.
    pub fn into_source(self) -> S {
        self.source
    }

    /// What a person should know of the header, though the volume can be opened.
    pub fn notice(&self) -> Option<String> {
        match &self.header {
            Header::Luks1(header) => header.notice(),
            Header::Luks2(header) => header.copies.notice(),
        }
    }

    /// Opens the volume with a passphrase.
    ///
    /// # Errors
    /// Where no key slot opens, the volume needs what is not done here, or a key slot costs more than it may and no
    /// other opens.
    pub fn unlock(&self, passphrase: &[u8], options: &UnlockOptions) -> Result<Unlocked, Error> {
        let (segment, flags, (candidates, left_out)) = self.data_candidates(options)?;
        let (key_slot, key) = self.find(&candidates, left_out, passphrase, &options.limits)?;
        Ok(Unlocked { key_slot, key, segment, flags })
    }

    /// Whether [`unlock`](Self::unlock) would refuse every passphrase, so that nobody need be asked for one.
    ///
    /// # Errors
    /// Those of [`unlock`](Self::unlock) that do not depend on the passphrase.
    pub fn check_unlock(&self, options: &UnlockOptions) -> Result<(), Error> {
        let (_, _, (candidates, _)) = self.data_candidates(options)?;
        check_costs(&candidates, &options.limits)
    }

    /// The segment of the data with its flags, and the key slots that may have its key.
    fn data_candidates(
        &self,
        options: &UnlockOptions,
    ) -> Result<(Segment, ActivationFlags, Candidates<'_>), Error> {
        let (segment, flags, candidates) = match &self.header {
            Header::Luks1(header) => {
                let candidates = luks1_candidates(header, options.key_slot)?;
                (header.segment(), ActivationFlags::default(), candidates)
            }
            Header::Luks2(header) => {
                let (id, segment) = header.data()?;
                let candidates = luks2_candidates(header, options.key_slot, Bound::To(id))?;
                (segment.clone(), header.metadata.config.activation(), candidates)
            }
        };
        self.check_segment(&segment)?;
        Ok((segment, flags, candidates))
    }

    /// Whether `passphrase` opens a key slot, also one that is bound to no data: its number (`--test-passphrase`).
    ///
    /// # Errors
    /// Those of [`unlock`](Self::unlock), except for what only the data need.
    pub fn test_passphrase(&self, passphrase: &[u8], options: &UnlockOptions) -> Result<u32, Error> {
        let (candidates, left_out) = self.candidates(options.key_slot, Bound::Any)?;
        self.find(&candidates, left_out, passphrase, &options.limits).map(|(key_slot, _)| key_slot)
    }

    /// The same of every key slot but `slot`: whether the volume still opens when that one is gone.
    ///
    /// # Errors
    /// Those of [`test_passphrase`](Self::test_passphrase).
    pub fn test_other_passphrase(&self, passphrase: &[u8], slot: u32, limits: &Limits) -> Result<u32, Error> {
        // Each is named, so that one is tried that is ignored where none is named.
        let others = self.key_slots().into_iter().filter(|id| *id != slot);
        let (mut candidates, mut left_out) = Candidates::default();
        for (able, unable) in others.filter_map(|id| self.candidates(Some(id), Bound::Any).ok()) {
            candidates.extend(able);
            left_out.extend(unable);
        }
        self.find(&candidates, left_out, passphrase, limits).map(|(key_slot, _)| key_slot)
    }

    /// Whether [`test_passphrase`](Self::test_passphrase) would refuse every passphrase.
    ///
    /// # Errors
    /// Those that do not depend on the passphrase.
    pub fn check_test_passphrase(&self, options: &UnlockOptions) -> Result<(), Error> {
        let (candidates, _) = self.candidates(options.key_slot, Bound::Any)?;
        check_costs(&candidates, &options.limits)
    }

    /// The numbers of the key slots that are in use.
    pub fn key_slots(&self) -> Vec<u32> {
        match &self.header {
            Header::Luks1(header) => header.slots.iter().flatten().map(|slot| slot.id).collect(),
            Header::Luks2(header) => header.metadata.slots.iter().map(|(id, _)| *id).collect(),
        }
    }

    /// The key slots that are to be tried: those that are `bound` so, which for LUKS1 all are.
    pub(crate) fn candidates(&self, wanted: Option<u32>, bound: Bound) -> Result<Candidates<'_>, Error> {
        match &self.header {
            Header::Luks1(header) => luks1_candidates(header, wanted),
            Header::Luks2(header) => luks2_candidates(header, wanted, bound),
        }
    }

    /// Tries key slots in order. One that is refused does not keep the others from being tried.
    pub(crate) fn find(
        &self,
        candidates: &[Candidate<'_>],
        left_out: LeftOut,
        passphrase: &[u8],
        limits: &Limits,
    ) -> Result<(u32, Secret), Error> {
        if let Header::Luks2(header) = &self.header {
            header.copies.check_readable()?;
        }
        let (mut tried, mut refused) = (Vec::new(), None);
        for (slot, digest) in candidates {
            let opened = digest.check(limits).and_then(|()| slot.open(&self.source, passphrase, limits));
            match opened {
                Ok(key) if digest.is_of(&key, limits)? => return Ok((slot.id, key)),
                Ok(_) => tried.push(slot.id),
                Err(error @ (Error::Io { .. } | Error::NoMemory(_))) => return Err(error),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or(Error::WrongPassphrase { tried, left_out }))
    }

    /// Whether the segment can be where it says, under such a cipher.
    fn check_segment(&self, segment: &Segment) -> Result<(), Error> {
        let (name, end) = match &self.header {
            Header::Luks1(_) => ("payload-offset".to_owned(), luks1::HEADER_SIZE as u64),
            Header::Luks2(header) => (format!("segments.{}.offset", header.data()?.0), header.end()),
        };
        if self.place == HeaderPlace::Attached && segment.offset < end {
            let why =
                format!("the header itself is there, up to byte {end}: it is the header of another device");
            let hint = "name the device or file of the data, and give this header by --header";
            let found = format!("byte {}", segment.offset);
            return Err(Error::Request(Finding::new(name, found, why, hint)));
        }
        if encrypts_nothing(&segment.encryption) {
            let why = "it encrypts nothing, so whoever made this header could read what is written";
            let hint = "name it with --table-file, where that is what you want";
            return Err(Error::Unsupported(Finding::new("cipher", shown(&segment.encryption), why, hint)));
        }
        Ok(())
    }
}

impl Unlocked {
    /// How many bytes the volume has on a device of `device_size` bytes. Of one that is no whole number of encryption
    /// sectors, what is left over does not belong to it.
    ///
    /// # Errors
    /// Where the device is too short.
    pub fn size(&self, device_size: u64) -> Result<u64, Error> {
        let segment = &self.segment;
        let left = device_size.saturating_sub(segment.offset);
        let size =
            segment.size.unwrap_or(left / u64::from(segment.sector_size) * u64::from(segment.sector_size));
        if size > 0 && size <= left {
            return Ok(size);
        }
        let why = format!(
            "the data begin at byte {} and have {}",
            segment.offset,
            match segment.size {
                Some(size) => format!("{size} bytes"),
                None => format!("at least a sector of {}", segment.sector_size),
            }
        );
        let hint = "give the whole image; a copy of its beginning has the header alone";
        Err(Error::Request(Finding::new("the device's size", format!("{device_size} bytes"), why, hint)))
    }
}

/// Fails with the first refusal where each of the key slots costs more than it may.
pub(crate) fn check_costs(candidates: &[Candidate<'_>], limits: &Limits) -> Result<(), Error> {
    let mut refused = None;
    for (slot, digest) in candidates {
        match digest.check(limits).and_then(|()| slot.check(limits)) {
            Ok(()) => return Ok(()),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    refused.map_or(Ok(()), Err)
}

/// The key slots of a LUKS1 header that are to be tried.
fn luks1_candidates(header: &luks1::Header, wanted: Option<u32>) -> Result<Candidates<'_>, Error> {
    let used = || header.slots.iter().flatten();
    let candidates: Vec<_> = used()
        .filter(|slot| wanted.is_none_or(|wanted| wanted == slot.id))
        .map(|slot| (slot, &header.digest))
        .collect();
    match wanted {
        Some(wanted) if candidates.is_empty() => {
            Err(no_such_slot(wanted, "it is not in use", used().map(|slot| slot.id)))
        }
        _ => Ok((candidates, Vec::new())),
    }
}

/// The key slots of a LUKS2 header that are to be tried: those that are `bound` so.
fn luks2_candidates(
    header: &luks2::Header,
    wanted: Option<u32>,
    bound: Bound,
) -> Result<Candidates<'_>, Error> {
    let metadata = &header.metadata;
    let (mut candidates, mut left_out) = (Vec::<Candidate<'_>>::new(), LeftOut::new());
    let mut unsupported = None;
    for (id, slot) in &metadata.slots {
        if wanted.is_some_and(|wanted| wanted != *id) {
            continue;
        }
        let digest = metadata.digests.iter().find(|digest| digest.key_slots.contains(id));
        let is_bound = |digest: &luks2::digests::KeyDigest| match bound {
            Bound::To(segment) => digest.segments.contains(&segment),
            Bound::Data => !digest.segments.is_empty(),
            Bound::Any => true,
        };
        if let Slot::Unsupported(finding) = slot {
            unsupported = unsupported.or(Some(finding));
        }
        let reason = match (slot.key(), digest) {
            (None, _) if matches!(slot, Slot::Unsupported(_)) => "it needs what udm does not have",
            (None, _) => "a passphrase does not open this kind of key slot",
            (_, None) => "no digest tells whether its key is right",
            (_, Some(digest)) if !is_bound(digest) => "its key is not that of the data",
            (Some(slot), Some(digest)) => match &digest.digest {
                None => "its digest is of a kind that udm does not have",
                Some(_) if slot.priority == Priority::Ignore && wanted.is_none() => {
                    "its priority is ignore, so it must be named with --key-slot"
                }
                Some(digest) => {
                    candidates.push((slot, digest));
                    continue;
                }
            },
        };
        left_out.push((*id, reason));
    }
    // It is worth a reason of its own where nothing else could open.
    if let (Some(finding), true) = (unsupported, candidates.is_empty()) {
        return Err(Error::Unsupported(finding.clone()));
    }
    if let (Some(wanted), true) = (wanted, candidates.is_empty()) {
        let why = left_out.first().map_or("it is not in use", |(_, why)| why);
        return Err(no_such_slot(wanted, why, metadata.slots.iter().map(|(id, _)| *id)));
    }
    // The order of their numbers is kept within a priority.
    candidates.sort_by_key(|(slot, _)| std::cmp::Reverse(slot.priority));
    Ok((candidates, left_out))
}

fn no_such_slot(wanted: u32, why: &str, used: impl Iterator<Item = u32>) -> Error {
    let used: Vec<_> = used.map(|id| id.to_string()).collect();
    let hint = if used.is_empty() {
        "no key slot is in use".into()
    } else {
        format!("in use are {}", used.join(", "))
    };
    Error::Request(Finding::new("--key-slot", wanted, why, hint))
}
