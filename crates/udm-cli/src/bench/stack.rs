//! `udm bench stack`: what the layers above a cipher cost, a bio at a time, on a device that does nothing.

use udm_block::SpanIterMut;
use udm_crypto::Direction;
use udm_dm::table::Table;
use udm_dm::targets::crypt::params::{CryptSpec, KeySpec};
use udm_dm::targets::crypt::{CipherChoice, Converter, Requests};
use zeroize::Zeroizing;

use super::chart::{Chart, Measure};
use super::memory::Memory;
use super::race::{Effort, Kind, Way};
use super::sender::{Places, Sender};
use super::{BenchError, Subject};

/// The sizes of bios that are tried, in bytes.
const SIZES: [usize; 6] = [4 << 10, 16 << 10, 64 << 10, 128 << 10, 256 << 10, 1 << 20];

/// How long the device is that does nothing, in sectors.
const SECTORS: u64 = 1 << 21;
const PLACES: Places = Places::InOrder { sectors: SECTORS / 4 };

/// What crypt on null and linear on null do with bios of several sizes.
///
/// # Errors
/// When there is no memory, or no driver takes the key.
pub(crate) fn charts(subject: &Subject, effort: Effort) -> Result<[Chart; 2], BenchError> {
    let (table, spec) = table(subject)?;
    let title = format!(
        "{} of {}-byte sectors on a device that does nothing, {}, one thread",
        subject.cipher,
        subject.sector_size,
        subject.verb(),
    );
    let mut crypt = Chart::new("stack", title, "bio");
    for size in subject.sizes(&SIZES) {
        let direction = subject.direction;
        let mut bare = Bare::new(&spec, subject, size)?;
        let open = |requests| {
            let cipher = CipherChoice { driver: subject.driver.clone(), requests };
            Sender::new(&table, cipher, subject.op(), PLACES, size)
        };
        let (mut whole, mut single) = (open(Requests::WholeBio)?, open(Requests::PerSector)?);
        let mut ways = [
            Way::new("crypt, whole bio", Kind::Ours, || whole.send()),
            Way::new("crypt, by the sector", Kind::PerSector, || single.send()),
            Way::new("the cipher alone", Kind::Bound, || bare.run(direction)),
        ];
        crypt.measure(size as u64, size as u64, &mut ways, effort)?;
    }
    crypt.compare_ours();
    Ok([crypt, linear(subject, effort)?])
}

/// What a layer costs that does nothing but map.
fn linear(subject: &Subject, effort: Effort) -> Result<Chart, BenchError> {
    const SIZE: usize = 4 << 10;
    let title = "a layer that only maps, on a device that does nothing, one thread: nanoseconds a bio".into();
    let mut chart = Chart { measure: Measure::Time, ..Chart::new("linear", title, "bio") };
    let to = |table: &str| Sender::new(table, CipherChoice::default(), subject.op(), PLACES, SIZE);
    let size = SECTORS / 2;
    let (mut linear, mut zero) = (to(&format!("0 {size} linear null:1G 8"))?, to(&format!("0 {size} zero"))?);
    let mut ways =
        [Way::new("linear", Kind::Ours, || linear.send()), Way::new("zero", Kind::Bound, || zero.send())];
    chart.measure(SIZE as u64, SIZE as u64, &mut ways, effort)?;
    Ok(chart)
}

/// The table of the volume on a device that does nothing, and its crypt row.
fn table(subject: &Subject) -> Result<(Zeroizing<String>, CryptSpec), BenchError> {
    let text = subject.table(SECTORS, "null:1G")?;
    let table = Table::parse_with(udm_targets::all(), &text).map_err(BenchError::of)?;
    match table.rows[0].target.downcast_ref::<CryptSpec>() {
        Some(spec) => Ok((text, spec.clone())),
        None => Err(BenchError("the table has no crypt row".into())),
    }
}
/// The cipher without the layers: the same requests over memory of the same size.
struct Bare {
    converter: Converter,
    memory: Memory<2>,
}

impl Bare {
    fn new(spec: &CryptSpec, subject: &Subject, size: usize) -> Result<Self, BenchError> {
        let choice = CipherChoice { driver: subject.driver.clone(), requests: Requests::WholeBio };
        let KeySpec::Bytes(key) = &spec.key else { return Err(BenchError("the table has no key".into())) };
        let converter = Converter::new(spec, key.as_slice(), &choice).map_err(BenchError::of)?;
        Ok(Self { converter, memory: Memory::new(size)? })
    }

    /// Out of place where it encrypts and in place where it decrypts, as crypt does.
    fn run(&mut self, direction: Direction) -> Result<(), BenchError> {
        let [mut from, mut to] = self.memory.spans().map(|span| [span]);
        let (mut from, mut to) = (SpanIterMut::new(&mut from), SpanIterMut::new(&mut to));
        let (src, dst) =
            if direction == Direction::Encrypt { (from.as_iter(), to.reborrow()) } else { from.in_place() };
        self.converter.convert(direction, src, dst, 0).map_err(BenchError::of)
    }
}
