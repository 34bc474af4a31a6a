//! The tests of this crate from outside, in one program. Those that need a process of their own are programs beside it.

mod closing;
mod engines;
mod fairness;
mod far_ends;
mod notices;
mod queue_end;
mod rescue;
mod support;
