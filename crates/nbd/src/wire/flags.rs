//! What every set of flags has besides the methods of `bitflags`: a text, and two short names.

/// Adds to sets of flags `NONE`, `without`, and a text made of the protocol's names.
macro_rules! flag_words {
    ($($name:ident),+) => {$(
        impl $name {
            /// No flag.
            pub const NONE: Self = Self::empty();

            /// The flags of this set that are not in `other`, named or not.
            #[inline]
            #[must_use]
            pub const fn without(self, other: Self) -> Self {
                self.difference(other)
            }
        }

        /// The names with a bar between them, and in hexadecimal the bits that have no name: `FUA | 0x8000`.
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                if self.is_empty() { f.write_str("0x0") } else { bitflags::parser::to_writer(self, f) }
            }
        }
    )+};
}

pub(super) use flag_words;
