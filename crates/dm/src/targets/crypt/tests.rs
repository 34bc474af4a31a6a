//! The crypt target.
