//! Where on which stripe a sector is.

use udm_block::Sector;

/// How a row is divided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// How many stripes there are.
    pub stripes: u64,
    /// The sectors of a chunk.
    pub chunk: u64,
}

impl Layout {
    /// The stripe of a sector of the row, and the sector there, counted from the stripe's start.
    pub fn place(&self, sector: Sector) -> (usize, u64) {
        let (chunk, within) = (sector.0 / self.chunk, sector.0 % self.chunk);
        ((chunk % self.stripes) as usize, chunk / self.stripes * self.chunk + within)
    }

    /// How many sectors from `sector` on are in the same chunk.
    pub fn left_in_chunk(&self, sector: Sector) -> u64 {
        self.chunk - sector.0 % self.chunk
    }

    /// How many sectors of `stripe` come before `sector` of the row. What a range of the row has of a stripe lies between
    /// that of its start and that of its end, in one run.
    pub fn before(&self, stripe: usize, sector: Sector) -> u64 {
        let (own, there) = self.place(sector);
        let row = there - sector.0 % self.chunk;
        match stripe.cmp(&own) {
            std::cmp::Ordering::Less => row + self.chunk,
            std::cmp::Ordering::Equal => there,
            std::cmp::Ordering::Greater => row,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The oracle: the chunks dealt out one by one.
    #[test]
    fn every_sector_is_where_dealing_puts_it() {
        for (stripes, chunk) in [(1, 1), (1, 8), (2, 1), (3, 8), (5, 3)] {
            let layout = Layout { stripes, chunk };
            let mut dealt = vec![0; stripes as usize];
            for sector in 0..stripes * chunk * 4 {
                let stripe = (sector / chunk % stripes) as usize;
                for (other, count) in dealt.iter().enumerate() {
                    assert_eq!(layout.before(other, Sector(sector)), *count, "{layout:?} {sector} {other}");
                }
                assert_eq!(layout.place(Sector(sector)), (stripe, dealt[stripe]), "{layout:?} {sector}");
                dealt[stripe] += 1;
            }
        }
    }
}
