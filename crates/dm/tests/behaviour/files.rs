//! The commands of the transcript that read and write devices as files: dd, sums, blkdiscard, blockdev.

use std::fmt::Write as _;

use md5::Digest;
use udm_block::blocking::Blocking;
use udm_block::{Bytes, DeviceRef, Flags, Op, Status};

use crate::behaviour::machine::{Answer, Machine, queue_limit, strerror};
use crate::support::client::Client;
use crate::support::hex;

/// A run of `dd`.
struct Dd<'a> {
    from: &'a str,
    to: Option<&'a str>,
    block: usize,
    count: usize,
    skip: usize,
    seek: usize,
    direct: bool,
    fsync: bool,
    /// It says how many records it moved.
    tells: bool,
}

/// What `dd` moved, and what stopped it.
struct Moved {
    bytes: Vec<u8>,
    records: (usize, usize),
    error: Option<String>,
}

impl Machine {
    /// `dd` with these operands, and what a pipe behind it makes of its output.
    pub fn dd(&mut self, words: &[&str]) -> Answer {
        let piped = words.contains(&"md5sum");
        let quiet = words.contains(&"2>/dev/null") || words.contains(&"status=none");
        let dd = Dd::parse(words, !quiet);
        let moved = self.copy(&dd);
        let mut output = String::new();
        if let Some(error) = &moved.error
            && !words.contains(&"2>/dev/null")
        {
            let _ = writeln!(output, "dd: {error}");
        }
        if dd.tells {
            let (read, written) = moved.records;
            let bytes = written * dd.block;
            let _ = writeln!(output, "{read}+0 records in\n{written}+0 records out\n{bytes} bytes copied");
        }
        if piped {
            output.push_str(&digest(&moved.bytes));
        }
        Answer { output, status: moved.error.is_some().into(), log: Vec::new() }
    }

    /// `sum`: of the first two sectors of the device.
    pub fn sum(&mut self) -> Answer {
        self.dd(&["if=/dev/mapper/t", "bs=512", "count=2", "iflag=direct", "2>/dev/null", "md5sum"])
    }

    fn copy(&mut self, dd: &Dd<'_>) -> Moved {
        let mut moved = Moved { bytes: Vec::new(), records: (0, 0), error: None };
        let mut cached = Vec::new();
        for record in 0..dd.count {
            let data = match self.read(dd, record) {
                Ok(data) if data.is_empty() => break,
                Ok(data) => data,
                Err(status) => {
                    moved.error = Some(format!("error reading '{}': {}", dd.from, words_of(status)));
                    return moved;
                }
            };
            moved.records.0 += 1;
            if let Some(to) = dd.to
                && to != "/dev/null"
            {
                let device = self.node(to).expect("a device to write to");
                if let Err(error) = write(&device, dd, record, &data, &mut cached) {
                    moved.error = Some(format!("error writing '{to}': {error}"));
                    return moved;
                }
            }
            moved.records.1 += 1;
            moved.bytes.extend(data);
        }
        if let Some(device) = dd.to.and_then(|to| self.node(to))
            && let Err(status) = write_back(device, &cached, dd.fsync)
            && dd.fsync
        {
            moved.error = Some(format!("fsync failed for '{}': {}", dd.to.unwrap(), words_of(status)));
        }
        moved
    }

    /// The bytes of one record; none at the end.
    fn read(&self, dd: &Dd<'_>, record: usize) -> Result<Vec<u8>, Status> {
        if dd.from == "/dev/zero" {
            return Ok(vec![0; dd.block]);
        }
        let at = (dd.skip + record) * dd.block;
        let Some(device) = self.node(dd.from) else {
            let file = &self.files[dd.from];
            return Ok(file
                .get(at..)
                .map(|rest| rest[..dd.block.min(rest.len())].to_vec())
                .unwrap_or_default());
        };
        let len = dd.block.min((device.geometry().size.bytes().0 as usize).saturating_sub(at));
        if len == 0 {
            return Ok(Vec::new());
        }
        let ended =
            Client::new(&device).one(Op::Read, Flags::NONE, at as u64 / 512, &[len], &vec![0xa5; len]);
        if ended.status.is_ok() { Ok(ended.bytes) } else { Err(ended.status) }
    }

    /// `blkdiscard -o OFFSET -l LENGTH DEVICE`.
    pub fn blkdiscard(&mut self, words: &[&str]) -> Answer {
        let [_, "-o", offset, "-l", length, path] = words else { panic!("{words:?}") };
        let device = Blocking::new(self.node(path).expect("a device")).unwrap();
        let length = Bytes(length.parse().expect("a number"));
        match device.range(Op::Discard, offset.parse().expect("a number"), length) {
            Ok(()) => Answer::default(),
            Err(status) => {
                Answer::failed(format!("blkdiscard: {path}: BLKDISCARD failed: {}\n", words_of(status)))
            }
        }
    }

    /// `blockdev --getsz` or `--getro`.
    pub fn blockdev(&mut self, words: &[&str]) -> Answer {
        let geometry = self.node(words[2]).expect("a device").geometry();
        Answer::ok(match words[1] {
            "--getsz" => format!("{}\n", geometry.size),
            "--getro" => format!("{}\n", u8::from(geometry.read_only)),
            other => panic!("blockdev {other}"),
        })
    }

    /// `cat` of limits: a line a file that has a meaning here, `-` for each of the others.
    pub fn cat(&mut self, files: &[&str]) -> Answer {
        let device = self.node("/dev/mapper/t").expect("the device");
        let lines = files.iter().map(|file| {
            let name = file.strip_prefix("/sys/block/dm-0/queue/").expect("a limit");
            queue_limit(&*device, name).unwrap_or_else(|| "-".into()) + "\n"
        });
        Answer::ok(lines.collect::<String>())
    }

    /// Limits on one line, each behind its name.
    pub fn limits(&mut self, names: &str) -> Answer {
        let device = self.node("/dev/mapper/t").expect("the device");
        let value = |name: &str| queue_limit(&*device, name).unwrap_or_else(|| "-".into());
        let line =
            names.split(' ').flat_map(|name| [name.to_owned(), value(name)]).collect::<Vec<_>>().join(" ");
        Answer::ok(line + "\n")
    }
}

impl<'a> Dd<'a> {
    fn parse(words: &[&'a str], tells: bool) -> Self {
        let value = |name: &str| {
            words.iter().find_map(|word| word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')))
        };
        let number = |name: &str| value(name).map(|text| text.parse().expect("a number"));
        Self {
            from: value("if").expect("an input"),
            to: value("of"),
            block: number("bs").expect("a block size"),
            count: number("count").unwrap_or(usize::MAX),
            skip: number("skip").unwrap_or(0),
            seek: number("seek").unwrap_or(0),
            direct: value("oflag") == Some("direct"),
            fsync: value("conv").is_some_and(|conv| conv.contains("fsync")),
            tells,
        }
    }
}

/// Writes one record: at once, or into what stands for the page cache.
fn write(
    device: &DeviceRef,
    dd: &Dd<'_>,
    record: usize,
    data: &[u8],
    cached: &mut Vec<(u64, Vec<u8>)>,
) -> Result<(), &'static str> {
    let geometry = device.geometry();
    let at = ((dd.seek + record) * dd.block) as u64;
    if at >= geometry.size.bytes().0 {
        return Err(strerror(28));
    }
    if !dd.direct && !geometry.read_only {
        cached.push((at, data.to_vec()));
        return Ok(());
    }
    let ended = Client::new(device).one(Op::Write, Flags::NONE, at / 512, &[data.len()], data);
    if ended.status.is_ok() { Ok(()) } else { Err(words_of(ended.status)) }
}

/// Writes back what was cached.
fn write_back(device: DeviceRef, cached: &[(u64, Vec<u8>)], fsync: bool) -> Result<(), Status> {
    let device = Blocking::new(device).unwrap();
    cached.iter().try_for_each(|(at, data)| device.write_at(*at, data))?;
    if fsync { device.flush() } else { Ok(()) }
}

/// What the C library says of the errno that a status becomes.
fn words_of(status: Status) -> &'static str {
    strerror(match status {
        Status::IoErr => 5,
        Status::Invalid => 22,
        Status::NotSupported => 95,
        Status::Protection => 1,
        Status::NoSpace => 28,
        other => panic!("{other:?} in the transcript"),
    })
}

/// The first 12 digits of an MD5 sum, as `md5sum | cut -c1-12` prints them.
fn digest(bytes: &[u8]) -> String {
    hex(&md5::Md5::digest(bytes)[..6]) + "\n"
}
