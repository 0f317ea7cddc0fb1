//! Physical frames with a note of where they came from.
//!
//! # Invariants
//!
//! 1. A [`Tag`] fits the two software bits that an entry has for it: `0..=3`.

use x86_64::PhysAddr;

/// A caller's two-bit note about a frame, kept in the entry that points to the frame.
///
/// Whoever frees the frame gets the note back, so that it returns to the pool it came from without guessing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Tag(u8);

impl Tag {
    /// The largest raw tag.
    pub const MAX: u8 = 3;

    /// Wraps a raw tag, or returns `None` above [`Tag::MAX`].
    #[inline]
    #[must_use]
    pub const fn new(raw: u8) -> Option<Self> {
        if raw <= Self::MAX { Some(Self(raw)) } else { None }
    }

    /// Returns the raw tag.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The two lowest bits of `bits`.
    pub(crate) const fn from_low_bits(bits: u64) -> Self {
        Self((bits & 0b11) as u8)
    }
}

/// A physical frame and where it came from; its size follows from the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TaggedFrame {
    /// The first byte of the frame.
    pub start: PhysAddr,
    /// The note of whoever allocated it.
    pub tag: Tag,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_two_bits() {
        assert_eq!(Tag::new(3).map(Tag::get), Some(3));
        assert_eq!(Tag::new(4), None);
        assert_eq!(Tag::from_low_bits(0b110).get(), 0b10);
    }
}
