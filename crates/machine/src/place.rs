//! Placing values that are too large for a stack.

use sparsemem_core::ZeroIsNew;

/// Makes a fresh `T` on the heap, without ever having it on the stack and without touching its memory.
///
/// Only what is used of it later costs memory, so a model with a table of gigabytes can be made in a test.
///
/// # Cost
///
/// The allocator gets fresh zeroed pages from the host. A type that is aligned to more than 16 bytes is zeroed by
/// writing instead, which does touch it: keep such alignment inside of what large types point to.
///
/// # Panics
///
/// Does not return if the host refuses the addresses: the process ends as it does for any failed heap allocation
/// ([`std::alloc::handle_alloc_error`]).
#[must_use]
pub fn place<T: ZeroIsNew>() -> Box<T> {
    // SAFETY: `ZeroIsNew` promises that zero bytes are a valid value.
    unsafe { Box::<T>::new_zeroed().assume_init() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resident_bytes;

    struct Large([u64; 1 << 30]);

    // SAFETY: zeros are valid integers.
    unsafe impl ZeroIsNew for Large {}

    #[test]
    fn eight_gibibytes_cost_what_is_used_of_them() {
        let before = resident_bytes();
        let mut large = place::<Large>();
        large.0[12_345_678] = 7;
        assert_eq!((large.0[0], large.0[12_345_678], large.0[(1 << 30) - 1]), (0, 7, 0));
        assert!(resident_bytes() < before + (64 << 20));
    }
}
