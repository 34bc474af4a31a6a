//! The control groups of this process, of both versions, each level up to the highest that can be seen.

use std::path::{Path, PathBuf};

use super::{field, read};

/// A level that limits memory. In KiB.
#[derive(Debug)]
pub(super) struct Group {
    /// The file with the limit.
    pub file: PathBuf,
    /// What is left below all limits, without swap; what the kernel would give back for the asking counts as free.
    pub free_kib: Option<u64>,
    /// What is left below the limit at which processes are killed, without swap.
    pub most_kib: Option<u64>,
    /// How much more may be swapped out; `None` where that is not limited.
    pub swap_kib: Option<u64>,
}

/// Where a hierarchy is mounted, and the group that this process is in, below that place.
struct Hierarchy {
    mount: PathBuf,
    group: PathBuf,
    is_v2: bool,
}

/// All levels with a limit.
pub(super) fn levels(root: &Path) -> Vec<Group> {
    let mut groups = Vec::new();
    for Hierarchy { mount, group, is_v2 } in hierarchies(root) {
        let mut level = group.as_path();
        loop {
            let folder = mount.join(level);
            groups.extend(if is_v2 { v2(root, &folder) } else { v1(root, &folder, level == group) });
            let Some(above) = level.parent() else { break };
            level = above;
        }
    }
    groups
}

/// The hierarchies that have to do with memory, by /proc/self/cgroup and /proc/self/mountinfo.
fn hierarchies(root: &Path) -> Vec<Hierarchy> {
    let told = read(root, "proc/self/cgroup");
    let groups: Vec<(bool, &str)> = told
        .lines()
        .filter_map(|line| {
            let (number, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let is_v2 = number == "0" && controllers.is_empty();
            (is_v2 || controllers.split(',').any(|name| name == "memory")).then_some((is_v2, path))
        })
        .collect();
    let mut found = Vec::new();
    for line in read(root, "proc/self/mountinfo").lines() {
        let Some((mounted, kind)) = line.split_once(" - ") else { continue };
        let mut kind = kind.split(' ');
        let is_v2 = match (kind.next(), kind.nth(1)) {
            (Some("cgroup2"), _) => true,
            (Some("cgroup"), Some(options)) if options.split(',').any(|name| name == "memory") => false,
            _ => continue,
        };
        let mut words = mounted.split(' ').skip(3).map(unescaped);
        let (Some(top), Some(mount)) = (words.next(), words.next()) else { continue };
        let Some((_, path)) = groups.iter().find(|(version, _)| *version == is_v2) else { continue };
        found.push(Hierarchy { mount: mount.into(), group: below(path, &top), is_v2 });
    }
    found
}

/// The group `path` as seen from a mount of `top`. In a container either may be that of the machine, or one that is not
/// seen here: then the highest group that is seen is taken.
fn below(path: &str, top: &str) -> PathBuf {
    let path = Path::new(path);
    let rest = path.strip_prefix(top).or_else(|_| path.strip_prefix("/")).unwrap_or(Path::new(""));
    let is_plain = rest.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if is_plain && (path.starts_with(top) || top == "/") { rest.into() } else { PathBuf::new() }
}

/// A level of version 2. Its own files are not there in the root group, nor where the memory controller is off.
fn v2(root: &Path, folder: &Path) -> Option<Group> {
    let number = |name: &str| read_number(root, &folder.join(name));
    let (max, high) = (number("memory.max"), number("memory.high"));
    let used = number("memory.current")?;
    let stat = read_below(root, &folder.join("memory.stat"));
    let used =
        used.saturating_sub(reclaimable(&stat, ["inactive_file ", "active_file ", "slab_reclaimable "]));
    let left = |limit: Option<u64>| limit.map(|limit| limit.saturating_sub(used) >> 10);
    let swap = number("memory.swap.max");
    let swapped = number("memory.swap.current").unwrap_or(0);
    let lower_is_high = high.is_some_and(|high| max.is_none_or(|max| high < max));
    Some(Group {
        file: folder.join(if lower_is_high { "memory.high" } else { "memory.max" }),
        free_kib: left(max.into_iter().chain(high).min()),
        most_kib: left(max),
        swap_kib: swap.map(|swap| swap.saturating_sub(swapped) >> 10),
    })
}

/// A level of version 1. Of the levels above its own, `memory.stat` has the lowest limit too, also of those not seen here.
fn v1(root: &Path, folder: &Path, is_own: bool) -> Option<Group> {
    let number = |name: &str| read_number(root, &folder.join(name));
    // What lies below it does not count against a group without a hierarchy.
    if !is_own && number("memory.use_hierarchy") == Some(0) {
        return None;
    }
    let used = number("memory.usage_in_bytes")?;
    let stat = read_below(root, &folder.join("memory.stat"));
    let used = used.saturating_sub(reclaimable(&stat, ["total_inactive_file ", "total_active_file "]));
    let limits = [number("memory.limit_in_bytes"), field(&stat, "hierarchical_memory_limit ")];
    let most = limits.into_iter().flatten().min().map(|limit| limit.saturating_sub(used) >> 10);
    let soft = number("memory.memsw.limit_in_bytes").zip(number("memory.memsw.usage_in_bytes"));
    let swap = soft.zip(number("memory.usage_in_bytes")).map(|((limit, both), used)| {
        let more = limit.saturating_sub(number("memory.limit_in_bytes").unwrap_or(limit));
        more.saturating_sub(both.saturating_sub(used)) >> 10
    });
    Some(Group { file: folder.join("memory.limit_in_bytes"), free_kib: most, most_kib: most, swap_kib: swap })
}

/// What the kernel gives back when a group is at its limit: pages of files, and slabs.
fn reclaimable<const N: usize>(stat: &str, names: [&str; N]) -> u64 {
    names.iter().filter_map(|name| field(stat, name)).sum()
}

/// The number in a file; `None` where it cannot be read, or says `max`.
fn read_number(root: &Path, path: &Path) -> Option<u64> {
    read_below(root, path).trim().parse().ok()
}

fn read_below(root: &Path, path: &Path) -> String {
    read(root, path.strip_prefix("/").unwrap_or(path))
}

/// A path of mountinfo, in which spaces and the like are octal numbers.
fn unescaped(word: &str) -> String {
    let mut parts = word.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match byte {
            Some(byte) if byte.is_ascii() => {
                out.push(byte.into());
                out += &part[3..];
            }
            _ => {
                out.push('\\');
                out += part;
            }
        }
    }
    out
}
