//! Tests of runs and cursors. That one buffer has one writer, the compiler tests: see the examples at [`SpanMut`].

use super::*;

#[test]
fn a_cursor_walks_runs_of_any_length() {
    let (mut a, mut b, mut c) = ([1u8, 2, 3], [0u8; 0], [4u8, 5]);
    let spans = [Span::new(&a), Span::new(&b), Span::new(&c)];
    let mut iter = SpanIter::new(&spans);
    assert_eq!(iter.len(), 5);
    iter.advance(2);
    assert_eq!(iter.peek().len(), 1);
    let mut got = [0; 3];
    iter.read(&mut got);
    assert_eq!((got, iter.len(), iter.peek().len()), ([3, 4, 5], 0, 0));
    let mut spans = [SpanMut::new(&mut a), SpanMut::new(&mut b), SpanMut::new(&mut c)];
    let mut iter = SpanIterMut::new(&mut spans);
    let mut iter = iter.first(4);
    let mut iter = iter.after(1);
    iter.write(&[7, 8, 9]);
    assert_eq!(iter.next().map(|s| s.len()), None);
    assert_eq!((a, c), ([1, 7, 8], [9, 5]));
}

#[test]
fn a_cursor_that_writes_is_lent_cut_and_read_behind() {
    let (mut a, mut b) = ([0u8; 4], [0u8; 4]);
    let mut spans = [SpanMut::new(&mut a), SpanMut::new(&mut b)];
    let mut iter = SpanIterMut::new(&mut spans);
    iter.reborrow().fill(9);
    let mut front = iter.take_first(3);
    iter.write(&[4, 5]);
    front.write(&[1, 2]);
    assert_eq!((front.len(), iter.len(), iter.peek().len()), (1, 3, 3));
    let (mut src, mut dst) = iter.in_place();
    let mut got = [0; 3];
    src.read(&mut got);
    dst.write(&got.map(|byte| byte - 1));
    assert_eq!((a, b), ([1, 2, 9, 4], [5, 8, 8, 8]));
}

#[test]
fn one_byte_anywhere_makes_a_run_no_zeros() {
    let mut bytes = [0u8; if cfg!(miri) { 20 } else { 700 }];
    assert!(Span::new(&bytes).is_zero() && Span::EMPTY.is_zero());
    for at in 0..bytes.len() {
        bytes[at] = 1;
        assert!(!Span::new(&bytes).is_zero(), "byte {at}");
        bytes[at] = 0;
    }
}

#[test]
#[should_panic(expected = "leave a run of 4")]
fn a_slice_past_the_end_panics() {
    let _ = Span::new(&[0; 4]).slice(2, 3);
}
