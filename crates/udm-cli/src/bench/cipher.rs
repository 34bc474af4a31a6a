//! `udm bench cipher`: a cipher by itself, over a run of memory that stays in a core's cache.

use std::cell::RefCell;

use udm_block::SpanIterMut;
use udm_crypto::{
    Algorithm, Choice, Cipher, CipherSpec, CryptError, IvRule, Listing, Mode, Registry, Request, Skcipher,
    Standing,
};
use zeroize::Zeroizing;

use super::chart::Chart;
use super::memory::Memory;
use super::race::{Effort, Kind, Way};
use super::{BenchError, Subject, openssl};

/// The sizes of units that are tried, in bytes.
const UNITS: [usize; 4] = [512, 1024, 2048, 4096];

/// The library that others are built upon. It has no calls of many units, so that its driver makes one a unit: that is what
/// we are held against. Its ECB is no bound of anything, for it is the slower.
const LIBRARY: &str = "aws-lc";

/// What a cipher does with units of several sizes.
///
/// # Errors
/// When no driver takes the key.
pub(crate) fn chart(subject: &Subject, effort: Effort) -> Result<Chart, BenchError> {
    let algorithm = CipherSpec::parse(&subject.cipher).map_err(BenchError::of)?.algorithm;
    let key = subject.key(algorithm)?;
    let ciphers = Ciphers::new(algorithm, &key, subject.driver.as_deref())?;
    let openssl = subject.openssl.then(|| openssl::name(algorithm, key.len())).flatten();
    let (run, direction) = (subject.run, subject.direction);
    let place = if subject.in_place { "in place" } else { "out of place" };
    let title = format!(
        "{algorithm}, {} bits, {} of {} {place}, one core",
        key.len() * 8,
        subject.verb(),
        crate::cli::human(run as u64),
    );
    let mut chart = Chart::new("cipher", title, "unit");
    let mut memory = Memory::<2>::new(run)?;
    let [mut from, mut to] = memory.spans().map(|span| [span]);
    let (mut from, mut to) = (SpanIterMut::new(&mut from), SpanIterMut::new(&mut to));
    let (src, mut dst) = if subject.in_place { from.in_place() } else { (from.as_iter(), to.reborrow()) };
    for unit_size in subject.sizes(&UNITS).filter(|unit| run.is_multiple_of(*unit)) {
        let iv = IvRule::CounterLe64 { first: [0; 16], stride: 1 };
        // The ways take turns with it.
        let request = RefCell::new(Request { direction, src, dst: dst.reborrow(), unit_size, iv });
        let mut ways = ciphers.ways(&request);
        ways.extend(openssl.as_ref().map(|name| {
            let measure = move || {
                openssl::seconds_a_byte(name, direction, unit_size).map(|seconds| seconds * run as f64)
            };
            Way::telling("OpenSSL, a call a unit", Kind::Peer, measure)
        }));
        chart.measure(unit_size as u64, run as u64, &mut ways, effort)?;
    }
    chart.compare_ours();
    Ok(chart)
}

/// What is raced.
struct Ciphers {
    ours: Skcipher,
    /// The same instructions and registers without IVs, tweaks and chains: ECB.
    bound: Option<Skcipher>,
    library: Option<Skcipher>,
}

impl Ciphers {
    fn new(algorithm: Algorithm, key: &[u8], driver: Option<&str>) -> Result<Self, BenchError> {
        let choice = driver.map_or(Choice::Best, Choice::Named);
        let ours = Skcipher::new(Registry::global(), choice, algorithm, key).map_err(BenchError::of)?;
        let named = |algorithm, name, key| {
            Skcipher::new(Registry::global(), Choice::Named(name), algorithm, key).ok()
        };
        let of_block = if algorithm.mode == Mode::Xts { &key[..key.len() / 2] } else { key };
        let has_bound = ours.driver().name != LIBRARY && algorithm.mode != Mode::Ecb;
        let bound = (algorithm.cipher == Cipher::Aes && has_bound)
            .then(|| named(Algorithm { mode: Mode::Ecb, ..algorithm }, ours.driver().name, of_block))
            .flatten();
        let is_there = |listing: &Listing<'_>| {
            listing.info.name == LIBRARY && matches!(listing.standing, Standing::First | Standing::Behind(_))
        };
        let has_library = Registry::global().list_of(algorithm).iter().any(is_there);
        let library = has_library.then(|| named(algorithm, LIBRARY, key)).flatten();
        Ok(Self { ours, bound, library })
    }

    fn ways<'a>(&'a self, request: &'a RefCell<Request<'a>>) -> Vec<Way<'a>> {
        let whole =
            |cipher: &'a Skcipher| move || cipher.crypt(&mut request.borrow_mut()).map_err(BenchError::of);
        let each = |cipher: &'a Skcipher| {
            move || per_unit(cipher, &mut request.borrow_mut()).map_err(BenchError::of)
        };
        let name = self.ours.driver().name;
        let mut ways = vec![
            Way::new(format!("{name}, all units"), Kind::Ours, whole(&self.ours)),
            Way::new(format!("{name}, a call a unit"), Kind::PerSector, each(&self.ours)),
        ];
        let bound = self.bound.as_ref();
        ways.extend(bound.map(|bound| Way::new(format!("{name}, bare blocks"), Kind::Bound, whole(bound))));
        let library = self.library.as_ref().filter(|library| library.driver().name != name);
        ways.extend(
            library.map(|library| Way::new(format!("{LIBRARY}, a call a unit"), Kind::Peer, whole(library))),
        );
        ways
    }
}

/// What a caller does that knows no requests of many units: one each.
fn per_unit(cipher: &Skcipher, request: &mut Request<'_>) -> Result<(), CryptError> {
    let Request { direction, src, unit_size, iv, .. } = *request;
    for unit in 0..request.units() {
        let (at, iv) = (unit * unit_size, iv.only(unit));
        let mut dst = request.dst.after(at);
        let (src, dst) = (src.after(at).first(unit_size), dst.first(unit_size));
        cipher.crypt(&mut Request { direction, src, dst, unit_size, iv })?;
    }
    Ok(())
}

impl Subject {
    /// A key, whose halves differ.
    pub(super) fn key(&self, algorithm: Algorithm) -> Result<Zeroizing<Vec<u8>>, BenchError> {
        let sizes = || algorithm.key_sizes();
        let size = self.key_size.map_or(sizes().last(), |bits| sizes().find(|size| size * 8 == bits));
        let Some(size) = size else {
            let there = sizes().map(|size| (size * 8).to_string()).collect::<Vec<_>>().join(", ");
            let asked = self.key_size.unwrap_or_default();
            return Err(BenchError(format!(
                "{algorithm} has no keys of {asked} bits; it has those of {there}"
            )));
        };
        Ok(Zeroizing::new((0..size).map(|at| (at * 7 + 3) as u8).collect()))
    }
}
