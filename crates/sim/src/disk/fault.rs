//! Which bios of a disk fail.

use std::collections::BTreeMap;
use std::ops::Range;

use udm_block::{Bio, Op, Status};

use crate::dice::Dice;

/// A rule by which bios fail. A write that fails may have been done in part; a read that fails may have left anything
/// in the bio's memory.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Which bios of these operations it hits.
    pub hits: Hits,
    /// The operation that it is about; any one when there is none.
    pub op: Option<Op>,
    /// How the bio ends.
    pub status: Status,
}

/// Which bios a [`Fault`] hits.
#[derive(Clone, Debug)]
pub enum Hits {
    /// Each, with this chance in a thousand.
    PerMille(u32),
    /// Those that touch one of these sectors.
    Range(Range<u64>),
    /// The one of this number, counted from 0 from now on.
    Nth(u64),
    /// With this chance in a thousand, one sector of the bio goes bad: that bio, if it is a read, and all that read the
    /// sector later fail, until it is written.
    Sticky(u32),
}

/// The rules of a disk, and what came of them.
#[derive(Default)]
pub(super) struct Faults {
    rules: Vec<Fault>,
    /// Sectors that cannot be read, and how a read of them ends.
    bad: BTreeMap<u64, Status>,
}

impl Faults {
    pub fn add(&mut self, fault: Fault) {
        self.rules.push(fault);
    }

    pub fn clear(&mut self) {
        self.rules.clear();
        self.bad.clear();
    }

    /// How this bio fails, if it does. Asked once for each.
    pub fn verdict(&mut self, bio: &Bio, dice: &mut Dice) -> Option<Status> {
        let sectors = bio.sector().0..bio.sector().0 + bio.sectors().0;
        let mut verdict = None;
        let reads = bio.op() == Op::Read;
        for rule in &mut self.rules {
            if rule.op.is_some_and(|op| op != bio.op()) {
                continue;
            }
            let hit = match &mut rule.hits {
                Hits::PerMille(chance) => dice.chance(*chance),
                Hits::Range(range) => range.start < sectors.end && sectors.start < range.end,
                Hits::Nth(number) => {
                    let hit = *number == 0;
                    // It wraps when it has hit, and so never comes to 0 again.
                    *number = number.wrapping_sub(1);
                    hit
                }
                Hits::Sticky(chance) => {
                    if !sectors.is_empty() && dice.chance(*chance) {
                        let sector = sectors.start + dice.below(sectors.end - sectors.start);
                        self.bad.insert(sector, rule.status);
                    }
                    false
                }
            };
            if hit && verdict.is_none() {
                verdict = Some(rule.status);
            }
        }
        let bad = self.bad.range(sectors).next().filter(|_| reads);
        verdict.or(bad.map(|(_, status)| *status))
    }

    /// Makes these sectors bad.
    pub fn spoil(&mut self, sectors: Range<u64>) {
        self.bad.extend(sectors.map(|sector| (sector, Status::Medium)));
    }

    /// These sectors were written: none of them is bad any more.
    pub fn written(&mut self, sectors: Range<u64>) {
        self.bad.retain(|sector, _| !sectors.contains(sector));
    }
}
