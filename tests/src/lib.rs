//! Whole-program tests: the program `udm` against programs that others wrote. Here is what the tests share.

pub mod conditions;
pub mod fio;
pub mod images;
pub mod judge;
pub mod luks;
pub mod mutate;
pub mod page;
pub mod process_memory;
pub mod program;
pub mod terminal;
pub mod volume;
