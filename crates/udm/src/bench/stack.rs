//! `udm bench stack`: what the layers above a cipher cost, a bio at a time, on a device that does nothing.

use std::fmt::Write;
use std::sync::Arc;

use udm_block::memory::{Heap, Source};
use udm_block::queue::{self, Queue};
use udm_block::{
    Alloc, BioSet, BioSetOptions, Bytes, DeviceRef, Flags, Op, Pad, PadBio, PagePool, Sector, SpanIter,
};
use udm_crypto::Direction;
use udm_dm::table::{Table, TargetSpec};
use udm_dm::targets::crypt::params::{CryptSpec, KeySpec};
use udm_dm::targets::crypt::{CipherChoice, Converter, Requests};
use zeroize::Zeroizing;

use super::chart::{Chart, Measure};
use super::memory::{self, Buffers};
use super::race::{Effort, Kind, Way};
use super::{BenchError, Subject};
use crate::device::{DeviceOptions, open_table};

/// The sizes of bios that are tried, in bytes.
const SIZES: [usize; 6] = [4 << 10, 16 << 10, 64 << 10, 128 << 10, 256 << 10, 1 << 20];

/// How long the device is that does nothing, in sectors.
const SECTORS: u64 = 1 << 21;

/// What crypt on null and linear on null do with bios of several sizes.
///
/// # Errors
/// When there is no memory, or no driver takes the key.
pub(crate) fn charts(subject: &Subject, effort: Effort) -> Result<[Chart; 2], BenchError> {
    let (table, spec) = table(subject)?;
    let queue = Queue::enter().map_err(BenchError::of)?;
    let title = format!(
        "{} of {}-byte sectors on a device that does nothing, {}, one thread",
        subject.cipher,
        subject.sector_size,
        subject.verb(),
    );
    let mut crypt = Chart::new("stack", title, "bio");
    for size in subject.sizes(&SIZES) {
        let direction = subject.direction;
        let bare = Bare::new(&spec, subject, size)?;
        let open = |requests| Sender::new(&queue, &table, subject, requests, size);
        let (mut whole, mut single) = (open(Requests::WholeBio)?, open(Requests::PerSector)?);
        let mut ways = [
            Way::new("crypt, whole bio", Kind::Ours, || whole.send()),
            Way::new("crypt, by the sector", Kind::PerSector, || single.send()),
            Way::new("the cipher alone", Kind::Bound, || bare.run(direction)),
        ];
        crypt.measure(size as u64, size as u64, &mut ways, effort)?;
    }
    crypt.compare_ours();
    Ok([crypt, linear(&queue, subject, effort)?])
}

/// What a layer costs that does nothing but map.
fn linear(queue: &Queue, subject: &Subject, effort: Effort) -> Result<Chart, BenchError> {
    const SIZE: usize = 4 << 10;
    let title = "a layer that only maps, on a device that does nothing, one thread: nanoseconds a bio".into();
    let mut chart = Chart { measure: Measure::Time, ..Chart::new("linear", title, "bio") };
    let to = |table: &str| Sender::new(queue, table, subject, Requests::WholeBio, SIZE);
    let size = SECTORS / 2;
    let (mut linear, mut zero) = (to(&format!("0 {size} linear null:1G 8"))?, to(&format!("0 {size} zero"))?);
    let mut ways =
        [Way::new("linear", Kind::Ours, || linear.send()), Way::new("zero", Kind::Bound, || zero.send())];
    chart.measure(SIZE as u64, SIZE as u64, &mut ways, effort)?;
    Ok(chart)
}

/// The table of the volume, and its crypt row.
fn table(subject: &Subject) -> Result<(Zeroizing<String>, CryptSpec), BenchError> {
    let Subject { cipher, sector_size, .. } = subject;
    let algorithm =
        udm_dm::targets::crypt::params::CipherSpec::parse(cipher).map_err(BenchError::of)?.algorithm;
    let mut key = Zeroizing::new(String::new());
    for byte in subject.key(algorithm)?.iter() {
        let _ = write!(key, "{byte:02x}");
    }
    let options = if *sector_size == 512 { String::new() } else { format!(" 1 sector_size:{sector_size}") };
    let text = Zeroizing::new(format!("0 {SECTORS} crypt {cipher} {} 0 null:1G 0{options}", *key));
    let table = Table::parse(&text).map_err(BenchError::of)?;
    match table.rows.into_iter().next().map(|row| row.target) {
        Some(TargetSpec::Crypt(spec)) => Ok((text, *spec)),
        _ => Err(BenchError("the table has no crypt row".into())),
    }
}

/// The pad of the client's bio.
struct Client;

impl Pad for Client {
    type Context = ();

    fn end_io(bio: PadBio<Self>) {
        queue::deliver(bio);
    }
}

/// A client that sends one bio, and sends it again when it is back.
struct Sender<'a> {
    dev: DeviceRef,
    queue: &'a Queue,
    op: Op,
    sector: u64,
    // Dropped in this order: a pool goes when what is of it is home.
    bio: Option<PadBio<Client>>,
    set: BioSet<Client>,
    _pages: PagePool,
}

impl<'a> Sender<'a> {
    /// A client of the device that `table` describes, with bios of `size` bytes.
    fn new(
        queue: &'a Queue,
        table: &str,
        subject: &Subject,
        requests: Requests,
        size: usize,
    ) -> Result<Self, BenchError> {
        let cipher = CipherChoice { driver: subject.driver.clone(), requests };
        let options = DeviceOptions { cipher, ..DeviceOptions::default() };
        let dev = open_table(table, &options).map_err(BenchError::of)?;
        let source: Source = Arc::new(Heap);
        let set =
            BioSet::<Client>::new(&BioSetOptions::named("bench"), &source, ()).map_err(BenchError::of)?;
        let (pool, len) = (memory::pool(size, 1)?, Bytes(size as u64));
        let mut bio = set.alloc(Client, Alloc::NoWait).map_err(|_| BenchError("no bio".into()))?;
        bio.set_pages(memory::pages(&pool, size)?, len);
        bio.set_home(queue.home());
        let op = if subject.direction == Direction::Encrypt { Op::Write } else { Op::Read };
        Ok(Self { dev, queue, op, sector: 0, bio: Some(bio), set, _pages: pool })
    }

    /// Sends the bio and waits for it.
    fn send(&mut self) -> Result<(), BenchError> {
        let Some(mut bio) = self.bio.take() else { return Err(BenchError("the bio is not back".into())) };
        bio.rearm();
        bio.prepare(self.op, Flags::NONE, Sector(self.sector));
        self.sector = (self.sector + bio.sectors().0) % (SECTORS / 4);
        bio.submit(&self.dev);
        loop {
            if let Some(ended) = self.queue.take_ended() {
                let ended =
                    self.set.claim(ended).map_err(|_| BenchError("a bio of somebody else's".into()))?;
                let status = ended.status();
                self.bio = Some(ended);
                return if status.is_ok() {
                    Ok(())
                } else {
                    Err(BenchError(format!("a bio ended: {status}")))
                };
            }
            self.queue.wait(&mut [], None).map_err(BenchError::of)?;
        }
    }
}

/// The cipher without the layers: the same requests over memory of the same size.
struct Bare {
    converter: Converter,
    memory: Buffers<2>,
}

impl Bare {
    fn new(spec: &CryptSpec, subject: &Subject, size: usize) -> Result<Self, BenchError> {
        let choice = CipherChoice { driver: subject.driver.clone(), requests: Requests::WholeBio };
        let KeySpec::Bytes(key) = &spec.key else { return Err(BenchError("the table has no key".into())) };
        let converter = Converter::new(spec, key.as_slice(), &choice).map_err(BenchError::of)?;
        Ok(Self { converter, memory: Buffers::new(size)? })
    }

    /// Out of place where it encrypts and in place where it decrypts, as crypt does.
    fn run(&self, direction: Direction) -> Result<(), BenchError> {
        let [from, to] = self.memory.spans().map(|span| [span]);
        let (src, dst) = (SpanIter::new(&from), SpanIter::new(&to));
        let dst = if direction == Direction::Encrypt { dst } else { src };
        self.converter.convert(direction, src, dst, 0).map_err(BenchError::of)
    }
}
