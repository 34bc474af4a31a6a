//! The optional parameters of a crypt row: `<count> <option>...`

use std::fmt;

use udm_block::{SECTOR_SHIFT, SECTOR_SIZE};
use udm_crypto::Direction;
use udm_crypto::spec::nearest;

use crate::table::{ArgWriter, Fault, TableError, TableErrorKind, Word, counted, number, reason, shown};

/// The most options that the kernel reads, though it knows ten.
const MAX_OPTIONS: usize = 9;
/// The largest sector that a cipher may see at once.
const MAX_SECTOR_SIZE: usize = 4096;
/// The most bytes that dm-crypt stores beside a sector.
const MAX_TAG_SIZE: u64 = 480;

/// The optional parameters of a crypt target.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the table language")]
pub struct CryptOptions {
    /// Discards are passed on to the device.
    pub allow_discards: bool,
    /// In the kernel: work on the processor that sent the request. Here: no sector is given to another thread.
    pub same_cpu_crypt: bool,
    /// In the kernel: work before other work. Here it is kept and printed only: see `docs/options.md`.
    pub high_priority: bool,
    /// In the kernel: submit writes from the thread that encrypted them. Here it is kept and printed only: a queue thread
    /// sends what is its own, in the order in which it is encrypted.
    pub submit_from_crypt_cpus: bool,
    /// Sectors that are read are decrypted on the queue thread, also where the cipher driver has threads.
    pub no_read_workqueue: bool,
    /// Sectors that are written are encrypted on the queue thread, also where the cipher driver has threads.
    pub no_write_workqueue: bool,
    /// The bytes that share one IV: 512, 1024, 2048 or 4096.
    pub sector_size: usize,
    /// IVs count sectors of `sector_size`, not of 512 bytes.
    pub iv_large_sectors: bool,
    /// The bytes of a MAC key. It is of use with integrity only, and so kept and printed here.
    pub integrity_key_size: Option<u32>,
}

impl Default for CryptOptions {
    fn default() -> Self {
        Self {
            allow_discards: false,
            same_cpu_crypt: false,
            high_priority: false,
            submit_from_crypt_cpus: false,
            no_read_workqueue: false,
            no_write_workqueue: false,
            sector_size: SECTOR_SIZE,
            iv_large_sectors: false,
            integrity_key_size: None,
        }
    }
}

impl CryptOptions {
    /// Every option, as the kernel's documentation writes it.
    pub const NAMES: [&str; 10] = [
        "allow_discards",
        "same_cpu_crypt",
        "high_priority",
        "submit_from_crypt_cpus",
        "no_read_workqueue",
        "no_write_workqueue",
        "integrity:",
        "integrity_key_size:",
        "sector_size:",
        "iv_large_sectors",
    ];

    /// Whether sectors that go this way may be converted later, on other threads: where no option keeps them on the
    /// thread that carries the I/O.
    pub fn may_wait(&self, direction: Direction) -> bool {
        !self.same_cpu_crypt
            && match direction {
                Direction::Encrypt => !self.no_write_workqueue,
                Direction::Decrypt => !self.no_read_workqueue,
            }
    }

    /// The sectors of 512 bytes in one of `sector_size`.
    pub const fn sectors_per_unit(&self) -> u64 {
        (self.sector_size >> SECTOR_SHIFT) as u64
    }

    /// Reads the words after the device's start: none, or a count and that many options.
    pub(crate) fn parse(words: &[Word<'_>]) -> Result<Self, TableError> {
        let mut options = Self::default();
        let Some((count, words)) = words.split_first() else {
            return Ok(options);
        };
        check_count(count, words)?;
        let mut given: Vec<String> = Vec::with_capacity(words.len());
        for word in words {
            let name = options.take(word).map_err(|fault| word.fault(fault))?;
            if given.contains(&name) {
                let fault = Fault::new(
                    TableErrorKind::Option,
                    format!("{} is given twice", shown(&name)),
                    shown(&name),
                    "leave one out, and count one option less",
                );
                return Err(word.fault(fault));
            }
            given.push(name);
        }
        Ok(options)
    }

    /// Takes one option. Returns its name, without its value.
    ///
    /// The kernel compares the names without case, but not those that a value follows.
    fn take(&mut self, text: &str) -> Result<String, Fault> {
        let name = text.to_ascii_lowercase();
        match name.as_str() {
            "allow_discards" => self.allow_discards = true,
            "same_cpu_crypt" => self.same_cpu_crypt = true,
            "high_priority" => self.high_priority = true,
            "submit_from_crypt_cpus" => self.submit_from_crypt_cpus = true,
            "no_read_workqueue" => self.no_read_workqueue = true,
            "no_write_workqueue" => self.no_write_workqueue = true,
            "iv_large_sectors" => self.iv_large_sectors = true,
            _ => return self.take_value(text).map(str::to_owned),
        }
        Ok(name)
    }

    /// Takes one option that has a value after a colon.
    fn take_value<'a>(&mut self, text: &'a str) -> Result<&'a str, Fault> {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        let at = text.len() - value.len();
        match name {
            "sector_size" if text.contains(':') => {
                self.sector_size = sector_size(value).map_err(|fault| fault.with_bytes(at..text.len()))?;
            }
            "integrity_key_size" if text.contains(':') => {
                let size = integrity_key_size(value).map_err(|fault| fault.with_bytes(at..text.len()))?;
                self.integrity_key_size = Some(size);
            }
            "integrity" if text.contains(':') => return Err(integrity(text, value)),
            _ => return Err(unknown(text)),
        }
        Ok(name)
    }
}

impl CryptOptions {
    /// Writes the count and the options in the kernel's order; nothing where there is none.
    pub(crate) fn write(&self, args: &mut ArgWriter<'_, '_>) -> fmt::Result {
        let flag = |set: bool, name: &str| set.then(|| name.to_owned());
        let sector_size =
            (self.sector_size != SECTOR_SIZE).then(|| format!("sector_size:{}", self.sector_size));
        let words = [
            flag(self.allow_discards, "allow_discards"),
            flag(self.same_cpu_crypt, "same_cpu_crypt"),
            flag(self.high_priority, "high_priority"),
            flag(self.submit_from_crypt_cpus, "submit_from_crypt_cpus"),
            flag(self.no_read_workqueue, "no_read_workqueue"),
            flag(self.no_write_workqueue, "no_write_workqueue"),
            sector_size,
            flag(self.iv_large_sectors, "iv_large_sectors"),
            self.integrity_key_size.map(|size| format!("integrity_key_size:{size}")),
        ];
        let words: Vec<_> = words.into_iter().flatten().collect();
        if words.is_empty() {
            return Ok(());
        }
        args.arg(words.len())?;
        words.iter().try_for_each(|word| args.arg(word))
    }
}

/// Checks the count of options against the words after it.
fn check_count(count: &Word<'_>, words: &[Word<'_>]) -> Result<(), TableError> {
    let value = number(count, "the number of options", Some(reason::OPTION_COUNT)).map_err(|fault| {
        // Someone who leaves the count out has an option's name there.
        let fault = if nearest(count, CryptOptions::NAMES).is_some() || count.contains(':') {
            fault.with_hint(format!("write the number of options before them: {}", words.len() + 1))
        } else {
            fault
        };
        count.fault(fault.with_kernel(reason::OPTION_COUNT))
    })?;
    let (found, there) = (shown(count), words.len());
    let fault =
        |message: String, hint: String| Fault::new(TableErrorKind::Option, message, found.clone(), hint);
    let beyond = value > there as u64;
    if value > MAX_OPTIONS as u64 || there > MAX_OPTIONS {
        let message = format!(
            "the number of options is {found}, with {} after it; {MAX_OPTIONS} are taken",
            counted(there as u64, "word")
        );
        let fault = fault(message, format!("give at most {MAX_OPTIONS} options"));
        let refused = beyond || value > MAX_OPTIONS as u64;
        return Err(count.fault(if refused { fault.with_kernel(reason::OPTION_COUNT) } else { fault }));
    }
    if beyond {
        let message =
            format!("the number of options is {found}, with {} after it", counted(there as u64, "word"));
        return Err(count.fault(fault(message, format!("write {there}")).with_kernel(reason::OPTION_COUNT)));
    }
    match words.get(value as usize) {
        // The kernel does not read these, so that what somebody asked for is silently not done.
        Some(_) => {
            let message =
                format!("the number of options is {found}, with {} after it", counted(there as u64, "word"));
            Err(count.fault(fault(message, format!("write {there}, or leave the others out"))))
        }
        None => Ok(()),
    }
}

/// Reads the value of `sector_size:`.
fn sector_size(value: &str) -> Result<usize, Fault> {
    const HINT: &str = "write 512, 1024, 2048 or 4096";
    let size = number(value, "sector_size", Some(reason::OPTION)).map_err(|fault| fault.with_hint(HINT))?;
    let legal = size.is_power_of_two() && (SECTOR_SIZE as u64..=MAX_SECTOR_SIZE as u64).contains(&size);
    if legal {
        return Ok(size as usize);
    }
    let message = format!("there is no sector_size of {} bytes", shown(value));
    let fault = Fault::new(TableErrorKind::Option, message, shown(value), HINT);
    // The kernel keeps 16 bits of it, and takes what is left where that is a size.
    let kept = size & 0xffff;
    let taken = kept.is_power_of_two() && (SECTOR_SIZE as u64..=MAX_SECTOR_SIZE as u64).contains(&kept);
    Err(if taken { fault } else { fault.with_kernel(reason::SECTOR_SIZE) })
}

/// Reads the value of `integrity_key_size:`.
fn integrity_key_size(value: &str) -> Result<u32, Fault> {
    let size = number(value, "integrity_key_size", Some(reason::OPTION))?;
    u32::try_from(size).ok().filter(|&size| size > 0).ok_or_else(|| {
        let message = format!("there is no integrity_key_size of {} bytes", shown(value));
        let fault = Fault::new(
            TableErrorKind::Option,
            message,
            shown(value),
            "write the bytes of the MAC key, from 1",
        );
        if size == 0 { fault.with_kernel(reason::INTEGRITY_KEY_SIZE) } else { fault }
    })
}

/// The fault of an `integrity:` option: of its form, or that udm does not have it.
fn integrity(text: &str, value: &str) -> Fault {
    const FORM: &str = "write integrity:<bytes, 1 to 480>:<aead or none>";
    let fault = |kind, message: String| Fault::new(kind, message, shown(text), FORM);
    let (size, profile) = value.split_once(':').unwrap_or((value, ""));
    match number(size, "tag size", None) {
        Err(_) => {
            let message = format!("{} has no tag size", shown(text));
            return fault(TableErrorKind::Option, message).with_kernel(reason::OPTION);
        }
        Ok(size) if size == 0 || size > MAX_TAG_SIZE => {
            let message = format!("{} has a tag size that there is not", shown(text));
            return fault(TableErrorKind::Option, message).with_kernel(reason::INTEGRITY);
        }
        Ok(_) => {}
    }
    // A word without the second colon brings down the kernels that we know of, so there is no reason to name.
    if !profile.eq_ignore_ascii_case("aead") && !profile.eq_ignore_ascii_case("none") {
        let message = format!("{} has no integrity profile that is known", shown(text));
        let fault = fault(TableErrorKind::Option, message);
        return if value.contains(':') { fault.with_kernel(reason::INTEGRITY_PROFILE) } else { fault };
    }
    let message = format!("udm does not have {} yet: it needs dm-integrity", shown(text));
    let hint = "leave it out, and use a cipher without integrity, such as aes-xts-plain64";
    Fault::new(TableErrorKind::Missing, message, shown(text), hint)
}

/// The fault of an option that nobody knows.
fn unknown(text: &str) -> Fault {
    let found = shown(text);
    let message = format!("option {found} is not known");
    let name = text.split_inclusive(':').next().unwrap_or(text);
    let hint = match nearest(name, CryptOptions::NAMES) {
        Some(near) if near.ends_with(':') => format!("try {near}<bytes>"),
        Some(near) => format!("try {near}"),
        None => format!("use one of {}", CryptOptions::NAMES.join(", ")),
    };
    Fault::new(TableErrorKind::Unknown, message, found, hint).with_kernel(reason::OPTION)
}
