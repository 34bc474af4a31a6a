//! The cipher contract, from outside: what any caller may send, and what any driver may answer.

mod bounds;
mod bytes;
mod equality;
mod jobs;
mod kernel;
mod oracle;
mod registry;
mod requests;
mod spec;
mod vectors;
