//! What speed is promised, each as a ratio of two figures of one run, or as nanoseconds of one.

use super::figures::Source::{self, Nanoseconds, Over, Ratio, Rise};

/// A promise.
pub struct Target {
    /// What it is about.
    pub what: &'static str,
    /// The words behind `udm bench` that measure it.
    pub run: &'static str,
    /// Which of the figures it is.
    pub source: Source,
    pub limit: Limit,
}

/// What a figure is to be.
#[derive(Clone, Copy)]
pub enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

use Limit::{AtLeast, AtMost};

const XTS: &str = "cipher";
const XTS_DECRYPT: &str = "cipher --decrypt";
const XTS_IN_PLACE: &str = "cipher --in-place";
const XTS_128: &str = "cipher --key-size 256";
/// The library has no XTS with this key, and OpenSSL does. Its program leaves a core that takes a while to be as fast as
/// before, so what is held against the bound is measured without it.
const XTS_128_BESIDE_OPENSSL: &str = "cipher --key-size 256 --openssl --rounds 9";
const CBC_16: &str = "cipher --cipher aes-cbc-plain64 --run 8K";
const STACK: &str = "stack";
const ESSIV_WRITE: &str = "stack --cipher aes-cbc-essiv:sha256";
const ESSIV_READ: &str = "stack --cipher aes-cbc-essiv:sha256 --decrypt";
const EXPORT: &str = "export";

const BOUND: &str = "bare blocks";
const LIBRARY: &str = "aws-lc";
const OPENSSL: &str = "OpenSSL";
const BARE: &str = "the cipher alone";
const BY_SECTOR: &str = "by the sector";

const fn cipher(what: &'static str, run: &'static str, of: &'static str, size: u64, least: f64) -> Target {
    Target { what, run, source: Ratio { chart: "cipher", of, size }, limit: AtLeast(least) }
}

const fn stack(what: &'static str, run: &'static str, of: &'static str, size: u64, least: f64) -> Target {
    Target { what, run, source: Ratio { chart: "stack", of, size: size << 10 }, limit: AtLeast(least) }
}

const fn export(what: &'static str, chart: &'static str, of: &'static str, size: u64, least: f64) -> Target {
    Target { what, run: EXPORT, source: Ratio { chart, of, size: size << 10 }, limit: AtLeast(least) }
}

/// Every promise. `aws-lc` is the best library, called once a unit; `bare blocks` are ECB in the same registers.
pub const ALL: &[Target] = &[
    cipher("XTS-AES-256, 512 B, of bare blocks", XTS, BOUND, 512, 0.90),
    cipher("XTS-AES-256, 4096 B, of bare blocks", XTS, BOUND, 4096, 0.95),
    cipher("XTS-AES-256, 512 B, against the library", XTS, LIBRARY, 512, 1.8),
    cipher("XTS-AES-256, 4096 B, against the library", XTS, LIBRARY, 4096, 1.05),
    cipher("XTS-AES-256 decryption, 512 B, of bare blocks", XTS_DECRYPT, BOUND, 512, 0.90),
    cipher("XTS-AES-256 decryption, 4096 B, of bare blocks", XTS_DECRYPT, BOUND, 4096, 0.95),
    cipher("XTS-AES-256 decryption, 512 B, against the library", XTS_DECRYPT, LIBRARY, 512, 1.8),
    cipher("XTS-AES-256 decryption, 4096 B, against the library", XTS_DECRYPT, LIBRARY, 4096, 1.05),
    cipher("XTS-AES-256 in place, 512 B, of bare blocks", XTS_IN_PLACE, BOUND, 512, 0.90),
    cipher("XTS-AES-256 in place, 4096 B, of bare blocks", XTS_IN_PLACE, BOUND, 4096, 0.95),
    cipher("XTS-AES-256 in place, 512 B, against the library", XTS_IN_PLACE, LIBRARY, 512, 1.8),
    cipher("XTS-AES-256 in place, 4096 B, against the library", XTS_IN_PLACE, LIBRARY, 4096, 1.05),
    cipher("XTS-AES-128, 512 B, of bare blocks", XTS_128, BOUND, 512, 0.90),
    cipher("XTS-AES-128, 4096 B, of bare blocks", XTS_128, BOUND, 4096, 0.95),
    cipher("XTS-AES-128, 512 B, against OpenSSL", XTS_128_BESIDE_OPENSSL, OPENSSL, 512, 1.8),
    cipher("XTS-AES-128, 4096 B, against OpenSSL", XTS_128_BESIDE_OPENSSL, OPENSSL, 4096, 1.05),
    cipher("VAES-256 registers, 512 B, of their bare blocks", "cipher --driver vaes256", BOUND, 512, 0.92),
    cipher("VAES-256 registers, 4096 B, of their bare blocks", "cipher --driver vaes256", BOUND, 4096, 0.92),
    cipher("AES-NI, 512 B, of its bare blocks", "cipher --driver aesni", BOUND, 512, 0.92),
    cipher("AES-NI, 4096 B, of its bare blocks", "cipher --driver aesni", BOUND, 4096, 0.92),
    cipher("CBC encryption, 16 sectors against one at a time", CBC_16, "a call a unit", 512, 4.0),
    stack("essiv, 128 KiB written, against our way by the sector", ESSIV_WRITE, BY_SECTOR, 128, 4.0),
    stack("essiv, 128 KiB read, against our way by the sector", ESSIV_READ, BY_SECTOR, 128, 2.0),
    stack("crypt on null, 128 KiB bios, of the bare cipher", STACK, BARE, 128, 0.95),
    stack("crypt on null, 4 KiB bios, of the bare cipher", STACK, BARE, 4, 0.75),
    Target {
        what: "crypt on null, ns a 4 KiB bio over the bare cipher",
        run: STACK,
        source: Over { chart: "stack", of: BARE, size: 4 << 10 },
        limit: AtMost(100.0),
    },
    Target {
        what: "linear on null, ns a bio",
        run: STACK,
        source: Nanoseconds { chart: "linear", size: 4 << 10 },
        limit: AtMost(60.0),
    },
    stack("crypt, 128 KiB bios, against our way by the sector", STACK, BY_SECTOR, 128, 2.0),
    Target {
        what: "crypt on null, cost a byte from one size to the next",
        run: STACK,
        source: Rise { chart: "stack" },
        // What two runs of the same differ by.
        limit: AtMost(1.03),
    },
    Target {
        what: "crypt on a sparse file, cost a bio from 1 GiB to 16 TiB",
        run: "scale",
        source: Rise { chart: "device" },
        limit: AtMost(1.03),
    },
    Target {
        what: "a 1 MiB bio of Serpent over all processors",
        run: "scale --cipher serpent-xts-plain64",
        source: Ratio { chart: "threads", of: "queue thread", size: 1 << 20 },
        limit: AtLeast(1.3),
    },
    export("NBD read, encrypted against raw", "export-read", "udm, raw", 1024, 0.85),
    export("NBD write, encrypted against raw", "export-write", "udm, raw", 1024, 0.80),
    export("NBD read a CPU second, against qemu-nbd", "export-read-cpu", "qemu-nbd", 1024, 5.0),
    export("NBD write a CPU second, against qemu-nbd", "export-write-cpu", "qemu-nbd", 1024, 5.0),
    export("NBD read a CPU second, against nbdkit", "export-read-cpu", "nbdkit", 1024, 3.0),
    export("NBD write a CPU second, against nbdkit", "export-write-cpu", "nbdkit", 1024, 3.0),
    export("NBD read, against nbdkit", "export-read", "nbdkit", 1024, 1.5),
    export("NBD write, against nbdkit", "export-write", "nbdkit", 1024, 1.5),
    export("NBD 4 KiB reads anywhere, 32 at once, against nbdkit", "export-random", "nbdkit", 4, 1.5),
];
