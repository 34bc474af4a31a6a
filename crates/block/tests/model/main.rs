//! The block layer's concurrency under a model checker, which runs each model in one order of steps after another.
//!
//! * `check`: how a model is run, with which seeds, and how a schedule that fails is run again.
//! * `stack`: the stack of drivers that the models share, its clients and its bottoms.
//! * `progress`: stacked drivers that sleep for their bios finish, and keep what they promise; their bad twins do not.
//! * `rescue`: what is punted and what stays, and a driver that sleeps below a rescuer.
//! * `depth_first`: the order of dispatch without which md and dm deadlocked.
//! * `tables`: the same for tables of runs.
//! * `pools`: sleepers, parked bios, and the end of a set, each against frees on other threads.
//! * `chains`: pieces of a bio that end on different threads.
//! * `messages`: messages to channels, against a queue that is about to sleep.
//! * `queue_end`: a queue that ends while others send it messages and bring its bios home.
//! * `left_behind`: what a queue that ends leaves: its bios, those of its channels, and what they had been promised.
//! * `hold`: all queues of a device hold its bios, and let go.
//! * `aside`: a queue that nobody has in hand, and messages to it.
//!
//! `cargo xtask model` runs them: without `--cfg shuttle` this file is empty. `cargo xtask mutants` shows that each of
//! them can fail.
#![cfg(shuttle)]

mod aside;
mod chains;
mod check;
mod depth_first;
mod hold;
mod left_behind;
mod messages;
mod pools;
mod progress;
mod queue_end;
mod rescue;
#[path = "../../examples/splitter.rs"]
mod splitter;
mod stack;
mod tables;
