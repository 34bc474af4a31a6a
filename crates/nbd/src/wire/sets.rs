//! The two kinds of sets of the protocol: numbers with names, and bits with names. Both keep what they do not know.

/// Makes an enum over an open set of numbers: each with its name in the protocol, and `Other` for the rest.
macro_rules! open_set {
    ($(#[$meta:meta])* $name:ident: $wire:ty, $other:literal {
        $($(#[$about:meta])* $variant:ident = $value:literal, $label:literal;)+
    }) => {
        $(#[$meta])*
        ///
        /// Displayed by its name in the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

/// Makes a set of bits, each with its name in the protocol.
macro_rules! flag_set {
    ($(#[$meta:meta])* $name:ident: $wire:ty { $($(#[$about:meta])* $flag:ident = $bit:literal;)+ }) => {
        $(#[$meta])*
        ///
        /// Displayed as names with a bar between them, and what has no name in hexadecimal.
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
        pub struct $name($wire);

        impl $name {
            $($(#[$about])* pub const $flag: Self = Self(1 << $bit);)+
            /// No bit.
            pub const NONE: Self = Self(0);
            /// Every bit that has a name.
            pub const KNOWN: Self = Self(0 $(| (1 << $bit))+);

            /// The set of these bits, named or not.
            #[inline]
            pub const fn from_bits(bits: $wire) -> Self {
                Self(bits)
            }

            /// The bits as on the wire.
            #[inline]
            pub const fn bits(self) -> $wire {
                self.0
            }

            /// True if every bit of `other` is here.
            #[inline]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// The bits of either.
            #[inline]
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// The bits of this one that are not in `other`.
            #[inline]
            #[must_use]
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            /// True if no bit is set.
            #[inline]
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }
        }

        impl std::ops::BitOr for $name {
            type Output = Self;
            fn bitor(self, other: Self) -> Self {
                self.with(other)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut between = "";
                $(if self.contains(Self::$flag) {
                    write!(f, "{between}{}", stringify!($flag))?;
                    between = "|";
                })+
                let unnamed = self.without(Self::KNOWN);
                if !unnamed.is_empty() || self.is_empty() {
                    write!(f, "{between}{:#x}", unnamed.0)?;
                }
                Ok(())
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

pub(super) use {flag_set, open_set};
