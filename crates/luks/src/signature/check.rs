//! What must hold besides a magic, for formats whose magic alone says too little.

use super::Probe;

/// Features of ext2/3/4, which tell the three apart.
const COMPAT_HAS_JOURNAL: u32 = 0x4;
const INCOMPAT_RECOVER: u32 = 0x4;
const INCOMPAT_JOURNAL_DEV: u32 = 0x8;
/// `filetype` and `meta_bg`.
const INCOMPAT_OF_EXT2: u32 = 0x2 | 0x10;
/// `sparse_super`, `large_file` and `btree_dir`.
const RO_COMPAT_OF_EXT2: u32 = 0x1 | 0x2 | 0x4;

/// The three sets of features of the superblock whose magic is at `at`: compatible, incompatible, and for writing alone.
fn ext_features(probe: &Probe<'_>, at: u64) -> [u32; 3] {
    // The magic is at byte 56 of the superblock, and the features are at 92.
    [36, 40, 44].map(|further| probe.le32(at + further))
}

pub(super) fn is_ext4(probe: &Probe<'_>, at: u64) -> bool {
    let [_, incompat, _] = ext_features(probe, at);
    incompat & INCOMPAT_JOURNAL_DEV == 0 && !is_ext3(probe, at) && !is_ext2(probe, at)
}

pub(super) fn is_ext3(probe: &Probe<'_>, at: u64) -> bool {
    let [compat, incompat, ro_compat] = ext_features(probe, at);
    compat & COMPAT_HAS_JOURNAL != 0
        && incompat & !(INCOMPAT_OF_EXT2 | INCOMPAT_RECOVER) == 0
        && ro_compat & !RO_COMPAT_OF_EXT2 == 0
}

pub(super) fn is_ext2(probe: &Probe<'_>, at: u64) -> bool {
    let [compat, incompat, ro_compat] = ext_features(probe, at);
    compat & COMPAT_HAS_JOURNAL == 0
        && incompat & !INCOMPAT_OF_EXT2 == 0
        && ro_compat & !RO_COMPAT_OF_EXT2 == 0
}

pub(super) fn is_ext_journal(probe: &Probe<'_>, at: u64) -> bool {
    ext_features(probe, at)[1] & INCOMPAT_JOURNAL_DEV != 0
}

/// LVM's label names its type 24 bytes after `LABELONE`.
pub(super) fn is_lvm2(probe: &Probe<'_>, at: u64) -> bool {
    &probe.bytes::<8>(at + 24) == b"LVM2 001"
}

/// `BitLocker` To Go has the beginning of a FAT file system, and its own identifier in the middle.
pub(super) fn is_bitlocker(probe: &Probe<'_>, at: u64) -> bool {
    const TO_GO: [u8; 16] = *b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01";
    &probe.bytes::<8>(at) == b"-FVE-FS-" || probe.bytes::<16>(0x1A8) == TO_GO
}

/// A boot sector of FAT: its sectors and clusters are powers of two.
pub(super) fn is_fat(probe: &Probe<'_>, _at: u64) -> bool {
    let [low, high] = probe.bytes::<2>(11);
    let sector = u16::from_le_bytes([low, high]);
    let [cluster] = probe.bytes::<1>(13);
    sector.is_power_of_two()
        && (512..=4096).contains(&sector)
        && cluster.is_power_of_two()
        && !is_bitlocker(probe, 3)
}

/// A table of partitions: each is active or not, one is there, none says "this is a GPT disk", and the sector is no file
/// system's, all of which end in the same two bytes.
pub(super) fn is_dos(probe: &Probe<'_>, _at: u64) -> bool {
    is_mbr(probe) && !partition_types(probe).contains(&GPT_PROTECTIVE)
}

/// A protective table, without the GPT that it stands for.
pub(super) fn is_pmbr(probe: &Probe<'_>, _at: u64) -> bool {
    is_mbr(probe)
        && partition_types(probe).contains(&GPT_PROTECTIVE)
        && [512, 4096].iter().all(|at| &probe.bytes::<8>(*at) != b"EFI PART")
}

/// The type of a partition that keeps old programs away from a GPT.
const GPT_PROTECTIVE: u8 = 0xEE;

fn partition_types(probe: &Probe<'_>) -> [u8; 4] {
    [0, 1, 2, 3].map(|index| probe.bytes::<1>(446 + 16 * index + 4)[0])
}

fn is_mbr(probe: &Probe<'_>) -> bool {
    let boot: [u8; 512] = probe.bytes(0);
    let entries = boot[446..510].chunks(16);
    let well_formed = entries.clone().all(|entry| matches!(entry[0], 0 | 0x80));
    let one_is_there = entries.clone().any(|entry| entry[4] != 0 && entry[12..16] != [0; 4]);
    let begins_as = |at: usize, name: &[u8]| boot[at..].starts_with(name);
    let is_file_system = begins_as(3, b"NTFS    ")
        || begins_as(3, b"EXFAT   ")
        || begins_as(3, b"-FVE-FS-")
        || begins_as(54, b"FAT1")
        || begins_as(82, b"FAT32   ");
    well_formed && one_is_there && !is_file_system
}

/// A version of QEMU's format: the first one has a name of its own.
pub(super) fn is_qcow2(probe: &Probe<'_>, at: u64) -> bool {
    probe.bytes::<4>(at + 4)[3] >= 2
}

pub(super) fn is_qcow1(probe: &Probe<'_>, at: u64) -> bool {
    probe.bytes::<4>(at + 4) == [0, 0, 0, 1]
}

/// A superblock of md: the version is at byte 4. Version 1 says in which sector it stands itself.
pub(super) fn is_md1(probe: &Probe<'_>, at: u64) -> bool {
    probe.le32(at + 4) == 1 && u64::from_le_bytes(probe.bytes(at + 144)) == at / 512
}

pub(super) fn is_md0(probe: &Probe<'_>, at: u64) -> bool {
    probe.bytes::<4>(at + 4) == [0; 4]
}
