//! The protocol's numbers with names: an enum for each kind, which keeps a number that it does not know.
//!
//! Such a number must survive: a server answers an unknown command with `EINVAL`, and an unknown option with the number
//! of the option. `num_enum` has the same conversions; the names in the protocol would still need a table of their own.

/// Makes an enum of numbers, each with its name in the protocol, and with `Other` for a number without a name.
macro_rules! named_numbers {
    ($(#[$meta:meta])* $name:ident: $wire:ty, $other:literal {
        $($(#[$about:meta])* $variant:ident = $value:literal, $label:literal;)+
    }) => {
        $(#[$meta])*
        ///
        /// Displayed by its name in the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$about])* $variant,)+
            /// A number that has no name here, as it came. Make it with `from_wire`, which prefers names.
            Other($wire),
        }

        impl $name {
            /// Every value that has a name.
            pub const NAMED: &'static [Self] = &[$(Self::$variant),+];

            /// The value for a number of the wire.
            #[inline]
            pub const fn from_wire(number: $wire) -> Self {
                match number {
                    $($value => Self::$variant,)+
                    other => Self::Other(other),
                }
            }

            /// The number on the wire.
            #[inline]
            pub const fn to_wire(self) -> $wire {
                match self {
                    $(Self::$variant => $value,)+
                    Self::Other(other) => other,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $(Self::$variant => f.write_str($label),)+
                    Self::Other(other) => write!(f, concat!($other, " {:#x}"), other),
                }
            }
        }
    };
}

pub(super) use named_numbers;
