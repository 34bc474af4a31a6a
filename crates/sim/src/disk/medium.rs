//! What is on a disk: what a read finds, what is durable, and what a volatile cache holds between the two.

use std::collections::BTreeMap;
use std::ops::Range;

use udm_block::SECTOR_SIZE;

use crate::dice::Dice;

/// The bytes of a disk.
pub(super) struct Medium {
    /// What a read finds.
    current: Vec<u8>,
    /// What is there after a power cut at the worst moment.
    durable: Vec<u8>,
    /// What was written to a sector since it was durable, oldest first.
    cached: BTreeMap<u64, Vec<Cached>>,
    /// The number of the next write.
    next: u64,
    /// Sectors of a physical block, which is written whole or not at all.
    tear: u64,
}

struct Cached {
    write: u64,
    bytes: [u8; SECTOR_SIZE],
}

/// What a power cut spares of the cache.
#[derive(Clone, Copy)]
enum Spared {
    Nothing,
    Everything,
    /// Each physical block goes back with this chance, to any state that it was in.
    Chance(u32),
}

impl Medium {
    /// `sectors` of zeros, of which `tear` are written whole or not at all.
    pub fn new(sectors: u64, tear: u64) -> Self {
        let zeros = vec![0; sectors as usize * SECTOR_SIZE];
        Self { current: zeros.clone(), durable: zeros, cached: BTreeMap::new(), next: 0, tear }
    }

    /// What a read of these bytes finds.
    pub fn current(&self, bytes: Range<usize>) -> &[u8] {
        &self.current[bytes]
    }

    /// What is durable.
    pub fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// The number of the next write: what a flush that comes now covers is below it.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Writes whole sectors from `sector` on.
    pub fn write(&mut self, sector: u64, bytes: &[u8], durable: bool) {
        let write = self.next;
        self.next += 1;
        for (sector, bytes) in (sector..).zip(bytes.as_chunks::<SECTOR_SIZE>().0) {
            self.current[place(sector)].copy_from_slice(bytes);
            if durable {
                self.cached.remove(&sector);
                self.durable[place(sector)].copy_from_slice(bytes);
            } else {
                self.cached.entry(sector).or_default().push(Cached { write, bytes: *bytes });
            }
        }
    }

    /// Writes some of the physical blocks of `bytes`: often the first ones alone, else any of them.
    pub fn write_torn(&mut self, sector: u64, bytes: &[u8], dice: &mut Dice) {
        let end = sector + (bytes.len() / SECTOR_SIZE) as u64;
        let blocks = sector / self.tear..end.div_ceil(self.tear);
        let prefix = dice.chance(500).then(|| blocks.start + dice.below(blocks.end - blocks.start + 1));
        for block in blocks {
            if prefix.map_or_else(|| dice.chance(500), |end| block < end) {
                let from = (block * self.tear).max(sector);
                let to = ((block + 1) * self.tear).min(end);
                let bytes = &bytes[place(from - sector).start..place(to - sector).start];
                self.write(from, bytes, false);
            }
        }
    }

    /// Makes durable what the writes below `next` wrote.
    pub fn flush(&mut self, next: u64) {
        let durable = &mut self.durable;
        self.cached.retain(|sector, cached| {
            let covered = cached.partition_point(|cached| cached.write < next);
            if let Some(last) = cached.drain(..covered).next_back() {
                durable[place(*sector)].copy_from_slice(&last.bytes);
            }
            !cached.is_empty()
        });
    }

    /// The cache loses its power: what it held is durable or not, each physical block by itself, as the dice say.
    pub fn lose_cache(&mut self, dice: &mut Dice) {
        let spared = dice.pick(&[
            Spared::Nothing,
            Spared::Everything,
            Spared::Chance(100),
            Spared::Chance(500),
            Spared::Chance(900),
        ]);
        let mut cached = std::mem::take(&mut self.cached);
        while let Some(first) = cached.keys().next() {
            let block = first / self.tear;
            let rest = cached.split_off(&((block + 1) * self.tear));
            self.lose_block(&cached, spared, dice);
            cached = rest;
        }
        self.current.copy_from_slice(&self.durable);
    }

    /// One physical block, with the sectors of it that are cached.
    fn lose_block(&mut self, cached: &BTreeMap<u64, Vec<Cached>>, spared: Spared, dice: &mut Dice) {
        let mut writes: Vec<u64> = cached.values().flatten().map(|cached| cached.write).collect();
        writes.sort_unstable();
        writes.dedup();
        let (last, older) = writes.split_last().expect("a cached block was written");
        let reached = match spared {
            Spared::Nothing => return,
            Spared::Chance(per_mille) if dice.chance(per_mille) => match dice.below(older.len() as u64 + 1) {
                0 => return,
                number => older[number as usize - 1],
            },
            Spared::Everything | Spared::Chance(_) => *last,
        };
        for (sector, cached) in cached {
            if let Some(state) = cached.iter().rev().find(|cached| cached.write <= reached) {
                self.durable[place(*sector)].copy_from_slice(&state.bytes);
            }
        }
    }
}

/// Where a sector stands.
pub(super) fn place(sector: u64) -> Range<usize> {
    let at = sector as usize * SECTOR_SIZE;
    at..at + SECTOR_SIZE
}
