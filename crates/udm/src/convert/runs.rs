//! Where in a chunk there are zeros.

use udm_block::Span;

/// What is looked at as a whole, in bytes: a page, which is what a file system can leave out.
const GRAIN: usize = 4096;

/// A part of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    /// Its length in bytes: whole grains, but for the last one.
    pub(super) len: usize,
    /// Whether it has zeros alone, at least as many as were asked for.
    pub(super) is_zero: bool,
}

/// The parts of `data` in order, with zeros and without: no two neighbours are of one kind.
pub(super) struct Runs<'a> {
    data: Span<'a>,
    at: usize,
    /// The fewest zeros that count.
    least: usize,
    /// Zeros that were found behind the data that were given out last.
    found: usize,
}

impl<'a> Runs<'a> {
    /// Fewer than `least` zeros in a row are data.
    pub(super) fn of(data: Span<'a>, least: usize) -> Self {
        Self { data, at: 0, least: least.max(1), found: 0 }
    }

    /// How many zeros begin at `at`, in whole grains.
    fn zeros(&self, at: usize) -> usize {
        let grains = (at..self.data.len()).step_by(GRAIN).map(|at| (at, GRAIN.min(self.data.len() - at)));
        grains.take_while(|(at, len)| self.data.slice(*at, *len).is_zero()).map(|(_, len)| len).sum()
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let (begin, end) = (self.at, self.data.len());
        let mut zeros = std::mem::take(&mut self.found);
        while zeros == 0 && self.at < end {
            let run = self.zeros(self.at);
            if run >= self.least {
                zeros = run;
            } else {
                self.at += run.max(GRAIN).min(end - self.at);
            }
        }
        if self.at > begin {
            self.found = zeros;
            return Some(Run { len: self.at - begin, is_zero: false });
        }
        self.at += zeros;
        (zeros > 0).then_some(Run { len: zeros, is_zero: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use udm_block::memory::splitmix64;

    /// The oracle: zeros byte by byte, grain by grain.
    fn expected(bytes: &[u8], least: usize) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let mut add = |len, is_zero| match runs.last_mut() {
            Some(run) if run.is_zero == is_zero => run.len += len,
            _ => runs.push(Run { len, is_zero }),
        };
        let mut grains =
            bytes.chunks(GRAIN).map(|grain| (grain.len(), grain.iter().all(|b| *b == 0))).peekable();
        while let Some((mut len, is_zero)) = grains.next() {
            while is_zero && let Some((more, _)) = grains.next_if(|(_, is_zero)| *is_zero) {
                len += more;
            }
            add(len, is_zero && len >= least);
        }
        runs
    }

    #[test]
    fn runs_are_what_a_look_at_each_byte_finds() {
        let mut seed = 0x7A65_726F;
        println!("seed {seed:#x}");
        for round in 0..500 {
            let mut dice = |below: u64| splitmix64(&mut seed) % below;
            let mut bytes = vec![0u8; dice(40) as usize * 1024 + 512];
            for _ in 0..dice(6) {
                let at = dice(bytes.len() as u64) as usize;
                let len = (dice(9000) as usize).min(bytes.len() - at);
                bytes[at..at + len].fill(7);
            }
            let least = [1, 4096, 8192, 65536][dice(4) as usize];
            let want = expected(&bytes, least);
            let got: Vec<_> = Runs::of(Span::new(&bytes), least).collect();
            assert_eq!(got, want, "round {round}, at least {least}");
        }
    }
}
