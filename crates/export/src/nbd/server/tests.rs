//! The server against clients that behave, vanish, and lie.

mod depth;
mod hostile;
mod idle;
mod listening;
mod ranges;
mod requests;
mod sealed;
mod sizes;
mod stopping;
mod support;
mod unaligned;
mod vanishing;
