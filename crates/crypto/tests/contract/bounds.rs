//! No driver touches a byte outside of the spans: runs that begin or end with a mapping, beside pages that may not be
//! touched. The oracle is the processor, and the portable driver for the bytes.
#![allow(unsafe_code)]

use crate::contract::bytes::Random;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use std::ffi::c_void;
use std::os::unix::process::ExitStatusExt;
use std::ptr::{self, NonNull};
use udm_block::{SpanIter, SpanIterMut, SpanMut};
use udm_crypto::{Algorithm, Choice, Direction, IvRule, Mode, Registry, Request, Skcipher, Standing};

const PAGE: usize = 4096;

/// What the kernel sends to whoever touches such a page.
const SIGSEGV: i32 = 11;

/// Bytes between two pages that may not be touched.
struct Guarded {
    mapping: *mut c_void,
    len: usize,
}

impl Guarded {
    /// At least `len` bytes.
    fn new(len: usize) -> Self {
        let len = len.next_multiple_of(PAGE);
        // SAFETY: a new mapping at an address of the kernel's choice.
        let mapping =
            unsafe { mmap_anonymous(ptr::null_mut(), len + 2 * PAGE, ProtFlags::empty(), MapFlags::PRIVATE) }
                .unwrap();
        // SAFETY: the pages are within the mapping, which nobody uses yet.
        unsafe { mprotect(mapping.byte_add(PAGE), len, MprotectFlags::READ | MprotectFlags::WRITE) }.unwrap();
        Self { mapping, len }
    }

    /// The first or last `len` bytes.
    fn span(&mut self, len: usize, last: bool) -> SpanMut<'_> {
        let at = PAGE + if last { self.len - len } else { 0 };
        // SAFETY: `at` is within the mapping.
        let begin = NonNull::new(unsafe { self.mapping.byte_add(at) }).unwrap();
        // SAFETY: these bytes are mapped as long as `self` is, and reached through spans alone.
        unsafe { SpanMut::from_raw(begin.cast(), len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no span outlives this.
        unsafe { munmap(self.mapping, self.len + 2 * PAGE) }.unwrap();
    }
}

/// Each row of units stands at the beginning or the end of a mapping, in one span or in two that are cut where a block
/// begins and where none does.
#[test]
fn nothing_outside_of_the_spans_is_touched() {
    let mut random = Random(0x6a5d);
    for mode in [Mode::Xts, Mode::Cbc, Mode::Ecb] {
        let algorithm = Algorithm::aes(mode);
        let key = random.bytes(algorithm.key_sizes().last().unwrap());
        let portable = Skcipher::new(Registry::global(), Choice::Named("portable"), algorithm, &key).unwrap();
        for line in Registry::global().list_of(algorithm) {
            if matches!(line.standing, Standing::Lacking(_)) || line.info.name == "offload-sim" {
                continue;
            }
            let choice = Choice::Named(line.info.name);
            let skcipher = Skcipher::new(Registry::global(), choice, algorithm, &key).unwrap();
            for (unit_size, units) in SHAPES {
                for which in 0..16 {
                    let bit = |at| which >> at & 1 == 1;
                    let direction = if bit(0) { Direction::Encrypt } else { Direction::Decrypt };
                    let data = random.bytes(unit_size * units);
                    let cut = if bit(3) { 16 } else { 7 };
                    let outer = (bit(1), bit(2), cut);
                    let expected = crypt(&portable, direction, unit_size, &data, outer);
                    let made = crypt(&skcipher, direction, unit_size, &data, outer);
                    assert!(made == expected, "{skcipher:?} {direction:?} {units} x {unit_size} {outer:?}");
                }
            }
        }
    }
}

/// Unit sizes and numbers of units: below, at and above the groups of each width of registers, and above a batch.
const SHAPES: [(usize, usize); 12] = [
    (16, 1),
    (16, 35),
    (48, 7),
    (128, 3),
    (256, 5),
    (512, 1),
    (512, 2),
    (512, 33),
    (512, 70),
    (1040, 5),
    (1536, 9),
    (4096, 3),
];

/// Carries out a request from and to guarded memory, once as one span elsewhere and once as two in place, and returns
/// what was made of `data`.
fn crypt(
    skcipher: &Skcipher,
    direction: Direction,
    unit_size: usize,
    data: &[u8],
    (last_src, last_dst, cut): (bool, bool, usize),
) -> Vec<u8> {
    let (mut src, mut dst) = (Guarded::new(data.len()), Guarded::new(data.len()));
    let (mut src, mut dst) = (src.span(data.len(), last_src), dst.span(data.len(), last_dst));
    src.write(data);
    let iv = IvRule::CounterLe64 { first: [7; 16], stride: 1 };
    let whole = |src: SpanIter<'_>, dst: SpanIterMut<'_>| {
        skcipher.crypt(&mut Request { direction, src, dst, unit_size, iv }).unwrap();
    };
    let mut made = [vec![0; data.len()], vec![0; data.len()]];
    whole(SpanIter::new(&[src.as_span()]), SpanIterMut::new(&mut [dst.reborrow()]));
    dst.as_span().read(&mut made[0]);
    let cut = cut.min(data.len());
    let mut all = [src.reborrow()];
    let mut all = SpanIterMut::new(&mut all);
    let mut two: Vec<_> = all.take_first(cut).chain(all).collect();
    let mut two = SpanIterMut::new(&mut two);
    let (from, to) = two.in_place();
    whole(from, to);
    src.as_span().read(&mut made[1]);
    let [made, in_place] = made;
    assert!(made == in_place, "{skcipher:?} {direction:?} units of {unit_size}, in two spans");
    made
}

/// The bad twin: a byte outside of the span ends the process, which is this test again in one of its own.
#[test]
fn a_byte_outside_of_the_span_is_found() {
    const CHILD: &str = "UDM_TEST_READS_OUTSIDE";
    if std::env::var_os(CHILD).is_some() {
        let mut memory = Guarded::new(PAGE);
        let mut span = memory.span(16, true);
        // SAFETY: none: the page behind the span may not be touched, and the process ends here.
        let byte = unsafe { span.as_mut_ptr().add(16).read_volatile() };
        println!("read {byte}");
        return;
    }
    let mut child = udm_testkit::again(module_path!(), "a_byte_outside_of_the_span_is_found");
    let ran = child.env(CHILD, "1").output().unwrap();
    assert_eq!(ran.status.signal(), Some(SIGSEGV), "{ran:?}");
}
