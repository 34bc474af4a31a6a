//! Where a client cuts its memory: into bios, and each bio into runs.

use udm_block::bio::INLINE_SPANS;

/// A way of cutting a transfer.
#[derive(Clone, Copy)]
pub struct Cut {
    /// What it is about.
    pub name: &'static str,
    /// How many encryption sectors one bio after the other has, over and over; 0 is all that are left.
    pub units: &'static [usize],
    /// The lengths of a bio's first runs, of an encryption sector's length; the last run has the rest.
    pub runs: fn(usize) -> [usize; INLINE_SPANS - 1],
}

/// One bio in one run.
pub const WHOLE: Cut = Cut { name: "whole", units: &[0], runs: |_| [usize::MAX; 7] };

/// Every cut: runs that end a byte before and after borders, runs of one and three bytes and of prime lengths, runs
/// that hold the halves of neighbours.
pub const CUTS: [Cut; 8] = [
    WHOLE,
    Cut { name: "sector by sector", units: &[1], runs: |_| [usize::MAX; 7] },
    Cut {
        name: "a byte before borders",
        units: &[4, 2, 3],
        runs: |unit| [unit - 1, unit, 1, unit - 1, 1, unit, 3],
    },
    Cut {
        name: "a byte after borders",
        units: &[3, 0],
        runs: |unit| [unit + 1, unit - 2, 2, unit, unit - 2, 2, 1],
    },
    Cut { name: "single bytes first", units: &[1, 2], runs: |_| [1; 7] },
    Cut { name: "single bytes last", units: &[2, 1], runs: |unit| [unit - 6, 1, 1, 1, 1, 1, 1] },
    Cut { name: "threes", units: &[1, 5], runs: |unit| [3, 3, unit - 3, 3, 3, unit - 3, 3] },
    Cut { name: "primes", units: &[2, 5, 1, 3], runs: |_| [13, 509, 31, 521, 7, 1021, 127] },
];

impl Cut {
    /// The bios of a transfer of `len` bytes in encryption sectors of `unit` bytes: the lengths of each one's runs.
    pub fn bios(&self, unit: usize, len: usize) -> Vec<Vec<usize>> {
        let mut sizes = self.units.iter().cycle();
        let mut bios = Vec::new();
        let mut left = len;
        while left > 0 {
            let units = *sizes.next().expect("a cycle has no end");
            let size = if units == 0 { left } else { left.min(units * unit) };
            bios.push(self.runs(unit, size));
            left -= size;
        }
        bios
    }

    /// The lengths of the runs of a bio of `len` bytes.
    pub fn runs(&self, unit: usize, len: usize) -> Vec<usize> {
        let mut runs = Vec::with_capacity(INLINE_SPANS);
        let mut left = len;
        for run in (self.runs)(unit) {
            if left > 0 {
                runs.push(run.min(left));
                left -= run.min(left);
            }
        }
        if left > 0 {
            runs.push(left);
        }
        runs
    }
}
