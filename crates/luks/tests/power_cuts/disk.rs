//! A disk that remembers every write and every sync, and can be as it was at any power cut between them.

use std::io;

use udm_block::memory::splitmix64;
use udm_luks::{ReadAt, Storage};

/// What a power cut leaves whole, in bytes.
pub const SECTOR: usize = 512;

/// What the disk was asked for.
#[derive(Clone, Debug)]
enum Event {
    Write { at: usize, bytes: Vec<u8> },
    Sync,
}

/// What goes wrong with the disk: twins that must be found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    None,
    /// Syncs do nothing.
    NoSync,
}

/// A disk in memory.
pub struct Disk {
    first: Vec<u8>,
    now: Vec<u8>,
    events: Vec<Event>,
    fault: Fault,
}

impl Disk {
    /// A disk on which `image` is durable.
    pub fn new(image: &[u8], fault: Fault) -> Self {
        Self { first: image.to_vec(), now: image.to_vec(), events: Vec::new(), fault }
    }

    /// What is on it.
    pub fn image(&self) -> &[u8] {
        &self.now
    }

    /// Has `look` see the disk at every power cut: with every prefix of the writes, the last of them torn at every sector;
    /// and, of what was written since a sync, `tries` times any sectors and not the others, as `seed` has it.
    /// Gives how many cuts there were.
    pub fn at_every_cut(&self, seed: &mut u64, tries: usize, mut look: impl FnMut(&[u8], &str)) -> usize {
        let mut cuts = 0;
        let mut durable = self.first.clone();
        let mut cut = |image: &[u8], what: &str| {
            cuts += 1;
            look(image, what);
        };
        cut(&durable, "before the first write");
        for (number, epoch) in self.events.split(|event| matches!(event, Event::Sync)).enumerate() {
            let sectors: Vec<_> = epoch.iter().flat_map(sectors).collect();
            let mut image = durable.clone();
            for (index, (at, bytes)) in sectors.iter().enumerate() {
                image[*at..*at + bytes.len()].copy_from_slice(bytes);
                cut(
                    &image,
                    &format!("after {number} syncs and {} sectors, the last at byte {at}", index + 1),
                );
            }
            // A disk may write what it has in its cache in any order.
            for _ in 0..if sectors.is_empty() { 0 } else { tries } {
                let mut image = durable.clone();
                let share = 1 + splitmix64(seed) % 7;
                for (at, bytes) in &sectors {
                    if splitmix64(seed) % 8 < share {
                        image[*at..*at + bytes.len()].copy_from_slice(bytes);
                    }
                }
                cut(&image, &format!("after {number} syncs and some of {} sectors", sectors.len()));
            }
            durable = image;
        }
        assert!(durable == self.now, "what is on the disk is what was written");
        cuts
    }
}

/// A write by sectors, with their places. The first and the last may be parts of one.
fn sectors(event: &Event) -> Vec<(usize, &[u8])> {
    let Event::Write { at, bytes } = event else { return Vec::new() };
    let (mut at, mut rest, mut sectors) = (*at, &bytes[..], Vec::new());
    while !rest.is_empty() {
        let (sector, more) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
        sectors.push((at, sector));
        (at, rest) = (at + sector.len(), more);
    }
    sectors
}

impl ReadAt for Disk {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.now.read_at(offset, buffer)
    }

    fn size(&self) -> io::Result<u64> {
        self.now.size()
    }
}

impl Storage for Disk {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.now.write_at(offset, bytes)?;
        self.events.push(Event::Write { at: offset as usize, bytes: bytes.to_vec() });
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.fault == Fault::None {
            self.events.push(Event::Sync);
        }
        Ok(())
    }
}
