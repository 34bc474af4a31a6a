//! The server against clients that behave, vanish, and lie.

mod depth;
mod hostile;
mod idle;
mod listening;
mod requests;
mod stopping;
mod support;
mod vanishing;
