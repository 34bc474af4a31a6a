//! The server against clients that behave, vanish, and lie.
