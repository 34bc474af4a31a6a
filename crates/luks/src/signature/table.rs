//! The table of signatures.

use super::At::{Aligned, End, Start};
use super::Kind::{Archive, DiskImage, Encrypted, FileSystem, Member, PartitionTable};
use super::{Kind, Magic, Probe, Signature, check};

const KIB: u64 = 1 << 10;

/// The formats that QEMU reads, by its own names for them.
pub(super) const QEMU: &[&str] =
    &["qcow2", "qcow", "qed", "vmdk", "vhdx", "vpc", "vdi", "parallels", "dmg", "bochs", "cloop"];

/// A row that needs no check.
const fn row(name: &'static str, title: &'static str, kind: Kind, magics: &'static [Magic]) -> Signature {
    Signature { name, title, kind, magics, check: None }
}

/// A row with a check, which gets the place of the magic.
const fn checked(
    name: &'static str,
    title: &'static str,
    kind: Kind,
    magics: &'static [Magic],
    check: fn(&Probe<'_>, u64) -> bool,
) -> Signature {
    Signature { name, title, kind, magics, check: Some(check) }
}

const fn start(at: u64, bytes: &'static [u8]) -> Magic {
    Magic { at: Start(at), bytes }
}

const fn end(before: u64, bytes: &'static [u8]) -> Magic {
    Magic { at: End(before), bytes }
}

const MD: &[u8] = b"\xfc\x4e\x2b\xa9";
const EXT: &[Magic] = &[start(0x438, b"\x53\xef")];
const FAT: &[Magic] = &[
    start(0x52, b"FAT32   "),
    start(0x52, b"MSWIN"),
    start(0x36, b"FAT12   "),
    start(0x36, b"FAT16   "),
    start(0x36, b"MSDOS"),
    start(0x36, b"FAT     "),
];

/// All formats that are known. Those of which another could be a part come first.
pub static SIGNATURES: &[Signature] = &[
    // Encrypted volumes. A second copy of a LUKS2 header is at one of these places, by the size of the first.
    row(
        "crypto_LUKS",
        "a LUKS volume",
        Encrypted,
        &[
            start(0, b"LUKS\xba\xbe"),
            start(16 * KIB, b"SKUL\xba\xbe"),
            start(32 * KIB, b"SKUL\xba\xbe"),
            start(64 * KIB, b"SKUL\xba\xbe"),
            start(128 * KIB, b"SKUL\xba\xbe"),
            start(256 * KIB, b"SKUL\xba\xbe"),
            start(512 * KIB, b"SKUL\xba\xbe"),
            start(1024 * KIB, b"SKUL\xba\xbe"),
            start(2048 * KIB, b"SKUL\xba\xbe"),
            start(4096 * KIB, b"SKUL\xba\xbe"),
        ],
    ),
    checked(
        "BitLocker",
        "a BitLocker volume",
        Encrypted,
        &[start(3, b"-FVE-FS-"), start(3, b"MSWIN4.1")],
        check::is_bitlocker,
    ),
    row("apfs", "an APFS container", FileSystem, &[start(32, b"NXSB")]),
    row(
        "cs_fvault2",
        "a CoreStorage (FileVault 2) volume",
        Encrypted,
        &[start(0x58, b"CS\x01\x00\x00\x00\x04\x10")],
    ),
    row("geli", "a GELI volume of FreeBSD", Encrypted, &[end(512, b"GEOM::ELI")]),
    // Images of disks.
    checked("qcow2", "a qcow2 image of QEMU", DiskImage, &[start(0, b"QFI\xfb")], check::is_qcow2),
    checked("qcow", "a qcow (version 1) image of QEMU", DiskImage, &[start(0, b"QFI\xfb")], check::is_qcow1),
    row("qed", "a QED image of QEMU", DiskImage, &[start(0, b"QED\0")]),
    row(
        "vmdk",
        "a VMDK image of VMware",
        DiskImage,
        &[start(0, b"KDMV"), start(0, b"COWD"), start(0, b"# Disk DescriptorFile")],
    ),
    row("vhdx", "a VHDX image of Hyper-V", DiskImage, &[start(0, b"vhdxfile")]),
    row("vpc", "a VHD image of Hyper-V", DiskImage, &[start(0, b"conectix"), end(512, b"conectix")]),
    row("vdi", "a VDI image of VirtualBox", DiskImage, &[start(64, b"\x7f\x10\xda\xbe")]),
    row(
        "parallels",
        "an image of Parallels",
        DiskImage,
        &[start(0, b"WithoutFreeSpace"), start(0, b"WithouFreSpacExt")],
    ),
    row("dmg", "a disk image of macOS", DiskImage, &[end(512, b"koly\0\0\0\x04")]),
    row("bochs", "an image of Bochs", DiskImage, &[start(0, b"Bochs Virtual HD Image")]),
    row("android_sparse", "a sparse image of Android", DiskImage, &[start(0, b"\x3a\xff\x26\xed")]),
    row("E01", "an EnCase evidence file (E01)", DiskImage, &[start(0, b"EVF\x09\x0d\x0a\xff\x00")]),
    row("Ex01", "an EnCase evidence file (Ex01)", DiskImage, &[start(0, b"EVF2\x0d\x0a\x81\x00")]),
    row("AFF", "an AFF evidence file", DiskImage, &[start(0, b"AFF10\r\n\0")]),
    // Files that were packed.
    row("gzip", "compressed with gzip", Archive, &[start(0, b"\x1f\x8b\x08")]),
    row("bzip2", "compressed with bzip2", Archive, &[start(0, b"BZh")]),
    row("xz", "compressed with xz", Archive, &[start(0, b"\xfd7zXZ\0")]),
    row("zstd", "compressed with zstd", Archive, &[start(0, b"\x28\xb5\x2f\xfd")]),
    row("lz4", "compressed with lz4", Archive, &[start(0, b"\x04\x22\x4d\x18")]),
    row("lzip", "compressed with lzip", Archive, &[start(0, b"LZIP\x01")]),
    row("zip", "a ZIP archive", Archive, &[start(0, b"PK\x03\x04"), start(0, b"PK\x05\x06")]),
    row("7z", "a 7z archive", Archive, &[start(0, b"7z\xbc\xaf\x27\x1c")]),
    row("tar", "a tar archive", Archive, &[start(257, b"ustar")]),
    // Members of something larger.
    checked(
        "LVM2_member",
        "an LVM physical volume",
        Member,
        &[start(0, b"LABELONE"), start(512, b"LABELONE"), start(1024, b"LABELONE"), start(1536, b"LABELONE")],
        check::is_lvm2,
    ),
    row("LVM1_member", "an LVM1 physical volume", Member, &[start(0, b"HM\x01\0"), start(0, b"HM\x02\0")]),
    checked(
        "linux_raid_member",
        "a member of a Linux RAID",
        Member,
        &[start(0, MD), start(4 * KIB, MD), Magic { at: Aligned(8 * KIB, 4 * KIB), bytes: MD }],
        check::is_md1,
    ),
    checked(
        "linux_raid_member",
        "a member of a Linux RAID",
        Member,
        &[Magic { at: Aligned(64 * KIB, 64 * KIB), bytes: MD }],
        check::is_md0,
    ),
    row("isw_raid_member", "a member of an Intel RAID", Member, &[end(1024, b"Intel Raid ISM Cfg Sig. ")]),
    row(
        "ddf_raid_member",
        "a member of a DDF RAID",
        Member,
        &[end(512, b"\xde\x11\xde\x11"), end(512, b"\x11\xde\x11\xde")],
    ),
    row(
        "zfs_member",
        "a member of a ZFS pool",
        Member,
        &[
            start(128 * KIB, b"\x0c\xb1\xba\0\0\0\0\0"),
            start(132 * KIB, b"\x0c\xb1\xba\0\0\0\0\0"),
            start(136 * KIB, b"\x0c\xb1\xba\0\0\0\0\0"),
            start(144 * KIB, b"\x0c\xb1\xba\0\0\0\0\0"),
            start(160 * KIB, b"\x0c\xb1\xba\0\0\0\0\0"),
            start(128 * KIB, b"\0\0\0\0\0\xba\xb1\x0c"),
            start(132 * KIB, b"\0\0\0\0\0\xba\xb1\x0c"),
            start(136 * KIB, b"\0\0\0\0\0\xba\xb1\x0c"),
            start(144 * KIB, b"\0\0\0\0\0\xba\xb1\x0c"),
            start(160 * KIB, b"\0\0\0\0\0\xba\xb1\x0c"),
        ],
    ),
    row(
        "bcache",
        "a bcache device",
        Member,
        &[start(4 * KIB + 24, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81")],
    ),
    row("ceph_bluestore", "a Ceph BlueStore device", Member, &[start(0, b"bluestore block device")]),
    row("VMFS_volume_member", "a member of a VMFS volume", Member, &[start(0x10_0000, b"\x0d\xd0\x01\xc0")]),
    row("DM_snapshot_cow", "a device-mapper snapshot", Member, &[start(0, b"SnAp")]),
    // File systems.
    checked("ext4", "an ext4 file system", FileSystem, EXT, check::is_ext4),
    checked("ext3", "an ext3 file system", FileSystem, EXT, check::is_ext3),
    checked("ext2", "an ext2 file system", FileSystem, EXT, check::is_ext2),
    checked("jbd", "an external journal of ext4", FileSystem, EXT, check::is_ext_journal),
    row("xfs", "an XFS file system", FileSystem, &[start(0, b"XFSB")]),
    row("btrfs", "a Btrfs file system", FileSystem, &[start(64 * KIB + 64, b"_BHRfS_M")]),
    row("f2fs", "an F2FS file system", FileSystem, &[start(1024, b"\x10\x20\xf5\xf2")]),
    row("ntfs", "an NTFS file system", FileSystem, &[start(3, b"NTFS    ")]),
    row("exfat", "an exFAT file system", FileSystem, &[start(3, b"EXFAT   ")]),
    checked("vfat", "a FAT file system", FileSystem, FAT, check::is_fat),
    row(
        "swap",
        "a swap area",
        FileSystem,
        &[
            start(4 * KIB - 10, b"SWAPSPACE2"),
            start(8 * KIB - 10, b"SWAPSPACE2"),
            start(16 * KIB - 10, b"SWAPSPACE2"),
            start(64 * KIB - 10, b"SWAPSPACE2"),
            start(4 * KIB - 10, b"SWAP-SPACE"),
        ],
    ),
    row(
        "swsuspend",
        "a hibernated system in a swap area",
        FileSystem,
        &[
            start(4 * KIB - 10, b"S1SUSPEND"),
            start(4 * KIB - 10, b"S2SUSPEND"),
            start(4 * KIB - 10, b"LINHIB0001"),
        ],
    ),
    row(
        "bcachefs",
        "a bcachefs file system",
        FileSystem,
        &[start(4 * KIB + 24, b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef")],
    ),
    row("squashfs", "a SquashFS file system", FileSystem, &[start(0, b"hsqs"), start(0, b"sqsh")]),
    row("erofs", "an EROFS file system", FileSystem, &[start(1024, b"\xe2\xe1\xf5\xe0")]),
    row(
        "cramfs",
        "a cramfs file system",
        FileSystem,
        &[start(0, b"\x45\x3d\xcd\x28"), start(0, b"\x28\xcd\x3d\x45")],
    ),
    row(
        "reiserfs",
        "a ReiserFS file system",
        FileSystem,
        &[
            start(64 * KIB + 52, b"ReIsErFs"),
            start(64 * KIB + 52, b"ReIsEr2Fs"),
            start(64 * KIB + 52, b"ReIsEr3Fs"),
        ],
    ),
    row("jfs", "a JFS file system", FileSystem, &[start(32 * KIB, b"JFS1")]),
    row("hfsplus", "an HFS+ file system", FileSystem, &[start(1024, b"H+\0\x04"), start(1024, b"HX\0\x05")]),
    row("iso9660", "an ISO 9660 image", FileSystem, &[start(32 * KIB + 1, b"CD001")]),
    row(
        "udf",
        "a UDF file system",
        FileSystem,
        &[start(32 * KIB + 1, b"BEA01"), start(34 * KIB + 1, b"BEA01")],
    ),
    // Tables of partitions: what they cut into pieces begins behind them.
    row(
        "gpt",
        "a disk with a GPT partition table",
        PartitionTable,
        &[
            start(512, b"EFI PART"),
            start(4 * KIB, b"EFI PART"),
            end(512, b"EFI PART"),
            end(4 * KIB, b"EFI PART"),
        ],
    ),
    checked(
        "dos",
        "a disk with an MBR partition table",
        PartitionTable,
        &[start(510, b"\x55\xaa")],
        check::is_dos,
    ),
    checked(
        "PMBR",
        "a disk with a protective MBR, whose GPT is missing",
        PartitionTable,
        &[start(510, b"\x55\xaa")],
        check::is_pmbr,
    ),
];
