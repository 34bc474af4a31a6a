//! The room that is read from trees of /proc and /sys as kernels and container runtimes make them.

use std::fs;
use std::num::NonZeroU32;

use super::*;
use crate::kdf::{Argon2Kind, Kdf};

const MIB: u64 = 1 << 20;

/// A root with these files.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

const MEMINFO: (&str, &str) = (
    "proc/meminfo",
    "MemTotal: 8388608 kB\nMemFree: 1 kB\nMemAvailable:    4194304 kB\nSwapFree: 1048576 kB\n",
);
const V2: (&str, &str) = (
    "proc/self/mountinfo",
    "22 1 0:20 / /proc rw - proc proc rw\n30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
);

fn group(path: &str) -> Limit {
    Limit::Group(path.into())
}

fn free(files: &[(&str, &str)]) -> Left {
    Room::at(tree(files).path()).free
}

#[test]
fn without_any_limit_it_is_the_machines() {
    let room = Room::at(tree(&[MEMINFO]).path());
    assert_eq!(room.free, Left { kib: 4 << 20, limit: Limit::Machine });
    assert_eq!(room.most, Left { kib: 5 << 20, limit: Limit::Machine });
    assert_eq!(room.choice(), Choice { kib: 1 << 20, why: None });
    // This machine has some.
    assert!(Room::here().free.kib > 0);
}

/// The page cache fills a container to its limit, and is given back for the asking.
#[test]
fn a_container_whose_page_cache_is_full_has_room() {
    let files = |stat| {
        [
            MEMINFO,
            V2,
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "2147483648\n"),
            ("sys/fs/cgroup/memory.high", "max\n"),
            ("sys/fs/cgroup/memory.current", "2147479552\n"),
            ("sys/fs/cgroup/memory.stat", stat),
        ]
    };
    let full = files(
        "anon 104857600\nfile 2000000000\nactive_file 1073741824\ninactive_file 524288000\nslab_reclaimable 8388608\n",
    );
    let left = free(&full);
    let used = 2_147_479_552 - 1_073_741_824 - 524_288_000 - 8_388_608;
    assert_eq!(left, Left { kib: ((2 << 30) - used) >> 10, limit: group("/sys/fs/cgroup/memory.max") });
    let choice = Room::at(tree(&full).path()).choice();
    assert_eq!(u64::from(choice.kib), left.kib / 2);
    let why = choice.why.unwrap();
    assert!(why.contains("half of") && why.contains("/sys/fs/cgroup/memory.max"), "{why}");
    // The twin: memory that nobody gives back leaves nothing, and the floor is chosen.
    let room = Room::at(tree(&files("anon 2147479552\nactive_file 0\ninactive_file 0\n")).path());
    assert_eq!(room.free.kib, 4);
    let choice = room.choice();
    assert_eq!(choice.kib, 64 << 10);
    assert!(choice.why.unwrap().contains("has only 4 KiB free"));
}

/// `MemoryMax=` of a unit, of its slice, and of a group in between; systemd outside of a container.
#[test]
fn every_level_counts() {
    let path = "proc/self/cgroup";
    let at = "0::/system.slice/udm.service/inner\n";
    let (service, slice) = ("sys/fs/cgroup/system.slice/udm.service/", "sys/fs/cgroup/system.slice/");
    let limited = |limits: [&str; 3]| {
        let [inner, unit, whole] = limits.map(str::to_owned);
        let names = [format!("{service}inner/"), service.to_owned(), slice.to_owned()];
        let mut files = vec![];
        for (name, limit) in names.iter().zip([inner, unit, whole]) {
            files.push((format!("{name}memory.max"), limit));
            files.push((format!("{name}memory.current"), "1048576\n".to_owned()));
        }
        let mut all: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
        all.extend([MEMINFO, V2, (path, at)]);
        free(&all)
    };
    let mib = |mib: u64| ((mib + 1) * MIB).to_string();
    for (limits, want, file) in [
        ([mib(100), "max".into(), "max".into()], 100, "system.slice/udm.service/inner/memory.max"),
        (["max".into(), mib(200), mib(300)], 200, "system.slice/udm.service/memory.max"),
        ([mib(500), mib(400), mib(300)], 300, "system.slice/memory.max"),
    ] {
        let limits: [String; 3] = limits;
        let left = limited([&limits[0], &limits[1], &limits[2]]);
        assert_eq!(left, Left { kib: want << 10, limit: group(&format!("/sys/fs/cgroup/{file}")) });
    }
    assert_eq!(limited(["max", "max", "max"]).limit, Limit::Machine);
}

#[test]
fn memory_high_slows_down_and_does_not_kill() {
    let room = Room::at(
        tree(&[
            MEMINFO,
            V2,
            ("proc/self/cgroup", "0::/a\n"),
            ("sys/fs/cgroup/a/memory.max", "1073741824"),
            ("sys/fs/cgroup/a/memory.high", "268435456"),
            ("sys/fs/cgroup/a/memory.current", "0"),
            ("sys/fs/cgroup/a/memory.swap.max", "0"),
        ])
        .path(),
    );
    assert_eq!(room.free, Left { kib: 256 << 10, limit: group("/sys/fs/cgroup/a/memory.high") });
    assert_eq!(room.most.kib, 1 << 20);
}

/// A container of the first version: the hierarchy is mounted at the container's own group, whose name is the machine's.
#[test]
fn version_1_is_read_with_its_hierarchy() {
    let mountinfo = |top: &str| {
        format!(
            "40 1 0:30 {top} /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
             41 1 0:31 {top} /sys/fs/cgroup/mem\\040ory ro,nosuid master:12 - cgroup cgroup rw,memory\n"
        )
    };
    let (docker, whole) = (mountinfo("/docker/abc"), mountinfo("/"));
    let own = "sys/fs/cgroup/mem ory/";
    let unlimited = "9223372036854771712\n";
    let at = |path: &str| format!("12:cpu,cpuacct:{path}\n11:memory:{path}\n0::/\n");
    let inside = at("/docker/abc");
    let stat = "inactive_file 1\ntotal_inactive_file 104857600\ntotal_active_file 104857600\n";
    let limit = (600 * MIB).to_string();
    let (limit_file, usage_file, stat_file) = (
        format!("{own}memory.limit_in_bytes"),
        format!("{own}memory.usage_in_bytes"),
        format!("{own}memory.stat"),
    );
    let used = (500 * MIB).to_string();
    let files = [
        MEMINFO,
        ("proc/self/mountinfo", &docker),
        ("proc/self/cgroup", &inside),
        (&limit_file, &limit),
        (&usage_file, &used),
        (&stat_file, stat),
    ];
    let want = Left { kib: 300 << 10, limit: group("/sys/fs/cgroup/mem ory/memory.limit_in_bytes") };
    assert_eq!(free(&files), want);
    // A limit above what can be seen, which only memory.stat knows.
    let hidden = format!("hierarchical_memory_limit {}\n{stat}", 600 * MIB);
    let mut files = files;
    files[3].1 = unlimited;
    files[5].1 = &hidden;
    assert_eq!(free(&files), want);
    files[5].1 = stat;
    assert_eq!(free(&files).limit, Limit::Machine);
    // Levels: that of the parent counts where it has a hierarchy.
    let inner = at("/a/b");
    let (parent_limit, parent_usage, hierarchy) = (
        format!("{own}a/memory.limit_in_bytes"),
        format!("{own}a/memory.usage_in_bytes"),
        format!("{own}a/memory.use_hierarchy"),
    );
    let (b_limit, b_usage) =
        (format!("{own}a/b/memory.limit_in_bytes"), format!("{own}a/b/memory.usage_in_bytes"));
    for (flag, want) in [("1\n", Some(100 << 10)), ("0\n", None)] {
        let left = free(&[
            MEMINFO,
            ("proc/self/mountinfo", &whole),
            ("proc/self/cgroup", &inner),
            (&parent_limit, &limit),
            (&parent_usage, &used),
            (&hierarchy, flag),
            (&b_limit, unlimited),
            (&b_usage, "0\n"),
        ]);
        assert_eq!(Some(left.kib).filter(|_| left.limit != Limit::Machine), want, "use_hierarchy {flag}");
    }
}

#[test]
fn a_group_that_is_not_seen_is_no_reason_to_fail() {
    for (cgroup, mountinfo) in [
        ("0::/../../other\n", V2.1),
        ("0::/a/b\n", "30 22 0:26 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
        ("", ""),
        ("0::/x", "nonsense\n - \n1 2 3 - cgroup2 c\n"),
        ("nonsense\n1:memory\n", V2.1),
    ] {
        let left = free(&[
            MEMINFO,
            ("proc/self/cgroup", cgroup),
            ("proc/self/mountinfo", mountinfo),
            ("sys/fs/cgroup/memory.max", "x"),
        ]);
        assert_eq!(left, Left { kib: 4 << 20, limit: Limit::Machine }, "{cgroup:?}");
    }
    // What is seen of it counts.
    let left = free(&[
        MEMINFO,
        V2,
        ("proc/self/cgroup", "0::/../other\n"),
        ("sys/fs/cgroup/memory.max", "1048576"),
        ("sys/fs/cgroup/memory.current", "0"),
    ]);
    assert_eq!(left.kib, 1024);
}

#[test]
fn the_process_limits_count() {
    let limits = |address: &str, data: &str| {
        format!(
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max data size             {data}            unlimited            bytes     \n\
             Max address space         {address}            unlimited            bytes     \n"
        )
    };
    let status = ("proc/self/status", "Name:\tudm\nVmSize:\t  204800 kB\nVmData:\t  10240 kB\n");
    for (address, data, want, limit) in [
        ("unlimited", "unlimited", 4 << 20, Limit::Machine),
        ("1073741824", "unlimited", (1 << 20) - 204_800, Limit::AddressSpace),
        ("1073741824", "536870912", (512 << 10) - 10_240, Limit::Data),
        ("1000", "unlimited", 0, Limit::AddressSpace),
    ] {
        let limits = limits(address, data);
        let left = free(&[MEMINFO, ("proc/self/limits", &limits), status]);
        assert_eq!(left, Left { kib: want, limit }, "{address} {data}");
    }
}

/// A container with a limit of 256 MiB, and a key slot of 1 GiB.
#[test]
fn what_there_is_no_room_for_is_named_before_it_is_taken() {
    let fake = tree(&[
        MEMINFO,
        V2,
        ("proc/self/cgroup", "0::/a\n"),
        ("sys/fs/cgroup/a/memory.max", "268435456"),
        ("sys/fs/cgroup/a/memory.current", "0"),
        ("sys/fs/cgroup/a/memory.swap.max", "0"),
    ]);
    let left = Room::at(fake.path());
    let kdf = |memory_kib| Kdf::Argon2 {
        kind: Argon2Kind::Id,
        time: NonZeroU32::MIN,
        memory_kib,
        lanes: NonZeroU32::MIN,
        salt: vec![0; 16],
    };
    let error = kdf(1 << 20).check_room("keyslots.3.kdf", &left).unwrap_err();
    assert_eq!(error.class(), crate::ErrorClass::Machine);
    let told = error.to_string();
    for part in ["keyslots.3.kdf.memory is 1048576 KiB", "/sys/fs/cgroup/a/memory.max leaves 262144 KiB"] {
        assert!(told.contains(part), "{told}");
    }
    kdf(256 << 10).check_room("keyslots.3.kdf", &left).unwrap();
    // What can be swapped out is room as well, though a new key slot is not to count on it.
    let fake = tree(&[
        MEMINFO,
        V2,
        ("proc/self/cgroup", "0::/a\n"),
        ("sys/fs/cgroup/a/memory.max", "268435456"),
        ("sys/fs/cgroup/a/memory.current", "0"),
    ]);
    let left = Room::at(fake.path());
    assert_eq!((left.free.kib, left.most.kib), (256 << 10, (256 << 10) + (1 << 20)));
    assert_eq!(left.choice().kib, 128 << 10);
}
