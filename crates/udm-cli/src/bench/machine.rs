//! Where something was measured.

use std::fs;
use std::hint::black_box;
use std::thread::available_parallelism;

use serde_json::{Value, json};

use super::race::Clock;

/// What decides how fast encryption is.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// What it has for encryption.
    pub features: Vec<&'static str>,
    /// How many cores there are for this process.
    pub cores: usize,
    /// The clock of a core at work, in GHz, as it was measured.
    pub ghz: f64,
    /// The kernel's release.
    pub kernel: String,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = info.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let flags = field("flags").unwrap_or_default();
        let has = |name: &&str| flags.split(' ').any(|flag| flag == *name);
        Self {
            processor: field("model name").unwrap_or_else(|| std::env::consts::ARCH.into()),
            features: ["aes", "vaes", "avx2", "avx512f"].into_iter().filter(has).collect(),
            cores: available_parallelism().map_or(1, usize::from),
            ghz: clock(),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        }
    }

    /// A line for people.
    pub fn to_line(&self) -> String {
        let Self { processor, features, cores, ghz, kernel } = self;
        let (features, version) = (features.join(" "), env!("CARGO_PKG_VERSION"));
        format!("{processor}, {cores} cores at {ghz:.1} GHz ({features}); Linux {kernel}; udm {version}")
    }

    /// The same for programs.
    pub fn to_json(&self) -> Value {
        json!({
            "processor": self.processor, "features": self.features, "cores": self.cores,
            "ghz": self.ghz, "kernel": self.kernel, "udm": env!("CARGO_PKG_VERSION"),
        })
    }
}

/// The clock of this core in GHz: how often in a nanosecond a step is taken that needs the one before it, which no compiler
/// shortens, and which takes five clocks on every processor that has AES instructions: a rotation, an exclusive or, and a
/// multiplication.
fn clock() -> f64 {
    const STEPS: u32 = 4_000_000;
    let time = |_| {
        let (begin, mut x) = (Clock::Thread.now(), black_box(1_u64));
        for _ in 0..STEPS {
            x = (x.rotate_left(5) ^ 0x1405_7B7E_F767_814F).wrapping_mul(0x5851_F42D_4C95_7F2D);
        }
        black_box(x);
        Clock::Thread.now().saturating_sub(begin).as_secs_f64()
    };
    let best = (0..5).map(time).fold(f64::INFINITY, f64::min);
    5.0 * f64::from(STEPS) / best / 1e9
}
