//! The model by hand: small histories, and what may be read after each. The oracle is what `udm_block::Op` and
//! `udm_block::Flags` promise.

use super::*;
use crate::contents::bytes_of;

/// A device of one sector, and the numbers of the writes to it.
struct One(Model);

impl One {
    /// Write 1 is there for good.
    fn new() -> Self {
        let mut one = Self(Model::new(1, true));
        one.write(1, Flags::NONE, Status::Ok);
        one.flush();
        one
    }

    fn begin(&mut self, number: u64, flags: Flags) -> (Step, Instant) {
        let step = Step { op: Op::Write, flags, sectors: 0..1, number };
        let began = self.0.begin(&step);
        (step, began)
    }

    fn end(&mut self, (step, began): &(Step, Instant), status: Status) {
        self.0.end(step, *began, status, &[]).unwrap();
    }

    fn write(&mut self, number: u64, flags: Flags, status: Status) {
        let write = self.begin(number, flags);
        self.end(&write, status);
    }

    fn flush(&mut self) {
        let flush = self.begin_flush();
        self.end(&flush, Status::Ok);
    }

    fn begin_flush(&mut self) -> (Step, Instant) {
        let step = Step { op: Op::Flush, flags: Flags::NONE, sectors: 0..0, number: 0 };
        let began = self.0.begin(&step);
        (step, began)
    }

    /// Whether a read may find write `number`. The model learns nothing by the question.
    fn may_be(&self, number: u64) -> bool {
        let versions = &self.0.sectors[0];
        versions.iter().any(|v| v.gone == NEVER && v.value.is(0, &bytes_of(number, 0)))
    }

    fn may(&self) -> Vec<u64> {
        (1..10).filter(|number| self.may_be(*number)).collect()
    }

    fn read(&mut self, number: u64) -> Result<(), String> {
        let step = Step { op: Op::Read, flags: Flags::NONE, sectors: 0..1, number: 0 };
        let began = self.0.begin(&step);
        self.0.end(&step, began, Status::Ok, &bytes_of(number, 0))
    }

    fn cut(&mut self) -> Vec<u64> {
        self.0.power_cut();
        self.may()
    }
}

#[test]
fn a_write_that_ended_is_read_and_nothing_else() {
    let mut one = One::new();
    one.write(2, Flags::NONE, Status::Ok);
    assert_eq!(one.may(), [2]);
    let error = one.read(1).unwrap_err();
    assert_eq!(error, "sector 0 holds what write 1 wrote to sector 0; it may hold write 2");
    one.read(2).unwrap();
}

#[test]
fn of_a_write_under_way_a_read_finds_the_old_or_the_new() {
    let mut one = One::new();
    let write = one.begin(2, Flags::NONE);
    assert_eq!(one.may(), [1, 2]);
    // What the one read found says nothing about the next.
    one.read(2).unwrap();
    one.read(1).unwrap();
    one.end(&write, Status::Ok);
    assert!(one.read(1).is_err());
}

#[test]
fn a_write_that_failed_is_there_or_not_until_somebody_looks() {
    let mut one = One::new();
    one.write(2, Flags::NONE, Status::IoErr);
    assert_eq!(one.may(), [1, 2]);
    one.read(1).unwrap();
    assert_eq!(one.may(), [1]);
    assert!(one.read(2).is_err());
}

#[test]
fn of_writes_that_overlap_the_one_that_began_after_the_other_ended_stays() {
    let mut one = One::new();
    let [two, three] = [one.begin(2, Flags::NONE), one.begin(3, Flags::NONE)];
    one.end(&two, Status::Ok);
    assert_eq!(one.may(), [2, 3]);
    let four = one.begin(4, Flags::NONE);
    one.end(&four, Status::Ok);
    assert_eq!(one.may(), [3, 4]);
    one.end(&three, Status::Ok);
    assert_eq!(one.may(), [3, 4]);
}

#[test]
fn a_power_cut_leaves_any_write_since_the_flush() {
    let mut one = One::new();
    one.write(2, Flags::NONE, Status::Ok);
    one.write(3, Flags::NONE, Status::Ok);
    assert_eq!(one.cut(), [1, 2, 3]);
    one.read(2).unwrap();
    assert_eq!(one.may(), [2]);
    // It is read, and so it was durable; a flush makes sure of it.
    one.flush();
    assert_eq!(one.cut(), [2]);
}

#[test]
fn a_flush_covers_what_had_ended_when_it_began() {
    let mut one = One::new();
    one.write(2, Flags::NONE, Status::Ok);
    let three = one.begin(3, Flags::NONE);
    let flush = one.begin_flush();
    one.end(&three, Status::Ok);
    one.end(&flush, Status::Ok);
    // Write 1 was gone, write 3 came in between.
    assert_eq!(one.cut(), [2, 3]);
}

#[test]
fn a_flush_that_failed_promises_nothing() {
    let mut one = One::new();
    one.write(2, Flags::NONE, Status::Ok);
    let flush = one.begin_flush();
    one.end(&flush, Status::IoErr);
    assert_eq!(one.cut(), [1, 2]);
}

#[test]
fn fua_makes_its_own_write_durable_and_preflush_those_before_it() {
    let mut one = One::new();
    one.write(2, Flags::FUA, Status::Ok);
    assert_eq!(one.cut(), [2]);
    one.write(3, Flags::NONE, Status::Ok);
    one.write(4, Flags::PREFLUSH, Status::Ok);
    assert_eq!(one.cut(), [3, 4]);
}

#[test]
fn without_a_cache_what_is_acknowledged_is_durable() {
    let mut one = One(Model::new(1, false));
    one.write(1, Flags::NONE, Status::Ok);
    one.write(2, Flags::NONE, Status::Ok);
    assert_eq!(one.cut(), [2]);
}
