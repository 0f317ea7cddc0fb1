//! The macros that define every number type: construction, reading, formatting, checked arithmetic.
//!
//! # Invariants
//!
//! 1. No operator is implemented: arithmetic is always a named method that says what happens on overflow.

/// Declares a transparent number type with `new`/`get`, hexadecimal `Debug` and `Display`.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($raw:ty), $format:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name($raw);

        impl $name {
            /// Wraps a raw number.
            #[inline]
            #[must_use]
            pub const fn new(raw: $raw) -> Self {
                Self(raw)
            }

            /// Returns the raw number.
            #[inline]
            #[must_use]
            pub const fn get(self) -> $raw {
                self.0
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, $format, self.0)
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "(", $format, ")"), self.0)
            }
        }
    };
}

/// Adds byte- or frame-wise checked arithmetic to a number type.
macro_rules! arithmetic {
    ($name:ident, $distance:ty, $unit:literal) => {
        impl $name {
            #[doc = concat!("Adds a distance in ", $unit, ", or `None` if the sum does not fit.")]
            #[inline]
            #[must_use]
            pub const fn checked_add(self, distance: $distance) -> Option<Self> {
                match self.get().checked_add(distance.get()) {
                    Some(raw) => Some(Self::new(raw)),
                    None => None,
                }
            }

            #[doc = concat!("Subtracts a distance in ", $unit, ", or `None` below zero.")]
            #[inline]
            #[must_use]
            pub const fn checked_sub(self, distance: $distance) -> Option<Self> {
                match self.get().checked_sub(distance.get()) {
                    Some(raw) => Some(Self::new(raw)),
                    None => None,
                }
            }

            #[doc = concat!("Adds a distance in ", $unit, ", stopping at the largest value.")]
            #[inline]
            #[must_use]
            pub const fn saturating_add(self, distance: $distance) -> Self {
                Self::new(self.get().saturating_add(distance.get()))
            }

            #[doc = concat!("Distance from `earlier` in ", $unit, ", or `None` if `earlier` is later.")]
            #[inline]
            #[must_use]
            pub const fn offset_from(self, earlier: Self) -> Option<$distance> {
                match self.get().checked_sub(earlier.get()) {
                    Some(raw) => Some(<$distance>::new(raw)),
                    None => None,
                }
            }
        }
    };
}

pub(crate) use {arithmetic, number};
